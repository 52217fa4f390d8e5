//! The commands over a real SQLite file.

use castellan_protocol::{CharacterId, UserId};
use uuid::Uuid;

use super::*;
use crate::auth::{AccountName, Auth, Exposure, Password};
use crate::clock::{system_clock, system_entropy};
use crate::config::{Account, AccountVerb, Command, DeadLetters, Role};
use crate::storage::{CharacterRow, DeadLetter, Lease, SHARDS, ShardId, Verdict};

fn config(folder: &tempfile::TempDir) -> Config {
    let url = format!("--database-url=sqlite://{}/castellan.db", folder.path().display());
    let flags = ["castellan", "--auth-argon2-memory=64KiB", "--auth-argon2-iterations=1", &url];
    match Config::from_args(flags.map(Into::into), &Default::default(), &[]) {
        Ok(Command::Run(config, _)) => *config,
        other => panic!("{other:?}"),
    }
}

/// Runs a task and returns its output or its error.
async fn done(config: &Config, task: Task, input: &str) -> Result<String, String> {
    let mut out = Vec::new();
    match run(config, task, &mut input.as_bytes(), &mut out).await {
        Ok(()) => Ok(String::from_utf8(out).expect("text")),
        Err(error) => Err(format!("{error:#}")),
    }
}

fn account(name: &str, role: Role, password_stdin: bool) -> Task {
    Task::Account(Account::Create { name: name.to_owned(), role, password_stdin })
}

fn one(account: &str, verb: AccountVerb) -> Task {
    Task::Account(Account::One { account: account.to_owned(), verb })
}

async fn role_of(config: &Config, name: &str, password: &str) -> Option<Role> {
    let storage = open(config).await.expect("a database");
    let auth = Auth::open(storage, &config.auth, Arc::new(Exposure::new(true)), system_clock(), system_entropy())
        .await
        .expect("accounts");
    let (name, password) = (AccountName::new(name).expect("a name"), Password::new(password).expect("a password"));
    auth.login(&name, password, false, [127, 0, 0, 1].into()).await.ok().map(|grant| grant.session.role)
}

#[tokio::test]
async fn an_account_is_created_on_an_empty_database_with_a_generated_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder);
    let said = done(&config, account("ada", Role::Operator, false), "").await.expect("an account");
    let password = said.lines().find_map(|line| line.strip_prefix("password: ")).expect("a password");
    assert_eq!(role_of(&config, "Ada", password).await, Some(Role::Operator));
    let again = done(&config, account("ADA", Role::Player, false), "").await.expect_err("the name is taken");
    assert!(again.contains("taken"), "{again}");
}

#[tokio::test]
async fn the_first_line_of_standard_input_is_the_password_and_is_never_printed() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder);
    let said = done(&config, account("bot", Role::Game, true), " hush hush \r\nmore\n").await.expect("an account");
    assert!(!said.contains("hush"), "{said}");
    assert_eq!(role_of(&config, "bot", " hush hush ").await, Some(Role::Game));
    let empty = done(&config, account("eve", Role::Player, true), "").await.expect_err("no password");
    assert!(empty.contains("password"), "{empty}");
}

#[tokio::test]
async fn migrating_twice_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder);
    for _ in 0..2 {
        assert!(done(&config, Task::Migrate, "").await.expect("tables").contains("castellan.db"));
    }
}

#[tokio::test]
async fn dead_letters_are_listed_shown_and_decided() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder);
    done(&config, Task::Migrate, "").await.expect("tables");
    let task = |task| Task::DeadLetters(task);
    let nothing = done(&config, task(DeadLetters::List), "").await.expect("a list");
    assert_eq!(nothing, "no dead letters\n");
    let id = CharacterId::from_uuid(Uuid::from_u128(7));
    let unknown = done(&config, task(DeadLetters::Retry(id)), "").await.expect_err("there is none");
    assert!(unknown.contains("no dead letter"), "{unknown}");

    let storage = open(&config).await.expect("a database");
    bury(storage.as_ref(), id).await;
    let list = done(&config, task(DeadLetters::List), "").await.expect("a list");
    assert!(list.contains(&id.to_string()) && list.contains("undecided") && list.contains("too long"), "{list}");
    assert!(!list.contains("second line"), "{list}");
    let whole = done(&config, task(DeadLetters::Show(id)), "").await.expect("one");
    for part in ["Brannor", "version    3", "after 5 attempts", "second line", r#"{"name":"Brannor"}"#] {
        assert!(whole.contains(part), "{part}: {whole}");
    }
    assert!(whole.contains("the database does not have this character"), "{whole}");
    for (decision, verdict) in [(DeadLetters::Retry(id), Verdict::Retry), (DeadLetters::Discard(id), Verdict::Discard)]
    {
        done(&config, task(decision), "").await.expect("a decision");
        assert_eq!(storage.dead_letters().await.expect("letters")[0].verdict, Some(verdict));
    }
}

