//! Compares what the players were told with what was stored.

use std::collections::{BTreeMap, BTreeSet};

use castellan_srd::wire::limits::REQUEST_IDS_MAX;
use castellan_srd::wire::{CharacterId, RequestId, Version};
use client_sim::player::trace::{Counters, Trace};

use super::{OneCharacter, Rule, Verdict};
use crate::evidence::{Fate, Ledger};

/// Each intent that was answered is in there exactly once, each other one at most once.
pub(super) fn compare(id: CharacterId, character: &OneCharacter<'_>, applied: &[RequestId], verdict: &mut Verdict) {
    let mut places: BTreeMap<RequestId, Vec<usize>> = BTreeMap::new();
    for (place, request) in applied.iter().enumerate() {
        places.entry(*request).or_default().push(place);
    }
    for ledger in &character.ledgers {
        if ledger.kept != Some(0) {
            let kept = ledger.kept.map_or_else(|| "broke off".to_owned(), |kept| format!("still keeps {kept} intents"));
            verdict.doubt(Rule::Stuck, format!("{id}: {} {kept}", ledger.name));
        }
        let mut newest = None;
        for (n, fate) in &ledger.intents {
            let places = fate.id.and_then(|id| places.get(&id)).map_or(&[][..], Vec::as_slice);
            judge(&format!("{id}: intent {n} of {}", ledger.name), character, ledger, fate, places, applied, verdict);
            if let Some(place) = places.first() {
                if newest.is_some_and(|newest| newest > *place) {
                    verdict.complain(Rule::State, format!("{id}: intent {n} of {} overtook another", ledger.name));
                }
                newest = Some(*place);
            }
        }
    }
}

fn judge(
    intent: &str,
    character: &OneCharacter<'_>,
    ledger: &Ledger,
    fate: &Fate,
    places: &[usize],
    applied: &[RequestId],
    verdict: &mut Verdict,
) {
    verdict.intents += 1;
    if places.len() > 1 {
        verdict.complain(Rule::Twice, format!("{intent} is in there {} times", places.len()));
    }
    if let Some(code) = fate.rejected {
        verdict.complain(Rule::Refused, format!("{intent} was turned down: {code}"));
        if !places.is_empty() {
            verdict.complain(Rule::Phantom, format!("{intent} was turned down and is in there"));
        }
    } else if fate.refused {
        verdict.refused += 1;
        if character.clients() < 2 {
            verdict.complain(Rule::Refused, format!("{intent} was refused though nobody else acts on the character"));
        } else if let Some(place) = places.first() {
            // Given up though it is in there: only where so many others followed that the server had forgotten it.
            let of_others =
                |id: &&RequestId| character.intents.get(*id).is_none_or(|(lane, _)| Some(*lane) != ledger.lane);
            let others = applied[*place..].iter().filter(of_others).count();
            if others < REQUEST_IDS_MAX {
                verdict.doubt(
                    Rule::Refused,
                    format!(
                        "{intent} was refused though it is in there, with only {others} intents of others behind it"
                    ),
                );
            }
        }
    } else if fate.durable || fate.applied {
        verdict.acknowledged += 1;
        if places.is_empty() && fate.durable {
            verdict.complain(Rule::Lost, format!("{intent} was said to be durable and is not in there"));
        } else if places.is_empty() {
            verdict.doubt(Rule::Lost, format!("{intent} was answered as applied and is not in there"));
        }
    } else {
        verdict.unknown += 1;
    }
}

/// What the ledgers say a character must have: what was acknowledged, and of what was not what came through.
pub(super) fn counted(character: &OneCharacter<'_>, applied: &[RequestId]) -> Counters {
    let mut counters = Counters::default();
    let applied: BTreeSet<&RequestId> = applied.iter().collect();
    for ledger in &character.ledgers {
        let Some(lane) = ledger.lane else { continue };
        for (n, fate) in &ledger.intents {
            let open = fate.rejected.is_none() && !fate.refused;
            let acknowledged = open && (fate.durable || fate.applied);
            if acknowledged || fate.id.is_some_and(|id| applied.contains(&id)) {
                counters.add(Trace::of(lane, *n));
            }
        }
    }
    counters
}

/// A version names one state, whoever is shown it and whenever; the database's state of that version is the same one.
pub(super) fn compare_states(id: CharacterId, character: &OneCharacter<'_>, verdict: &mut Verdict) {
    let mut states: BTreeMap<Version, (RequestId, u64)> = BTreeMap::new();
    for seen in character.ledgers.iter().flat_map(|ledger| &ledger.seen) {
        let state = (seen.last, seen.hash);
        let first = *states.entry(seen.version).or_insert(state);
        if first != state {
            verdict.complain(Rule::TwoStates, format!("{id}: version {} was shown with two states", seen.version));
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
                format!("{id}: version {version} was shown as made by intent {shown} and written as made by {last}"),
            );
        }
    }
}
