//! The whole room over a real SQLite file, with a clock that only the test moves.

mod keys;

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::*;
use crate::clock::{Clock, system_entropy};
use crate::config::{Auth as Settings, Config, Role};
use crate::storage::{AccountChange, AccountRow, Storage, StorageOptions, connect};

thread_local! {
    static NOW_MS: Cell<i64> = const { Cell::new(0) };
}

const START_MS: i64 = 1_800_000_000_000;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct House {
    storage: Arc<dyn Storage>,
    auth: Auth,
    _folder: tempfile::TempDir,
}

fn settings() -> Settings {
    let flags = ["castellan", "--auth-argon2-memory=64KiB", "--auth-argon2-iterations=1"];
    match Config::from_args(flags.map(Into::into), &Default::default(), &[]) {
        Ok(crate::config::Command::Run(config, _)) => config.auth,
        other => panic!("{other:?}"),
    }
}

async fn another(storage: &Arc<dyn Storage>, registration_open: bool) -> Auth {
    let clock: Clock = Arc::new(|| NOW_MS.get());
    let exposure = Arc::new(Exposure::new(!registration_open));
    Auth::open(Arc::clone(storage), &settings(), exposure, clock, system_entropy()).await.expect("a room")
}

async fn house(registration_open: bool) -> House {
    NOW_MS.set(START_MS);
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}/castellan.db", folder.path().display());
    let storage = connect(&url, &StorageOptions::default()).await.expect("a database");
    storage.migrate().await.expect("tables");
    let auth = another(&storage, registration_open).await;
    House { storage, auth, _folder: folder }
}

fn later(ms: i64) {
    NOW_MS.set(NOW_MS.get() + ms);
}

fn live(session: Session) -> Option<Ticket> {
    Some(Ticket { session, standing: Standing::Live })
}

fn expired(session: Session) -> Option<Ticket> {
    Some(Ticket { session, standing: Standing::Expired })
}

fn revoked(session: Session) -> Option<Ticket> {
    Some(Ticket { session, standing: Standing::Revoked })
}

async fn login(auth: &Auth, name: &str, password: &str, create: bool) -> Result<Grant, AuthError> {
    login_from(auth, HERE, name, password, create).await
}

async fn login_from(
    auth: &Auth,
    address: IpAddr,
    name: &str,
    password: &str,
    create: bool,
) -> Result<Grant, AuthError> {
    let name = AccountName::new(name).expect("a name");
    auth.login(&name, Password::new(password).expect("a password"), create, address).await
}

/// An address from which nobody has logged in.
fn elsewhere(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, number))
}

#[tokio::test]
async fn a_registered_player_can_log_in_again_with_any_case_of_the_name() {
    let House { auth, .. } = &house(true).await;
    assert!(matches!(login(auth, "Ada", "open sesame", false).await, Err(AuthError::BadCredentials)));
    let made = login(auth, "Ada", "open sesame", true).await.expect("an account");
    let back = login(auth, "aDA", "open sesame", true).await.expect("the same account");
    assert_eq!(made.session.user, back.session.user);
    assert_ne!(made.session.id, back.session.id);
    assert!(matches!(login(auth, "Ada", "open Sesame", true).await, Err(AuthError::BadCredentials)));
    let account = auth.account_of(made.session.user).await.expect("an answer");
    assert_eq!(account.map(|account| account.username).as_deref(), Some("Ada"));
    assert_eq!(made.expires_in, 900);
    let wire = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    assert!(wire(&made.token) && wire(&made.refresh_token));
}

#[tokio::test]
async fn a_closed_server_does_not_reveal_which_names_are_taken() {
    let House { auth, .. } = &house(false).await;
    let name = AccountName::new("ada").expect("a name");
    let password = Password::new("open sesame").expect("a password");
    auth.registrar().create_account(&name, password.clone(), Role::Game).await.expect("an account");
    assert!(matches!(auth.registrar().create_account(&name, password, Role::Player).await, Err(AuthError::NameTaken)));
    assert!(matches!(login(auth, "ada", "no", true).await, Err(AuthError::RegistrationClosed)));
    assert!(matches!(login(auth, "bob", "no", true).await, Err(AuthError::RegistrationClosed)));
    assert_eq!(login(auth, "ada", "open sesame", true).await.expect("a login").session.role, Role::Game);
}

