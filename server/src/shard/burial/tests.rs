//! Operators' decisions while writes of the same character are in flight.

use std::sync::Arc;
use std::time::Duration;

use castellan_srd::wire::{Action, ModifyCurrency, RequestId, Version};
use tokio::runtime::Handle;

use super::*;
use crate::flush::{Batch, Entries, Queue, Signals, Written};
use crate::shard::tests::{character, fighter, user};
use crate::shard::{Answered, Base, Capacity, Change, Command, Creation, Mailbox, Shape};
use crate::storage::faulty::MemoryStorage;
use crate::storage::{ShardId, Storage};
use castellan_srd::{Catalogue, Srd};

/// Shards with one character. The test plays the flusher.
struct Bench {
    shards: Arc<Shards<Srd>>,
    memory: MemoryStorage,
}

impl Bench {
    async fn new() -> Self {
        let memory = MemoryStorage::new();
        let leases = memory.take_over("test").await.expect("no other process has them");
        let capacity = Capacity {
            characters_max: 100,
            dirty_max: 100,
            deals_per_minute: 100,
            load_timeout: Duration::from_secs(5),
        };
        let (catalogue, signals) = (Arc::new(Catalogue::embedded()), Arc::new(Signals::default()));
        let storage = Arc::new(memory.clone());
        let secret = Arc::from([7; 32]);
        let shards =
            Arc::new(Shards::new(storage, &catalogue, &secret, capacity, signals, Handle::current(), Arc::new(|| 1)));
        shards.take(&leases);
        let bench = Self { shards, memory };
        bench.create(1).await;
        bench
    }

    /// Asks for a character with this number. The request id is always the same.
    async fn create(&self, number: u128) -> Answered {
        let (id, wanted) = (Some(RequestId::new(1)), &fighter());
        let creation = Creation { owner: user(1), character: character(number), id, wanted, wait: None };
        self.shards.create(&creation, &mut Vec::new()).await
    }

    /// Another process takes over and reads the dead letters.
    async fn restart(&self) {
        let leases = self.memory.take_over("next").await.expect("it may");
        self.shards.leases().into_iter().for_each(|lease| self.shards.lose(lease));
        self.shards.take(&leases);
        self.shards.recall_dead_letters().await.expect("the database is up");
    }

    async fn keep_house(&self) {
        self.shards.carry_out_decisions().await.expect("the database is up");
    }

    /// A character with version 1 stored and version 2, made by `sender`, refused.
    async fn with_refused(sender: Option<&Mailbox>) -> (Self, Batch) {
        let bench = Self::new().await;
        bench.commit(bench.collect()).await;
        bench.intend(2, sender).await.expect("applied");
        let second = bench.collect();
        bench.bury(&second).await;
        (bench, second)
    }

    /// Adds a gold piece. Returns the version that it made and the newest durable one.
    async fn intend(&self, id: u64, sender: Option<&Mailbox>) -> Result<(u64, u64), Answered> {
        let action = Action::ModifyCurrency(ModifyCurrency { cp: None, sp: None, ep: None, gp: Some(1), pp: None });
        let command = Command {
            owner: user(1),
            character: character(1),
            id: RequestId::new(id),
            base: Base { after: None, expect: Some(Version::new(0)) },
            change: Change::Action(&action),
            permitted: true,
            is_limited: false,
        };
        match self.shards.change(&command, sender, Shape::Body, 0, &mut Vec::new()).await {
            Answered::Applied { shown, .. } => Ok((shown.version.get(), shown.durable.get())),
            other => Err(other),
        }
    }

    fn collect(&self) -> Batch {
        let (batch, _) = self.shards.collect(Queue::Dirty, usize::MAX);
        assert_eq!(batch.rows.len(), 1, "one character is dirty");
        batch
    }

    /// The database takes a batch, and the shards hear of it.
    async fn commit(&self, batch: Batch) {
        self.memory.save(&batch.leases, &batch.rows).await.expect("the database is up");
        self.shards.saved(&batch.written(|_| true));
    }

