use castellan_protocol::CharacterId;
use uuid::Uuid;

use super::*;

const FAULTS: Faults = Faults {
    refused_per_mille: 200,
    lost_per_mille: 200,
    delay_max: Duration::from_secs(1),
    slow_per_mille: 50,
    stray_per_mille: 0,
};

fn row(number: u128, version: u64) -> CharacterRow {
    CharacterRow {
        id: CharacterId::from_uuid(Uuid::from_u128(number)),
        user: UserId::from_uuid(Uuid::from_u128(1)),
        shard: ShardId::new(0),
        name: "Brannor".to_owned(),
        version,
        recoveries: 0,
        schema_version: 1,
        state: "{}".to_owned(),
        request_ids: Vec::new(),
        created_at_ms: 0,
        updated_at_ms: 0,
        deleted_at_ms: None,
    }
}

/// Runs 200 saves; returns the error of each and the version stored after it.
async fn run(seed: u64) -> Vec<(String, Option<u64>)> {
    let memory = MemoryStorage::new();
    let lease = memory.take_over("test").await.expect("no faults here")[0];
    let storage = FaultyStorage::new(Arc::new(memory.clone()), seed, FAULTS);
    let mut outcomes = Vec::new();
    for version in 1..=200 {
        let error =
            storage.save(&[lease], &[row(1, version)]).await.map_or_else(|error| error.to_string(), |_| String::new());
        outcomes.push((error, memory.character(row(1, 1).id).map(|row| row.version)));
    }
    outcomes
}

#[tokio::test(start_paused = true)]
async fn one_seed_always_gives_the_same_run_and_another_seed_a_different_one() {
    let run_of_7 = run(7).await;
    assert_eq!(run(7).await, run_of_7);
    assert_ne!(run(8).await, run_of_7);
}

#[tokio::test(start_paused = true)]
async fn a_lost_call_writes_nothing_and_a_lost_answer_follows_a_write() {
    let mut counts = [0; 3];
    let mut before = None;
    for (version, (error, stored)) in (1..).zip(run(7).await) {
        if error.contains("call was lost") {
            assert_eq!(stored, before);
            counts[0] += 1;
        } else {
            assert_eq!(stored, Some(version));
            counts[1 + usize::from(error.contains("answer was lost"))] += 1;
        }
        before = stored;
    }
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
}

#[tokio::test]
async fn a_database_that_is_away_does_nothing() {
    let memory = MemoryStorage::new();
    let storage = FaultyStorage::new(Arc::new(memory.clone()), 1, Faults::default());
    storage.set_away(true);
    assert!(matches!(storage.take_over("test").await, Err(StorageError::Transient(_))));
    storage.set_away(false);
    assert_eq!(storage.take_over("test").await.expect("back")[0].epoch, 1);
}
