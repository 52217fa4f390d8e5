//! Attacks by logins: in a loop, wrong ones, many at once, many sessions.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::line::{PAUSE, ask, connect};
use super::sockets::open;
use super::{Attack, at_once};
use crate::attacks::addresses::ATTACKERS;
use crate::attacks::people::login_body;
use crate::caller::post;
use crate::players::PASSWORD;

const LOOPED: usize = 600;

const SESSIONS: usize = 2_500;

/// Logins under way at the same time, for many sessions and for wrong logins.
const LOGINS_AT_ONCE: usize = 32;

/// Sockets of each session.
const SOCKETS_PER_SESSION: usize = 4;

const WRONG_NAMES: usize = 100;

/// Time between two wrong logins after the first ones.
const NEXT_WRONG_NAME: Duration = Duration::from_millis(100);

const WRONG_PASSWORDS: usize = 10;

/// Time between two wrong passwords after the first ones.
const NEXT_WRONG_PASSWORD: Duration = Duration::from_secs(1);

/// Logs in on a new connection and counts the outcome. Returns the token, if there is one.
async fn log_in(attack: &Attack, source: std::net::Ipv4Addr, name: &str, password: &str) -> Option<String> {
    let body = login_body(name, password, false).to_string();
    let request = post(attack.orders.address, "/session/login", "", &body, "close");
    let answer = match connect(source, attack.orders.address).await {
        Ok(mut stream) => ask(&mut stream, request.as_bytes()).await,
        Err(error) => Err(error),
    };
    let Ok((status, text)) = answer else {
        attack.deeds.count("failed logins");
        return None;
    };
    attack.deeds.count(&format!("logins, status {status}"));
    let session: Value = serde_json::from_str(&text).unwrap_or_default();
    session["token"].as_str().map(str::to_owned)
}

/// One account logs in, again and again.
pub(super) async fn in_a_loop(attack: &Rc<Attack>) {
    for _ in 0..LOOPED {
        if log_in(attack, ATTACKERS, &attack.orders.accounts[0].name, PASSWORD).await.is_none() {
            sleep(PAUSE).await;
        }
    }
}

/// One account begins sessions and keeps as many sockets open as it gets.
pub(super) async fn many_sessions(attack: &Rc<Attack>) {
    let next = Rc::new(Cell::new(0));
    at_once(attack, LOGINS_AT_ONCE, |attack, _| {
        let next = Rc::clone(&next);
        async move {
            let mut sockets = Vec::new();
            while next.replace(next.get() + 1) < SESSIONS {
                let token = log_in(&attack, ATTACKERS, &attack.orders.accounts[0].name, PASSWORD).await;
                let Some(token) = token else {
                    sleep(PAUSE).await;
                    continue;
                };
                for _ in 0..SOCKETS_PER_SESSION {
                    match open(&attack, &token).await {
                        Ok(socket) => {
                            attack.deeds.count("sockets");
                            sockets.push(socket);
                        }
                        Err(status) => attack.deeds.count(&format!("refused sockets, status {status}")),
                    }
                }
            }
            std::future::pending::<()>().await;
        }
    })
    .await;
}

/// Guesses, each time another name.
pub(super) async fn of_many_names(attack: &Rc<Attack>) {
    let next = Rc::new(Cell::new(0));
    at_once(attack, LOGINS_AT_ONCE, |attack, _| {
        let next = Rc::clone(&next);
        async move {
            loop {
                let number = next.replace(next.get() + 1);
                if number >= WRONG_NAMES {
                    return;
                }
                log_in(&attack, ATTACKERS, &format!("nobody-{number}"), "a wrong password").await;
            }
        }
    })
    .await;
    for number in WRONG_NAMES.. {
        log_in(attack, ATTACKERS, &format!("nobody-{number}"), "a wrong password").await;
        sleep(NEXT_WRONG_NAME).await;
    }
}

/// Guesses the password of one name.
pub(super) async fn of_one_name(attack: &Rc<Attack>) {
    let victim = &attack.orders.victim;
    for _ in 0..WRONG_PASSWORDS {
        log_in(attack, ATTACKERS, victim, "a wrong password").await;
    }
    loop {
        log_in(attack, ATTACKERS, victim, "a wrong password").await;
        sleep(NEXT_WRONG_PASSWORD).await;
    }
}

/// All accounts log in at once, each from its own address.
pub(super) async fn at_once_from_everywhere(attack: &Rc<Attack>) {
    let begin = Instant::now();
    at_once(attack, attack.orders.accounts.len(), |attack, number| async move {
        let account = &attack.orders.accounts[number];
        log_in(&attack, account.source, &account.name, PASSWORD).await;
    })
    .await;
    attack.deeds.add("all logged in after ms", u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX));
}
