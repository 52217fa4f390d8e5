//! Players: accounts with one character each, made as a client makes them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use castellan_protocol::{CharacterId, UserId};
use serde_json::{Value, json};

use crate::http::Http;
use crate::load::Player;

/// Requests under way at the same time.
const AT_ONCE: usize = 48;

/// Any: nobody else gets in.
pub const PASSWORD: &str = "correct horse battery staple";

/// Makes accounts and a character for each.
///
/// # Errors
///
/// Where one is refused.
pub fn make(address: SocketAddr, count: usize) -> Result<Vec<Player>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut http, mut players) = (Http::connect(address)?, Vec::new());
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(players);
            }
            players.push(make_one(&mut http, number)?);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE.min(count)).map(|_| scope.spawn(work)).collect();
        let made: Result<Vec<Vec<Player>>> =
            workers.into_iter().map(|worker| worker.join().expect("the thread does not panic")).collect();
        Ok(made?.concat())
    })
}

fn make_one(http: &mut Http, number: usize) -> Result<Player> {
    let (token, user) = log_in(http, &format!("player-{number:05}"), PASSWORD, true)?;
    let wanted = json!({
        "name": format!("Brannor {number}"), "race": "dwarf", "subrace": "hill-dwarf", "class": "fighter",
        "abilities": {"str": 16, "dex": 12, "con": 14, "int": 8, "wis": 12, "cha": 10},
        "skills": ["athletics", "perception"],
    });
    let (status, character) = http.request("POST", "/characters", &token, Some(&wanted))?;
    ensure!(status == 201, "a character is not made: {status} {character}");
    let character: CharacterId = serde_json::from_value(character["id"].clone()).context("a character has an id")?;
    Ok(Player { token, user, character })
}

/// Logs in and returns the access token and the user.
///
/// # Errors
///
/// Where the login is refused.
pub fn log_in(http: &mut Http, name: &str, password: &str, create: bool) -> Result<(String, UserId)> {
    let body = json!({"username": name, "password": password, "create": create});
    let (status, mut session) = http.request("POST", "/session/login", "", Some(&body))?;
    ensure!(status == 200, "a login is refused: {status} {session}");
    let user = serde_json::from_value(session["user_id"].take()).context("a login says the user")?;
    match session["token"].take() {
        Value::String(token) => Ok((token, user)),
        _ => anyhow::bail!("a login brings no token"),
    }
}