    /// The versions of all dead letters.
    async fn letters(&self) -> Vec<u64> {
        let letters = self.memory.dead_letters().await.expect("the database is up");
        letters.iter().map(|letter| letter.row.version).collect()
    }

    /// The database refuses a batch.
    async fn bury(&self, batch: &Batch) {
        self.bury_without_news(batch).await;
        self.shards.buried(self.written(batch));
    }

    /// The database refuses a batch and stores the dead letter, but the flusher does not know.
    async fn bury_without_news(&self, batch: &Batch) {
        let letter = DeadLetter {
            row: batch.rows[0].clone(),
            epoch: batch.leases[0].epoch,
            error: "refused".to_owned(),
            attempts: 1,
            failed_at_ms: 1,
            verdict: None,
            stored: None,
        };
        self.memory.add_dead_letter(batch.leases[0], &letter).await.expect("put away");
    }

    fn written(&self, batch: &Batch) -> Written {
        batch.written(|_| true)[0]
    }

    async fn decide(&self, verdict: Verdict) {
        self.memory.decide_dead_letter(character(1), verdict).await.expect("the database is up");
        self.keep_house().await;
    }

    fn stored(&self) -> CharacterRow {
        self.memory.character(character(1)).expect("it was stored")
    }
}

/// Version 2 is refused. Version 3, made before the refusal, is written while the operator's decision is carried out.
#[tokio::test]
async fn a_write_in_flight_during_a_decision_is_neither_stored_nor_called_durable() {
    for verdict in [Verdict::Retry, Verdict::Discard] {
        for late_is_put_back in [false, true] {
            let bench = Bench::new().await;
            bench.commit(bench.collect()).await;
            assert_eq!(bench.intend(2, None).await, Ok((2, 1)));
            let second = bench.collect();
            assert_eq!(bench.intend(3, None).await, Ok((3, 1)));
            bench.bury(&second).await;
            let third = bench.collect();
            bench.decide(verdict).await;
            let decided = bench.stored();
            assert!(decided.version > VERSION_JUMP, "version 3 was shown: {}", decided.version);
            assert_eq!(decided.request_ids, if verdict == Verdict::Retry { vec![1, 2] } else { vec![1] });

            bench.memory.save(&third.leases, &third.rows).await.expect("the database is up");
            assert_eq!(bench.stored(), decided, "the write came too late");
            if late_is_put_back {
                bench.shards.put_back(&[bench.written(&third)]);
            } else {
                bench.shards.saved(&[bench.written(&third)]);
            }
            assert_eq!(bench.shards.dirty(), 0);
            assert_eq!(bench.intend(4, None).await, Ok((decided.version + 1, decided.version)));
            bench.commit(bench.collect()).await;
            assert_eq!(bench.stored().version, decided.version + 1);
            assert_eq!(bench.intend(5, None).await, Ok((decided.version + 2, decided.version + 1)));
        }
    }
}

/// The flusher learns that version 2 was refused only after the decision about it.
#[tokio::test]
async fn news_of_a_refusal_after_its_decision_takes_nothing_out_of_play() {
    let (bench, second) = Bench::with_refused(None).await;
    bench.decide(Verdict::Discard).await;
    bench.shards.buried(bench.written(&second));
    assert!(bench.intend(3, None).await.is_ok());
}

/// The flusher hears of version 3's commit when the row's version is raised but memory does not have it yet.
#[tokio::test]
async fn news_of_a_write_during_a_decision_is_not_passed_on() {
    let bench = Bench::new().await;
    bench.commit(bench.collect()).await;
    let socket = Mailbox::default();
    bench.intend(2, Some(&socket)).await.expect("applied");
    let second = bench.collect();
    bench.intend(3, Some(&socket)).await.expect("applied");
    bench.bury(&second).await;
    let third = bench.collect();
    let lease = third.leases[0];
    let version = bench.shards.freeze(lease, user(1), character(1), Some(&second.rows[0]));
    bench.memory.discard_dead_letter(lease, user(1), character(1), Some(2), version).await.expect("the database is up");
    bench.commit(third).await;
    assert!(socket.take().durable.is_empty(), "version 3 is not in the database");
}

