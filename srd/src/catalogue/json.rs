//! The catalogue as JSON for clients.

use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::enchant;
use super::item::{Armor, Effect, Item, Magic, Purpose, Range, Weapon};
use super::people::{Choice, Class, Condition, Race, Skill, Subrace};
use super::read_items::Enchantment;
use crate::ability::{Abilities, LEVEL_MAX, experience_of_level, proficiency_bonus};
use crate::request::Ability;
use crate::symbol::Symbol;

/// The body of `GET /catalogue`.
///
/// Variants are not listed one by one: `magic_variants` names the items of each enchantment.
pub(super) fn render(draft: &Draft, notice: &str) -> String {
    let plain = |item: &&Item| !item.id.as_str().contains('+');
    let items: Vec<_> = draft.items.iter().map(|(_, item)| item).filter(plain).map(item).collect();
    let variants: Vec<_> = draft.enchantments.iter().map(|(_, magic)| enchantment(magic, draft)).collect();
    let classes: Vec<_> = draft.classes.iter().map(|(_, entry)| class(entry)).collect();
    let races: Vec<_> = draft.races.iter().map(|(_, entry)| race(entry, draft)).collect();
    let skills: Vec<_> = draft.skills.iter().map(|(_, entry)| skill(entry)).collect();
    let conditions: Vec<_> = draft.conditions.iter().map(|(_, entry)| condition(entry)).collect();
    let levels: Vec<_> = (1..=LEVEL_MAX).map(level).collect();
    json!({
        "notice": notice, "items": items, "magic_variants": variants, "classes": classes, "races": races,
        "skills": skills, "conditions": conditions, "levels": levels,
    })
    .to_string()
}

fn level(level: i32) -> Value {
    json!({
        "level": level, "experience": experience_of_level(level), "proficiency_bonus": proficiency_bonus(level),
    })
}

fn item(item: &Item) -> Value {
    let mut map = Map::new();
    let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
    put("id", json!(item.id));
    put("name", json!(item.name));
    put("category", json!(item.category));
    if let Some(group) = &item.group {
        put("group", json!(group));
    }
    if let Some(cost_cp) = item.cost_cp {
        put("cost_cp", json!(cost_cp));
    }
    put("sold_in", json!(item.sold_in));
    if let Some(weight_lb) = item.weight_lb {
        put("weight_lb", json!(weight_lb));
    }
    put("unit_weight_lb", json!(super::pounds(item.unit_weight_millipounds)));
    let slots: Vec<_> = item.slots().iter().map(|slot| slot.as_str()).collect();
    if !slots.is_empty() {
        put("slots", json!(slots));
    }
    match &item.purpose {
        Purpose::Weapon(numbers) => put("weapon", weapon(numbers)),
        Purpose::Armor(numbers) => put("armor", armor(numbers)),
        Purpose::Consumable(_) => put("consumable", json!(true)),
        Purpose::Worn(_) | Purpose::Carried | Purpose::Gear => None,
    };
    if item.bound {
        put("bound", json!(true));
    }
    if !item.contents.is_empty() {
        put("contents", units(&item.contents));
    }
    if let Some(magic) = &item.magic {
        put_magic(&mut map, magic);
    }
    Value::Object(map)
}

fn put_magic(map: &mut Map<String, Value>, magic: &Magic) {
    map.insert("rarity".to_owned(), json!(magic.rarity));
    map.insert("attunement".to_owned(), json!(magic.attunement));
    map.insert("effects".to_owned(), magic.effects.iter().map(effect).collect());
}

fn enchantment(magic: &Enchantment, draft: &Draft) -> Value {
    let targets: Vec<_> = magic.applies_to.iter().map(|target| target.as_str()).collect();
    let fitting = draft.items.iter().filter(|(_, item)| enchant::fits(magic, item)).map(|(_, item)| item.id);
    let mut map = Map::new();
    map.insert("id".to_owned(), json!(magic.id));
    map.insert("name".to_owned(), json!(magic.name));
    map.insert("applies_to".to_owned(), json!(targets));
    map.insert("items".to_owned(), json!(fitting.collect::<Vec<_>>()));
    put_magic(&mut map, &magic.magic);
    Value::Object(map)
}

