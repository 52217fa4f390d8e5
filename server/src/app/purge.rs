//! Deletes data that nobody uses any more: characters that were deleted long ago, ended sessions, old lines of the audit,
//! and guests who never came back.
//!
//! In small steps with pauses between them, so that no player feels it. Each server purges the characters of its own
//! shards. A deleted character leaves memory as soon as its deletion is durable and its books are settled; until then its row stays, too.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use castellan_game::Game;
use tokio::time::{Instant, MissedTickBehavior};

use crate::audit::{Actor, Audit, Event, Outcome, Target};
use crate::auth::{Auth, AuthError};
use crate::clock::Clock;
use crate::config::Keep;
use crate::shard::Shards;
use crate::storage::{Lease, Storage};

/// How often a server looks for something to delete.
const ROUND: Duration = Duration::from_secs(600);

/// Most rows deleted in one step.
const STEP_ROWS: u32 = 200;

/// Pause between two steps.
const STEP_PAUSE: Duration = Duration::from_millis(100);

/// Purges in rounds, until the process ends.
pub(super) fn start<G: Game>(
    keep: &Keep,
    shards: &Arc<Shards<G>>,
    storage: &Arc<dyn Storage>,
    auth: &Arc<Auth>,
    audit: &Audit,
    clock: &Clock,
) {
    let (keep, shards, auth, audit) = (keep.clone(), Arc::clone(shards), Arc::clone(auth), audit.clone());
    let (storage, clock) = (Arc::clone(storage), Arc::clone(clock));
    tokio::spawn(async move {
        let mut rounds = tokio::time::interval_at(Instant::now() + ROUND, ROUND);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            let now_ms = clock();
            let characters = characters(&*storage, || shards.leases(), before(now_ms, keep.deleted)).await;
            let sessions = in_steps(|| auth.forget_ended(STEP_ROWS)).await;
            let guests = guests(&*storage, &audit, &keep, now_ms).await;
            let audit = in_steps(async || Ok(storage.forget_audit(before(now_ms, keep.audit), STEP_ROWS).await?)).await;
            match (characters, sessions, guests, audit) {
                (Ok(0), Ok(0), Ok(0), Ok(0)) => {}
                (Ok(characters), Ok(sessions), Ok(guests), Ok(audit)) => {
                    tracing::info!(
                        characters,
                        sessions,
                        guests,
                        audit,
                        "purged rows that are older than they are kept"
                    );
                }
                (Err(error), ..) | (_, Err(error), ..) | (_, _, Err(error), _) | (.., Err(error)) => {
                    tracing::warn!(%error, "cannot purge old rows; the next round is in {ROUND:?}");
                }
            }
        }
    });
}

/// Deletes the characters that were deleted before a time, in the shards that are held at each step.
async fn characters(storage: &dyn Storage, leases: impl Fn() -> Vec<Lease>, before_ms: i64) -> Result<u64, AuthError> {
    in_steps(async || Ok(storage.purge_characters(&leases(), before_ms, STEP_ROWS).await?)).await
}

/// Deletes the accounts of guests who never came back, and records each.
async fn guests(storage: &dyn Storage, audit: &Audit, keep: &Keep, now_ms: i64) -> Result<u64, AuthError> {
    let (unused_ms, characters_ms) = (before(now_ms, keep.guests), before(now_ms, keep.guests_characters));
    in_steps(async || {
        let users = storage.purge_guests(unused_ms, characters_ms, STEP_ROWS).await?;
        for user in &users {
            let target = Target::Account(*user);
            let outcome = Outcome::Done;
            audit.record(Event { actor: Actor::Server, address: None, target, action: "purge guest", outcome });
        }
        Ok(users.len() as u64)
    })
    .await
}

/// Repeats a step until it finds less than it may delete. Returns the sum.
async fn in_steps<F: Future<Output = Result<u64, AuthError>>>(step: impl Fn() -> F) -> Result<u64, AuthError> {
    let mut sum = 0;
    loop {
        let rows = step().await?;
        sum += rows;
        if rows < u64::from(STEP_ROWS) {
            return Ok(sum);
        }
        tokio::time::sleep(STEP_PAUSE).await;
    }
}