#[tokio::test]
async fn a_token_is_valid_on_every_server_of_the_database_until_it_expires() {
    let House { storage, auth, .. } = &house(true).await;
    let grant = login(auth, "ada", "open sesame", true).await.expect("a login");
    let other = another(storage, false).await;
    assert_eq!(other.verify(&grant.token), live(grant.session));
    assert_eq!(other.jwks(), auth.jwks());
    later(899_999);
    assert_eq!(auth.verify(&grant.token), live(grant.session));
    later(1);
    assert_eq!(auth.verify(&grant.token), expired(grant.session));
    assert_eq!(another(storage, false).await.verify(&grant.token), expired(grant.session));
}

#[tokio::test]
async fn a_token_with_a_foreign_signature_is_refused() {
    let House { auth, .. } = &house(true).await;
    let stranger = house(true).await;
    let grant = login(auth, "ada", "open sesame", true).await.expect("a login");
    let strange = login(&stranger.auth, "ada", "open sesame", true).await.expect("a login");
    let mut parts = grant.token.split('.').map(str::to_owned).collect::<Vec<_>>();
    parts[1] = strange.token.split('.').nth(1).expect("claims").to_owned();
    let none = "eyJhbGciOiJub25lIn0.e30.";
    let long = "x".repeat(1_000_000);
    for token in [parts.join("."), strange.token, grant.refresh_token, none.to_owned(), String::new(), long] {
        assert_eq!(auth.verify(&token), None, "{}", &token[..token.len().min(80)]);
    }
}

#[tokio::test]
async fn a_refresh_returns_new_tokens_and_its_repeat_the_same_ones() {
    let House { auth, .. } = &house(true).await;
    let first = login(auth, "ada", "open sesame", true).await.expect("a login");
    later(10);
    let second = auth.refresh(&first.refresh_token).await.expect("new tokens");
    assert_ne!(second.token, first.token);
    assert_ne!(second.refresh_token, first.refresh_token);
    assert_eq!((second.session.id, second.session.user), (first.session.id, first.session.user));
    assert_eq!(auth.verify(&first.token), live(first.session), "the old access token stays valid");
    later(30_000);
    let again = auth.refresh(&first.refresh_token).await.expect("the same tokens");
    assert_eq!((&again.token, &again.refresh_token), (&second.token, &second.refresh_token));
    let third = auth.refresh(&second.refresh_token).await.expect("the current token is still valid");
    assert_ne!(third.token, second.token);
}

#[tokio::test]
async fn an_old_refresh_token_ends_the_session() {
    let House { storage, auth, .. } = &house(true).await;
    let first = login(auth, "ada", "open sesame", true).await.expect("a login");
    let second = auth.refresh(&first.refresh_token).await.expect("new tokens");
    later(30_001);
    assert!(matches!(auth.refresh(&first.refresh_token).await, Err(AuthError::SessionRevoked)));
    assert!(matches!(auth.refresh(&second.refresh_token).await, Err(AuthError::SessionRevoked)));
    assert_eq!(auth.verify(&second.token), revoked(second.session));
    let restarted = another(storage, false).await;
    assert_eq!(restarted.verify(&second.token), revoked(second.session));
}

#[tokio::test]
async fn a_refresh_token_two_generations_old_ends_the_session_at_once() {
    let House { auth, .. } = &house(true).await;
    let first = login(auth, "ada", "open sesame", true).await.expect("a login");
    let second = auth.refresh(&first.refresh_token).await.expect("new tokens");
    auth.refresh(&second.refresh_token).await.expect("new tokens");
    assert!(matches!(auth.refresh(&first.refresh_token).await, Err(AuthError::SessionRevoked)));
}

#[tokio::test]
async fn a_session_without_a_refresh_expires() {
    let House { auth, .. } = &house(true).await;
    let grant = login(auth, "ada", "open sesame", true).await.expect("a login");
    later(30 * 86_400_000);
    assert!(matches!(auth.refresh(&grant.refresh_token).await, Err(AuthError::Unauthenticated(_))));
    assert!(matches!(auth.refresh("nonsense").await, Err(AuthError::Unauthenticated(_))));
}

