//! Opening a database and making its tables.

use castellan::storage::{StorageError, StorageOptions, connect};

use super::rows::take_over;
use crate::harness::{Database, Kind, options};

#[tokio::test]
async fn migrations_may_be_repeated_and_run_at_once() {
    for kind in [Kind::Sqlite, Kind::Postgres, Kind::Memory] {
        let database = Database::bare(kind).await;
        let others = [database.open().await, database.open().await, database.open().await];
        let (first, second, third, fourth) =
            tokio::join!(database.storage.migrate(), others[0].migrate(), others[1].migrate(), others[2].migrate(),);
        for outcome in [first, second, third, fourth] {
            outcome.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
        }
        let leases = take_over(&*database.storage).await;
        database.open().await.migrate().await.expect("repeated");
        assert_eq!(database.storage.prove(&leases).await.expect("an answer"), [], "the leases stand");
        database.storage.ping().await.expect("a sign of life");
    }
}

#[tokio::test]
async fn a_newer_servers_migrations_are_left_alone() {
    let database = Database::new(Kind::Postgres).await;
    let mut raw = database.raw().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9999, 'from the future', true, '\\x00', 1)",
    )
    .execute(&mut raw)
    .await
    .expect("written");
    database.open().await.migrate().await.expect("an older server starts beside a newer one");
}

#[tokio::test]
async fn a_migration_that_was_changed_is_not_run_again() {
    let database = Database::new(Kind::Postgres).await;
    let mut raw = database.raw().await;
    sqlx::query("UPDATE _sqlx_migrations SET checksum = '\\x00' WHERE version = 1")
        .execute(&mut raw)
        .await
        .expect("written");
    let outcome = database.open().await.migrate().await;
    assert!(matches!(outcome, Err(StorageError::Unusable(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_file_that_another_server_has_is_said_to_be_in_use() {
    let database = Database::new(Kind::Sqlite).await;
    let exclusive = StorageOptions { exclusive: true, ..options() };
    let first = connect(&database.url, &exclusive).await.expect("the first server");
    let folder = database.folder().join("data");
    for path in [folder.join("castellan.db"), folder.join("../data/castellan.db")] {
        let second = connect(&format!("sqlite://{}", path.display()), &exclusive).await.err().expect("refused");
        assert!(second.to_string().contains("is in use by another server"), "{second}");
    }
    let command_line = connect(&database.url, &options()).await.expect("the command line beside the server");
    command_line.migrate().await.expect("and it writes");
    let leases = take_over(&*first).await;
    assert_eq!(command_line.prove(&leases).await.expect("an answer"), []);
    drop(first);
    connect(&database.url, &exclusive).await.expect("the next server");
}

#[cfg(unix)]
#[tokio::test]
async fn what_sqlite_writes_is_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;

    let database = Database::bare(Kind::Sqlite).await;
    let url = format!("sqlite://{}", database.folder().join("new/folder/characters.db").display());
    let storage = connect(&url, &StorageOptions::default()).await.expect("the folders are made");
    storage.migrate().await.expect("the tables are made");
    let folder = database.folder().join("new/folder");
    let mut files = 0;
    for file in std::fs::read_dir(&folder).expect("the folder is there") {
        let file = file.expect("an entry");
        let mode = file.metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.path().display());
        files += 1;
    }
    assert!(files >= 3, "the file, its log, and the lock");
    assert_eq!(folder.metadata().expect("it is there").permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn a_url_that_names_no_database_is_refused_with_a_sentence() {
    let database = Database::bare(Kind::Sqlite).await;
    let folder = format!("sqlite://{}", database.folder().display());
    let urls = ["", "data.db", "mysql://localhost/x", "sqlite://", "postgres://[", "sqlite::memory:", &folder];
    for url in urls {
        let outcome = connect(url, &options()).await.err();
        assert!(matches!(outcome, Some(StorageError::Unusable(_))), "{url}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_with_a_sentence() {
    let database = Database::bare(Kind::Sqlite).await;
    let path = database.folder().join("notes.txt");
    std::fs::write(&path, "a shopping list, long enough to be read as a header: ".repeat(100)).expect("written");
    let url = format!("sqlite://{}", path.display());
    let outcome = match connect(&url, &options()).await {
        Ok(storage) => storage.migrate().await.err(),
        Err(error) => Some(error),
    };
    assert!(matches!(outcome, Some(StorageError::Unusable(_))), "{outcome:?}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_unusable_and_a_server_that_is_not_there_is_awaited() {
    let database = Database::bare(Kind::Postgres).await;
    let outcome = connect(&format!("{}_not", database.url), &options()).await.expect("lazily").migrate().await;
    assert!(matches!(outcome, Err(StorageError::Unusable(_))), "{outcome:?}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let storage = connect(&format!("postgres://x@{nobody}/x"), &options()).await.expect("lazily");
    let outcome = storage.migrate().await;
    assert!(matches!(outcome, Err(StorageError::Transient(_))), "{outcome:?}");
}
