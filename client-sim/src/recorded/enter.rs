//! Logins and characters of players, while servers come and go.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use castellan_client::{BaseUrl, Client, Credentials, HttpError, Options, StartError};
use castellan_srd::Srd;
use castellan_srd::wire::{Ability, Character, Codec, NewCharacter};
use tokio::time::Instant;

/// How long to retry a login, because the server may still be starting.
const LOGIN_PATIENCE: Duration = Duration::from_secs(30);

/// The settings of a run.
#[derive(Debug, Clone)]
pub struct RecordedSettings {
    /// The server's address.
    pub server: BaseUrl,
    /// The folder for the records.
    pub records: PathBuf,
    /// Number of users, each with one character. Every fourth character has two clients, another fourth has a client
    /// that only watches.
    pub users: u32,
    /// Number of traders, each with one character.
    pub traders: u32,
    /// Intents per second of each client, and of each trader.
    pub intents_per_second: f64,
    /// Seed of all actions and times.
    pub seed: u64,
    /// Time limit at the end for all intents to become durable.
    pub patience: Duration,
}

pub(super) async fn log_in(
    settings: &RecordedSettings,
    name: &str,
    kept_max: usize,
    codec: Codec,
) -> Result<Client<Srd>> {
    let credentials =
        Credentials { username: name.to_owned(), password: format!("{name} and a password"), create: true };
    let options = Options { codec, kept_max, ..Options::new(settings.server.clone(), credentials) };
    let deadline = Instant::now() + LOGIN_PATIENCE;
    loop {
        match Client::start(options.clone()).await {
            Ok(client) => return Ok(client),
            Err(StartError::Login(error)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(200)).await;
                drop(error);
            }
            Err(error) => return Err(error).with_context(|| format!("{name} cannot log in")),
        }
    }
}

pub(super) async fn make_character(client: &Client<Srd>, name: &str) -> Result<Character> {
    use Ability::{Charisma, Constitution, Dexterity, Intelligence, Strength, Wisdom};
    let scores = [(Strength, 15), (Dexterity, 14), (Constitution, 13), (Intelligence, 8), (Wisdom, 12), (Charisma, 10)];
    let wanted = NewCharacter {
        name: name.to_owned(),
        race: "human".to_owned(),
        subrace: None,
        class: "fighter".to_owned(),
        abilities: scores.into(),
        skills: Some(vec!["athletics".to_owned(), "perception".to_owned()]),
    };
    let deadline = Instant::now() + LOGIN_PATIENCE;
    loop {
        match client.create_character(&wanted).await {
            Ok(made) => return Ok(made),
            // Nothing was created, so a retry is safe. After a lost answer it could create a second character.
            Err(HttpError::Refused { retry_after: Some(wait), .. }) if Instant::now() < deadline => {
                tokio::time::sleep(wait).await;
            }
            Err(error) => return Err(error).with_context(|| format!("cannot create a character for {name}")),
        }
    }
}
