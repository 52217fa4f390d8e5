//! Accounts, sessions, keys and the audit.

use std::collections::HashSet;

use castellan::storage::{
    AccountChange, AccountRow, AuditRow, CharacterRow, KeyRow, SessionRow, Storage, StorageError,
};
use castellan_srd::wire::UserId;

use super::rows::{character, later, session, take_over, time_ms, user};
use crate::harness::Database;

pub(super) fn account(username: &str) -> AccountRow {
    AccountRow {
        user: user(),
        username: username.to_owned(),
        folded: username.to_lowercase(),
        password_hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned(),
        role: "player".to_owned(),
        created_at_ms: time_ms(),
        disabled_at_ms: None,
        guest_seen_at_ms: None,
    }
}

pub(super) async fn a_folded_name_is_taken_once(database: &Database) {
    let storage = &database.storage;
    storage.create_account(&account("Ärwen")).await.expect("the first one");
    for name in ["Ärwen", "ärwen", "ÄRWEN"] {
        let outcome = storage.create_account(&account(name)).await;
        assert!(matches!(outcome, Err(StorageError::AlreadyExists)), "{name}: {outcome:?}");
    }
    storage.create_account(&account("Arwen")).await.expect("another name");
}

pub(super) async fn an_account_is_found_by_name_and_by_user(database: &Database) {
    let storage = &database.storage;
    let arwen = account("Ärwen");
    storage.create_account(&arwen).await.expect("an account");
    assert_eq!(storage.account("ärwen").await.expect("an answer"), Some(arwen.clone()));
    assert_eq!(storage.account_of(arwen.user).await.expect("an answer"), Some(arwen));
    assert_eq!(storage.account("elrond").await.expect("an answer"), None);
    assert_eq!(storage.account_of(user()).await.expect("an answer"), None);
}

pub(super) async fn making_an_account_may_be_repeated(database: &Database) {
    let arwen = account("arwen");
    database.storage.create_account(&arwen).await.expect("an account");
    database.storage.create_account(&arwen).await.expect("the same again, as after a lost answer");
}

pub(super) async fn a_strange_name_is_nobodys(database: &Database) {
    for name in ["", "\0", "a\0b", "' OR 1=1 --", "\u{202e}", &"x".repeat(100_000)] {
        assert_eq!(database.storage.account(name).await.expect("an answer"), None);
    }
}

pub(super) async fn a_password_hash_is_replaced_only_by_who_knows_it(database: &Database) {
    let storage = &database.storage;
    let arwen = account("arwen");
    storage.create_account(&arwen).await.expect("an account");
    for (user, old, new, done) in [
        (arwen.user, "another", "new", false),
        (user(), arwen.password_hash.as_str(), "new", false),
        (arwen.user, &arwen.password_hash, "new", true),
        (arwen.user, &arwen.password_hash, "newer", false),
    ] {
        assert_eq!(storage.replace_password_hash(user, old, new).await.expect("an answer"), done, "{old} to {new}");
    }
    let found = storage.account_of(arwen.user).await.expect("an answer").expect("an account");
    assert_eq!(found, AccountRow { password_hash: "new".to_owned(), ..arwen });
}

pub(super) async fn some_account_s_hash_is_found_from_every_user_on(database: &Database) {
    let storage = &database.storage;
    let mut accounts: Vec<_> = ["arwen", "bilbo", "celeborn"].map(account).into();
    accounts.sort_by_key(|account| account.user);
    assert_eq!(storage.some_password_hash(user()).await.expect("an answer"), None, "nobody's");
    for (number, account) in accounts.iter_mut().enumerate() {
        account.password_hash = number.to_string();
        storage.create_account(account).await.expect("an account");
    }
    let after = |user: UserId| UserId::from_uuid(uuid::Uuid::from_u128(user.uuid().as_u128() + 1));
    for (number, AccountRow { user, .. }) in accounts.iter().enumerate() {
        let (same, next) = (number.to_string(), ((number + 1) % 3).to_string());
        assert_eq!(storage.some_password_hash(*user).await.expect("an answer"), Some(same));
        assert_eq!(storage.some_password_hash(after(*user)).await.expect("an answer"), Some(next));
    }
}

