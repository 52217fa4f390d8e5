//! Follows a character from write to write: the order of its intents, and whether state and version follow from them.

use std::collections::BTreeMap;

use castellan_srd::wire::{CharacterId, RequestId};
use client_sim::recorded::trace::Counters;
use uuid::Uuid;

use super::{OneCharacter, Rule, Verdict};
use crate::evidence::{Evidence, Lifetime, Write};

/// Step of a version for each takeover that may have lost memory. The server's `VERSION_JUMP`.
const VERSION_JUMP: u64 = 1 << 20;

/// All intents that were ever stored with a character, in the order they were applied.
pub(super) fn follow(id: CharacterId, character: &OneCharacter<'_>, verdict: &mut Verdict) -> Vec<RequestId> {
    let Some((first, later)) = character.writes.split_first() else {
        let acknowledged = character.records.iter().any(|record| !record.intents.is_empty());
        if acknowledged {
            // A character may be answered before it is stored. Durable intents are checked one by one.
            verdict.doubt(Rule::Lost, format!("{id} was never written"));
        }
        return Vec::new();
    };
    // The first row may name the request that created the character, which is not an intent.
    let mut applied: Vec<RequestId> =
        first.ids.iter().copied().filter(|id| character.intents.contains_key(id)).collect();
    let made = Write { version: 1, ids: Vec::new(), counters: Counters::default(), ..Write::clone(first) };
    check_state(id, character, &made, first, &applied, verdict);
    if first.version != 1 + applied.len() as u64 {
        let (version, count) = (first.version, applied.len());
        verdict
            .doubt(Rule::Versions, format!("{id}: the first stored version is {version}, but it has {count} intents"));
    }
    let mut before = *first;
    for write in later {
        let fresh = continued(id, before, write, verdict);
        check_state(id, character, before, write, fresh, verdict);
        check_version(id, character, before, write, fresh.len() as u64, verdict);
        applied.extend(fresh);
        before = write;
    }
    if let Some(row) = character.row {
        if (row.version, &row.ids, &row.counters) != (before.version, &before.ids, &before.counters) {
            let (is, was) = (row.version, before.version);
            verdict
                .complain(Rule::State, format!("{id}: the row is at version {is}, but version {was} was written last"));
        }
    } else {
        verdict.complain(Rule::Lost, format!("{id} has no row"));
    }
    applied
}

/// The ids in a write that the previous one lacks.
fn continued<'a>(id: CharacterId, before: &Write, write: &'a Write, verdict: &mut Verdict) -> &'a [RequestId] {
    let Some(last) = before.ids.last() else { return &write.ids };
    let Some(place) = write.ids.iter().rposition(|id| id == last) else {
        verdict.complain(
            Rule::State,
            format!("{id}: version {} lacks the last intent of version {}", write.version, before.version),
        );
        return &write.ids;
    };
    let (old, fresh) = write.ids.split_at(place + 1);
    if !before.ids.ends_with(old) {
        let what = format!("{id}: version {} has other intents before its new ones", write.version);
        verdict.complain(Rule::State, what);
    }
    fresh
}

fn check_state(
    id: CharacterId,
    character: &OneCharacter<'_>,
    before: &Write,
    write: &Write,
    fresh: &[RequestId],
    verdict: &mut Verdict,
) {
    let mut expected = before.counters.clone();
    let mut all_known = true;
    for request in fresh {
        match character.trace(*request) {
            Some(trace) => expected.add(trace),
            None => {
                all_known = false;
                verdict.doubt(Rule::Phantom, format!("{id}: nobody sent intent {request}"));
            }
        }
    }
    if let Some(difference) = write.counters.difference(&expected) {
        let what = format!("{id}, from version {} to {}: {difference}", before.version, write.version);
        if all_known { verdict.complain(Rule::State, what) } else { verdict.doubt(Rule::State, what) }
    }
}

fn check_version(
    id: CharacterId,
    character: &OneCharacter<'_>,
    before: &Write,
    write: &Write,
    fresh: u64,
    verdict: &mut Verdict,
) {
    let recoveries = u64::try_from(write.recoveries - before.recoveries);
    let expected = recoveries.ok().map(|recoveries| before.version + fresh + recoveries * VERSION_JUMP);
    let good = match expected {
        // An operator's decision moves the version past everything that was shown and is discarded.
        Some(expected) if character.decided => write.version >= expected && write.version > before.version,
        Some(expected) => write.version == expected && write.version > before.version,
        None => false,
    };
    if !good {
        let expected = expected.map_or_else(|| "recoveries that do not fall".to_owned(), |version| version.to_string());
        verdict.complain(
            Rule::Versions,
            format!(
                "{id}: version {} follows {} with {fresh} new intents; recoveries are {} after {}; expected {expected}",
                write.version, before.version, write.recoveries, before.recoveries
            ),
        );
    }
}

/// Only the holder of the lease may write.
pub(super) fn check_fence(evidence: &Evidence, verdict: &mut Verdict) {
    let by_number: BTreeMap<u32, &Lifetime> =
        evidence.lifetimes.iter().map(|lifetime| (lifetime.number, lifetime)).collect();
    let by_process: BTreeMap<u32, &Lifetime> =
        evidence.lifetimes.iter().map(|lifetime| (lifetime.process, lifetime)).collect();
    let by_registration: BTreeMap<Uuid, &Lifetime> =
        evidence.lifetimes.iter().filter_map(|lifetime| Some((lifetime.registered?, lifetime))).collect();
    for write in &evidence.writes {
        let Some(lease) = write.lease else { continue };
        let place = format!("{} at version {}", write.character, write.version);
        if lease.released {
            verdict.complain(Rule::Fence, format!("{place} was written under a released lease"));
        } else if write.recoveries < lease.recoveries {
            verdict.complain(
                Rule::Fence,
                format!("{place} was written with recoveries {} under {}", write.recoveries, lease.recoveries),
            );
        }
        let writer = write.writer.and_then(|number| by_number.get(&number));
        let owner = lease.owner.and_then(|registered| by_registration.get(&registered));
        let holder = owner.or_else(|| by_process.get(&lease.holder?));
        let (Some(writer), Some(holder)) = (writer, holder) else { continue };
        // A start writes the spool of an ended server under that server's lease.
        let inherits = holder.ended_ms.is_some_and(|ended_ms| ended_ms <= writer.began_ms);
        if writer.number != holder.number && !inherits {
            verdict.complain(
                Rule::Fence,
                format!("{place} was written by server {} while server {} held it", writer.number, holder.number),
            );
        }
    }
}
