//! Players: accounts with one character each, created over HTTP.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use castellan_srd::wire::{CharacterId, UserId};
use serde_json::{Value, json};

use crate::http::Http;
use crate::load::Player;

/// Concurrent requests.
const AT_ONCE: usize = 48;

/// The password of all accounts. Any will do: nobody else can reach the server.
pub const PASSWORD: &str = "correct horse battery staple";

/// Creates accounts with one character each.
///
/// # Errors
///
/// A refused request.
pub fn make(address: SocketAddr, count: usize) -> Result<Vec<Player>> {
    let names: Vec<String> = (0..count).map(|number| format!("player-{number:05}")).collect();
    make_named(address, &names)
}

/// The same with these names. Accounts that exist only get a character.
pub(crate) fn make_named(address: SocketAddr, names: &[String]) -> Result<Vec<Player>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (http, mut players) = (Http::new(address), Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(name) = names.get(number) else { return Ok(players) };
            players.push(make_one(&http, name, number)?);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE.min(names.len())).map(|_| scope.spawn(work)).collect();
        let made: Result<Vec<Vec<Player>>> =
            workers.into_iter().map(|worker| worker.join().expect("the thread does not panic")).collect();
        Ok(made?.concat())
    })
}

fn make_one(http: &Http, name: &str, number: usize) -> Result<Player> {
    let (token, user) = log_in(http, name, PASSWORD, true)?;
    let (status, character) = http.post("/characters", &token, &sheet(&format!("Brannor {number}")))?;
    ensure!(status == 201, "the server refused to create a character: {status} {character}");
    let character: CharacterId =
        serde_json::from_value(character["id"].clone()).context("a created character has no id")?;
    Ok(Player { token, user, character })
}

/// A new character.
pub(crate) fn sheet(name: &str) -> Value {
    json!({
        "name": name, "race": "dwarf", "subrace": "hill-dwarf", "class": "fighter",
        "abilities": {"str": 16, "dex": 12, "con": 14, "int": 8, "wis": 12, "cha": 10},
        "skills": ["athletics", "perception"],
    })
}

/// Logs in and returns the access token and the user.
///
/// # Errors
///
/// A refused login.
pub fn log_in(http: &Http, name: &str, password: &str, create: bool) -> Result<(String, UserId)> {
    let body = json!({"username": name, "password": password, "create": create});
    let (status, mut session) = http.post("/session/login", "", &body)?;
    ensure!(status == 200, "the server refused a login: {status} {session}");
    let user =
        serde_json::from_value(session["user_id"].take()).context("a login's answer does not contain the user")?;
    match session["token"].take() {
        Value::String(token) => Ok((token, user)),
        _ => anyhow::bail!("a login's answer contains no token"),
    }
}
