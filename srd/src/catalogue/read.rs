//! Reads the files of a catalogue and checks the references between entries.

use std::collections::HashMap;

use crate::request::Ability;
use toml::{Table, Value};

use super::draft::{Draft, Kind};
use super::entry::{Place, TableReader};
use super::item::{Item, Purpose};
use super::mistakes::Mistakes;
use super::people::Gifts;
use super::read_items::MagicEntry;
use super::{enchant, read_items, read_people};
use crate::ability::{CREATION_SCORE_MAX, SCORE_MAX};
use crate::symbol::Symbol;

/// The condition that is counted in levels: a catalogue must have it.
pub(crate) const EXHAUSTION: &str = "exhaustion";

/// Most skills and most conditions: a sheet lists all of them and must fit a server frame.
const SHEET_ENTRIES_MAX: usize = 64;

impl Draft {
    /// Reads one file.
    pub(super) fn read(&mut self, file: &str, text: &str, mistakes: &Mistakes) {
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return mistakes.add(file, "", "", syntax_mistake(text, &error)),
        };
        for (kind, value) in &table {
            let entries = || entries(file, kind, value, mistakes);
            match kind.as_str() {
                "item" => self.items.extend(read_all(entries(), read_items::item)),
                "magic" => self.read_magic(entries()),
                "class" => self.classes.extend(read_all(entries(), read_people::class)),
                "race" => self.races.extend(read_all(entries(), read_people::race)),
                "subrace" => self.subraces.extend(read_all(entries(), read_people::subrace)),
                "trait" => self.traits.extend(read_all(entries(), read_people::racial_trait)),
                "skill" => self.skills.extend(read_all(entries(), read_people::skill)),
                "condition" => self.conditions.extend(read_all(entries(), read_people::condition)),
                _ => mistakes.add(file, "", kind, "unknown kind of entry; remove it or correct its name"),
            }
        }
    }

    fn read_magic(&mut self, entries: Vec<TableReader<'_>>) {
        for entry in entries {
            match read_items::magic(&entry) {
                Some(MagicEntry::Item(item)) => self.items.push((entry.place(), *item)),
                Some(MagicEntry::Enchantment(enchantment)) => self.enchantments.push((entry.place(), enchantment)),
                None => {}
            }
        }
    }

    /// Checks the references between entries and completes the entries.
    pub(super) fn link(&mut self, mistakes: &Mistakes) {
        self.check_ids(mistakes);
        self.link_traits(mistakes);
        self.check_races(mistakes);
        self.check_classes(mistakes);
        self.weigh_packs(mistakes);
        enchant::add_variants(self, mistakes);
    }

    fn check_ids(&self, mistakes: &Mistakes) {
        unique("item", self.items.iter().map(|(place, item)| (place, item.id)), mistakes);
        unique("magic", self.enchantments.iter().map(|(place, magic)| (place, magic.id)), mistakes);
        unique("class", self.classes.iter().map(|(place, class)| (place, class.id)), mistakes);
        unique("race", self.races.iter().map(|(place, race)| (place, race.id)), mistakes);
        unique("subrace", self.subraces.iter().map(|(place, subrace)| (place, subrace.id)), mistakes);
        unique("trait", self.traits.iter().map(|(place, racial)| (place, racial.id)), mistakes);
        unique("skill", self.skills.iter().map(|(place, skill)| (place, skill.id)), mistakes);
        unique("condition", self.conditions.iter().map(|(place, condition)| (place, condition.id)), mistakes);
        let exhaustion = Symbol::new(EXHAUSTION);
        if !self.conditions.iter().any(|(_, condition)| condition.id == exhaustion) {
            mistakes.add("", "condition `exhaustion`", "", "missing; add it, because every sheet counts its levels");
        }
        for (kind, count) in [("class", self.classes.len()), ("race", self.races.len())] {
            if count == 0 {
                mistakes.add("", kind, "", "missing; add at least one, because every character needs it");
            }
        }
        for (kind, count) in [("skill", self.skills.len()), ("condition", self.conditions.len())] {
            if count > SHEET_ENTRIES_MAX {
                mistakes.add("", kind, "", format!("{count} entries; at most {SHEET_ENTRIES_MAX} fit a sheet"));
            }
        }
    }

    fn has_skill(&self, id: Symbol) -> bool {
        self.skills.iter().any(|(_, skill)| skill.id == id)
    }

    fn has_item(&self, id: Symbol) -> bool {
        self.items.iter().any(|(_, item)| item.id == id)
    }

    fn has_weapon_name(&self, name: Symbol) -> bool {
        let named = |item: &Item| item.weapon().is_some_and(|weapon| weapon.proficiency == name);
        self.items.iter().any(|(_, item)| named(item))
    }

    fn link_traits(&mut self, mistakes: &Mistakes) {
        for (place, racial) in &self.traits {
            for skill in racial.gifts.skills.iter().filter(|skill| !self.has_skill(**skill)) {
                place.complain(mistakes, "skills", format!("no such skill `{skill}`"));
            }
            for name in racial.gifts.weapon_proficiencies.iter().filter(|name| !self.has_weapon_name(**name)) {
                place.complain(mistakes, "weapon_proficiencies", format!("no weapon has the proficiency `{name}`"));
            }
            let (choose, skills) = (racial.gifts.choose_skills, self.skills.len());
            if choose > skills {
                place.complain(mistakes, "choose_skills", format!("asks for {choose} out of {skills} skills"));
            }
        }
        let gifts = |traits: &[Symbol]| {
            let mut sum = Gifts::default();
            for (_, racial) in self.traits.iter().filter(|(_, racial)| traits.contains(&racial.id)) {
                sum.skills.extend(&racial.gifts.skills);
                sum.choose_skills += racial.gifts.choose_skills;
                sum.hitpoints_per_level += racial.gifts.hitpoints_per_level;
                sum.weapon_proficiencies.extend(&racial.gifts.weapon_proficiencies);
                sum.rerolls_ones |= racial.gifts.rerolls_ones;
            }
            sum
        };
        for (_, race) in &mut self.races {
            race.gifts = gifts(&race.traits);
        }
        for (_, subrace) in &mut self.subraces {
            subrace.gifts = gifts(&subrace.traits);
        }
    }

    fn check_races(&self, mistakes: &Mistakes) {
        for (place, race) in &self.races {
            for id in &race.subraces {
                if !self.subraces.iter().any(|(_, subrace)| subrace.id == *id && subrace.race == race.id) {
                    place.complain(mistakes, "subraces", format!("this race has no subrace `{id}`"));
                }
            }
        }
        for (place, subrace) in &self.subraces {
            let race = self.races.iter().map(|(_, race)| race).find(|race| race.id == subrace.race);
            let sum = |ability| {
                subrace.ability_bonuses.get(ability) + race.map_or(0, |race| race.ability_bonuses.get(ability))
            };
            if Ability::ALL.iter().any(|ability| CREATION_SCORE_MAX + sum(*ability) > SCORE_MAX) {
                let message =
                    format!("race and subrace together may add at most {} to a score", SCORE_MAX - CREATION_SCORE_MAX);
                place.complain(mistakes, "ability_bonuses", message);
            }
            if !self.races.iter().any(|(_, race)| race.id == subrace.race && race.subraces.contains(&subrace.id)) {
                place.complain(mistakes, "race", format!("the race `{}` does not list this subrace", subrace.race));
            }
        }
    }

    fn check_classes(&self, mistakes: &Mistakes) {
        const KINDS: [&str; 7] =
            ["light-armor", "medium-armor", "heavy-armor", "all-armor", "shields", "simple-weapons", "martial-weapons"];
        for (place, class) in &self.classes {
            for name in &class.proficiencies {
                if !KINDS.contains(&name.as_str()) && !self.has_weapon_name(*name) && !self.has_item(*name) {
                    let message = format!("`{name}` is neither a kind of armor or weapon, nor a weapon, nor an item");
                    place.complain(mistakes, "proficiencies", message);
                }
            }
            for skill in class.skills.from.iter().filter(|skill| !self.has_skill(**skill)) {
                place.complain(mistakes, "skills.from", format!("no such skill `{skill}`"));
            }
            for (index, choice) in class.tool_choices.iter().enumerate() {
                for item in choice.from.iter().filter(|item| !self.has_item(**item)) {
                    let field = format!("tool_choices[{index}].from");
                    place.complain(mistakes, &field, format!("no such item `{item}`"));
                }
            }
            for (item, _) in class.starting_equipment.iter().filter(|(item, _)| !self.has_item(*item)) {
                place.complain(mistakes, "starting_equipment", format!("no such item `{item}`"));
            }
        }
    }

    /// Gives a pack without its own weight the weight of its contents.
    fn weigh_packs(&mut self, mistakes: &Mistakes) {
        let weights: HashMap<&str, i64> =
            self.items.iter().map(|(_, item)| (item.id.as_str(), item.unit_weight_millipounds)).collect();
        for (place, item) in &mut self.items {
            let mut sum = 0;
            for (content, quantity) in &item.contents {
                match weights.get(content.as_str()) {
                    Some(weight) => sum += weight * i64::from(*quantity),
                    None => place.complain(mistakes, "contents", format!("no such item `{content}`")),
                }
            }
            if item.weight_lb.is_none() && matches!(item.purpose, Purpose::Gear) && !item.contents.is_empty() {
                item.unit_weight_millipounds = sum;
            }
        }
    }
}