#[tokio::test]
async fn a_session_that_expired_long_ago_is_deleted() {
    const DAY_MS: i64 = 86_400_000;
    let House { storage, auth, .. } = &house(true).await;
    let old = login(auth, "ada", "open sesame", true).await.expect("a login");
    later(DAY_MS);
    let new = login(auth, "ada", "open sesame", true).await.expect("a login");
    for (after_ms, [is_old, is_new]) in [(31 * DAY_MS, [true, true]), (1, [false, true]), (DAY_MS, [false, false])] {
        later(after_ms);
        auth.forget_ended(1_000).await.expect("an answer");
        for (session, is) in [(&old, is_old), (&new, is_new)] {
            let found = storage.session(session.session.id).await.expect("an answer");
            assert_eq!(found.is_some(), is, "{after_ms} ms later");
        }
    }
    assert!(matches!(auth.refresh(&old.refresh_token).await, Err(AuthError::Unauthenticated(_))));
}

#[tokio::test]
async fn an_ended_session_is_announced_here_at_once_and_on_other_servers_through_the_database() {
    let House { storage, auth, .. } = &house(true).await;
    let other = Arc::new(another(storage, false).await);
    let (mut here, mut there) = (auth.revocations(), other.revocations());
    let following = tokio::spawn({
        let other = Arc::clone(&other);
        async move { other.follow_revocations().await }
    });
    let grant = login(auth, "ada", "open sesame", true).await.expect("a login");
    auth.revoke(grant.session.id, grant.session.user).await.expect("an end");
    let ended = Some((grant.session.id, grant.session.user));
    assert_eq!(here.try_recv().ok(), ended);
    assert_eq!(there.recv().await.ok(), ended);
    assert_eq!(other.verify(&grant.token), revoked(grant.session));
    assert!(matches!(other.refresh(&grant.refresh_token).await, Err(AuthError::SessionRevoked)));
    following.abort();
}

#[tokio::test]
async fn failed_logins_make_the_next_one_wait_and_successful_ones_do_not_count() {
    let House { auth, .. } = &house(true).await;
    for number in 0..150 {
        login(auth, &format!("player-{number}"), "open sesame", true).await.expect("successful logins are not limited");
    }
    for _ in 0..10 {
        assert!(matches!(login(auth, "player-1", "no", false).await, Err(AuthError::BadCredentials)));
    }
    let refused = login(auth, "player-1", "open sesame", false).await;
    assert!(matches!(refused, Err(AuthError::TooManyAttempts { retry_after_ms: 30_000 })), "{refused:?}");
    login(auth, "player-2", "open sesame", false).await.expect("another name is not affected");
    later(30_000);
    login(auth, "player-1", "open sesame", false).await.expect("the right password works after the wait");
}

#[tokio::test]
async fn two_servers_that_start_at_once_agree_on_their_keys() {
    let House { storage, .. } = &house(true).await;
    let vault = Vault::new(Arc::clone(storage), &settings(), system_entropy()).expect("no file to read");
    let fetch = || vault.secret("dice", START_MS);
    let (one, two) = tokio::join!(fetch(), fetch());
    let one = one.expect("a secret");
    assert_eq!(one, two.expect("a secret"));
    assert_eq!(one.len(), 32);
    assert_eq!(one, fetch().await.expect("the same later"));
}

/// An account as an older version made it: of any name and password, the name only made lower case, the password
/// hashed as it was typed.
async fn older_account(storage: &Arc<dyn Storage>, username: &str, password: &str) -> castellan_protocol::UserId {
    let user = castellan_protocol::UserId::from_uuid(uuid::Uuid::new_v4());
    let argon2 = argon2::Argon2::new(
        argon2::Algorithm::Argon2id,
        argon2::Version::V0x13,
        argon2::Params::new(64, 1, 1, None).expect("parameters"),
    );
    let password_hash =
        argon2::PasswordHasher::hash_password_with_salt(&argon2, password.as_bytes(), &[7; 16]).expect("a hash");
    let account = AccountRow {
        user,
        username: username.to_owned(),
        folded: username.to_lowercase(),
        password_hash: password_hash.to_string(),
        role: "player".to_owned(),
        created_at_ms: START_MS,
        disabled_at_ms: None,
        guest_seen_at_ms: None,
    };
    storage.create_account(&account).await.expect("an account");
    user
}

