//! Guests: claimed once, or purged when nobody uses them.

use castellan::storage::{AccountRow, CharacterRow, Claim, SessionRow, Storage, StorageError};
use castellan_srd::wire::UserId;

use super::accounts::{account, login};
use super::rows::{character, later, session, take_over, time_ms, user};
use crate::harness::Database;

const DAY_MS: i64 = 86_400_000;

/// A guest who was seen last at this time.
async fn guest(storage: &dyn Storage, seen_at_ms: i64) -> UserId {
    let user = user();
    let row = AccountRow { user, guest_seen_at_ms: Some(seen_at_ms), ..account(&format!("guest-{user}")) };
    storage.create_account(&row).await.expect("a guest");
    assert_eq!(storage.account_of(user).await.expect("an answer"), Some(row));
    user
}

fn claim(name: &str) -> Claim {
    Claim { username: name.to_owned(), folded: name.to_lowercase(), password_hash: "new".to_owned() }
}

/// A session of a user, begun at this time.
async fn play(storage: &dyn Storage, user: UserId, at_ms: i64) -> SessionRow {
    let times = SessionRow { started_at_ms: Some(at_ms), rotated_at_ms: at_ms, ..login() };
    let row = SessionRow { user, expires_at_ms: at_ms + 30 * DAY_MS, ..times };
    let hash = storage.account_of(user).await.expect("an answer").expect("an account").password_hash;
    assert!(storage.create_session(&row, &hash).await.expect("an answer"));
    row
}

pub(super) async fn a_guest_is_claimed_once(database: &Database) {
    let storage = &database.storage;
    let user = guest(&**storage, time_ms()).await;
    let claimed = storage.claim_account(user, &claim("Arwen"), session(), time_ms()).await.expect("an answer");
    assert_eq!(claimed, Some(Vec::new()));
    let found = storage.account("arwen").await.expect("an answer").expect("an account");
    assert_eq!(
        (found.user, found.username.as_str(), found.password_hash.as_str(), found.guest_seen_at_ms),
        (user, "Arwen", "new", None)
    );
    assert_eq!(storage.account(&format!("guest-{user}")).await.expect("an answer"), None, "the old name is free");
    let again = storage.claim_account(user, &claim("Bilbo"), session(), time_ms()).await.expect("an answer");
    assert_eq!(again, None);
    assert_eq!(storage.account_of(user).await.expect("an answer"), Some(found), "nothing has changed");
    let ordinary = account("celeborn");
    storage.create_account(&ordinary).await.expect("an account");
    for user in [ordinary.user, super::rows::user()] {
        let refused = storage.claim_account(user, &claim("Dora"), session(), time_ms()).await.expect("an answer");
        assert_eq!(refused, None, "no guest");
    }
}

pub(super) async fn a_taken_name_cannot_be_claimed(database: &Database) {
    let storage = &database.storage;
    storage.create_account(&account("Arwen")).await.expect("an account");
    let user = guest(&**storage, time_ms()).await;
    let own = play(&**storage, user, time_ms()).await;
    let other = play(&**storage, user, time_ms()).await;
    let outcome = storage.claim_account(user, &claim("ARWEN"), own.id, time_ms()).await;
    assert!(matches!(outcome, Err(StorageError::AlreadyExists)), "{outcome:?}");
    let found = storage.account_of(user).await.expect("an answer").expect("an account");
    assert!(found.guest_seen_at_ms.is_some());
    let other = storage.session(other.id).await.expect("an answer").expect("the session");
    assert_eq!(other.revoked_at_ms, None, "nothing has ended");
}

pub(super) async fn a_claim_ends_all_sessions_but_one(database: &Database) {
    let storage = &database.storage;
    let user = guest(&**storage, time_ms()).await;
    let stranger = guest(&**storage, time_ms()).await;
    let [own, other, foreign] = [user, user, stranger].map(|user| play(&**storage, user, time_ms()));
    let (own, other, foreign) = (own.await, other.await, foreign.await);
    let ended = storage.claim_account(user, &claim("arwen"), own.id, 7).await.expect("an answer");
    assert_eq!(ended, Some(vec![other.id]));
    for (row, expected) in [(own, None), (other, Some(7)), (foreign, None)] {
        let found = storage.session(row.id).await.expect("an answer").expect("the session");
        assert_eq!(found.revoked_at_ms, expected);
    }
}

pub(super) async fn of_two_claims_one_wins(database: &Database) {
    let other = database.open().await;
    for number in 0..20 {
        let user = guest(&*database.storage, time_ms()).await;
        let [arwen, bilbo] = ["arwen", "bilbo"].map(|name| claim(&format!("{name}-{number}")));
        let (one, two) = tokio::join!(
            database.storage.claim_account(user, &arwen, session(), 7),
            other.claim_account(user, &bilbo, session(), 7),
        );
        let won = [one, two].map(|outcome| outcome.expect("an answer").is_some());
        assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");
        let name = database.storage.account_of(user).await.expect("an answer").expect("an account").folded;
        assert_eq!(name, if won[0] { arwen.folded } else { bilbo.folded });
    }
}

