//! Accounts: players, other honest clients, attackers.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use castellan_srd::wire::CharacterId;
use serde_json::{Value, json};

use crate::caller::Caller;
use crate::load::Player;
use crate::players::{PASSWORD, sheet};

/// Concurrent requests.
const AT_ONCE: usize = 16;

/// An account with a session and a character.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) name: String,
    /// The loopback address that the person calls from.
    pub(super) source: Ipv4Addr,
    pub(super) player: Player,
}

/// Creates `count` accounts called `name-0` and so on.
pub(super) fn make(
    caller: &Caller,
    name: &str,
    count: usize,
    source: impl Fn(usize) -> Ipv4Addr + Sync,
) -> Result<Vec<Person>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut people = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(people);
            }
            people.push((number, make_one(&caller.from(source(number)), format!("{name}-{number}"))?));
        }
    };
    let mut people = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE.min(count)).map(|_| scope.spawn(work)).collect();
        let made: Result<Vec<Vec<_>>> =
            workers.into_iter().map(|worker| worker.join().expect("the thread does not panic")).collect();
        Ok::<_, anyhow::Error>(made?.concat())
    })?;
    people.sort_by_key(|(number, _)| *number);
    Ok(people.into_iter().map(|(_, person)| person).collect())
}

fn make_one(caller: &Caller, name: String) -> Result<Person> {
    let body = login_body(&name, PASSWORD, true);
    let (status, mut session) = caller.post("/session/login", "", &body)?;
    ensure!(status == 200, "the server refused a login: {status} {session}");
    let user = serde_json::from_value(session["user_id"].take()).context("a login's answer has no user")?;
    let Value::String(token) = session["token"].take() else { anyhow::bail!("a login's answer contains no token") };
    let (status, character) = caller.post("/characters", &token, &sheet(&name))?;
    ensure!(status == 201, "the server refused to create a character: {status} {character}");
    let character: CharacterId =
        serde_json::from_value(character["id"].clone()).context("a created character has no id")?;
    Ok(Person { name, source: caller.source, player: Player { token, user, character } })
}

/// The body of a login.
pub(super) fn login_body(name: &str, password: &str, create: bool) -> Value {
    json!({"username": name, "password": password, "create": create})
}