/// Otherwise it would take a healthy character out of play at the next start.
#[tokio::test]
async fn a_letter_that_was_overtaken_is_forgotten() {
    let bench = Bench::new().await;
    bench.commit(bench.collect()).await;
    bench.intend(2, None).await.expect("applied");
    let second = bench.collect();
    bench.intend(3, None).await.expect("applied");
    bench.bury(&second).await;
    let third = bench.collect();
    bench.keep_house().await;
    assert_eq!(bench.letters().await, [2], "nobody has decided");
    bench.decide(Verdict::Discard).await;
    // Version 3 is refused too. Its letter is written after the decision about version 2.
    bench.bury(&third).await;
    assert_eq!(bench.letters().await, [3]);
    bench.keep_house().await;
    assert_eq!(bench.letters().await, [] as [u64; 0]);

    // The answer to a letter was lost, and the next flush wrote its version.
    let (version, _) = bench.intend(4, None).await.expect("applied");
    let fourth = bench.collect();
    let leases = fourth.leases.clone();
    bench.bury_without_news(&fourth).await;
    bench.keep_house().await;
    assert_eq!(bench.letters().await, [version], "the database may still refuse it");
    bench.commit(Batch { leases, rows: fourth.rows }).await;
    bench.keep_house().await;
    assert_eq!(bench.letters().await, [] as [u64; 0]);
    assert!(bench.intend(5, None).await.is_ok());
}

/// The decision was carried out, but its answer was lost.
#[tokio::test]
async fn a_character_whose_letter_is_gone_comes_back() {
    let socket = Mailbox::default();
    let (bench, second) = Bench::with_refused(Some(&socket)).await;
    assert!(bench.intend(3, None).await.is_err());
    let version = second.rows[0].version + VERSION_JUMP;
    bench.memory.retry_dead_letter(second.leases[0], &second.rows[0], version).await.expect("the database is up");
    bench.keep_house().await;
    assert!(socket.is_closing());
    let (made, durable) = bench.intend(3, None).await.expect("it is back");
    assert_eq!((made, bench.stored().version), (durable + 1, durable));
    assert_eq!(bench.stored().request_ids, [1, 2]);
}

/// A character that the database never took leaves memory when it is discarded. Then its user can leave too.
#[tokio::test]
async fn a_discarded_first_state_leaves_nothing_behind() {
    let bench = Bench::new().await;
    let first = bench.collect();
    bench.bury(&first).await;
    bench.decide(Verdict::Discard).await;
    bench.memory.save(&first.leases, &first.rows).await.expect("the database is up");
    assert_eq!((bench.shards.occupied(), bench.shards.dirty()), (1, 0), "the user's place is left");
    assert!(ShardId::all().any(|shard| bench.shards.lock(shard).core.evict(&mut Effects::default()) == Some(1)));
    let mut list = Vec::new();
    bench.shards.list(user(1), &mut list).await.expect("the database is up");
    assert_eq!(String::from_utf8_lossy(&list), "[]");
}

/// The letter is older than this server's lease, and the database has never seen its character.
#[tokio::test]
async fn a_retried_first_state_joins_its_user_in_memory() {
    let bench = Bench::new().await;
    let first = bench.collect();
    bench.bury(&first).await;
    bench.restart().await;
    bench.shards.load(user(1)).await.expect("the database is up");
    assert_eq!(bench.shards.occupied(), 1);
    bench.decide(Verdict::Retry).await;
    assert_eq!(bench.shards.occupied(), 2);
    assert!(bench.intend(2, None).await.is_ok());
}

/// A load that began before a decision may carry rows from before it.
#[tokio::test]
async fn a_load_from_before_a_decision_comes_too_late() {
    let (bench, second) = Bench::with_refused(None).await;
    let shard = second.leases[0].shard;
    let permit = bench.shards.lock(shard).core.load_permit().expect("it has a lease");
    bench.decide(Verdict::Retry).await;
    bench.shards.lock(shard).core.evict(&mut Effects::default()).expect("it is idle");
    assert!(!bench.shards.lock(shard).core.install(user(1), permit, Vec::new(), 0, &mut Effects::default()));
}

