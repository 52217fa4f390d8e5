//! Keys that change while servers run, and the master key.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::storage::faulty::MemoryStorage;

fn with_master(file: Option<&PathBuf>) -> Settings {
    Settings { master_key_file: file.cloned(), ..settings() }
}

fn vault(storage: &Arc<dyn Storage>, master: Option<&PathBuf>) -> Vault {
    Vault::new(Arc::clone(storage), &with_master(master), system_entropy()).expect("a readable master key")
}

async fn server(storage: &Arc<dyn Storage>, master: Option<&PathBuf>) -> Result<Auth, AuthError> {
    let clock: Clock = Arc::new(|| NOW_MS.get());
    let exposure = Arc::new(Exposure::new(false));
    Auth::open(Arc::clone(storage), &with_master(master), exposure, clock, system_entropy()).await
}

fn key_of(token: &str) -> String {
    jsonwebtoken::decode_header(token).expect("a header").kid.expect("a key")
}

/// A token that looks genuine and names a key that is nowhere.
fn forged(token: &str, number: usize) -> String {
    let header = jsonwebtoken::Header {
        kid: Some(format!("{number:043}")),
        ..jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256)
    };
    let other =
        jsonwebtoken::encode(&header, &(), &jsonwebtoken::EncodingKey::from_ec_der(&private_key())).expect("it");
    let (_, rest) = token.split_once('.').expect("a token");
    format!("{}.{rest}", other.split('.').next().expect("a header"))
}

fn private_key() -> Vec<u8> {
    use p256::pkcs8::EncodePrivateKey;
    p256::SecretKey::from_slice(&[1; 32]).expect("a key").to_pkcs8_der().expect("it fits").as_bytes().to_vec()
}

fn text<T>(outcome: Result<T, AuthError>) -> String {
    outcome.map(drop).expect_err("it is refused").to_string()
}

fn master_key(folder: &tempfile::TempDir, name: &str, byte: u8) -> PathBuf {
    let file = folder.path().join(name);
    std::fs::write(&file, [byte; 32]).expect("a file");
    file
}

#[tokio::test]
async fn tokens_of_a_new_key_are_valid_at_once_on_servers_that_have_not_heard_of_it() {
    let House { storage, auth, .. } = &house(true).await;
    let (other, third) = (another(storage, true).await, another(storage, true).await);
    let before = login(auth, "ada", "open sesame", true).await.expect("a login");
    let id = vault(storage, None).rotate(NOW_MS.get()).await.expect("a new key");
    assert_ne!(key_of(&before.token), id);

    auth.keys.look().await.expect("an answer");
    let after = login(auth, "ada", "open sesame", false).await.expect("a login");
    assert_eq!(key_of(&after.token), id, "the new key signs");
    assert_eq!(other.verify(&after.token), None, "the other server does not know it yet");
    assert_eq!(other.identify(&after.token).await, live(after.session));
    for auth in [auth, &other] {
        assert_eq!(auth.verify(&before.token), live(before.session), "the old one verifies");
        assert_eq!(auth.jwks().matches("\"kid\"").count(), 2);
    }
    assert_eq!(key_of(&other.refresh(&before.refresh_token).await.expect("new tokens").token), id);

    let following = third.follow_keys();
    tokio::select! {
        () = following => {}
        () = async { while !third.jwks().contains(&id) { tokio::task::yield_now().await } } => {}
    }
}

