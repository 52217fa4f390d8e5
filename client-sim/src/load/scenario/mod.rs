//! Who plays, and how: groups of players, read from a file or delivered with the program.

mod file;
mod seats;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(super) use seats::{Seat, seats};

/// Scenarios that come with the program, by name.
pub(crate) const DELIVERED: [(&str, &str); 6] = [
    ("casual", include_str!("../../../scenarios/casual.toml")),
    ("raid", include_str!("../../../scenarios/raid.toml")),
    ("trader", include_str!("../../../scenarios/trader.toml")),
    ("lurker", include_str!("../../../scenarios/lurker.toml")),
    ("reconnecting", include_str!("../../../scenarios/reconnecting.toml")),
    ("mixed", include_str!("../../../scenarios/mixed.toml")),
];

/// What the players of a run do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Scenario {
    /// The delivered name, or the file's.
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) groups: Vec<Group>,
}

/// Players who behave alike.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Of all players; those of all groups add up to 1.
    pub(crate) share: f64,
    #[serde(flatten)]
    pub(crate) conduct: Conduct,
}

/// How a player of a group behaves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Conduct {
    /// Of each player.
    pub(crate) intents_per_second: f64,
    /// So many fall due at the same moment.
    pub(crate) burst_intents: u32,
    /// Players who share an account and act on its one character.
    pub(crate) clients_per_character: u32,
    /// Their intents fall due at the same moments, and meet in conflicts.
    pub(crate) due_together: bool,
    pub(crate) made_on: MadeOn,
    /// Asks to be told of what others do to the character.
    pub(crate) watch: bool,
    /// Share of the intents that ask to be answered after the commit.
    pub(crate) ack_durable_share: f64,
    /// Breaks its socket about so often, right after sending.
    pub(crate) reconnect_every_seconds: Option<f64>,
    /// Stays away so long then.
    pub(crate) away_seconds: f64,
    /// How often it does what, in proportion.
    pub(crate) weights: BTreeMap<Deed, u32>,
}

/// How an intent says what it was made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MadeOn {
    /// By the intent before it: nothing is waited for, and what is not answered is sent again.
    After,
    /// By the version last seen: each waits for the answer to the one before, and none is sent again.
    Expect,
}

/// What a player does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deed {
    Damage,
    Heal,
    GrantTemporaryHitpoints,
    Earn,
    Pay,
    GainExperience,
    AddItem,
    RemoveItem,
    BuyItem,
    SellItem,
    EquipItem,
    UnequipItem,
    LongRest,
}

impl Deed {
    /// As it is spelled in files.
    pub(crate) fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl Scenario {
    /// Reads a scenario; the error names every field that cannot be used.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        file::parse(name, text)
    }

    /// The delivered one of that name.
    pub(crate) fn delivered(name: &str) -> Option<Result<Self, String>> {
        DELIVERED.iter().find(|(known, _)| *known == name).map(|(name, text)| Self::parse(name, text))
    }

    /// The names of those delivered, for a person.
    pub(crate) fn names() -> String {
        DELIVERED.map(|(name, _)| name).join(", ")
    }

    /// What the command line says of every player stands above what the groups say.
    pub(crate) fn overrule(&mut self, rate: Option<f64>, durable_share: Option<f64>) {
        for conduct in self.groups.iter_mut().map(|group| &mut group.conduct) {
            conduct.intents_per_second = rate.unwrap_or(conduct.intents_per_second);
            conduct.ack_durable_share = durable_share.unwrap_or(conduct.ack_durable_share);
        }
    }
}