#[tokio::test]
async fn a_connection_that_is_ordered_to_end_changes_nothing_more() {
    let bench = Bench::new().await;
    let socket = Mailbox::default();
    socket.order_close(crate::shard::CloseOrder::SHARD_MOVED);
    assert_eq!(bench.intend(2, Some(&socket)).await, Err(Answered::Closing));
    assert_eq!(bench.intend(2, None).await, Ok((2, 0)));
}

/// An intent that waits for its commit is answered from memory, and memory may have fallen back behind the intent.
#[tokio::test]
async fn a_connection_that_is_ordered_to_end_is_told_of_no_commit() {
    let socket = Mailbox::default();
    let (bench, _) = Bench::with_refused(Some(&socket)).await;
    bench.decide(Verdict::Discard).await;
    let answer = crate::shard::Answer::Applied { id: RequestId::new(2), duplicate: false };
    let mut out = Vec::new();
    let told = bench.shards.confirm(user(1), character(1), &socket, answer, Shape::Body, &mut out).await;
    assert!(told.is_err() && out.is_empty(), "{told:?}");
}

/// A shard whose lease a stop is about to release takes no intents.
#[tokio::test]
async fn a_shard_is_retired_once_nothing_is_left_to_flush() {
    let bench = Bench::new().await;
    bench.commit(bench.collect()).await;
    bench.intend(2, None).await.expect("applied");
    let second = bench.collect();
    bench.intend(3, None).await.expect("applied");
    bench.bury(&second).await;
    assert_eq!(bench.shards.dirty(), 0, "it waits for an operator");
    let shard = second.leases[0].shard;
    assert!(bench.shards.retire().iter().all(|lease| lease.shard != shard), "version 3 is not in the dead letter yet");
    let third = bench.collect();
    bench.bury(&third).await;
    assert_eq!(bench.shards.retire(), third.leases);
    assert_eq!(bench.shards.leases(), []);
    assert!(matches!(bench.intend(4, None).await, Err(Answered::Refused(_))));
}

/// The user has logged out. Until the decision, the dead letter keeps the character in memory.
#[tokio::test]
async fn a_user_who_left_leaves_memory_with_the_decision() {
    for is_first_state in [true, false] {
        let bench = Bench::new().await;
        let mut refused = bench.collect();
        if !is_first_state {
            bench.commit(refused).await;
            bench.intend(2, None).await.expect("applied");
            refused = bench.collect();
        }
        bench.bury(&refused).await;
        bench.shards.leave(user(1));
        assert_eq!(bench.shards.occupied(), 2);
        bench.decide(Verdict::Discard).await;
        assert_eq!(bench.shards.occupied(), 0, "first state: {is_first_state}");
    }
}

/// Its client does not know that it was refused, and asks again: before and after a restart.
#[tokio::test]
async fn a_creation_that_waits_for_an_operator_is_not_made_twice() {
    let bench = Bench::new().await;
    bench.bury(&bench.collect()).await;
    for after_a_restart in [false, true] {
        if after_a_restart {
            bench.restart().await;
        }
        let again = bench.create(2).await;
        assert!(matches!(&again, Answered::Refused(refusal) if refusal.retry_after_ms.is_some()), "{again:?}");
        let early = bench.intend(2, None).await;
        assert!(matches!(&early, Err(Answered::Refused(refusal)) if refusal.retry_after_ms.is_some()), "{early:?}");
    }
    bench.decide(Verdict::Retry).await;
    let made = bench.create(2).await;
    assert!(matches!(made, Answered::Applied { duplicate: true, .. }), "{made:?}");
    assert_eq!(bench.shards.occupied(), 2, "the user and one character");
}

