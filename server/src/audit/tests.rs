//! The tasks behind the audit, over a database that comes and goes.

use super::*;
use crate::clock::system_entropy;
use crate::storage::faulty::{Faults, FaultyStorage, MemoryStorage};

struct House {
    audit: Audit,
    storing: JoinHandle<()>,
    storage: Arc<FaultyStorage>,
    stop: watch::Sender<bool>,
}

fn house(faults: Faults) -> House {
    let storage = Arc::new(FaultyStorage::new(Arc::new(MemoryStorage::new()), 7, faults));
    let (stop, stopped) = watch::channel(false);
    let (audit, storing) = Audit::start(storage.clone(), Arc::new(|| 5), system_entropy(), stopped);
    House { audit, storing, storage, stop }
}

fn user(number: u128) -> UserId {
    UserId::from_uuid(uuid::Uuid::from_u128(number))
}

fn login(number: u128) -> Event {
    Event {
        actor: Actor::Stranger,
        address: Some([127, 0, 0, 1].into()),
        target: Target::Account(user(number)),
        action: "login",
        outcome: Outcome::LockedOut,
    }
}

fn write(number: u128) -> Event {
    let outcome = Outcome::Intent(IntentOutcome::Applied);
    Event { target: Target::Character(user(number), None), action: "add_item", outcome, ..login(number) }
}

impl House {
    /// Waits until the database has so many logins.
    async fn has_logins(&self, logins: usize) {
        let has_them = |rows: Vec<AuditRow>| rows.iter().filter(|row| row.action == "login").count() >= logins;
        let waiting = async {
            while !self.storage.audit(u32::MAX).await.is_ok_and(has_them) {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(3_600), waiting).await.expect("they are stored");
    }

    /// Stops, and returns all rows.
    async fn rows(self) -> Vec<AuditRow> {
        self.stop.send_replace(true);
        self.storing.await.expect("it ends");
        self.storage.audit(u32::MAX).await.expect("rows")
    }
}

#[tokio::test(start_paused = true)]
async fn every_event_becomes_one_row_even_if_calls_and_answers_are_lost() {
    let faults = Faults { refused_per_mille: 300, lost_per_mille: 300, ..Faults::default() };
    let house = house(faults);
    for number in 0..2_000 {
        house.audit.record(login(number));
        if number % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // The last batch is tried once after the stop, so it must find the database well.
    house.has_logins(2_000).await;
    house.storage.set_faults(Faults::default());
    let rows = house.rows().await;
    let mut targets: Vec<_> = rows.iter().map(|row| row.target.clone()).collect();
    targets.sort();
    targets.dedup();
    assert_eq!((rows.len(), targets.len()), (2_000, 2_000));
    let row = &rows[0];
    assert_eq!((row.at_ms, row.actor.as_str(), row.address.as_deref()), (5, "stranger", Some("127.0.0.1")));
    assert_eq!((row.action.as_str(), row.outcome.as_str()), ("login", "locked_out"));
}

#[tokio::test(start_paused = true)]
async fn while_the_database_is_away_memory_is_bounded_and_writes_of_games_leave_room_for_logins() {
    let house = house(Faults::default());
    house.storage.set_away(true);
    for number in 0..100_000 {
        house.audit.record(write(number));
        if number % 1_000 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for number in 0..10_000 {
        house.audit.record(login(number));
        if number % 1_000 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    house.storage.set_away(false);
    house.has_logins(10_000).await;
    let rows = house.rows().await;
    let logins = rows.iter().filter(|row| row.action == "login").count();
    assert_eq!(logins, 10_000);
    assert!(rows.len() > logins + 40_000 && rows.len() <= ROWS_MAX + EVENTS_MAX + BATCH_ROWS_MAX, "{}", rows.len());
}

#[tokio::test]
async fn a_stop_stores_what_was_recorded_and_does_not_wait_for_a_database_that_is_away() {
    let good = house(Faults::default());
    good.audit.record(login(1));
    assert_eq!(good.rows().await.len(), 1);
    let bad = house(Faults::default());
    bad.storage.set_away(true);
    bad.audit.record(login(1));
    bad.stop.send_replace(true);
    bad.storing.await.expect("it ends");
}
