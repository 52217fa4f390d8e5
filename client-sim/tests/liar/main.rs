//! Runs client-sim against a small server that is honest or lies in one way. The exit code must tell.

mod server;

use std::process::{Command, Output};

use serde_json::Value;
use tokio::net::TcpListener;

use server::{Lie, Owner, serve};

fn run(lie: Lie, owner: Owner, arguments: &[&str]) -> Output {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let server = format!("http://{}", listener.local_addr().expect("bound"));
    runtime.spawn(serve(listener, lie, owner));
    let usual = [("--server", server.as_str()), ("--players", "2"), ("--duration", "1s"), ("--settle", "2s")];
    let usual = usual.into_iter().filter(|(name, _)| !arguments.contains(name));
    Command::new(env!("CARGO_BIN_EXE_client-sim"))
        .args(["--codec", "json"])
        .args(usual.flat_map(|(name, value)| [name, value]))
        .args(arguments)
        .output()
        .expect("client-sim runs")
}

/// Checks the exit code, and that the output contains some words.
fn expect(output: &Output, code: i32, words: &str) {
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words), "`{words}` is not in:\n{said}");
}

/// Runs against one lie and checks the output for words.
fn check(lie: Lie, good: bool, words: &str) {
    expect(&run(lie, Owner::Client, &["--rate", "100", "--durable-share", "0"]), i32::from(!good), words);
}

/// Runs a scenario with one group at a hundred intents per second.
fn run_scenario(owner: Owner, fields: &str, weights: &str, lie: Lie, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("scenario.toml");
    let text = format!("[[group]]\nname = \"a\"\nintents_per_second = 100.0\n{fields}\n[group.weights]\n{weights}\n");
    std::fs::write(&file, text).expect("room on the disk");
    let scenario = ["--scenario", file.to_str().expect("a path of ASCII")];
    run(lie, owner, &[&scenario, arguments].concat())
}

/// Runs a scenario and checks the output for words.
fn check_scenario(owner: Owner, fields: &str, weights: &str, lie: Lie, good: bool, words: &str) {
    expect(&run_scenario(owner, fields, weights, lie, &[]), i32::from(!good), words);
}

#[test]
fn an_honest_server_is_believed() {
    check(Lie::None, true, "contradictions        0");
}

#[test]
fn an_intent_without_effect_or_with_double_effect_is_found() {
    for lie in [Lie::Nothing, Lie::Twice] {
        check_scenario(Owner::Client, "", "gain_experience = 1", lie, false, "experience should be");
    }
}

#[test]
fn false_versions_are_found() {
    check(Lie::VersionFalls, false, "after version");
    check(Lie::DurableAhead, false, "is reported as durable, but");
    check(Lie::Stranger, false, "which this player never sent");
}

#[test]
fn an_intent_without_a_final_answer_is_found() {
    check(Lie::NeverDurable, false, "never settled");
    check(Lie::Silence, false, "never settled");
}

#[test]
fn an_applied_intent_based_on_a_rejected_one_is_found() {
    let weights = "gain_experience = 3\nequip_item = 1";
    check_scenario(Owner::Client, "burst_intents = 16", weights, Lie::AnyBase, false, "based on it was applied");
}

#[test]
fn a_party_believes_an_honest_server_and_finds_lies() {
    // Two players who act on one character at the same times, each based on the version that it last saw.
    let fields =
        "clients_per_character = 2\nbased_on = \"expect\"\ndue_together = true\nwatch = true\nburst_intents = 6";
    for (lie, good, words) in [
        (Lie::None, true, "contradictions        0"),
        (Lie::Twice, false, "should be"),
        (Lie::Nothing, false, "should be"),
        (Lie::AnyBase, false, "were both applied, although both were based on version"),
        (Lie::Stranger, false, "which this player never sent"),
        (Lie::NeverDurable, false, "never settled"),
    ] {
        check_scenario(Owner::Everybody, fields, "gain_experience = 1", lie, good, words);
    }
}

#[test]
fn an_intent_sent_before_a_broken_connection_is_sent_again_and_counts_once() {
    let fields = "reconnect_every_seconds = 0.1";
    for (lie, good, words) in [(Lie::None, true, "sent again"), (Lie::Again, false, "should be")] {
        check_scenario(Owner::Client, fields, "gain_experience = 1", lie, good, words);
    }
}

#[test]
fn limits_decide_the_exit_code_and_are_reported_one_by_one() {
    let limited = |limits: &[&str]| {
        let arguments: Vec<_> = ["--rate", "50"].into_iter().chain(limits.iter().copied()).collect();
        run(Lie::None, Owner::Client, &arguments)
    };
    let held = limited(&["--p99", "1h", "--p999", "1h", "--errors", "0", "--conflicts", "1000"]);
    expect(&held, 0, "ok      p99             limit 3600000 ms, measured");
    expect(&held, 0, "ok      errors          limit 0, measured 0");
    let missed = limited(&["--p50", "0.001ms", "--p99", "1h"]);
    expect(&missed, 1, "FAILED  p50             limit 0.001 ms, measured");
    expect(&missed, 1, "ok      p99");
}

/// The server pauses for half a second. At a hundred intents per second this delays half of a second's intents,
/// although only one was sent: the others wait for its answer, and their latency counts from their due time.
#[test]
fn latency_counts_from_when_an_intent_was_due() {
    for fields in ["based_on = \"expect\"", "based_on = \"after\""] {
        let arguments = ["--players", "1", "--p50", "1h", "--p90", "150ms"];
        let output = run_scenario(Owner::Client, fields, "gain_experience = 1", Lie::Pause, &arguments);
        expect(&output, 1, "FAILED  p90");
        expect(&output, 1, "ok      contradictions");
    }
}

#[test]
fn invalid_arguments_are_reported_before_anything_is_sent() {
    for (arguments, words) in [
        (["--p99", "fast"], "not a duration such as"),
        (["--scenario", "party"], "no built-in scenario has this name (casual, raid,"),
        (["--scenario", "mixed"], "of 2 players would be empty"),
        (["--html", "/nowhere/at/all.html"], "cannot write /nowhere/at/all.html"),
        (["--server", "ws://127.0.0.1"], "must begin with https:// or http://"),
        (["--errors", "few"], "--errors"),
    ] {
        expect(&run(Lie::None, Owner::Client, &arguments), 2, words);
    }
}

#[test]
fn reports_are_written_to_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("a path of ASCII").to_owned();
    let (json, html) = (path("report.json"), path("report.html"));
    expect(&run(Lie::None, Owner::Client, &["--rate", "50", "--json", &json, "--html", &html]), 0, "always");
    let report: Value = serde_json::from_slice(&std::fs::read(json).expect("a file")).expect("JSON");
    let applied: Vec<_> =
        report["moments"].as_array().expect("a series").iter().map(|m| m["applied"].as_u64()).collect();
    assert!(applied.iter().flatten().sum::<u64>() > 20, "{applied:?}");
    let page = std::fs::read_to_string(html).expect("a file");
    assert!(page.contains("<svg") && page.contains("could not be read during this run"));
}