#[tokio::test]
async fn accounts_of_older_versions_keep_their_names_and_passwords() {
    let House { storage, auth, .. } = &house(true).await;
    for (username, password) in [
        ("Ada Lovelace", "pw"),
        ("\u{ff21}da", "cafe\u{301}"),
        ("ΟΔΥΣΣΕΥΣ", "a\tb"),
        ("b\u{200b}ob", "\u{1f984}"),
        ("\u{430}da", "x"),
    ] {
        let user = older_account(storage, username, password).await;
        let session = login(auth, username, password, true).await.expect(username).session;
        assert_eq!(session.user, user, "{username}");
        assert!(matches!(login(auth, username, "another", false).await, Err(AuthError::BadCredentials)), "{username}");
    }
    let new = login(auth, "ada", "open sesame", true).await.expect("an account");
    let wide = login(auth, "a\u{ff44}a", "open sesame", true).await.expect("the same account");
    assert_eq!(wide.session.user, new.session.user, "wide letters are the usual ones unless an older account has them");
}

#[tokio::test]
async fn a_password_is_the_same_however_its_letters_are_composed() {
    let House { auth, .. } = &house(true).await;
    login(auth, "ada", "cafe\u{301} au lait", true).await.expect("an account");
    login(auth, "ada", "caf\u{e9} au lait", false).await.expect("the same password");
    login(auth, "ada", "cafe\u{301} au lait", false).await.expect("the same password");
}

#[tokio::test]
async fn a_new_account_needs_a_good_name_and_a_password_of_eight_characters() {
    let House { auth, .. } = &house(true).await;
    for (username, password, field) in [
        ("ada", "1234567", "password: "),
        ("ada", "tab\tinside", "password: "),
        ("a\u{200b}da", "open sesame", "username: "),
        ("\u{430}da", "open sesame", "username: "),
        ("ad\u{202e}a", "open sesame", "username: "),
    ] {
        match login(auth, username, password, true).await {
            Err(AuthError::Malformed(why)) => assert!(why.starts_with(field), "{username}: {why}"),
            other => panic!("{username}: {other:?}"),
        }
        let (name, password) = (AccountName::new(username).expect("a name"), Password::new(password).expect("bytes"));
        let made = auth.registrar().create_account(&name, password, Role::Player).await;
        assert!(matches!(made, Err(AuthError::Malformed(_))), "{username}: {made:?}");
    }
}

#[tokio::test]
async fn a_name_that_is_unknown_costs_what_some_stored_hash_costs() {
    let House { storage, auth, .. } = &house(true).await;
    let name = |number: u32| AccountName::new(&format!("nobody-{number}")).expect("a name");
    assert_eq!(auth.stand_in(&name(0)).await.expect("an answer"), None);
    let mut stored = std::collections::HashSet::new();
    for username in ["ada", "bob", "eve"] {
        let user = older_account(storage, username, "sesame").await;
        stored.insert(storage.account_of(user).await.expect("an answer").expect("an account").password_hash);
    }
    let mut used = std::collections::HashSet::new();
    for number in 0..200 {
        let stand_in = auth.stand_in(&name(number)).await.expect("an answer").expect("somebody's hash");
        assert_eq!(auth.stand_in(&name(number)).await.expect("an answer").as_ref(), Some(&stand_in));
        used.insert(stand_in);
    }
    assert_eq!(used, stored);
}

#[tokio::test]
async fn a_login_replaces_a_hash_that_was_made_with_other_settings() {
    let House { storage, auth, .. } = &house(true).await;
    let user = older_account(storage, "ada", "cafe\u{301}").await;
    let hash = async || storage.account_of(user).await.expect("an answer").expect("an account").password_hash;
    let before = hash().await;
    login(auth, "ada", "wrong", false).await.expect_err("another password");
    assert_eq!(hash().await, before, "only the right password");
    login(auth, "ada", "cafe\u{301}", false).await.expect("a login");
    let composed = hash().await;
    assert_ne!(composed, before);
    login(auth, "ada", "caf\u{e9}", false).await.expect("the composed form is stored now");
    assert_eq!(hash().await, composed, "nothing to replace");

    let mut settings = settings();
    settings.argon2_memory = bytesize::ByteSize::kib(128);
    let clock: Clock = Arc::new(|| NOW_MS.get());
    let raised = Auth::open(Arc::clone(storage), &settings, Arc::new(Exposure::new(false)), clock, system_entropy())
        .await
        .expect("a room");
    login(&raised, "ada", "caf\u{e9}", false).await.expect("a login");
    assert!(hash().await.contains("m=128,"), "{}", hash().await);
    login(auth, "ada", "caf\u{e9}", false).await.expect("a server with the older settings still knows it");
}

