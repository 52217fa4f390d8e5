//! The goals of a run.
//!
//! All throughputs are shares of the bare echo's in the same run, because only ratios are comparable between machines.
//! The other servers and their echo were measured once, in the design's table.

use crate::attacks::Attacks;
use crate::cliff::Cliff;
use crate::cluster::Cluster;
use crate::goal::Goal;
use crate::report::Report;
use crate::series::Series;

/// Name of the reference echo.
pub const LIMIT: &str = "echo, gathered";
/// The server on SQLite.
pub const SQLITE: &str = "Castellan, SQLite";
/// The server on PostgreSQL.
pub const POSTGRES: &str = "Castellan, PostgreSQL";

/// Wanted shares of the bare echo's throughput.
const AGAINST_ECHO: [(&str, f64); 3] = [("64 × 1", 0.80), ("64 × 16", 0.50), ("1,000 × 1", 0.80)];

/// Other servers' answers per second, from the design's table, and the wanted multiple.
const OTHERS: [(&str, &str, f64, f64); 8] = [
    ("Colyseus 0.18", "64 × 1", 42_600.0, 3.0),
    ("Colyseus 0.18", "64 × 16", 45_600.0, 3.0),
    ("Colyseus 0.18", "1,000 × 1", 21_100.0, 3.0),
    ("Nakama 3.40 in memory", "64 × 1", 20_500.0, 6.0),
    ("Nakama 3.40 in memory", "64 × 16", 27_800.0, 6.0),
    ("Nakama 3.40 in memory", "1,000 × 1", 17_400.0, 6.0),
    ("Nakama 3.40 storage write", "64 × 1", NAKAMA_STORAGE, 30.0),
    ("Nakama 3.40 storage write", "1,000 × 1", NAKAMA_STORAGE_OF_MANY, 30.0),
];

/// Nakama's storage writes per second, compared with our answers after the commit, and the wanted multiple.
const DURABLE: [(&str, f64, f64); 2] = [("64 × 1", NAKAMA_STORAGE, 5.0), ("1,000 × 1", NAKAMA_STORAGE_OF_MANY, 5.0)];

/// Nakama's versioned storage writes per second over 64 connections: the median measurement.
const NAKAMA_STORAGE: f64 = 4_550.0;

/// The same over 1,000 connections.
const NAKAMA_STORAGE_OF_MANY: f64 = 3_200.0;

/// The bare echo's answers per second in the same table: the median measurement.
fn echo_beside_them(load: &str) -> f64 {
    match load {
        "64 × 1" => 169_500.0,
        "64 × 16" => 1_775_000.0,
        "1,000 × 1" => 142_000.0,
        _ => unreachable!("the table has no load {load}"),
    }
}

/// The goals of a run.
pub fn goals(report: &Report) -> Vec<Goal> {
    let mut goals = Vec::new();
    for system in [SQLITE, POSTGRES] {
        for (load, wanted) in AGAINST_ECHO {
            let what = format!("{system}, {load}: share of the bare echo");
            goals.push(Goal::at_least(what, wanted, share(&report.closed, system, load)));
        }
    }
    for (other, load, rate, times) in OTHERS {
        let what = format!("{POSTGRES}, {load}: share of the bare echo; goal: {times} × {other}");
        let measured = share(&report.closed, POSTGRES, load);
        goals.push(Goal::at_least(what, times * rate / echo_beside_them(load), measured));
    }
    let p99 = |series: &[Series], load| find(series, POSTGRES, load)?.median.as_ref().map(|median| median.p99_ms);
    let flushing = p99(&report.open, "1,000 × 10/s");
    goals.push(Goal::at_most(format!("{POSTGRES}, 10,000 intents/s over 1,000 connections: p99 in ms"), 1.0, flushing));
    let players = p99(&report.open, "10,000 × 1/s");
    goals.push(Goal::at_most(format!("{POSTGRES}, 10,000 players, one intent per second: p99 in ms"), 5.0, players));
    for (load, rate, times) in DURABLE {
        let what =
            format!("{POSTGRES}, durable, {load}: share of the bare echo; goal: {times} × Nakama 3.40 storage write");
        let echo = rate_of(&report.closed, LIMIT, load);
        let measured = rate_of(&report.durable, POSTGRES, load).zip(echo).map(|(rate, echo)| rate / echo);
        goals.push(Goal::at_least(what, times * rate / echo_beside_them(load), measured));
    }
    for load in ["1 × 1", "64 × 1", "1,000 × 1"] {
        let what = format!("{POSTGRES}, durable, {load}: p99 in ms");
        goals.push(Goal::at_most(what, 20.0, p99(&report.durable, load)));
    }
    for system in [SQLITE, POSTGRES] {
        let idle = report.idle.iter().find(|idle| idle.system == system).map(|idle| idle.bytes_a_connection);
        goals.push(Goal::at_most(format!("{system}: bytes per idle logged-in connection"), 6.0 * 1024.0, idle));
        let start = report.start.iter().find(|start| start.system == system).map(|start| start.login_ms);
        goals.push(Goal::at_most(format!("{system}: first start to first login in ms"), 1_000.0, start));
    }
    goals.extend(report.cliff.iter().flat_map(Cliff::goals));
    goals.extend(report.attacks.iter().flat_map(Attacks::goals));
    goals.extend(report.cluster.iter().flat_map(Cluster::goals));
    goals
}

fn find<'a>(series: &'a [Series], system: &str, load: &str) -> Option<&'a Series> {
    series.iter().find(|series| series.system == system && series.load == load)
}

fn rate_of(series: &[Series], system: &str, load: &str) -> Option<f64> {
    find(series, system, load)?.median.as_ref().map(|median| median.rate)
}

fn share(series: &[Series], system: &str, load: &str) -> Option<f64> {
    find(series, system, load)?.ratio_to(find(series, LIMIT, load)?, |measured| measured.rate)
}