#[tokio::test]
async fn a_replaced_key_is_removed_when_its_tokens_have_expired_or_at_once_if_so_ordered() {
    let House { storage, auth, .. } = &house(true).await;
    let vault = vault(storage, None);
    assert!(text(vault.retire(START_MS, true).await).contains("there is only one"));
    let old = login(auth, "ada", "open sesame", true).await.expect("a login");
    let id = vault.rotate(START_MS).await.expect("a new key");
    assert!(text(vault.rotate(START_MS).await).contains("`castellan keys retire`"), "two are the most");

    // 15 minutes is the life of a token, one more is for servers that have not noticed the rotation. The new key is 1 ms
    // younger than the old one.
    let mut cut_off = auth.cut_off();
    for (after_ms, allowed) in [(0, false), (960_000, false), (960_001, true)] {
        let outcome = vault.retire(START_MS + after_ms, false).await;
        match outcome {
            Ok(retired) if allowed => assert_eq!(retired, key_of(&old.token)),
            Err(error) if !allowed => assert!(error.to_string().contains("--now"), "{error}"),
            outcome => panic!("{after_ms}: {outcome:?}"),
        }
    }
    later(960_001);
    auth.keys.look().await.expect("an answer");
    assert!(!cut_off.has_changed().expect("an answer"), "nobody has a token of that key");
    assert_eq!(auth.jwks().matches("\"kid\"").count(), 1);

    let new = login(auth, "ada", "open sesame", false).await.expect("a login");
    vault.rotate(NOW_MS.get()).await.expect("a third key");
    assert_eq!(vault.retire(NOW_MS.get(), true).await.expect("removed"), id);
    assert_eq!(auth.verify(&new.token), live(new.session), "not noticed yet");
    auth.keys.look().await.expect("an answer");
    assert_eq!(auth.verify(&new.token), None, "remembered or not");
    assert!(cut_off.has_changed().expect("an answer"));
    cut_off.mark_unchanged();
    let again = auth.refresh(&new.refresh_token).await.expect("the session goes on");
    assert_eq!(auth.verify(&again.token), live(again.session));
}

#[tokio::test]
async fn the_newest_key_signs_even_if_a_clock_is_behind() {
    let House { storage, auth, .. } = &house(true).await;
    let id = vault(storage, None).rotate(START_MS - 5_000).await.expect("a new key");
    auth.keys.look().await.expect("an answer");
    assert_eq!(key_of(&login(auth, "ada", "open sesame", true).await.expect("a login").token), id);
}

#[tokio::test(start_paused = true)]
async fn forged_tokens_cannot_make_a_server_look_for_keys_all_the_time() {
    NOW_MS.set(START_MS);
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let auth = Arc::new(server(&storage, None).await.expect("a server"));
    let keys = auth.keys.present();
    let subject = token::Subject {
        session: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("an id"),
        user: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("an id"),
        role: Role::Game,
        generation: 0,
        issued_at_ms: START_MS,
    };
    let (genuine, _) = keys.tokens.sign(&subject).expect("a token");
    let began = Instant::now();
    for number in 0..9 {
        assert_eq!(auth.identify(&forged(&genuine, number)).await, None);
    }
    assert!(began.elapsed() >= Duration::from_secs(2), "one after the other they wait: {:?}", began.elapsed());
    let began = Instant::now();
    let calls = (0..500).map(|number| {
        let (auth, token) = (Arc::clone(&auth), forged(&genuine, number));
        tokio::spawn(async move { auth.identify(&token).await })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.expect("it ran"), None);
    }
    assert!(began.elapsed() <= Duration::from_millis(300), "together they share a look: {:?}", began.elapsed());
    let began = Instant::now();
    for other in ["", "nonsense", "eyJhbGciOiJub25lIn0.e30."] {
        assert_eq!(auth.identify(other).await, None);
    }
    assert!(auth.identify(&genuine).await.is_some());
    assert_eq!(began.elapsed(), Duration::ZERO, "nothing else waits");
}

#[tokio::test]
async fn a_master_key_encrypts_everything_and_both_must_fit() {
    NOW_MS.set(START_MS);
    let folder = tempfile::tempdir().expect("a folder");
    let (key, stranger) = (master_key(&folder, "key", 7), master_key(&folder, "stranger", 8));
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let auth = server(&storage, Some(&key)).await.expect("a server");
    let dice = vault(&storage, Some(&key)).secret("dice", START_MS).await.expect("a secret");
    let grant = login(&auth, "ada", "open sesame", true).await.expect("a login");
    let id = vault(&storage, Some(&key)).rotate(START_MS).await.expect("a new key");

    let rows = storage.keys().await.expect("rows");
    assert_eq!(rows.len(), 4);
    for row in &rows {
        assert!(row.secret.starts_with(b"castellan/sealed"), "{row:?}");
        assert!(!row.secret.windows(dice.len()).any(|part| part == dice), "{row:?}");
        assert!(p256::SecretKey::from_slice(&row.secret).is_err());
    }
    let master = vault(&storage, None).list().await.expect("a list")[0].sealed_by.clone().expect("it is encrypted");
    for (master_key, expected) in [(None, "--master-key-file"), (Some(&stranger), "--master-key-file holds")] {
        let refused = text(server(&storage, master_key).await);
        assert!(refused.contains(expected) && refused.contains(&master), "{refused}");
        assert!(text(vault(&storage, master_key).check().await).contains(expected));
        assert!(text(vault(&storage, master_key).secret("dice", START_MS).await).contains(expected));
        assert!(text(vault(&storage, master_key).rotate(START_MS).await).contains(expected));
    }
    assert_eq!(storage.keys().await.expect("rows"), rows, "nothing was added");
    let restarted = server(&storage, Some(&key)).await.expect("a server");
    assert_eq!(restarted.verify(&grant.token), live(grant.session));
    assert!(restarted.jwks().contains(&id));
    assert_eq!(vault(&storage, Some(&key)).secret("dice", START_MS).await.expect("a secret"), dice);

    let mut swapped = rows.clone();
    let (first, second) = swapped.split_at_mut(2);
    std::mem::swap(&mut first[0].secret, &mut second[0].secret);
    assert!(storage.replace_keys(&rows, &swapped).await.expect("an answer"));
    assert!(text(server(&storage, Some(&key)).await).contains("was changed, or belongs in another place"));
}