#[tokio::test]
async fn an_attacker_of_a_name_does_not_keep_its_owner_out() {
    let House { storage, auth, .. } = &house(true).await;
    login(auth, "ada", "open sesame", true).await.expect("an account");
    for _ in 0..10 {
        let tried = login_from(auth, elsewhere(1), "ada", "wrong", false).await;
        assert!(matches!(tried, Err(AuthError::BadCredentials)), "{tried:?}");
    }
    let tried = login_from(auth, elsewhere(1), "ada", "open sesame", false).await;
    assert!(matches!(tried, Err(AuthError::TooManyAttempts { retry_after_ms: 30_000 })), "{tried:?}");
    login(auth, "ada", "open sesame", false).await.expect("where the account has logged in before");
    login_from(auth, elsewhere(2), "ada", "open sesame", false).await.expect("somewhere else");

    // From many addresses: the name must wait, but not where the account is known, even after a restart.
    for number in 10..30 {
        login_from(auth, elsewhere(number), "ada", "wrong", false).await.expect_err("another password");
    }
    let tried = login_from(auth, elsewhere(30), "ada", "open sesame", false).await;
    assert!(matches!(tried, Err(AuthError::TooManyAttempts { retry_after_ms: 10_000 })), "{tried:?}");
    login(auth, "ada", "open sesame", false).await.expect("where the account has logged in before");
    login_from(auth, elsewhere(2), "ada", "open sesame", false).await.expect("and where it has since");
    let restarted = another(storage, true).await;
    for number in 10..45 {
        login_from(&restarted, elsewhere(number), "ada", "wrong", false).await.expect_err("another password");
    }
    login(&restarted, "ada", "open sesame", false).await.expect("known after a restart");
    later(10_000);
    login_from(auth, elsewhere(30), "ada", "open sesame", false).await.expect("somewhere else, after the wait");
}

#[tokio::test]
async fn failed_logins_from_an_address_do_not_lock_out_those_who_are_known_there() {
    let House { auth, .. } = &house(true).await;
    login(auth, "ada", "open sesame", true).await.expect("an account");
    login_from(auth, elsewhere(1), "bob", "open sesame", true).await.expect("an account");
    for number in 0..100 {
        login(auth, &format!("nobody-{number}"), "wrong", false).await.expect_err("nobody");
    }
    login(auth, "ada", "open sesame", false).await.expect("known here");
    let tried = login(auth, "bob", "open sesame", false).await;
    assert!(matches!(tried, Err(AuthError::TooManyAttempts { .. })), "not known here: {tried:?}");
    login_from(auth, elsewhere(1), "bob", "open sesame", false).await.expect("known there");
}

#[tokio::test]
async fn a_disabled_account_says_so_only_to_who_knows_its_password() {
    let House { storage, auth, .. } = &house(true).await;
    let made = login(auth, "ada", "open sesame", true).await.expect("an account");
    let change = async |change| storage.change_account(made.session.user, &change, NOW_MS.get()).await;
    assert!(change(AccountChange::Disable).await.expect("an answer"));
    assert!(matches!(login(auth, "ada", "wrong", false).await, Err(AuthError::BadCredentials)));
    assert!(matches!(login(auth, "ada", "open sesame", true).await, Err(AuthError::AccountDisabled)));
    assert!(matches!(auth.refresh(&made.refresh_token).await, Err(AuthError::SessionRevoked)));
    assert!(change(AccountChange::Enable).await.expect("an answer"));
    login(auth, "ada", "open sesame", false).await.expect("enabled again");
}

#[tokio::test]
async fn a_name_has_so_many_logins_under_way_and_others_are_not_kept_out() {
    let House { auth, .. } = &house(true).await;
    login(auth, "ada", "open sesame", true).await.expect("an account");
    let allowed = settings().logins_per_name as usize;
    let names = std::iter::repeat_n("ada", allowed).chain(["Ada", "bob"]);
    // All begin before the first one ends.
    let results = futures_util::future::join_all(names.map(|name| login(auth, name, "open sesame", true))).await;
    let refused =
        |result: &Result<Grant, AuthError>| matches!(result, Err(AuthError::TooManyAtOnce { of_one_name: true }));
    let expected: Vec<_> = (0..allowed + 2).map(|number| number == allowed).collect();
    assert_eq!(results.iter().map(refused).collect::<Vec<_>>(), expected);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), allowed + 1);
    assert!(login(auth, "ada", "open sesame", true).await.is_ok(), "the others have ended");
}
