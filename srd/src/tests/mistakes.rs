//! Catalogues with mistakes: each one is reported with file, entry and field.

use std::fs;
use std::path::Path;

use crate::Catalogue;

/// A folder with the embedded catalogue's files.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../catalogue");
    for file in fs::read_dir(source).expect("the catalogue") {
        let path = file.expect("a file").path();
        fs::copy(&path, folder.path().join(path.file_name().expect("a name"))).expect("a copy");
    }
    folder
}

/// The mistakes of the embedded catalogue with one more file.
fn mistakes(file: &str) -> Vec<String> {
    let folder = folder();
    fs::write(folder.path().join("zz.toml"), file).expect("a file");
    let errors = Catalogue::load(folder.path()).expect_err("it was accepted");
    assert_eq!(errors.to_string().lines().count(), errors.mistakes().len());
    errors.mistakes().iter().map(ToString::to_string).collect()
}

#[track_caller]
fn check(file: &str, expected: &[&str]) {
    assert_eq!(mistakes(file), expected, "{file}");
}

#[test]
fn a_valid_folder_is_loaded() {
    let folder = folder();
    let same = Catalogue::load(folder.path()).expect("the embedded one");
    assert_eq!(same.revision(), Catalogue::embedded().revision());
    fs::write(
        folder.path().join("zz-house.toml"),
        r#"
        [[item]]
        id = "frying-pan"
        name = "Frying pan"
        category = "weapon"
        bound = true
        cost_cp = 50
        weight_lb = 3
        [item.weapon]
        category = "simple"
        range = "melee"
        damage = "1d6"
        damage_type = "bludgeoning"
        properties = []
        proficiency = "frying-pans"
        range_ft = { normal = 5 }
        "#,
    )
    .expect("a file");
    fs::write(folder.path().join("NOTICE.md"), "Ours.").expect("a file");
    let more = Catalogue::load(folder.path()).expect("a catalogue");
    assert_ne!(more.revision(), same.revision());
    let is_bound = |name| more.item_named(name).expect("an item").is_bound();
    let bound = ["frying-pan", "frying-pan+weapon-1", "longsword"].map(is_bound);
    assert_eq!(bound, [true, true, false], "a variant is bound as its item is");
    assert!(more.item_named("frying-pan+weapon-2").is_some());
    assert!(more.json().contains(r#""notice":"Ours.""#));
}

#[test]
fn every_field_of_an_entry_is_checked() {
    check(
        r#"
        [[item]]
        id = "Bad Id"
        category = 7
        cost_cp = -1
        weight_lb = 0.0001
        colour = "red"
        [[item]]
        id = "frying-pan"
        name = "Frying pan"
        category = "weapon"
        cost_cp = 50
        sold_in = 0
        [item.weapon]
        category = "peculiar"
        range = "melee"
        damage = "lots"
        two_handed_damage = "1d8"
        properties = []
        proficiency = "frying-pans"
        range_ft = { normal = "near" }
        "#,
        &[
            "zz.toml: item `Bad Id`: cost_cp: must be an integer from 0 to 1000000000",
            "zz.toml: item `Bad Id`: weight_lb: the weight of one unit must be a multiple of 0.001 pounds",
            "zz.toml: item `Bad Id`: id: must be kebab-case, at most 40 bytes",
            "zz.toml: item `Bad Id`: name: missing; must be a string",
            "zz.toml: item `Bad Id`: category: must be a string",
            "zz.toml: item `Bad Id`: colour: unknown field; remove it or correct its name",
            "zz.toml: item `frying-pan`: sold_in: must be an integer from 1 to 1000000",
            "zz.toml: item `frying-pan`: weapon.category: must be `simple` or `martial`",
            "zz.toml: item `frying-pan`: weapon.damage: must be dice such as `1d8` or `2d4+2`",
            "zz.toml: item `frying-pan`: weapon.range_ft.normal: must be an integer from 0 to 10000",
            "zz.toml: item `frying-pan`: weapon.two_handed_damage: required for `versatile` weapons, forbidden for others",
        ],
    );
}

#[test]
fn every_reference_between_entries_is_checked() {
    check(
        r#"
        [[item]]
        id = "club"
        name = "Another club"
        category = "weapon"
        cost_cp = 0
        contents = [{ item = "nothing", quantity = 1 }]
        [[trait]]
        id = "odd"
        skills = ["juggling"]
        weapon_proficiencies = ["spoons"]
        [[race]]
        id = "gnoll"
        name = "Gnoll"
        speed_ft = 30
        size = "medium"
        traits = []
        subraces = ["high-elf"]
        [[subrace]]
        id = "low-elf"
        name = "Low Elf"
        race = "elf"
        ability_bonuses = { dex = 1 }
        traits = []
        [[class]]
        id = "cook"
        name = "Cook"
        hit_die = 6
        proficiencies = ["spoons"]
        skills = { choose = 2, from = ["juggling"] }
        tool_choices = [{ choose = 1, from = ["spoon"] }]
        starting_equipment = [{ item = "spoon", quantity = 1 }]
        "#,
        &[
            "zz.toml: class `cook`: skills.choose: asks for 2 out of 1 options",
            "zz.toml: item `club`: id: another item already has the id `club`",
            "zz.toml: trait `odd`: skills: no such skill `juggling`",
            "zz.toml: trait `odd`: weapon_proficiencies: no weapon has the proficiency `spoons`",
            "zz.toml: race `gnoll`: subraces: this race has no subrace `high-elf`",
            "zz.toml: subrace `low-elf`: ability_bonuses: race and subrace together may add at most 2 to a score",
            "zz.toml: subrace `low-elf`: race: the race `elf` does not list this subrace",
            "zz.toml: class `cook`: proficiencies: `spoons` is neither a kind of armor or weapon, nor a weapon, nor an item",
            "zz.toml: class `cook`: skills.from: no such skill `juggling`",
            "zz.toml: class `cook`: tool_choices[0].from: no such item `spoon`",
            "zz.toml: class `cook`: starting_equipment: no such item `spoon`",
            "zz.toml: item `club`: contents: no such item `nothing`",
        ],
    );
}

#[test]
fn a_choice_has_as_many_options_as_it_asks_for() {
    let class = |choices: &str| {
        format!(
            "[[class]]\nid = \"cook\"\nname = \"Cook\"\nhit_die = 6\nproficiencies = []\nstarting_equipment = []\n{choices}"
        )
    };
    for (choices, mistake) in [
        ("skills = { choose = 1, from = [] }", "skills.choose: asks for 1 out of 0 options"),
        ("tool_choices = [{ choose = 1, from = [] }]", "tool_choices[0].choose: asks for 1 out of 0 options"),
        (
            r#"tool_choices = [{ choose = 1, from = ["lute"] }, { choose = 3, from = ["drum", "horn"] }]"#,
            "tool_choices[1].choose: asks for 3 out of 2 options",
        ),
        (r#"skills = { choose = 2, from = ["arcana", "arcana"] }"#, "skills.from: lists `arcana` twice"),
    ] {
        check(&class(choices), &[&format!("zz.toml: class `cook`: {mistake}")]);
    }
    check(
        "[[trait]]\nid = \"odd\"\nchoose_skills = 19",
        &["zz.toml: trait `odd`: choose_skills: asks for 19 out of 18 skills"],
    );
}

#[test]
fn magic_is_checked_too() {
    check(
        r#"
        [[magic]]
        id = "odd-one"
        name = "Odd One"
        rarity = "rare"
        slot = "nose"
        effects = [{ heal = "some" }, { saving_throws = 1, armor_class = 1 }, { glow = true }]
        [[magic]]
        id = "odd-two"
        name = "Odd Two"
        rarity = "rare"
        slot = "consumable"
        effects = [{ set_ability_min = ["luck", 19] }, { saving_throws = 1, only_if = ["no_armor"] }]
        [[magic]]
        id = "odd-three"
        name = "Odd Three"
        rarity = "rare"
        effects = []
        [[magic]]
        id = "odd-four"
        name = "Odd Four"
        rarity = "rare"
        applies_to = ["spoon"]
        [[magic]]
        id = "odd-five"
        name = "Odd Five"
        rarity = "rare"
        applies_to = ["weapon"]
        except = ["spoon"]
        "#,
        &[
            "zz.toml: magic `odd-one`: effects[0].heal: not a valid value for this effect",
            "zz.toml: magic `odd-one`: effects[1].saving_throws: write each effect in its own table",
            "zz.toml: magic `odd-one`: effects[2].: an effect needs one of the fields listed at the top of magic.toml",
            "zz.toml: magic `odd-one`: slot: must be head, neck, cloak, waist, hands, wrists, feet, ring, carried or consumable",
            "zz.toml: magic `odd-two`: effects[0].set_ability_min: not a valid value for this effect",
            "zz.toml: magic `odd-two`: effects[1].only_if: allowed only for `armor_class`",
            "zz.toml: magic `odd-two`: effects: a consumable must have the effect `heal`",
            "zz.toml: magic `odd-three`: slot: set exactly one of `slot` and `applies_to`",
            "zz.toml: magic `odd-four`: applies_to: must list `weapon`, `light`, `medium`, `heavy` or `shield`",
            "zz.toml: magic `odd-five`: except: no such item `spoon`",
        ],
    );
}

#[test]
fn an_unreadable_file_or_folder_is_named() {
    let broken = mistakes("[[item]]\nid = ");
    assert_eq!(broken.len(), 1);
    assert!(broken[0].starts_with("zz.toml: line 2: "), "{broken:?}");
    check("[[spell]]\nid = \"x\"", &["zz.toml: spell: unknown kind of entry; remove it or correct its name"]);
    check("[item]\nid = \"x\"", &["zz.toml: item: write entries as [[item]]"]);
    let nowhere = Catalogue::load(Path::new("/nowhere/at/all")).expect_err("there is no such folder");
    assert!(nowhere.to_string().starts_with("/nowhere/at/all: "), "{nowhere}");
    let empty = tempfile::tempdir().expect("a folder");
    let empty = Catalogue::load(empty.path()).expect_err("there is nothing in it");
    let lines: Vec<_> = empty.mistakes().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "condition `exhaustion`: missing; add it, because every sheet counts its levels",
            "class: missing; add at least one, because every character needs it",
            "race: missing; add at least one, because every character needs it",
        ]
    );
}
