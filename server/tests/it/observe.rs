//! Alerts provoked for real: servers in trouble, a real Prometheus that watches them, and a real Alertmanager that says
//! which alerts fire. The queries of all dashboards are answered meanwhile.
//!
//! The tests run it with all durations divided by 30. `cargo xtask observe` takes them as they are in `grafana/alerts.yml`,
//! which takes eleven minutes.

mod monitoring;
mod troubles;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use self::monitoring::Monitoring;
use self::troubles::{all, sound};
use crate::dashboards;

/// Panels that stay empty in this test, because what they show does not happen in it.
const EMPTY: &[&str] = &["players: Audit events dropped", "players: TLS handshakes by outcome"];

/// Where to put what the panels show, if the test has time.
fn in_full() -> Option<PathBuf> {
    std::env::var_os("CASTELLAN_TEST_OBSERVE_IN_FULL").map(PathBuf::from)
}

/// All durations are divided by this.
fn haste() -> u32 {
    if in_full().is_some() { 1 } else { 30 }
}

#[test]
fn troubles_raise_their_alerts_and_a_sound_server_raises_none() {
    let (troubles, sound) = (all(), sound());
    let addresses = troubles.iter().chain([&sound]).flat_map(|trouble| trouble.addresses.iter().copied());
    let monitoring = Monitoring::start(haste(), &addresses.collect::<Vec<_>>());
    let over = Over::default();
    let expected: BTreeSet<(String, &str)> = (troubles.iter())
        .flat_map(|trouble| trouble.alerts.iter().map(|alert| (trouble.addresses[0].to_string(), *alert)))
        .collect();
    std::thread::scope(|scope| {
        // However the test ends, the troublemakers must.
        let _ends = Ends(&over);
        for trouble in troubles.iter().chain([&sound]) {
            scope.spawn(|| trouble.make(haste(), &over));
        }
        let began_at = Instant::now();
        let deadline = began_at + Duration::from_secs(30 * 60) / haste() + Duration::from_secs(60);
        let mut seen = BTreeSet::new();
        loop {
            seen.extend(monitoring.alerts());
            let missing: Vec<_> =
                expected.iter().filter(|(at, alert)| !seen.contains(&(at.clone(), (*alert).to_owned()))).collect();
            if missing.is_empty() {
                break;
            }
            assert!(Instant::now() < deadline, "these alerts do not come: {missing:#?}\nthese came: {seen:#?}");
            over.comes_within(Duration::from_millis(200));
        }
        let at_sound: Vec<_> = seen.iter().filter(|(at, _)| *at == sound.addresses[0].to_string()).collect();
        assert!(at_sound.is_empty(), "alerts about a sound server: {at_sound:#?}");
        let empty: BTreeSet<String> = (dashboards::queries().into_iter())
            .filter(|query| monitoring.series(&query.text) == 0)
            .map(|query| query.panel)
            .collect();
        let expected: BTreeSet<String> = EMPTY.iter().map(|panel| (*panel).to_owned()).collect();
        assert_eq!(empty, expected, "panels without data");
        for (at, alert) in &seen {
            eprintln!("{alert} at {at}");
        }
        if let Some(file) = in_full() {
            std::fs::write(file, monitoring.recorded(began_at).to_string()).expect("it can be written");
        }
    });
}

/// The end of the test, for those who make trouble until then.
#[derive(Default)]
struct Over {
    is_over: Mutex<bool>,
    ended: Condvar,
}

impl Over {
    /// Waits for the end, but no longer than this. True if it has come.
    fn comes_within(&self, pause: Duration) -> bool {
        let mut is_over = self.is_over.lock();
        if !*is_over {
            self.ended.wait_for(&mut is_over, pause);
        }
        *is_over
    }
}

/// Says that the test is over when dropped.
struct Ends<'a>(&'a Over);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        *self.0.is_over.lock() = true;
        self.0.ended.notify_all();
    }
}