fn effect(effect: &Effect) -> Value {
    match effect {
        Effect::SetAbilityMin(ability, score) => json!({"set_ability_min": [ability.as_str(), score]}),
        Effect::AddAbility(ability, bonus, most) => json!({"add_ability": [ability.as_str(), bonus, most]}),
        Effect::ArmorClass { bonus, no_armor: false, no_shield: false } => json!({"armor_class": bonus}),
        Effect::ArmorClass { bonus, no_armor, no_shield } => {
            let conditions = [(no_armor, "no_armor"), (no_shield, "no_shield")];
            let only_if: Vec<_> = conditions.iter().filter(|(holds, _)| **holds).map(|(_, name)| name).collect();
            json!({"armor_class": bonus, "only_if": only_if})
        }
        Effect::SavingThrows(bonus) => json!({"saving_throws": bonus}),
        Effect::AbilityChecks(bonus) => json!({"ability_checks": bonus}),
        Effect::SpeedMin(feet) => json!({"speed_min_ft": feet}),
        Effect::IgnoresSpeedPenalties => json!({"ignores_armor_and_encumbrance_speed_penalty": true}),
        Effect::AttackAndDamage(bonus) => json!({"attack_and_damage": bonus}),
        Effect::NoStealthDisadvantage => json!({"no_stealth_disadvantage": true}),
        Effect::NoStrengthMin => json!({"no_strength_min": true}),
        Effect::Heal(dice) => json!({"heal": dice.text()}),
    }
}

fn weapon(weapon: &Weapon) -> Value {
    json!({
        "category": if weapon.martial { "martial" } else { "simple" },
        "range": if weapon.ranged { "ranged" } else { "melee" },
        "damage": weapon.damage.map(|dice| dice.text()),
        "damage_type": weapon.damage_type,
        "two_handed_damage": weapon.two_handed_damage.map(|dice| dice.text()),
        "properties": weapon.properties,
        "proficiency": weapon.proficiency,
        "range_ft": weapon.range_ft.map(range),
        "throw_range_ft": weapon.throw_range_ft.map(range),
    })
}

fn range(range: Range) -> Value {
    match range.long {
        Some(long) => json!({"normal": range.normal, "long": long}),
        None => json!({"normal": range.normal}),
    }
}

fn armor(armor: &Armor) -> Value {
    json!({
        "kind": armor.kind.as_str(),
        "base": armor.base,
        "adds_dex": armor.adds_dex,
        "dex_max": armor.dex_max,
        "strength_min": armor.strength_min,
        "stealth_disadvantage": armor.stealth_disadvantage,
    })
}

fn units(units: &[(Symbol, i32)]) -> Value {
    units.iter().map(|(item, quantity)| json!({"item": item, "quantity": quantity})).collect()
}

fn names(abilities: &[Ability]) -> Vec<&'static str> {
    abilities.iter().map(|ability| ability.as_str()).collect()
}

fn choice(choice: &Choice) -> Value {
    json!({"choose": choice.choose, "from": choice.from})
}

fn class(class: &Class) -> Value {
    json!({
        "id": class.id,
        "name": class.name,
        "hit_die": class.hit_die,
        "saving_throws": names(&class.saving_throws),
        "proficiencies": class.proficiencies,
        "skills": choice(&class.skills),
        "tool_choices": class.tool_choices.iter().map(choice).collect::<Vec<_>>(),
        "ability_score_improvement_levels": class.improvement_levels,
        "spellcasting_ability": class.spellcasting_ability.map(Ability::as_str),
        "spell_slots_by_level": (!class.spell_slots.is_empty()).then_some(&class.spell_slots),
        "starting_equipment": units(&class.starting_equipment),
    })
}

fn bonuses(bonuses: &Abilities) -> Value {
    let given = Ability::ALL.iter().map(|ability| (ability.as_str().to_owned(), bonuses.get(*ability)));
    given.filter(|(_, bonus)| *bonus != 0).map(|(name, bonus)| (name, json!(bonus))).collect()
}

fn race(race: &Race, draft: &Draft) -> Value {
    let own = draft.subraces.iter().map(|(_, subrace)| subrace).filter(|subrace| subrace.race == race.id);
    json!({
        "id": race.id,
        "name": race.name,
        "speed_ft": race.speed_ft,
        "size": if race.small { "small" } else { "medium" },
        "ability_bonuses": bonuses(&race.ability_bonuses),
        "traits": race.traits,
        "choose_skills": race.gifts.choose_skills,
        "subraces": own.map(subrace).collect::<Vec<_>>(),
    })
}

fn subrace(subrace: &Subrace) -> Value {
    json!({
        "id": subrace.id,
        "name": subrace.name,
        "ability_bonuses": bonuses(&subrace.ability_bonuses),
        "traits": subrace.traits,
    })
}

fn skill(skill: &Skill) -> Value {
    json!({"id": skill.id, "name": skill.name, "ability": skill.ability.as_str()})
}

fn condition(condition: &Condition) -> Value {
    json!({"id": condition.id, "name": condition.name, "cannot_move": condition.cannot_move})
}
