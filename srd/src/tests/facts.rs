//! The embedded catalogue equals the facts of the rules, entry by entry and field by field.

use serde_json::{Value, json};

use super::CATALOGUE;

/// The entries of a file of facts.
fn facts(file: &str) -> Vec<Value> {
    let text = match file {
        "equipment" => include_str!("../../tests/facts/srd/equipment.json"),
        "magic-items" => include_str!("../../tests/facts/srd/magic-items.json"),
        "classes" => include_str!("../../tests/facts/srd/classes.json"),
        "races" => include_str!("../../tests/facts/srd/races.json"),
        "subraces" => include_str!("../../tests/facts/srd/subraces.json"),
        "skills" => include_str!("../../tests/facts/srd/skills.json"),
        "conditions" => include_str!("../../tests/facts/srd/conditions.json"),
        _ => panic!("there is no file {file}"),
    };
    serde_json::from_str(text).expect("a list of facts")
}

/// A list from the body of `GET /catalogue`.
fn told(kind: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(CATALOGUE.json()).expect("JSON");
    all[kind].as_array().expect("a list").clone()
}

/// The entry with an id.
fn entry<'a>(entries: &'a [Value], id: &Value) -> &'a Value {
    entries.iter().find(|entry| entry["id"] == *id).unwrap_or_else(|| panic!("the catalogue has no {id}"))
}

/// Returns true if two numbers are equal, even with different types.
fn same_number(one: &Value, other: &Value) -> bool {
    one.as_f64().zip(other.as_f64()).is_some_and(|(one, other)| one.to_bits() == other.to_bits())
}

/// Compares fields of a fact with those of an entry.
#[track_caller]
fn check_fields(fact: &Value, entry: &Value, fields: &[&str]) {
    for field in fields {
        let (expected, found) = (&fact[*field], &entry[*field]);
        assert!(expected == found || same_number(expected, found), "{}: {field}: {expected} and {found}", fact["id"]);
    }
}

/// Fails on a field that no test checks, so that a new field cannot go unnoticed.
#[track_caller]
fn check_known(fact: &Value, known: &[&str]) {
    let unseen: Vec<_> = fact.as_object().expect("a map").keys().filter(|key| !known.contains(&key.as_str())).collect();
    assert!(unseen.is_empty(), "{}: nobody looks at {unseen:?}", fact["id"]);
}

#[test]
fn every_item_equals_its_fact() {
    let (facts, told) = (facts("equipment"), told("items"));
    let mundane: Vec<_> = told.iter().filter(|item| item["category"] != "magic-item").cloned().collect();
    assert_eq!((facts.len(), mundane.len()), (237, 237));
    let own = ["id", "name", "category", "weight_lb", "armor", "contents"];
    let groups = ["gear_category", "tool_category", "vehicle_category"];
    for fact in &facts {
        let item = entry(&mundane, &fact["id"]);
        check_fields(fact, item, &own);
        check_known(fact, &[&own[..], &groups, &["cost_cp", "sold_in", "weapon"]].concat());
        // An item without a price has no `cost_cp`.
        let cost = if fact["cost_cp"] == 0 { &Value::Null } else { &fact["cost_cp"] };
        assert_eq!(*cost, item["cost_cp"], "{}", fact["id"]);
        assert_eq!(fact.get("sold_in").unwrap_or(&json!(1)), &item["sold_in"], "{}", fact["id"]);
        let group = groups.iter().find_map(|group| fact.get(*group)).unwrap_or(&Value::Null);
        assert_eq!(*group, item["group"], "{}", fact["id"]);
        if let Some(weapon) = fact.get("weapon") {
            let fields: Vec<_> = weapon.as_object().expect("a map").keys().map(String::as_str).collect();
            check_fields(weapon, &item["weapon"], &fields);
        } else {
            assert!(item.get("weapon").is_none(), "{}", fact["id"]);
        }
    }
}

