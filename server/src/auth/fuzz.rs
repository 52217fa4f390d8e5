//! Spoiled tokens: only a genuine one is read, and only as what it says.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use castellan_fuzz::bolero::check;
use castellan_fuzz::{BRIEFLY, Input, spoiled};
use castellan_protocol::{SessionId, UserId};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::issuers::Issuers;
use super::keys::{Keys, Vault};
use super::refresh;
use super::token::{Session, Subject, Tokens};
use crate::clock::Entropy;
use crate::config;
use crate::config::{Command, Config, KeySource, Role, TokenAlgorithm};
use crate::storage::Storage;
use crate::storage::faulty::MemoryStorage;

const ISSUER: &str = "castellan";
const AUDIENCE: &str = "castellan-players";

/// Keys that are the same in every run, so that the same seed makes the same tokens.
fn keys(byte: u8) -> Keys {
    let storage: Arc<dyn Storage> = Arc::new(MemoryStorage::new());
    let entropy: Entropy = Arc::new(move |bytes: &mut [u8]| bytes.fill(byte));
    let Ok(Command::Run(config, _)) = Config::from_args(["castellan".into()], &Default::default(), &[]) else {
        panic!("a server without flags runs")
    };
    let vault = Vault::new(storage, &config.auth, entropy).expect("no master key");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(Keys::open(&vault, 0)).expect("keys")
}

fn tokens(keys: &Keys) -> Tokens {
    Tokens::new(keys, ISSUER, AUDIENCE, Duration::from_secs(900)).expect("a key that signs")
}

fn genuine(tokens: &Tokens) -> Vec<(String, Session)> {
    let id = Uuid::from_u128;
    let subject = |(role, number)| Subject {
        session: SessionId::from_uuid(id(number)),
        user: UserId::from_uuid(id(number << 64)),
        role,
        generation: 7,
        issued_at_ms: 1_800_000_000_000,
    };
    let subjects = [(Role::Player, 1), (Role::Game, 2), (Role::Operator, 3)].map(subject);
    subjects.iter().map(|subject| tokens.sign(subject).expect("a token")).collect()
}

#[test]
fn only_a_genuine_access_token_is_read() {
    let tokens = tokens(&keys(7));
    let genuine = genuine(&tokens);
    let texts = genuine.iter().map(|(token, _)| token.clone().into_bytes()).collect();
    check!().with_generator(spoiled(texts)).with_test_time(BRIEFLY).for_each(|Input(bytes): &Input| {
        let Ok(token) = std::str::from_utf8(bytes) else { return };
        let session = genuine.iter().find(|(genuine, _)| genuine == token).map(|(_, session)| *session);
        assert_eq!(tokens.read(token), session, "{token}");
    });
}

/// The bytes in the nth part of a token.
fn part(token: &str, nth: usize) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(token.split('.').nth(nth).expect("three parts")).expect("Base64")
}

#[test]
fn claims_count_only_with_our_signature_issuer_and_audience() {
    let (ours, theirs) = (keys(7), keys(9));
    let tokens = tokens(&ours);
    let genuine = genuine(&tokens);
    let parts = |nth| genuine.iter().map(|(token, _)| part(token, nth)).collect::<Vec<_>>();
    let [our_key, their_key] = [&ours, &theirs].map(|keys| EncodingKey::from_ec_der(&keys.access[0].private_der));
    let spoiled = (spoiled(parts(0)), spoiled(parts(1)));
    check!().with_generator(spoiled).with_test_time(BRIEFLY).for_each(|(Input(header), Input(claims))| {
        let head = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signed = |key| {
            let signature = jsonwebtoken::crypto::sign(head.as_bytes(), key, Algorithm::ES256).expect("a signature");
            format!("{head}.{signature}")
        };
        assert_eq!(tokens.read(&signed(&their_key)), None, "{head}");
        let token = signed(&our_key);
        if let Some(session) = tokens.read(&token) {
            let claims: Value = serde_json::from_slice(claims).expect("claims that are read are JSON");
            assert_eq!((&claims["iss"], &claims["aud"]), (&ISSUER.into(), &AUDIENCE.into()));
            assert_eq!(claims["sub"], session.user.to_string());
            assert_eq!(claims["sid"], session.id.to_string());
            assert!(claims["roles"].as_array().expect("a list").contains(&session.role.as_str().into()));
            let header: Value = serde_json::from_slice(header).expect("a header that is read is JSON");
            assert_eq!((&header["alg"], &header["kid"]), (&"ES256".into(), &ours.access[0].id.as_str().into()));
        }
    });
}

#[test]
fn only_a_genuine_refresh_token_is_read() {
    let key = keys(7).refresh;
    let genuine = [(1, 0), (2, 7), (3, i64::MAX)].map(|(session, generation)| {
        let session = SessionId::from_uuid(Uuid::from_u128(session));
        (refresh::write(&key, session, generation), (session, generation))
    });
    let texts = genuine.iter().map(|(token, _)| token.clone().into_bytes()).collect();
    check!().with_generator(spoiled(texts)).with_test_time(BRIEFLY).for_each(|Input(bytes): &Input| {
        let Ok(token) = std::str::from_utf8(bytes) else { return };
        let read = genuine.iter().find(|(genuine, _)| genuine == token).map(|(_, read)| *read);
        assert_eq!(refresh::read(&key, token), read, "{token}");
    });
}

#[test]
fn only_a_genuine_token_of_an_outside_issuer_is_believed() {
    let key = EncodingKey::from_ec_der(&keys(7).access[0].private_der);
    let mut public = Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a public key");
    public.common.key_id = Some("k".to_owned());
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), json!({ "keys": [public] }).to_string()).expect("written");
    let issuers = Issuers::open(&config::Issuers(vec![config::Issuer {
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        keys: KeySource::File(file.path().to_owned()),
        algorithms: TokenAlgorithm::ALL.to_vec(),
        name_claim: "sub".to_owned(),
    }]));
    let issuers = issuers.expect("a key");
    let genuine = ["1", "Ada", "auth0|7"].map(|subject| {
        let header = Header { kid: Some("k".to_owned()), ..Header::new(Algorithm::ES256) };
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "exp": 1_900_000_000});
        (jsonwebtoken::encode(&header, &claims, &key).expect("a token"), subject)
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    // Nothing is left half done by a panic: the keys do not change.
    let believed = AssertUnwindSafe(|token: &str| {
        let identity = runtime.block_on(issuers.verify(token, 1_800_000_000_000)).ok();
        identity.map(|identity| identity.subject)
    });
    for (token, subject) in &genuine {
        assert_eq!(believed(token).as_deref(), Some(*subject));
    }
    let texts = genuine.iter().map(|(token, _)| token.clone().into_bytes()).collect();
    check!().with_generator(spoiled(texts)).with_test_time(BRIEFLY).for_each(|Input(bytes): &Input| {
        let (believed, Ok(token)) = (&believed, std::str::from_utf8(bytes)) else { return };
        let subject = genuine.iter().find(|(genuine, _)| genuine == token).map(|(_, subject)| (*subject).to_owned());
        assert_eq!(believed(token), subject, "{token}");
    });
}