pub(super) async fn a_change_of_an_account_ends_its_sessions(database: &Database) {
    let storage = &database.storage;
    let now = time_ms();
    let foreign = login();
    store(&**storage, &foreign).await;
    for (change, ends, lets_in) in [
        (AccountChange::Role("game".to_owned()), true, true),
        (AccountChange::Role("player".to_owned()), false, true),
        (AccountChange::Disable, true, false),
        (AccountChange::Enable, false, true),
        (AccountChange::Delete, true, false),
    ] {
        let row = login();
        store(&**storage, &row).await;
        assert!(storage.change_account(row.user, &change, now).await.expect("an answer"), "{change:?}");
        let found = storage.session(row.id).await.expect("an answer").expect("the session");
        assert_eq!(found.revoked_at_ms.is_some(), ends, "{change:?}");
        // Triggers use the machine's clock.
        let revoked = storage.revoked_sessions(now - 60_000).await.expect("an answer");
        assert_eq!(revoked.contains(&(row.id, row.user)), ends, "{change:?}");
        let next = SessionRow { user: row.user, ..login() };
        let hash = account("").password_hash;
        assert_eq!(storage.create_session(&next, &hash).await.expect("an answer"), lets_in, "{change:?}");
        let found = storage.account_of(row.user).await.expect("an answer");
        match &change {
            AccountChange::Role(role) => assert_eq!(found.map(|account| account.role).as_ref(), Some(role)),
            AccountChange::Disable => assert_eq!(found.map(|account| account.disabled_at_ms), Some(Some(now))),
            AccountChange::Enable => assert_eq!(found.map(|account| account.disabled_at_ms), Some(None)),
            AccountChange::Delete => assert_eq!(found, None),
        }
    }
    assert!(!storage.change_account(user(), &AccountChange::Delete, now).await.expect("an answer"), "nobody's");
    let found = storage.session(foreign.id).await.expect("an answer").expect("the session");
    assert_eq!(found.revoked_at_ms, None);
}

/// A login that has found the account must not begin a session after the account is disabled.
pub(super) async fn no_session_slips_past_the_end_of_an_account(database: &Database) {
    let other = database.open().await;
    for number in 0..20 {
        let row = login();
        let hash = account("").password_hash;
        store(&*database.storage, &row).await;
        let late = SessionRow { user: row.user, ..login() };
        let change = if number % 2 == 0 { AccountChange::Disable } else { AccountChange::Delete };
        let (began, changed) = tokio::join!(
            database.storage.create_session(&late, &hash),
            other.change_account(row.user, &change, row.rotated_at_ms),
        );
        assert!(changed.expect("an answer"));
        let found = database.storage.session(late.id).await.expect("an answer");
        assert_eq!(found.is_some(), began.expect("an answer"), "{number}");
        assert!(found.is_none_or(|row| row.revoked_at_ms.is_some()), "{number}: a session that began has ended");
    }
}

pub(super) async fn a_departed_user_is_forgotten_when_the_characters_are_deleted(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[0];
    let hero = character(user(), lease.shard);
    // The years 2001 and 2096: triggers use the database's clock.
    let (long_ago, far) = (1_000_000_000_000, 4_000_000_000_000);
    let owner = AccountRow { user: hero.user, ..account("arwen") };
    storage.create_account(&owner).await.expect("an account");
    storage.save(&[lease], std::slice::from_ref(&hero)).await.expect("saved");
    assert_eq!(storage.departed_users(far, 10).await.expect("an answer"), []);
    storage.change_account(hero.user, &AccountChange::Delete, time_ms()).await.expect("deleted");
    assert_eq!(storage.departed_users(far, 10).await.expect("an answer"), [hero.user]);
    assert_eq!(storage.departed_users(long_ago, 10).await.expect("an answer"), [], "not before that");
    assert!(!storage.forget_departed(hero.user).await.expect("an answer"), "a character lives");
    let deleted = CharacterRow { deleted_at_ms: Some(time_ms()), ..later(&hero, 1) };
    storage.save(&[lease], &[deleted]).await.expect("saved");
    assert!(storage.forget_departed(hero.user).await.expect("an answer"));
    assert!(!storage.forget_departed(hero.user).await.expect("an answer"), "forgotten");
    assert_eq!(storage.departed_users(far, 10).await.expect("an answer"), []);
}