fn before(now_ms: i64, keep: Duration) -> i64 {
    now_ms.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use castellan_protocol::{CharacterId, UserId};
    use uuid::Uuid;

    use super::*;
    use crate::clock::system_entropy;
    use crate::storage::faulty::MemoryStorage;
    use crate::storage::{AccountRow, CharacterRow, ShardId};

    const DAY_MS: i64 = 86_400_000;

    fn deleted(number: u128, deleted_at_ms: i64) -> CharacterRow {
        CharacterRow {
            id: CharacterId::from_uuid(Uuid::from_u128(number)),
            user: UserId::from_uuid(Uuid::from_u128(1)),
            shard: ShardId::new(7),
            name: "Brannor".to_owned(),
            version: 2,
            recoveries: 0,
            schema_version: 1,
            state: "{}".to_owned(),
            request_ids: Vec::new(),
            created_at_ms: 0,
            updated_at_ms: 0,
            deleted_at_ms: Some(deleted_at_ms),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn guests_who_never_came_back_go_in_small_steps_and_each_is_recorded() {
        let memory = MemoryStorage::new();
        let guest = |number: u128| AccountRow {
            user: UserId::from_uuid(Uuid::from_u128(number)),
            username: format!("guest-{number}"),
            folded: format!("guest-{number}"),
            password_hash: "hash".to_owned(),
            role: "player".to_owned(),
            created_at_ms: DAY_MS,
            disabled_at_ms: None,
            guest_seen_at_ms: Some(DAY_MS),
        };
        for number in 0..450 {
            memory.create_account(&guest(number)).await.expect("a guest");
        }
        let days = |days: u64| Duration::from_secs(days * 86_400);
        let keep = Keep { deleted: days(30), audit: days(90), guests: days(30), guests_characters: days(365) };
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let clock: Clock = Arc::new(|| 40 * DAY_MS);
        let (audit, recording) = Audit::start(Arc::new(memory.clone()), clock, system_entropy(), stopped);
        assert_eq!(guests(&memory, &audit, &keep, 31 * DAY_MS).await.expect("an answer"), 0, "kept for 30 days");
        let began = Instant::now();
        assert_eq!(guests(&memory, &audit, &keep, 31 * DAY_MS + 1).await.expect("an answer"), 450);
        assert!(began.elapsed() >= 2 * STEP_PAUSE, "three steps: {:?}", began.elapsed());
        stop.send_replace(true);
        recording.await.expect("the rows are written");
        let rows = memory.audit(1_000).await.expect("rows");
        assert_eq!(rows.len(), 450);
        assert!(rows.iter().all(|row| row.actor == "server" && row.action == "purge guest"), "{:?}", rows[0]);
    }

    #[tokio::test(start_paused = true)]
    async fn rows_of_a_loop_that_creates_and_deletes_go_in_small_steps() {
        let memory = MemoryStorage::new();
        let leases = memory.take_over("test").await.expect("leases");
        let rows: Vec<_> = (0..6_600).map(|number| deleted(number, DAY_MS)).collect();
        memory.save(&leases, &rows).await.expect("saved");
        memory.save(&leases, &[deleted(1_000_000, 2 * DAY_MS)]).await.expect("saved");
        let purge = async |now_ms| {
            characters(&memory, || leases.clone(), before(now_ms, Duration::from_secs(30 * 86_400))).await
        };
        assert_eq!(purge(31 * DAY_MS).await.expect("an answer"), 0, "kept for 30 days");
        let began = Instant::now();
        assert_eq!(purge(31 * DAY_MS + 1).await.expect("an answer"), 6_600);
        assert!(began.elapsed() >= 33 * STEP_PAUSE, "33 steps with pauses: {:?}", began.elapsed());
        assert!(memory.character(rows[0].id).is_none());
        assert!(memory.character(deleted(1_000_000, 0).id).is_some(), "deleted a day later");
    }
}
