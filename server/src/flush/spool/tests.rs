//! Spool files over a database in memory.

use uuid::Uuid;

use super::*;
use crate::storage::faulty::{Faults, FaultyStorage, MemoryStorage};

fn row(number: u128, version: u64) -> CharacterRow {
    CharacterRow {
        id: CharacterId::from_uuid(Uuid::from_u128(number)),
        user: UserId::from_uuid(Uuid::from_u128(2)),
        shard: ShardId::new(7),
        name: "Brannor\n\"the bold\"".to_owned(),
        version,
        recoveries: 0,
        schema_version: 1,
        state: "{\"gp\":42}".to_owned(),
        request_ids: vec![5, 6, 1 << 52],
        created_at_ms: 10,
        updated_at_ms: 20,
        deleted_at_ms: None,
    }
}

/// A database, a server's lease on it, and a folder.
struct Bench {
    memory: MemoryStorage,
    faulty: Arc<FaultyStorage>,
    lease: Lease,
    folder: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let memory = MemoryStorage::new();
        let faulty = Arc::new(FaultyStorage::new(Arc::new(memory.clone()), 1, Faults::default()));
        let lease = memory.take_over("first").await.expect("nobody else has it")[7];
        Self { memory, faulty, lease, folder: tempfile::tempdir().expect("a temporary folder") }
    }

    fn spool(&self, rows: Vec<CharacterRow>) -> PathBuf {
        let batch = Batch { leases: vec![self.lease], rows };
        write(self.folder.path(), &batch, 1_000).expect("written")
    }

    async fn start(&self) -> Result<(), SpoolError> {
        let storage: Arc<dyn Storage> = Arc::clone(&self.faulty) as _;
        bring_in(self.folder.path(), &storage, 2_000).await
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        self.memory.dead_letters().await.expect("the database is up")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

#[tokio::test]
async fn spooled_characters_are_stored_and_half_a_file_is_ignored() {
    let bench = Bench::new().await;
    bench.spool(vec![row(1, 9), row(2, 1)]);
    fs::write(bench.folder.path().join("2000-1.partial"), "{\"id\":").expect("half a file");
    bench.start().await.expect("imported");
    for row in [row(1, 9), row(2, 1)] {
        assert_eq!(bench.memory.character(row.id), Some(row));
    }
    assert_eq!(bench.names(), ["2000-1.partial"]);
}

#[cfg(unix)]
#[test]
fn only_its_owner_can_read_a_spool_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = write(folder.path(), &Batch::default(), 1_000).expect("written");
    let metadata = fs::metadata(path).expect("a file");
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&metadata) & 0o777, 0o600);
}

/// The next server loaded the character, and its clients sent their intents again.
#[tokio::test]
async fn a_character_that_another_server_went_on_with_is_set_aside() {
    let bench = Bench::new().await;
    let spooled = fs::read(bench.spool(vec![row(1, 9), row(2, 1)])).expect("a file");
    let next = bench.memory.take_over("second").await.expect("it may")[7];
    let live = CharacterRow { recoveries: next.recoveries, ..row(1, 8 + (1 << 20)) };
    bench.memory.save(&[next], std::slice::from_ref(&live)).await.expect("the database is up");
    bench.memory.release(&[next]).await.expect("the database is up");
    for _ in 0..2 {
        bench.start().await.expect("a start needs no old lease");
        assert_eq!(bench.memory.character(live.id).as_ref(), Some(&live));
        assert_eq!(bench.memory.character(row(2, 1).id), None);
        assert_eq!(bench.letters().await, [], "nothing keeps the character from playing on");
        let [name] = <[String; 1]>::try_from(bench.names()).expect("one file");
        assert!(name.ends_with(".set-aside"), "{name}");
        assert_eq!(fs::read(bench.folder.path().join(name)).expect("a file"), spooled, "nothing is lost");
    }
}

#[tokio::test]
async fn a_spooled_character_that_the_database_refuses_is_a_dead_letter() {
    let bench = Bench::new().await;
    bench.spool(vec![row(1, 9), row(2, 1)]);
    bench.memory.refuse(row(1, 9).id);
    bench.start().await.expect("imported");
    let letters = bench.letters().await;
    assert_eq!(letters.iter().map(|letter| (&letter.row, letter.epoch)).collect::<Vec<_>>(), [(&row(1, 9), 1)]);
    assert_eq!(bench.memory.character(row(2, 1).id), Some(row(2, 1)));
    assert_eq!(bench.names(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_line_that_cannot_be_read_holds_up_nobody() {
    let bench = Bench::new().await;
    let path = bench.spool(vec![row(1, 9), row(2, 1)]);
    let mut spooled = fs::read(&path).expect("a file");
    spooled[0] = 0xff;
    fs::write(&path, &spooled).expect("damaged");
    bench.start().await.expect("imported");
    assert_eq!(bench.memory.character(row(2, 1).id), Some(row(2, 1)));
    let damaged = spooled.split_inclusive(|byte| *byte == b'\n').next().expect("a line");
    assert_eq!(fs::read(path.with_extension("set-aside")).expect("a file"), damaged);
}

#[tokio::test]
async fn a_file_stays_while_the_database_is_away() {
    let bench = Bench::new().await;
    bench.spool(vec![row(1, 9)]);
    bench.faulty.set_away(true);
    bench.start().await.expect_err("nothing can be stored");
    bench.faulty.set_away(false);
    bench.start().await.expect("imported");
    assert_eq!(bench.memory.character(row(1, 9).id), Some(row(1, 9)));
}

#[tokio::test]
async fn a_missing_folder_has_no_files() {
    assert_eq!(files(Path::new("/nonexistent/spool"), SPOOL).expect("no error"), Vec::<PathBuf>::new());
}