pub(super) async fn accounts_are_listed_by_their_folded_names(database: &Database) {
    let storage = &database.storage;
    for name in ["Zoe", "Ärwen", "arwen", "a-b", "a_b"] {
        storage.create_account(&account(name)).await.expect("an account");
    }
    let list = async |after: &str, max| {
        let found = storage.accounts(after, max).await.expect("an answer");
        found.into_iter().map(|account| account.username).collect::<Vec<_>>()
    };
    assert_eq!(list("", 10).await, ["a-b", "a_b", "arwen", "Zoe", "Ärwen"], "by bytes, on every database");
    assert_eq!(list("a_b", 2).await, ["arwen", "Zoe"]);
    assert_eq!(list("ärwen", 10).await, Vec::<String>::new());
}

pub(super) async fn all_sessions_of_a_user_are_revoked(database: &Database) {
    let storage = &database.storage;
    let (row, foreign) = (login(), login());
    let ended = SessionRow { user: row.user, revoked_at_ms: Some(7), ..login() };
    for row in [&row, &foreign, &ended] {
        store(&**storage, row).await;
    }
    assert_eq!(storage.revoke_sessions_of(row.user, 9).await.expect("an answer"), 1);
    for (row, expected) in [(&row, Some(9)), (&ended, Some(7)), (&foreign, None)] {
        let found = storage.session(row.id).await.expect("an answer").expect("the session");
        assert_eq!(found.revoked_at_ms, expected);
    }
}

/// A session without an account, for [`store`].
pub(super) fn login() -> SessionRow {
    let now = time_ms();
    SessionRow {
        id: session(),
        user: user(),
        generation: 0,
        started_at_ms: Some(now),
        rotated_at_ms: now,
        expires_at_ms: now + 86_400_000,
        revoked_at_ms: None,
        network: Some("192.0.2.1".to_owned()),
    }
}

/// Stores a session, and its user's account if there is none.
pub(super) async fn store(storage: &dyn Storage, session: &SessionRow) {
    let account = AccountRow { user: session.user, ..account(&session.user.to_string()) };
    storage.create_account(&account).await.expect("an account");
    assert!(storage.create_session(session, &account.password_hash).await.expect("an answer"));
}

pub(super) async fn a_session_needs_an_account_with_the_same_password(database: &Database) {
    let storage = &database.storage;
    let row = login();
    let hash = account("").password_hash;
    assert!(!storage.create_session(&row, &hash).await.expect("an answer"), "no account");
    let arwen = AccountRow { user: row.user, ..account("arwen") };
    storage.create_account(&arwen).await.expect("an account");
    assert!(!storage.create_session(&row, "another").await.expect("an answer"), "another password");
    assert_eq!(storage.session(row.id).await.expect("an answer"), None);
    assert!(storage.create_session(&row, &hash).await.expect("an answer"));
}

pub(super) async fn a_new_password_ends_all_sessions_but_one(database: &Database) {
    let storage = &database.storage;
    let kept = login();
    let others = [SessionRow { user: kept.user, ..login() }, SessionRow { user: kept.user, ..login() }];
    let foreign = login();
    for row in [&kept, &others[0], &others[1], &foreign] {
        store(&**storage, row).await;
    }
    let at = kept.rotated_at_ms + 5;
    let ended = storage.change_password(kept.user, "new", Some(kept.id), at).await.expect("an answer");
    assert_eq!(ended.map(HashSet::from_iter), Some(others.each_ref().map(|row| row.id).into()));
    let found = storage.account_of(kept.user).await.expect("an answer").expect("an account");
    assert_eq!(found.password_hash, "new");
    for (row, revoked_at_ms) in [(&kept, None), (&others[0], Some(at)), (&others[1], Some(at)), (&foreign, None)] {
        let found = storage.session(row.id).await.expect("an answer").expect("the session");
        assert_eq!(found.revoked_at_ms, revoked_at_ms);
    }
    let ended = storage.change_password(kept.user, "newer", None, at).await.expect("an answer");
    assert_eq!(ended, Some(vec![kept.id]));
    assert_eq!(storage.change_password(user(), "new", None, at).await.expect("an answer"), None, "nobody's");
}

