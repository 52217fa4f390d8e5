//! The catalogue: items, classes, races, skills and conditions, from files that people edit.
//!
//! One catalogue is embedded in the program; an operator may load another from a folder. Reading reports every mistake
//! and refuses a catalogue with any. A catalogue never changes; a reload creates a new one.

mod dice_text;
mod draft;
mod enchant;
mod entry;
mod item;
mod json;
mod load;
mod mistakes;
mod people;
mod read;
mod read_items;
mod read_people;

use std::collections::HashMap;

use sha2::{Digest, Sha256};

pub use dice_text::DiceText;
pub use item::{Armor, ArmorKind, Effect, Item, MILLIPOUNDS, Magic, Purpose, Range, Weapon};
pub use mistakes::{CatalogueErrors, Mistake};
pub use people::{Choice, Class, Condition, Feature, Gifts, Gives, Race, Skill, Subrace, Training};
pub(super) use read::EXHAUSTION;

use super::symbol::Symbol;
use draft::Draft;
use mistakes::Mistakes;

/// Marks a symbol that names no item of this catalogue.
const NO_ITEM: u32 = u32::MAX;

/// Rules that the book leaves to the table.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// True if a heavy load slows. Source: SRD 5.1, "Variant: Encumbrance".
    pub variant_encumbrance: bool,
}

/// All data of the rules. Immutable; shared as an `Arc`.
#[derive(Debug)]
pub struct Catalogue {
    items: Vec<Item>,
    by_name: HashMap<&'static str, u32>,
    /// Positions in `items` by the number of the symbol.
    by_symbol: Vec<u32>,
    classes: Vec<Class>,
    races: Vec<Race>,
    subraces: Vec<Subrace>,
    skills: Vec<Skill>,
    conditions: Vec<Condition>,
    options: Options,
    exhaustion: Symbol,
    json: String,
    revision: String,
}

/// A weight in pounds, for people.
pub(super) fn pounds(millipounds: i64) -> f64 {
    // Weights are far below 2^53 thousandths.
    millipounds as f64 / MILLIPOUNDS as f64
}

/// Bytes of the hash in a revision: enough to tell editions of one catalogue apart.
const REVISION_BYTES: usize = 8;

impl Catalogue {
    /// Reads files, given as pairs of name and text.
    fn read(files: &[(&str, &str)], notice: &str, mistakes: Mistakes) -> Result<Self, CatalogueErrors> {
        let mut draft = Draft::default();
        for (name, text) in files {
            draft.read(name, text, &mistakes);
        }
        draft.link(&mistakes);
        let mistakes = mistakes.into_inner();
        if mistakes.is_empty() { Ok(Self::build(draft, notice)) } else { Err(CatalogueErrors::new(mistakes)) }
    }

    fn build(draft: Draft, notice: &str) -> Self {
        let json = json::render(&draft, notice);
        let items: Vec<Item> = without_places(draft.items);
        let positions = || items.iter().zip(0u32..);
        let by_name = positions().map(|(item, position)| (item.id.as_str(), position)).collect();
        let length = items.iter().map(|item| item.id.number() + 1).max().unwrap_or(0);
        let mut by_symbol = vec![NO_ITEM; length];
        for (item, position) in positions() {
            by_symbol[item.id.number()] = position;
        }
        let hash = Sha256::digest(json.as_bytes());
        let revision = hash[..REVISION_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            items,
            by_name,
            by_symbol,
            classes: without_places(draft.classes),
            races: without_places(draft.races),
            subraces: without_places(draft.subraces),
            skills: without_places(draft.skills),
            conditions: without_places(draft.conditions),
            options: Options::default(),
            exhaustion: Symbol::new(EXHAUSTION),
            json,
            revision,
        }
    }

    /// The same catalogue with these options.
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// The catalogue as JSON: the body of `GET /catalogue`.
    pub fn to_json(&self) -> String {
        self.json.clone()
    }

    /// Like [`Catalogue::to_json`], without a copy.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// A short hash of the content: the same for the same catalogue, on every server and in every run.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// All items, magic variants included.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The item with this id.
    pub fn item(&self, id: Symbol) -> Option<&Item> {
        let position = *self.by_symbol.get(id.number())?;
        self.items.get(position as usize)
    }

    /// The item with this name, as clients send it.
    pub fn item_named(&self, name: &str) -> Option<&Item> {
        self.items.get(*self.by_name.get(name)? as usize)
    }

    /// All classes.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// A class.
    pub fn class(&self, id: Symbol) -> Option<&Class> {
        self.classes.iter().find(|class| class.id == id)
    }

    /// All races.
    pub fn races(&self) -> &[Race] {
        &self.races
    }

    /// A race.
    pub fn race(&self, id: Symbol) -> Option<&Race> {
        self.races.iter().find(|race| race.id == id)
    }

    /// All subraces.
    pub fn subraces(&self) -> &[Subrace] {
        &self.subraces
    }

    /// A subrace.
    pub fn subrace(&self, id: Symbol) -> Option<&Subrace> {
        self.subraces.iter().find(|subrace| subrace.id == id)
    }

    /// All skills.
    pub fn skills(&self) -> &[Skill] {
        &self.skills
    }

    /// All conditions.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// A condition.
    pub fn condition(&self, id: Symbol) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.id == id)
    }

    /// The id of exhaustion, the condition with levels.
    pub const fn exhaustion(&self) -> Symbol {
        self.exhaustion
    }

    /// The optional rules.
    pub const fn options(&self) -> Options {
        self.options
    }
}

fn without_places<P, T>(kind: Vec<(P, T)>) -> Vec<T> {
    kind.into_iter().map(|(_, entry)| entry).collect()
}
