//! Compares the answers that players got with the stored rows.

use std::collections::{BTreeMap, BTreeSet};

use castellan_srd::wire::limits::REQUEST_IDS_MAX;
use castellan_srd::wire::{CharacterId, RequestId, Version};
use client_sim::recorded::trace::{Counters, Trace};

use super::{OneCharacter, Rule, Verdict};
use crate::evidence::{Fate, Record};

/// Each acknowledged intent must be stored exactly once, every other one at most once.
pub(super) fn compare(id: CharacterId, character: &OneCharacter<'_>, applied: &[RequestId], verdict: &mut Verdict) {
    let mut places: BTreeMap<RequestId, Vec<usize>> = BTreeMap::new();
    for (place, request) in applied.iter().enumerate() {
        places.entry(*request).or_default().push(place);
    }
    for record in &character.records {
        if record.kept != Some(0) {
            let kept =
                record.kept.map_or_else(|| "stopped early".to_owned(), |kept| format!("still keeps {kept} intents"));
            verdict.doubt(Rule::Stuck, format!("{id}: {} {kept}", record.name));
        }
        let mut newest = None;
        for (n, fate) in &record.intents {
            let places = fate.id.and_then(|id| places.get(&id)).map_or(&[][..], Vec::as_slice);
            judge(&format!("{id}: intent {n} of {}", record.name), character, record, fate, places, applied, verdict);
            if let Some(place) = places.first() {
                if newest.is_some_and(|newest| newest > *place) {
                    verdict.complain(Rule::State, format!("{id}: intent {n} of {} overtook another", record.name));
                }
                newest = Some(*place);
            }
        }
    }
}

fn judge(
    intent: &str,
    character: &OneCharacter<'_>,
    record: &Record,
    fate: &Fate,
    places: &[usize],
    applied: &[RequestId],
    verdict: &mut Verdict,
) {
    verdict.intents += 1;
    if places.len() > 1 {
        verdict.complain(Rule::Twice, format!("{intent} is stored {} times", places.len()));
    }
    if let Some(code) = fate.rejected {
        verdict.complain(Rule::Refused, format!("{intent} was rejected: {code}"));
        if !places.is_empty() {
            verdict.complain(Rule::Phantom, format!("{intent} was rejected but is stored"));
        }
    } else if fate.refused {
        verdict.refused += 1;
        if character.clients() < 2 {
            verdict.complain(Rule::Refused, format!("{intent} was refused although nobody else acts on the character"));
        } else if let Some(place) = places.first() {
            // Dropped although it is stored: allowed only if so many others followed that the server had forgotten it.
            let of_others =
                |id: &&RequestId| character.intents.get(*id).is_none_or(|(lane, _)| Some(*lane) != record.lane);
            let others = applied[*place..].iter().filter(of_others).count();
            if others < REQUEST_IDS_MAX {
                verdict.doubt(
                    Rule::Refused,
                    format!("{intent} was refused although it is stored, followed by only {others} intents of others"),
                );
            }
        }
    } else if fate.durable || fate.applied {
        verdict.acknowledged += 1;
        if places.is_empty() && fate.durable {
            verdict.complain(Rule::Lost, format!("{intent} was called durable but is not stored"));
        } else if places.is_empty() {
            verdict.doubt(Rule::Lost, format!("{intent} was answered as applied but is not stored"));
        }
    } else {
        verdict.unknown += 1;
    }
}

/// The counters that a character must have: every acknowledged intent, and the unacknowledged ones that were stored.
pub(super) fn counted(character: &OneCharacter<'_>, applied: &[RequestId]) -> Counters {
    let mut counters = Counters::default();
    let applied: BTreeSet<&RequestId> = applied.iter().collect();
    for record in &character.records {
        let Some(lane) = record.lane else { continue };
        for (n, fate) in &record.intents {
            let open = fate.rejected.is_none() && !fate.refused;
            let acknowledged = open && (fate.durable || fate.applied);
            if acknowledged || fate.id.is_some_and(|id| applied.contains(&id)) {
                counters.add(Trace::of(lane, *n));
            }
        }
    }
    counters
}

/// A version names one state for everybody, always, and in the database.
pub(super) fn compare_states(id: CharacterId, character: &OneCharacter<'_>, verdict: &mut Verdict) {
    let mut states: BTreeMap<Version, (RequestId, u64)> = BTreeMap::new();
    for seen in character.records.iter().flat_map(|record| &record.seen) {
        let state = (seen.last, seen.hash);
        let first = *states.entry(seen.version).or_insert(state);
        if first != state {
            verdict.complain(
                Rule::TwoStates,
                format!("{id}: version {} was shown with two different states", seen.version),
            );
        }
    }
    for write in &character.writes {
        let shown = states.get(&Version::new(write.version));
        let last = write.ids.last().copied().unwrap_or_default();
        if let Some((shown, _)) = shown
            && *shown != last
        {
            let version = write.version;
            verdict.complain(
                Rule::TwoStates,
                format!("{id}: version {version} was shown as the result of intent {shown} but stored as the result of {last}"),
            );
        }
    }
}