/// A login that has compared the old password must not begin a session after the change.
pub(super) async fn no_session_slips_past_a_new_password(database: &Database) {
    let other = database.open().await;
    for number in 0..20 {
        let row = login();
        let hash = account("").password_hash;
        store(&*database.storage, &row).await;
        let late = SessionRow { user: row.user, ..login() };
        let (began, ended) = tokio::join!(
            database.storage.create_session(&late, &hash),
            other.change_password(row.user, "new", Some(row.id), row.rotated_at_ms),
        );
        let (began, ended) = (began.expect("an answer"), ended.expect("an answer").expect("an account"));
        assert_eq!(ended.contains(&late.id), began, "{number}: a session that began has ended");
    }
}

pub(super) async fn a_user_s_living_sessions_are_listed(database: &Database) {
    let storage = &database.storage;
    let first = login();
    let at = first.rotated_at_ms;
    let later = |ms| SessionRow { user: first.user, rotated_at_ms: at + ms, ..login() };
    let (second, third) = (later(1), later(2));
    let expired = SessionRow { expires_at_ms: at, ..later(3) };
    let ended = later(4);
    for row in [&first, &third, &second, &expired, &ended, &login()] {
        store(&**storage, row).await;
    }
    storage.revoke_session(ended.id, at).await.expect("revoked");
    let listed = async |max| storage.sessions_of(first.user, at, max).await.expect("an answer");
    assert_eq!(listed(10).await, [third.clone(), second.clone(), first.clone()]);
    assert_eq!(listed(2).await, [third, second]);
    assert_eq!(storage.sessions_of(user(), at, 10).await.expect("an answer"), []);
}

pub(super) async fn a_user_is_known_where_a_session_began(database: &Database) {
    let storage = &database.storage;
    let row = login();
    let older = SessionRow { network: None, ..login() };
    for row in [&row, &older] {
        store(&**storage, row).await;
    }
    storage.revoke_session(row.id, row.rotated_at_ms).await.expect("revoked");
    for (user, network, is_known) in
        [(row.user, "192.0.2.1", true), (row.user, "192.0.2.2", false), (older.user, "192.0.2.1", false)]
    {
        assert_eq!(storage.has_logged_in_from(user, network).await.expect("an answer"), is_known, "{network}");
    }
    storage.forget_sessions(&[row.id]).await.expect("forgotten");
    assert!(!storage.has_logged_in_from(row.user, "192.0.2.1").await.expect("an answer"));
}

pub(super) async fn a_session_is_kept(database: &Database) {
    let row = login();
    store(&*database.storage, &row).await;
    store(&*database.storage, &row).await;
    assert_eq!(database.open().await.session(row.id).await.expect("an answer"), Some(row));
    assert_eq!(database.storage.session(session()).await.expect("an answer"), None);
}

pub(super) async fn of_two_rotations_one_wins(database: &Database) {
    let row = login();
    store(&*database.storage, &row).await;
    let other = database.open().await;
    for generation in 0..20 {
        let at = row.rotated_at_ms + generation;
        let (one, two) = tokio::join!(
            database.storage.rotate_session(row.id, generation, at, at + 1_000),
            other.rotate_session(row.id, generation, at, at + 1_000),
        );
        assert_eq!([one.expect("an answer"), two.expect("an answer")].iter().filter(|won| **won).count(), 1);
        let now = other.session(row.id).await.expect("an answer").expect("the session");
        assert_eq!((now.generation, now.rotated_at_ms, now.expires_at_ms), (generation + 1, at, at + 1_000));
    }
}