#[tokio::test]
async fn a_dead_letter_that_the_database_has_overtaken_can_only_be_discarded() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder);
    done(&config, Task::Migrate, "").await.expect("tables");
    let storage = open(&config).await.expect("a database");
    let id = CharacterId::from_uuid(Uuid::from_u128(7));
    let (lease, row) = bury(storage.as_ref(), id).await;
    storage.save(&[lease], &[CharacterRow { version: 9, ..row }]).await.expect("saved");
    let task = |task| Task::DeadLetters(task);
    let list = done(&config, task(DeadLetters::List), "").await.expect("a list");
    assert!(list.contains("overtaken"), "{list}");
    let error = done(&config, task(DeadLetters::Retry(id)), "").await.expect_err("it cannot be stored");
    assert!(error.contains("the database has version 9, which is newer than version 3"), "{error}");
    assert_eq!(storage.dead_letters().await.expect("letters")[0].verdict, None);
    done(&config, task(DeadLetters::Discard(id)), "").await.expect("a decision");
    assert_eq!(storage.dead_letters().await.expect("letters")[0].verdict, Some(Verdict::Discard));
}

async fn bury(storage: &dyn Storage, id: CharacterId) -> (Lease, CharacterRow) {
    let leases = storage.take_over("test").await.expect("leases");
    assert_eq!(leases.len(), usize::from(SHARDS));
    let row = CharacterRow {
        id,
        user: UserId::from_uuid(Uuid::from_u128(8)),
        shard: ShardId::new(0),
        name: "Brannor".to_owned(),
        version: 3,
        recoveries: 0,
        schema_version: 1,
        state: r#"{"name":"Brannor"}"#.to_owned(),
        request_ids: vec![1, 2],
        created_at_ms: 0,
        updated_at_ms: 0,
        deleted_at_ms: None,
    };
    let error = "the name is too long\nsecond line".to_owned();
    let letter = DeadLetter {
        row,
        epoch: leases[0].epoch,
        error,
        attempts: 5,
        failed_at_ms: 1_000,
        verdict: None,
        stored: None,
    };
    storage.add_dead_letter(leases[0], &letter).await.expect("a dead letter");
    (leases[0], letter.row)
}

#[tokio::test]
async fn an_account_is_listed_changed_and_deleted() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder);
    done(&config, account("Ada", Role::Player, true), "open sesame").await.expect("an account");
    done(&config, account("bob", Role::Player, true), "open sesame").await.expect("an account");
    let said = async |task, input| done(&config, task, input).await.expect("it is done");
    let list = said(Task::Account(Account::List), "").await;
    assert!(list.contains("Ada") && list.contains("bob") && list.contains("2 in total"), "{list}");
    let shown = said(one("ADA", AccountVerb::Show), "").await;
    let user = shown.lines().find_map(|line| line.strip_prefix("user      ")).expect("a user").to_owned();
    assert!(shown.contains("role      player") && shown.contains("disabled  no"), "{shown}");
    assert_eq!(said(one(&user, AccountVerb::Show), "").await, shown, "by the user's id, too");

    said(one("ada", AccountVerb::Role(Role::Game)), "").await;
    assert_eq!(role_of(&config, "ada", "open sesame").await, Some(Role::Game));
    let changed = said(one("ada", AccountVerb::Password { from_stdin: true }), "shut sesame\n").await;
    assert!(changed.contains("1 sessions") && !changed.contains("sesame"), "{changed}");
    assert_eq!(role_of(&config, "ada", "open sesame").await, None);
    assert_eq!(role_of(&config, "ada", "shut sesame").await, Some(Role::Game));
    let generated = said(one("ada", AccountVerb::Password { from_stdin: false }), "").await;
    let password = generated.lines().find_map(|line| line.strip_prefix("password: ")).expect("a password");
    assert_eq!(role_of(&config, "ada", password).await, Some(Role::Game));
    let short = done(&config, one("ada", AccountVerb::Password { from_stdin: true }), "short").await;
    assert!(short.expect_err("too short").contains("8 characters"));

    said(one("ada", AccountVerb::Disable), "").await;
    assert_eq!(role_of(&config, "ada", password).await, None);
    assert!(said(one("ada", AccountVerb::Show), "").await.contains("disabled  2"));
    said(one("ada", AccountVerb::Enable), "").await;
    assert_eq!(role_of(&config, "ada", password).await, Some(Role::Game));

    said(one("ada", AccountVerb::Delete), "").await;
    assert_eq!(role_of(&config, "ada", password).await, None);
    let gone = done(&config, one("ada", AccountVerb::Show), "").await.expect_err("no account");
    assert!(gone.contains("no account ada"), "{gone}");
    said(account("ada", Role::Player, false), "").await;
}

#[tokio::test]
async fn the_sessions_of_an_account_are_listed_and_ended() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config(&folder);
    for name in ["ada", "bob"] {
        done(&config, account(name, Role::Player, true), "open sesame").await.expect("an account");
        for _ in 0..3 {
            role_of(&config, name, "open sesame").await.expect("a session");
        }
    }
    let said = async |verb| done(&config, one("ada", verb), "").await.expect("it is done");
    let list = said(AccountVerb::Sessions).await;
    assert!(list.contains("from 127.0.0.1") && list.contains("3 in total"), "{list}");
    let first = list.split_whitespace().next().expect("an id").parse().expect("an id");
    assert!(said(AccountVerb::Revoke(Some(first))).await.contains("1 sessions"));
    let foreign = done(&config, one("bob", AccountVerb::Revoke(Some(first))), "").await;
    assert!(foreign.expect_err("ada's").contains("has no session"));
    assert!(said(AccountVerb::Sessions).await.contains("2 in total"));
    assert!(said(AccountVerb::Revoke(None)).await.contains("2 sessions"));
    assert!(said(AccountVerb::Sessions).await.contains("0 in total"));
    let other = done(&config, one("bob", AccountVerb::Sessions), "").await.expect("it is done");
    assert!(other.contains("3 in total"), "{other}");
}