#[test]
fn every_magic_item_equals_its_fact() {
    let (facts, items, variants) = (facts("magic-items"), told("items"), told("magic_variants"));
    let fields = ["id", "name", "rarity", "attunement", "effects"];
    let slots = |slot: &str| match slot {
        "ring" => json!(["ring_1", "ring_2"]),
        "carried" | "consumable" => Value::Null,
        slot => json!([slot]),
    };
    let (mut as_items, mut as_variants) = (0, 0);
    for fact in &facts {
        check_known(fact, &[&fields[..], &["slot", "applies_to"]].concat());
        if let Some(slot) = fact["slot"].as_str() {
            let item = entry(&items, &fact["id"]);
            check_fields(fact, item, &fields);
            assert_eq!(item["slots"], slots(slot), "{}", fact["id"]);
            assert_eq!(item["consumable"] == true, slot == "consumable", "{}", fact["id"]);
            as_items += 1;
        } else {
            let variant = entry(&variants, &fact["id"]);
            check_fields(fact, variant, &fields);
            let fitting: Vec<_> =
                self::facts("equipment").into_iter().filter(|item| fits(&fact["applies_to"], item)).collect();
            let ids: Vec<_> = fitting.iter().map(|item| &item["id"]).collect();
            let told: Vec<_> = variant["items"].as_array().expect("a list").iter().collect();
            assert!(!ids.is_empty());
            assert_eq!((told.len(), told.iter().all(|id| ids.contains(id))), (ids.len(), true), "{}", fact["id"]);
            for id in ids {
                let name = format!("{}+{}", id.as_str().expect("an id"), fact["id"].as_str().expect("an id"));
                assert!(CATALOGUE.item_named(&name).is_some(), "{name}");
            }
            as_variants += 1;
        }
    }
    assert_eq!(items.iter().filter(|item| item["category"] == "magic-item").count(), as_items);
    assert_eq!(variants.len(), as_variants);
    let variants = CATALOGUE.items().iter().filter(|item| item.id().as_str().contains('+')).count();
    // Weapons, armour and shields in three strengths each, and mithral for nine suits, without hide.
    assert_eq!(variants, 37 * 3 + 12 * 3 + 3 + 8);
}

/// Returns true if magic applies to a mundane item according to the facts.
fn fits(applies_to: &Value, item: &Value) -> bool {
    let kind = item["armor"]["kind"].as_str();
    match applies_to.as_str().expect("words") {
        "weapon" => item["category"] == "weapon",
        "shield" => kind == Some("shield"),
        "armor" => kind.is_some_and(|kind| kind != "shield"),
        "medium or heavy armor, not hide" => matches!(kind, Some("medium" | "heavy")) && item["id"] != "hide-armor",
        words => panic!("unknown words: {words}"),
    }
}

#[test]
fn every_class_equals_its_fact() {
    let (facts, told) = (facts("classes"), told("classes"));
    assert_eq!((facts.len(), told.len()), (12, 12));
    let fields = [
        "id",
        "name",
        "hit_die",
        "saving_throws",
        "proficiencies",
        "ability_score_improvement_levels",
        "spellcasting_ability",
        "spell_slots_by_level",
        "starting_equipment",
    ];
    for fact in &facts {
        let class = entry(&told, &fact["id"]);
        check_fields(fact, class, &fields);
        check_known(fact, &[&fields[..], &["skill_choices", "prof_bonus_by_level"]].concat());
        let bonuses: Vec<_> = (1..=20).map(crate::proficiency_bonus).collect();
        assert_eq!(fact["prof_bonus_by_level"], json!(bonuses), "{}", fact["id"]);
        // In the facts the first choice lists skills with a prefix, the others tools.
        let prefixed = |skill: &Value| json!(format!("skill-{}", skill.as_str().expect("a skill")));
        let mut skills = class["skills"].clone();
        let from: Vec<_> = skills["from"].as_array().expect("a list").iter().map(prefixed).collect();
        skills["from"] = json!(from);
        let mut choices = vec![skills];
        choices.extend(class["tool_choices"].as_array().expect("a list").iter().cloned());
        let mut expected = fact["skill_choices"].clone();
        if fact["id"] == "monk" {
            // The facts leave this list empty. SRD 5.1, "Monk", "Proficiencies": "Choose one type of artisan's tools
            // or one musical instrument".
            assert_eq!(expected[1], json!({"choose": 1, "from": []}));
            let groups = ["Artisan's Tools", "Musical Instrument"].map(Value::from);
            let equipment = self::facts("equipment");
            let tools = equipment.iter().filter(|item| groups.contains(&item["tool_category"])).map(|item| &item["id"]);
            expected[1]["from"] = json!(sorted(tools.collect()));
            choices[1]["from"] = json!(sorted(choices[1]["from"].as_array().expect("a list").iter().collect()));
            assert_eq!(expected[1]["from"].as_array().map(Vec::len), Some(17 + 10));
        }
        assert_eq!(expected, json!(choices), "{}", fact["id"]);
    }
}