pub(super) async fn a_revoked_session_stays_dead(database: &Database) {
    let storage = &database.storage;
    let (row, living) = (login(), login());
    store(&**storage, &row).await;
    store(&**storage, &living).await;
    storage.revoke_session(row.id, row.rotated_at_ms + 5).await.expect("revoked");
    storage.revoke_session(row.id, row.rotated_at_ms + 9).await.expect("revoked again");
    storage.revoke_session(session(), row.rotated_at_ms).await.expect("nobody's session");

    let found = storage.session(row.id).await.expect("an answer").expect("the session");
    assert_eq!(found.revoked_at_ms, Some(row.rotated_at_ms + 5), "the first time counts");
    assert!(!storage.rotate_session(row.id, 0, row.rotated_at_ms, row.expires_at_ms).await.expect("an answer"));
    assert_eq!(storage.revoked_sessions(row.rotated_at_ms + 5).await.expect("an answer"), [(row.id, row.user)]);
    assert_eq!(storage.revoked_sessions(row.rotated_at_ms + 6).await.expect("an answer"), []);
}

pub(super) async fn the_sessions_of_a_user_that_were_refreshed_last_live_on(database: &Database) {
    let storage = &database.storage;
    let newest = login();
    let of_the_user = |age_ms: i64| {
        let rotated_at_ms = newest.rotated_at_ms - age_ms;
        SessionRow { id: session(), rotated_at_ms, ..newest.clone() }
    };
    let [expired, revoked] = [of_the_user(9_000), of_the_user(0)];
    let expired = SessionRow { expires_at_ms: newest.rotated_at_ms, ..expired };
    let others = [3_000, 1_000, 2_000, 4_000].map(of_the_user);
    let foreign = SessionRow { user: user(), ..of_the_user(9_000) };
    for row in [&newest, &expired, &revoked, &foreign].into_iter().chain(&others) {
        store(storage.as_ref(), row).await;
    }
    let now_ms = newest.rotated_at_ms;
    storage.revoke_session(revoked.id, now_ms).await.expect("revoked");
    let ended = storage.revoke_oldest_sessions(&newest, 2, now_ms + 1).await.expect("an answer");
    assert_eq!(ended.iter().collect::<HashSet<_>>(), [&others[0].id, &others[3].id].into());
    let found = storage.session(others[0].id).await.expect("an answer").expect("the session");
    assert_eq!(found.revoked_at_ms, Some(now_ms + 1));
    assert_eq!(storage.revoke_oldest_sessions(&newest, 2, now_ms + 1).await.expect("an answer"), []);
    let ended = storage.revoke_oldest_sessions(&newest, 0, now_ms + 1).await.expect("an answer");
    assert_eq!(ended.iter().collect::<HashSet<_>>(), [&others[1].id, &others[2].id].into());
    assert_eq!(storage.session(newest.id).await.expect("an answer"), Some(newest));
    assert_eq!(storage.session(foreign.id).await.expect("an answer"), Some(foreign));
}

pub(super) async fn sessions_that_are_over_are_found_and_forgotten(database: &Database) {
    let storage = &database.storage;
    let rows: Vec<_> = (1..=5).map(|day| SessionRow { expires_at_ms: day, ..login() }).collect();
    for row in &rows {
        store(&**storage, row).await;
    }
    let expired = |before_ms, max| async move {
        storage.expired_sessions(before_ms, max).await.expect("an answer").into_iter().collect::<HashSet<_>>()
    };
    assert_eq!(expired(1, 10).await, HashSet::new());
    assert_eq!(expired(4, 10).await, rows[..3].iter().map(|row| row.id).collect());
    assert_eq!(expired(4, 2).await.len(), 2);

    storage.revoke_session(rows[4].id, 3).await.expect("revoked");
    assert!(expired(4, 10).await.contains(&rows[4].id), "it ended although it has not expired");
    assert!(!expired(3, 10).await.contains(&rows[4].id));
    storage.forget_sessions(&[rows[4].id]).await.expect("forgotten");

    storage.forget_sessions(&[rows[0].id, rows[1].id, session()]).await.expect("forgotten");
    storage.forget_sessions(&[]).await.expect("nothing to do");
    assert_eq!(storage.session(rows[0].id).await.expect("an answer"), None);
    assert_eq!(expired(6, 10).await, rows[2..4].iter().map(|row| row.id).collect(), "no others");
}