/// A syntax error in a TOML file, as one line.
fn syntax_mistake(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    format!("line {line}: {}", error.message().replace('\n', "; "))
}

fn entries<'t>(file: &'t str, kind: &str, value: &'t Value, mistakes: &'t Mistakes) -> Vec<TableReader<'t>> {
    let tables: Option<Vec<&Table>> =
        value.as_array().and_then(|entries| entries.iter().map(Value::as_table).collect());
    let Some(tables) = tables else {
        mistakes.add(file, "", kind, format!("write entries as [[{kind}]]"));
        return Vec::new();
    };
    let entry = |(position, table)| TableReader::new(file, kind, position, table, mistakes);
    tables.into_iter().enumerate().map(entry).collect()
}

fn read_all<'t, T>(entries: Vec<TableReader<'t>>, read: impl Fn(&TableReader<'t>) -> T) -> Kind<T> {
    entries.iter().map(|entry| (entry.place(), read(entry))).collect()
}

fn unique<'p>(kind: &str, ids: impl Iterator<Item = (&'p Place, Symbol)>, mistakes: &Mistakes) {
    let mut seen: Vec<Symbol> = Vec::new();
    for (place, id) in ids {
        if seen.contains(&id) {
            place.complain(mistakes, "id", format!("another {kind} already has the id `{id}`"));
        }
        seen.push(id);
    }
}