#[tokio::test]
async fn a_restore_replaces_encrypted_keys_and_leaves_the_dice() {
    NOW_MS.set(START_MS);
    let folder = tempfile::tempdir().expect("a folder");
    let key = master_key(&folder, "key", 7);
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let auth = server(&storage, Some(&key)).await.expect("a server");
    let dice = vault(&storage, Some(&key)).secret("dice", START_MS).await.expect("a secret");
    let grant = login(&auth, "ada", "open sesame", true).await.expect("a login");
    storage.restored(START_MS).await.expect("restored");
    let restarted = server(&storage, Some(&key)).await.expect("a server");
    assert_eq!(restarted.verify(&grant.token), None);
    assert_eq!(vault(&storage, Some(&key)).secret("dice", START_MS).await.expect("a secret"), dice);
    assert!(storage.keys().await.expect("rows").iter().all(|row| row.secret.starts_with(b"castellan/sealed")));

    // A server that ran on takes the new keys, so that tokens of the lost time are refused there as well.
    let cut_off = auth.cut_off();
    auth.keys.look().await.expect("an answer");
    assert_eq!(auth.verify(&grant.token), None);
    assert!(cut_off.has_changed().expect("an answer"));
}

#[tokio::test]
async fn a_database_moves_to_a_master_key_to_another_one_and_back_while_servers_run() {
    let House { storage, auth, .. } = &house(true).await;
    let folder = tempfile::tempdir().expect("a folder");
    let (one, two) = (master_key(&folder, "one", 1), master_key(&folder, "two", 2));
    let plain = storage.keys().await.expect("rows");
    let grant = login(auth, "ada", "open sesame", true).await.expect("a login");

    let refused = text(server(storage, Some(&one)).await);
    assert!(refused.contains("`castellan keys encrypt`"), "{refused}");
    assert!(text(vault(storage, None).encrypt(None).await).contains("--master-key-file"));
    assert_eq!(vault(storage, Some(&one)).encrypt(None).await.expect("encrypted"), 2);
    assert_eq!(vault(storage, Some(&one)).encrypt(None).await.expect("again"), 0);
    let refused = text(vault(storage, Some(&two)).encrypt(None).await);
    assert!(refused.contains("--old-master-key-file"), "{refused}");
    assert!(text(vault(storage, Some(&two)).encrypt(Some(&two)).await).contains("--old-master-key-file"));
    assert_eq!(vault(storage, Some(&two)).encrypt(Some(&one)).await.expect("changed"), 2);
    assert!(text(server(storage, Some(&one)).await).contains("--master-key-file holds"));
    let restarted = server(storage, Some(&two)).await.expect("a server");
    assert_eq!(restarted.verify(&grant.token), live(grant.session));

    // The server that ran on cannot read the keys any more, and keeps those that it has.
    assert!(auth.keys.look().await.is_err());
    assert_eq!(auth.verify(&grant.token), live(grant.session));
    let new = login(auth, "ada", "open sesame", false).await.expect("a login");
    assert_eq!(restarted.verify(&new.token), live(new.session));

    assert!(text(vault(storage, Some(&one)).decrypt().await).contains("--master-key-file holds"));
    assert_eq!(vault(storage, Some(&two)).decrypt().await.expect("decrypted"), 2);
    assert_eq!(storage.keys().await.expect("rows"), plain, "as they were");
    assert_eq!(server(storage, None).await.expect("a server").verify(&grant.token), live(grant.session));
}