fn sorted(mut ids: Vec<&Value>) -> Vec<&Value> {
    ids.sort_by_key(|id| id.as_str().expect("an id"));
    ids
}

/// Every object in a value that has a number to `choose`, with its path.
fn choices<'v>(value: &'v Value, path: &str, found: &mut Vec<(String, &'v Value)>) {
    let entries: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => return,
    };
    if value.get("choose").is_some() {
        found.push((path.to_owned(), value));
    }
    for (key, value) in entries {
        choices(value, &format!("{path}/{key}"), found);
    }
}

#[test]
fn no_published_choice_asks_for_more_than_its_options() {
    let told: Value = serde_json::from_str(CATALOGUE.json()).expect("JSON");
    let mut found = Vec::new();
    choices(&told, "", &mut found);
    // Skills of twelve classes, and the tools of bard and monk.
    assert_eq!(found.len(), 14, "{found:?}");
    for (path, choice) in found {
        let from = choice["from"].as_array().expect("a list");
        let mut distinct = sorted(from.iter().collect());
        distinct.dedup();
        assert_eq!(distinct.len(), from.len(), "{path}: an option twice");
        assert!(choice["choose"].as_u64().is_some_and(|choose| choose <= from.len() as u64), "{path}: {choice}");
    }
    for race in told["races"].as_array().expect("a list") {
        let skills = told["skills"].as_array().expect("a list").len() as u64;
        assert!(race["choose_skills"].as_u64().is_some_and(|choose| choose <= skills), "{race}");
    }
}

#[test]
fn every_race_equals_its_fact() {
    let (races, subraces, told) = (facts("races"), facts("subraces"), told("races"));
    assert_eq!((races.len(), told.len()), (9, 9));
    let fields = ["id", "name", "speed_ft", "size", "ability_bonuses", "traits"];
    let subrace_fields = ["id", "name", "ability_bonuses", "traits"];
    let mut seen = 0;
    for fact in &races {
        let race = entry(&told, &fact["id"]);
        check_fields(fact, race, &fields);
        check_known(fact, &[&fields[..], &["subraces"]].concat());
        let own = race["subraces"].as_array().expect("a list");
        let ids: Vec<_> = own.iter().map(|subrace| subrace["id"].clone()).collect();
        assert_eq!(fact["subraces"], json!(ids));
        for subrace in own {
            let fact = entry(&subraces, &subrace["id"]);
            check_fields(fact, subrace, &subrace_fields);
            check_known(fact, &[&subrace_fields[..], &["race"]].concat());
            assert_eq!(fact["race"], race["id"]);
            seen += 1;
        }
    }
    assert_eq!(seen, subraces.len());
}

#[test]
fn every_skill_and_condition_equals_its_fact() {
    for (kind, count, fields) in [("skills", 18, &["id", "name", "ability"][..]), ("conditions", 15, &["id", "name"])] {
        let (facts, told) = (facts(kind), told(kind));
        assert_eq!((facts.len(), told.len()), (count, count), "{kind}");
        for (fact, told) in facts.iter().zip(&told) {
            check_fields(fact, told, fields);
            check_known(fact, fields);
        }
    }
}

#[test]
fn the_catalogue_contains_the_notice() {
    let all: Value = serde_json::from_str(CATALOGUE.json()).expect("JSON");
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let readme = words(include_str!("../../tests/facts/srd/README.md"));
    assert!(readme.contains(&words(all["notice"].as_str().expect("a text"))));
}

#[test]
fn a_revision_names_the_content() {
    assert_eq!(CATALOGUE.revision(), crate::Catalogue::embedded().revision());
    assert_eq!(CATALOGUE.revision().len(), 16);
    assert_eq!(CATALOGUE.to_json(), CATALOGUE.json());
}
