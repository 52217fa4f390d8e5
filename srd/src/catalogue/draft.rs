//! What was read from the catalogue's files, before it is checked as a whole.

use super::entry::Place;
use super::item::Item;
use super::people::{Class, Condition, Race, Skill, Subrace};
use super::read_items::Enchantment;
use super::read_people::Trait;

/// All entries of a kind, each with its place.
pub(super) type Kind<T> = Vec<(Place, T)>;

/// All entries of all files.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) items: Kind<Item>,
    pub(super) enchantments: Kind<Enchantment>,
    pub(super) classes: Kind<Class>,
    pub(super) races: Kind<Race>,
    pub(super) subraces: Kind<Subrace>,
    pub(super) traits: Kind<Trait>,
    pub(super) skills: Kind<Skill>,
    pub(super) conditions: Kind<Condition>,
}
