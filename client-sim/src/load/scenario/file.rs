//! The format of a scenario file and the bounds of its fields.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::Deserialize;

use super::{BasedOn, Conduct, Deed, Group, Scenario};

/// Most groups of a scenario. Each has its own histograms.
const GROUPS_MAX: usize = 16;

/// Longest name of a group, in characters: it must fit into a table.
const NAME_CHARACTERS_MAX: usize = 32;

/// Bounds of the fields, the same as on the command line.
const INTENTS_PER_SECOND: RangeInclusive<f64> = 0.001..=10_000.0;
const BURST_INTENTS: RangeInclusive<u32> = 1..=64;
const CLIENTS_PER_CHARACTER: RangeInclusive<u32> = 1..=64;
const ACK_DURABLE_SHARE: RangeInclusive<f64> = 0.0..=1.0;
const RECONNECT_EVERY_SECONDS: RangeInclusive<f64> = 0.1..=86_400.0;
const AWAY_SECONDS: RangeInclusive<f64> = 0.0..=3_600.0;
const WEIGHT_MAX: u32 = 1_000;

/// Largest deviation of the shares' sum from 1: three thirds written with three digits.
const SHARES_TOLERANCE: f64 = 0.002;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    description: String,
    group: Vec<GroupInFile>,
}

/// A group in a file. Missing fields come from the scenario in `like`, or from [`default_conduct`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupInFile {
    name: String,
    like: Option<String>,
    share: Option<f64>,
    intents_per_second: Option<f64>,
    burst_intents: Option<u32>,
    clients_per_character: Option<u32>,
    due_together: Option<bool>,
    based_on: Option<BasedOn>,
    watch: Option<bool>,
    ack_durable_share: Option<f64>,
    reconnect_every_seconds: Option<f64>,
    away_seconds: Option<f64>,
    weights: Option<BTreeMap<Deed, u32>>,
}

pub(super) fn parse(name: &str, text: &str) -> Result<Scenario, String> {
    let file: File = toml::from_str(text).map_err(|error| format!("{name}: {error}"))?;
    let mut problems = Problems { scenario: name.to_owned(), found: Vec::new() };
    if file.group.is_empty() || file.group.len() > GROUPS_MAX {
        problems.add("", "group", format!("must be 1 to {GROUPS_MAX} groups, not {}", file.group.len()));
    }
    let alone = file.group.len() == 1;
    let mut groups = Vec::new();
    let mut names = BTreeSet::new();
    for group in file.group {
        let length = group.name.chars().count();
        if !(1..=NAME_CHARACTERS_MAX).contains(&length) {
            problems.add(&group.name, "name", format!("must be 1 to {NAME_CHARACTERS_MAX} characters"));
        }
        if !names.insert(group.name.clone()) {
            problems.add(&group.name, "name", "another group already has this name".to_owned());
        }
        let share = group.share.or(alone.then_some(1.0));
        if share.is_none() {
            problems.add(&group.name, "share", "missing; with several groups, each needs a share".to_owned());
        }
        let share = share.unwrap_or(1.0);
        if share.is_nan() || share <= 0.0 || share > 1.0 {
            problems.add(&group.name, "share", format!("must be above 0 and at most 1, not {share}"));
        }
        let name = group.name.clone();
        groups.push(Group { name, share, conduct: conduct(group, &mut problems) });
    }
    let sum: f64 = groups.iter().map(|group| group.share).sum();
    if problems.found.is_empty() && (sum - 1.0).abs() > SHARES_TOLERANCE {
        problems.add("", "share", format!("the shares of all groups must add up to 1, not {sum:.3}"));
    }
    let scenario = Scenario { name: name.to_owned(), description: file.description, groups };
    if problems.found.is_empty() { Ok(scenario) } else { Err(problems.found.join("\n")) }
}

/// The problems of a file, one sentence each.
struct Problems {
    scenario: String,
    found: Vec<String>,
}

impl Problems {
    fn add(&mut self, group: &str, field: &str, why: String) {
        let of = if group.is_empty() { String::new() } else { format!("group `{group}`: ") };
        self.found.push(format!("{}: {of}`{field}`: {why}", self.scenario));
    }