/// The letter of an earlier server, which the database went on without.
#[tokio::test]
async fn an_old_letter_that_the_database_has_overtaken_stops_nobody_and_is_kept() {
    let (bench, second) = Bench::with_refused(None).await;
    let version = second.rows[0].version + 5;
    let later = CharacterRow { version, ..bench.stored() };
    bench.memory.save(&second.leases, &[later]).await.expect("the database is up");
    bench.restart().await;
    let socket = Mailbox::default();
    let (made, _) = bench.intend(7, Some(&socket)).await.expect("it plays on");
    bench.commit(bench.collect()).await;
    bench.keep_house().await;
    bench.decide(Verdict::Retry).await;
    let letter = bench.memory.dead_letters().await.expect("the database is up").remove(0);
    assert_eq!((letter.row.version, letter.verdict), (2, None), "the only copy is kept");
    assert!(letter.error.contains("can only be discarded"), "{}", letter.error);
    bench.decide(Verdict::Discard).await;
    assert_eq!(bench.letters().await, [] as [u64; 0]);
    assert!(!socket.is_closing(), "the live character is left alone");
    assert_eq!(bench.intend(8, Some(&socket)).await, Ok((made + 1, made)));
}

/// Version 2 was refused, and version 3, which contains it, was not.
#[tokio::test]
async fn a_character_comes_back_once_the_database_takes_a_later_state() {
    let bench = Bench::new().await;
    bench.commit(bench.collect()).await;
    bench.intend(2, None).await.expect("applied");
    let second = bench.collect();
    bench.intend(3, None).await.expect("applied");
    bench.bury(&second).await;
    bench.commit(bench.collect()).await;
    bench.keep_house().await;
    assert_eq!(bench.letters().await, [] as [u64; 0]);
    let (_, durable) = bench.intend(4, None).await.expect("it is back");
    assert_eq!((bench.stored().version, bench.stored().request_ids), (durable, vec![1, 2, 3]));
}

#[tokio::test]
async fn a_letter_whose_retry_is_refused_waits_for_another_decision() {
    let bench = Bench::new().await;
    bench.commit(bench.collect()).await;
    bench.intend(2, None).await.expect("applied");
    let mut second = bench.collect();
    second.rows[0].state = "no JSON".to_owned();
    bench.bury(&second).await;
    bench.decide(Verdict::Retry).await;
    bench.keep_house().await;
    let letter = bench.memory.dead_letters().await.expect("the database is up").remove(0);
    assert_eq!((letter.row.version, letter.verdict, letter.attempts), (2, None, 2));
    assert!(bench.intend(3, None).await.is_err());
    bench.decide(Verdict::Discard).await;
    assert!(bench.intend(3, None).await.is_ok());
}

/// The row in the database cannot be read until somebody has mended it.
#[tokio::test(start_paused = true)]
async fn a_character_that_cannot_be_read_is_tried_again_more_and_more_seldom() {
    let (bench, second) = Bench::with_refused(None).await;
    let good = CharacterRow { version: 3, ..second.rows[0].clone() };
    let bad = CharacterRow { state: "[]".to_owned(), ..good.clone() };
    bench.memory.save(&second.leases, &[bad]).await.expect("the database is up");
    let mut tries = Vec::new();
    let mut before = bench.stored().version;
    for second in 0..20 {
        bench.keep_house().await;
        if bench.stored().version != before {
            tries.push(second);
            before = bench.stored().version;
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(tries, [0, 2, 6, 14]);
    let mended = CharacterRow { version: before + 1, ..good };
    bench.memory.save(&second.leases, &[mended]).await.expect("the database is up");
    assert!(bench.intend(5, None).await.is_err());
    tokio::time::advance(PAUSE_MAX).await;
    bench.keep_house().await;
    assert!(bench.intend(5, None).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_one_character_is_told_and_holds_up_no_other() {
    let (bench, second) = Bench::with_refused(None).await;
    let lease = second.leases[0];
    let panics = || async { panic!("on purpose") };
    assert_eq!(bench.shards.attempt(lease, character(9), panics()).await.ok(), Some(()));
    bench.decide(Verdict::Discard).await;
    assert!(bench.intend(3, None).await.is_ok());
    let again = bench.shards.attempt(lease, character(9), async { unreachable!("it waits first") }).await;
    assert!(again.is_ok());
    tokio::time::advance(PAUSE_MIN).await;
    bench.shards.attempt(lease, character(9), async { Ok(()) }).await.expect("nothing fails");
    assert!(bench.shards.stuck.lock().is_empty());
}
