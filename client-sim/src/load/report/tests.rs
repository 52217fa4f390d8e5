use std::time::Duration;

use castellan_client::reconnect::Ended;
use castellan_srd::wire::RejectionCode;
use clap::Parser;
use serde_json::{Value, json};

use super::super::scenario::seats;
use super::super::scrape::ServerMoment;
use super::super::series::{Beside, moment};
use super::*;

/// The load's part of a command line.
#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    load: LoadSettings,
}

/// The server's metrics in every stretch.
fn server() -> ServerMoment {
    ServerMoment {
        applied_per_second: 98.0,
        conflicts_per_second: 2.0,
        rejected_per_second: 1.0,
        rows_per_second: 40.0,
        cache_hit_share: Some(0.75),
        backlog_characters: Some(12_345.0),
        sockets_open: Some(10.0),
        dead_letters: Some(0.0),
        memory_bytes: Some(64.0 * 1_048_576.0),
        cpu_cores: None,
        write_p50_ms: Some(3.0),
        write_p99_ms: None,
        answer_p50_ms: Some(0.02),
        answer_p99_ms: Some(0.2),
        persistence_p99_ms: Some(1_000.0),
    }
}

/// A second with 100 answers, one failed intent and one lost connection.
fn tally() -> Tally {
    let mut tally = Tally { applied: 97, refused: 2, begun: 100, pushed: 7, reconnects: 3, ..Tally::default() };
    tally.reject(castellan_srd::code::DEAD);
    tally.reject(RejectionCode::INTERNAL);
    tally.lose(Ended::Lost { retry_after: None });
    for latency_us in 1..=100 {
        tally.latency.saturating_record(latency_us * 100);
    }
    tally
}

/// A run of this many such seconds.
fn report(seconds: u32, arguments: &[&str], change: impl Fn(&mut Tally)) -> Report {
    let arguments = ["client-sim", "--scenario", "mixed", "--players", "100"].iter().chain(arguments);
    let settings = CommandLine::try_parse_from(arguments).expect("good arguments").load;
    let scenario = settings.scenario.clone();
    let seats = seats(&scenario, settings.players).expect("enough players");
    let mut part = tally();
    change(&mut part);
    let length = Duration::from_secs(1);
    let (mut all, mut moments) = (Tally::default(), Vec::new());
    for second in 1..=seconds {
        all.add(&part);
        let (at, generator_cores) = (length * second, Some(0.25));
        let beside = Beside { at, length, due: 100, sockets: 99, generator_cores, server: Some(server()) };
        moments.push(moment(&part, beside));
    }
    let mut tallies: Vec<_> = scenario.groups.iter().map(|_| Tally::default()).collect();
    tallies[1] = all;
    let course = Course { seconds: f64::from(seconds), cores: Some((0.3, 0.25)), tallies, moments };
    Report::of(&settings, &scenario, &seats, course, "2026-11-22 12:00 UTC".to_owned())
}

#[test]
fn the_json_contains_totals_groups_limits_and_the_run_over_time() {
    let report = report(3, &["--p99", "5ms", "--errors", "10"], |_| ());
    let json = serde_json::to_value(&report).expect("a report is JSON");
    let at = |path: &str| json.pointer(path).unwrap_or_else(|| panic!("{path} is missing")).clone();
    for (path, expected) in [
        ("/good", json!(false)),
        ("/scenario/name", json!("mixed")),
        ("/settings/players", json!(100)),
        ("/totals/applied", json!(291)),
        ("/totals/conflicts", json!(6)),
        ("/totals/errors", json!(6)),
        ("/totals/rejected", json!({"dead": 3})),
        ("/totals/failed", json!({"internal": 3})),
        ("/totals/connections_lost", json!({"cut": 3})),
        ("/totals/answered_per_second", json!(100.0)),
        ("/totals/latency/count", json!(300)),
        ("/groups/1/name", json!("raid")),
        ("/groups/1/players", json!(20)),
        ("/groups/1/applied", json!(291)),
        ("/generator/cores", json!(0.3)),
        ("/generator/doubts", json!([])),
        ("/moments/2/at_seconds", json!(3.0)),
        ("/moments/2/due", json!(100)),
        ("/moments/2/errors", json!(2)),
        ("/moments/2/server/backlog_characters", json!(12_345.0)),
        ("/limits/0/limit", json!("p99")),
        ("/limits/0/held", json!(false)),
        ("/limits/1/held", json!(true)),
    ] {
        assert_eq!(at(path), expected, "{path}");
    }
    let counts = at("/latency_distribution");
    let all: u64 = counts.as_array().into_iter().flatten().filter_map(|bar| bar["count"].as_u64()).sum();
    assert_eq!(all, 300);
    assert_eq!(at("/moments").as_array().map(Vec::len), Some(3));
    assert!(matches!(at("/moments/0/latency/p99_9_ms"), Value::Number(_)));
}

#[test]
fn the_page_is_self_contained() {
    let html = report(30, &["--p99", "5ms"], |_| ()).html();
    for forbidden in ["<script", "<link", "<img", "<iframe", "src=", "href=", "url(", "@import", "https:"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    // The only address is the server's, as text.
    assert_eq!(html.matches("http:").count(), 1);
}

#[test]
fn the_page_contains_the_figures() {
    let html = report(30, &["--p99", "5ms"], |_| ()).html();
    for words in [
        "Some limits were not met",
        "p99: limit 5 ms, measured 9.9",
        "--p99 5 ms",
        "2,910",
        "(dead 30)",
        "12,345 characters",
        "max 12,345",
        "29 s\nbacklog",
        "answered: 101 intents/s",
        "Processor time",
        "castellan.v1.msgpack",
    ] {
        assert!(html.contains(words), "{words}");
    }
    assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
    assert!(html.matches("<figure>").count() >= 14, "{}", html.matches("<figure>").count());
    assert!(!html.contains("NaN") && !html.contains("inf"));
}

#[test]
fn the_page_says_if_it_is_unreliable_or_all_is_well() {
    let good = report(3, &[], |_| ());
    assert!(good.is_good());
    assert!(good.html().contains("All limits were met") && !good.html().contains("Unreliable"));
    let late = report(3, &[], |tally| (0..100).for_each(|_| tally.lateness.saturating_record(9_000)));
    assert!(late.html().contains("Unreliable"));
    assert!(late.text().contains("UNRELIABLE"));
    let liar = report(3, &[], |tally| {
        tally.contradictions = 1;
        tally.examples = vec!["sim-1-0: <b>never</b>".to_owned()];
    });
    assert!(!liar.is_good());
    assert!(liar.html().contains("sim-1-0: &lt;b&gt;never&lt;/b&gt;"));
}

#[test]
fn charts_of_long_runs_stay_readable() {
    let html = report(1_200, &[], |_| ()).html();
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
    assert!(html.contains("20:00 min"), "the axis counts minutes");
}
