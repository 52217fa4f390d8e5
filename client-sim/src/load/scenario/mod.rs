//! Scenarios: groups of players, built in or read from a file.

mod file;
mod seats;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(super) use seats::{Seat, seats};

/// The built-in scenarios by name.
pub(crate) const DELIVERED: [(&str, &str); 7] = [
    ("casual", include_str!("../../../scenarios/casual.toml")),
    ("raid", include_str!("../../../scenarios/raid.toml")),
    ("trader", include_str!("../../../scenarios/trader.toml")),
    ("bazaar", include_str!("../../../scenarios/bazaar.toml")),
    ("lurker", include_str!("../../../scenarios/lurker.toml")),
    ("reconnecting", include_str!("../../../scenarios/reconnecting.toml")),
    ("mixed", include_str!("../../../scenarios/mixed.toml")),
];

/// The players of a run and their conduct.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Scenario {
    /// The built-in name, or the file's name.
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) groups: Vec<Group>,
}

/// Players with the same conduct.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Share of all players. The shares of all groups add up to 1.
    pub(crate) share: f64,
    #[serde(flatten)]
    pub(crate) conduct: Conduct,
}

/// The conduct of a player.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Conduct {
    /// Intents per second of each player.
    pub(crate) intents_per_second: f64,
    /// Intents due at the same time.
    pub(crate) burst_intents: u32,
    /// Players that share an account and its character.
    pub(crate) clients_per_character: u32,
    /// True if their intents are due at the same times, which causes conflicts.
    pub(crate) due_together: bool,
    pub(crate) based_on: BasedOn,
    /// True if the player watches the character.
    pub(crate) watch: bool,
    /// Share of intents that ask for their answer after the commit.
    pub(crate) ack_durable_share: f64,
    /// Average time between two disconnects right after sending.
    pub(crate) reconnect_every_seconds: Option<f64>,
    /// Time until it reconnects.
    pub(crate) away_seconds: f64,
    /// Relative frequency of each deed.
    pub(crate) weights: BTreeMap<Deed, u32>,
}

/// How an intent names its base.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BasedOn {
    /// By the previous intent: the player never waits, and sends unanswered intents again.
    After,
    /// By the last seen version: the player waits for each answer and never sends an intent again.
    Expect,
}

/// A deed of a player.
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
    Give,
    Offer,
    Accept,
    Cancel,
}

impl Deed {
    /// Returns true for gifts and the steps of trades.
    pub(crate) const fn is_deal(self) -> bool {
        matches!(self, Self::Give | Self::Offer | Self::Accept | Self::Cancel)
    }

    /// The name in files.
    pub(crate) fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }
}

impl Conduct {
    /// Returns true if the player trades with others.
    pub(crate) fn trades(&self) -> bool {
        self.weights.iter().any(|(deed, weight)| deed.is_deal() && *weight > 0)
    }
}

impl Scenario {
    /// Parses a scenario. The error names every invalid field.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, String> {
        file::parse(name, text)
    }

    /// The built-in scenario with this name.
    pub(crate) fn delivered(name: &str) -> Option<Result<Self, String>> {
        DELIVERED.iter().find(|(known, _)| *known == name).map(|(name, text)| Self::parse(name, text))
    }

    /// The names of all built-in scenarios, for people.
    pub(crate) fn names() -> String {
        DELIVERED.map(|(name, _)| name).join(", ")
    }

    /// Applies the command line's values to all groups.
    pub(crate) fn overrule(&mut self, rate: Option<f64>, durable_share: Option<f64>) {
        for conduct in self.groups.iter_mut().map(|group| &mut group.conduct) {
            conduct.intents_per_second = rate.unwrap_or(conduct.intents_per_second);
            conduct.ack_durable_share = durable_share.unwrap_or(conduct.ack_durable_share);
        }
    }
}
