//! Other honest clients beside the players: new connections with a request, and logins.

#![expect(clippy::disallowed_methods, reason = "requests are sent at fixed times")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::people::{Person, login_body};
use super::phases::{Moments, PHASES};
use super::times::{Stopwatch, Times};
use crate::caller::Caller;
use crate::machine::come_first;
use crate::players::PASSWORD;

/// Time between two requests on new connections.
const REQUEST_PERIOD: Duration = Duration::from_millis(50);

/// Time between two logins.
const LOGIN_PERIOD: Duration = Duration::from_millis(500);

/// Times an answer to `GET /health/live` on a new connection, by phase; each from another address.
pub(super) fn requests(
    caller: &Caller,
    source: impl Fn(usize) -> std::net::Ipv4Addr,
    moments: &Moments,
    gives_up: &AtomicBool,
) -> [Times; PHASES] {
    by_phase(moments, REQUEST_PERIOD, gives_up, |number| {
        caller.from(source(number)).get("/health/live").map(|(status, _)| status).unwrap_or_default()
    })
}

/// Times logins of these people, by phase; each from the own address.
pub(super) fn logins(caller: &Caller, people: &[Person], moments: &Moments, gives_up: &AtomicBool) -> [Times; PHASES] {
    by_phase(moments, LOGIN_PERIOD, gives_up, |number| {
        let person = &people[number % people.len()];
        let body = login_body(&person.name, PASSWORD, false);
        let answer = caller.from(person.source).post("/session/login", "", &body);
        answer.map(|(status, _)| status).unwrap_or_default()
    })
}

/// Times `ask` once per period; other statuses than 200 are failures. A late one is not made up for.
fn by_phase(moments: &Moments, period: Duration, gives_up: &AtomicBool, ask: impl Fn(usize) -> u16) -> [Times; PHASES] {
    // Like the players' thread, it must not wait for the attackers. Without permission it sometimes does.
    let _ = come_first();
    let mut watches = [(); PHASES].map(|()| Stopwatch::new());
    let (mut due, mut number) = (moments.begin(0), 0);
    while due < moments.last() && !gives_up.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let begin = Instant::now();
        let status = ask(number);
        if let Some(phase) = moments.at(begin) {
            match status {
                200 => watches[phase].record(begin.elapsed()),
                _ => watches[phase].fail(),
            }
        }
        number += 1;
        due = (due + period).max(Instant::now());
    }
    watches.map(|watch| watch.times())
}