pub(super) async fn guests_who_never_came_back_are_purged(database: &Database) {
    let storage = &database.storage;
    let lease = take_over(&**storage).await[0];
    let now = time_ms();
    let idle = guest(&**storage, now - 31 * DAY_MS).await;
    let fresh = guest(&**storage, now - 29 * DAY_MS).await;
    let ordinary = AccountRow { created_at_ms: now - 400 * DAY_MS, ..account("arwen") };
    storage.create_account(&ordinary).await.expect("an account");
    let [player, lapsed, retired] = [31, 366, 31].map(|days| guest(&**storage, now - days * DAY_MS));
    let (player, lapsed, retired) = (player.await, lapsed.await, retired.await);
    let heroes = [player, lapsed, retired].map(|user| character(user, lease.shard));
    storage.save(&[lease], &heroes).await.expect("saved");
    let deleted = CharacterRow { deleted_at_ms: Some(now), ..later(&heroes[2], 1) };
    storage.save(&[lease], &[deleted]).await.expect("saved");

    let purge = async |max| {
        let mut users = storage.purge_guests(now - 30 * DAY_MS, now - 365 * DAY_MS, max).await.expect("an answer");
        users.sort();
        users
    };
    assert_eq!(purge(1).await.len(), 1, "in steps");
    assert_eq!(purge(1).await.len(), 1);
    assert_eq!(purge(10).await.len(), 1);
    assert_eq!(purge(10).await, []);
    for user in [idle, lapsed, retired] {
        assert_eq!(storage.account_of(user).await.expect("an answer"), None);
    }
    for user in [fresh, player, ordinary.user] {
        assert!(storage.account_of(user).await.expect("an answer").is_some());
    }
    let mut departed = storage.departed_users(4_000_000_000_000, 10).await.expect("an answer");
    departed.sort();
    let mut expected = [idle, lapsed, retired];
    expected.sort();
    assert_eq!(departed, expected, "a server deletes the characters");
}

pub(super) async fn a_guest_who_plays_on_is_kept(database: &Database) {
    let storage = &database.storage;
    let now = time_ms();
    let user = guest(&**storage, now - 100 * DAY_MS).await;
    let mut session = play(&**storage, user, now - 60 * DAY_MS).await;
    let purge = async || storage.purge_guests(now - 30 * DAY_MS, now - 365 * DAY_MS, 10).await.expect("an answer");
    // A refresh, 20 days ago.
    let (rotated_at, expires_at) = (now - 20 * DAY_MS, now + 10 * DAY_MS);
    assert!(storage.rotate_session(session.id, 0, rotated_at, expires_at).await.expect("an answer"));
    assert_eq!(purge().await, [], "a session says so");
    storage.revoke_session(session.id, rotated_at).await.expect("a logout");
    assert_eq!(purge().await, []);
    storage.forget_sessions(&[session.id]).await.expect("forgotten");
    assert_eq!(purge().await, [], "remembered without the session");
    let seen = storage.account_of(user).await.expect("an answer").expect("an account").guest_seen_at_ms;
    assert_eq!(seen, Some(rotated_at));
    session = play(&**storage, user, now - 90 * DAY_MS).await;
    storage.forget_sessions(&[session.id]).await.expect("forgotten");
    let seen = storage.account_of(user).await.expect("an answer").expect("an account").guest_seen_at_ms;
    assert_eq!(seen, Some(rotated_at), "never earlier");
    let later = storage.purge_guests(now - 19 * DAY_MS, now - 365 * DAY_MS, 10).await.expect("an answer");
    assert_eq!(later, [user]);
}

/// A login that has found the account must not begin a session after the purge.
pub(super) async fn no_session_slips_past_the_purge_of_a_guest(database: &Database) {
    let other = database.open().await;
    let now = time_ms();
    for number in 0..20 {
        let user = guest(&*database.storage, now - 31 * DAY_MS).await;
        let late = SessionRow { user, ..login() };
        let hash = account("").password_hash;
        let (began, purged) = tokio::join!(
            database.storage.create_session(&late, &hash),
            other.purge_guests(now - 30 * DAY_MS, now - 365 * DAY_MS, 10),
        );
        let (began, purged) = (began.expect("an answer"), purged.expect("an answer"));
        assert_ne!(began, purged.contains(&user), "{number}: either the guest came back, or the guest is gone");
        let found = database.storage.account_of(user).await.expect("an answer");
        assert_eq!(found.is_some(), began, "{number}");
    }
}