    fn check<T: PartialOrd + Display>(&mut self, group: &str, field: &str, value: T, bounds: &RangeInclusive<T>) {
        if !bounds.contains(&value) {
            self.add(group, field, format!("must be {} to {}, not {value}", bounds.start(), bounds.end()));
        }
    }
}

fn default_conduct() -> Conduct {
    Conduct {
        intents_per_second: 1.0,
        burst_intents: 1,
        clients_per_character: 1,
        due_together: false,
        based_on: BasedOn::After,
        watch: false,
        ack_durable_share: 0.0,
        reconnect_every_seconds: None,
        away_seconds: 0.0,
        weights: BTreeMap::new(),
    }
}

/// The conduct of a built-in scenario, which must have a single group.
fn like(name: &str) -> Result<Conduct, String> {
    let known =
        || format!("`{name}` is not a built-in scenario with exactly one group; use one of {}", Scenario::names());
    let mut scenario = Scenario::delivered(name).ok_or_else(known)??;
    match scenario.groups.pop() {
        Some(group) if scenario.groups.is_empty() => Ok(group.conduct),
        _ => Err(known()),
    }
}

fn conduct(group: GroupInFile, problems: &mut Problems) -> Conduct {
    let mut base = default_conduct();
    if let Some(name) = &group.like {
        match like(name) {
            Ok(conduct) => base = conduct,
            Err(why) => problems.add(&group.name, "like", why),
        }
    }
    let conduct = Conduct {
        intents_per_second: group.intents_per_second.unwrap_or(base.intents_per_second),
        burst_intents: group.burst_intents.unwrap_or(base.burst_intents),
        clients_per_character: group.clients_per_character.unwrap_or(base.clients_per_character),
        due_together: group.due_together.unwrap_or(base.due_together),
        based_on: group.based_on.unwrap_or(base.based_on),
        watch: group.watch.unwrap_or(base.watch),
        ack_durable_share: group.ack_durable_share.unwrap_or(base.ack_durable_share),
        reconnect_every_seconds: group.reconnect_every_seconds.or(base.reconnect_every_seconds),
        away_seconds: group.away_seconds.unwrap_or(base.away_seconds),
        weights: group.weights.unwrap_or(base.weights),
    };
    check(&group.name, &conduct, problems);
    conduct
}

fn check(group: &str, conduct: &Conduct, problems: &mut Problems) {
    problems.check(group, "intents_per_second", conduct.intents_per_second, &INTENTS_PER_SECOND);
    problems.check(group, "burst_intents", conduct.burst_intents, &BURST_INTENTS);
    problems.check(group, "clients_per_character", conduct.clients_per_character, &CLIENTS_PER_CHARACTER);
    problems.check(group, "ack_durable_share", conduct.ack_durable_share, &ACK_DURABLE_SHARE);
    problems.check(group, "away_seconds", conduct.away_seconds, &AWAY_SECONDS);
    if let Some(seconds) = conduct.reconnect_every_seconds {
        problems.check(group, "reconnect_every_seconds", seconds, &RECONNECT_EVERY_SECONDS);
        if conduct.based_on == BasedOn::Expect {
            let why = "needs `based_on = \"after\"`, because intents based on a version are never sent again";
            problems.add(group, "reconnect_every_seconds", why.to_owned());
        }
    }
    if conduct.clients_per_character > 1 && conduct.based_on == BasedOn::After {
        let why = "a value above 1 needs `based_on = \"expect\"`, because a chain of intents belongs to one client";
        problems.add(group, "clients_per_character", why.to_owned());
    }
    let shops = [Deed::BuyItem, Deed::SellItem].iter().any(|deed| conduct.weights.contains_key(deed));
    if conduct.trades() && (conduct.based_on == BasedOn::Expect || shops) {
        let why = "`give`, `offer`, `accept` and `cancel` need `based_on = \"after\"`, and neither `buy_item` nor \
                   `sell_item` beside them: the goods of all traders are added up";
        problems.add(group, "weights", why.to_owned());
    }
    if conduct.weights.values().all(|weight| *weight == 0) {
        problems.add(group, "weights", "at least one must be above 0".to_owned());
    }
    if let Some(weight) = conduct.weights.values().find(|weight| **weight > WEIGHT_MAX) {
        problems.add(group, "weights", format!("must be 0 to {WEIGHT_MAX}, not {weight}"));
    }
}