fn key(purpose: &str, secret: &[u8]) -> KeyRow {
    let created_at_ms = time_ms();
    let id = format!("{purpose}-{created_at_ms}");
    KeyRow { id, purpose: purpose.to_owned(), secret: secret.to_owned(), created_at_ms }
}

pub(super) async fn of_two_changes_of_the_keys_one_wins(database: &Database) {
    let other = database.open().await;
    let mut before = Vec::new();
    for purpose in ["dice", "refresh", "es256", "es256", "a", "b", "c"] {
        let with = |key: KeyRow| [&before[..], &[key]].concat();
        let (one, two) = (with(key(purpose, &[0, 255, 7])), with(key(purpose, &[1])));
        let (first, second) =
            tokio::join!(database.storage.replace_keys(&before, &one), other.replace_keys(&before, &two));
        let (first, second) = (first.expect("an answer"), second.expect("an answer"));
        assert_ne!(first, second, "one wins");
        let keys = database.storage.keys().await.expect("an answer");
        assert_eq!(keys, if first { one } else { two });
        assert_eq!(other.keys().await.expect("an answer"), keys);
        before = keys;
    }
    assert!(before.is_sorted_by_key(|key| key.created_at_ms));
}

pub(super) async fn keys_are_replaced_only_by_somebody_who_knows_them(database: &Database) {
    let storage = &database.storage;
    let rows = vec![key("dice", &[1]), key("es256", &[2]), key("es256", &[3])];
    assert!(storage.replace_keys(&[], &rows).await.expect("an answer"));
    let changed = |at: usize, change: fn(&mut KeyRow)| {
        let mut rows = rows.clone();
        change(&mut rows[at]);
        rows
    };
    let strange = [
        vec![],
        rows[..2].to_vec(),
        rows[1..].to_vec(),
        [&rows[..], &[key("es256", &[4])]].concat(),
        changed(0, |key| key.secret = vec![9]),
        changed(1, |key| key.id.push('x')),
        changed(1, |key| key.purpose.push('x')),
        changed(2, |key| key.created_at_ms += 1),
    ];
    for before in strange {
        assert!(!storage.replace_keys(&before, &[]).await.expect("an answer"), "{before:?}");
        assert_eq!(storage.keys().await.expect("an answer"), rows);
    }
    let other = changed(2, |key| key.secret = vec![0; 1_000]);
    assert!(storage.replace_keys(&rows, &other).await.expect("an answer"));
    assert_eq!(storage.keys().await.expect("an answer"), other);
    assert!(storage.replace_keys(&other, &rows[..1]).await.expect("an answer"));
    assert_eq!(storage.keys().await.expect("an answer"), rows[..1]);
}

pub(super) async fn audit_rows_are_added_once_and_forgotten_oldest_first(database: &Database) {
    let storage = &database.storage;
    let rows: Vec<_> = (0..5)
        .map(|number: u8| AuditRow {
            id: uuid::Uuid::new_v4(),
            at_ms: time_ms(),
            actor: user().to_string(),
            address: (number > 0).then(|| "2001:db8::1".to_owned()),
            target: "file \u{fffd}'\"".to_owned(),
            action: "login".to_owned(),
            outcome: "done".to_owned(),
        })
        .collect();
    storage.add_audit(&rows[..3]).await.expect("added");
    storage.add_audit(&rows).await.expect("those that are there stay");
    storage.add_audit(&[]).await.expect("nothing to do");
    let newest: Vec<_> = rows.iter().rev().cloned().collect();
    assert_eq!(storage.audit(10).await.expect("rows"), newest);
    assert_eq!(storage.audit(2).await.expect("rows"), newest[..2]);
    assert_eq!(storage.forget_audit(rows[0].at_ms, 10).await.expect("an answer"), 0);
    assert_eq!(storage.forget_audit(rows[3].at_ms, 2).await.expect("an answer"), 2);
    assert_eq!(storage.audit(10).await.expect("rows"), newest[..3]);
    assert_eq!(storage.forget_audit(rows[3].at_ms, 2).await.expect("an answer"), 1);
    assert_eq!(storage.forget_audit(rows[3].at_ms, 2).await.expect("an answer"), 0);
    assert_eq!(storage.audit(10).await.expect("rows"), newest[..2]);
}
