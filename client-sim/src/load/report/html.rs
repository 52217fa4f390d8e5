//! The report as one self-contained page, without network and scripts.

use std::fmt::Write;

use super::super::limits::LimitVerdict;
use super::super::scenario::{BasedOn, Conduct};
use super::super::series::Percentiles;
use super::scale::number;
use super::text::counts;
use super::{GroupReport, Report};

impl Report {
    /// The page.
    pub(in crate::load) fn html(&self) -> String {
        let mut page = String::with_capacity(256 * 1024);
        let (scenario, players) = (escape(&self.scenario.name), self.settings.players);
        let _ = writeln!(
            page,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Castellan load: {scenario}, {players} players</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>",
            include_str!("style.css"),
        );
        let (server, started_at) = (escape(&self.settings.server), &self.started_at);
        let _ = writeln!(
            page,
            "<header><h1>{players} players against Castellan</h1>\
             <p>Scenario <b>{scenario}</b>: {} On {server}, {started_at}.</p></header>",
            escape(&self.scenario.description),
        );
        page += &self.verdict();
        page += &self.tiles();
        page += &section("Measured by the players", &self.player_charts());
        let server = self.server_charts();
        page += &if server.is_empty() {
            "<h2>The server's own metrics</h2><p>They could not be read during this run; set --metrics.</p>\n"
                .to_owned()
        } else {
            section("The server's own metrics, read every second", &server)
        };
        page += &section("The generator's own cost", &self.generator_charts());
        page += &self.tables();
        page += "</main>\n</body>\n</html>\n";
        page
    }

    fn verdict(&self) -> String {
        let mut verdict = String::new();
        if !self.generator.is_believable() {
            verdict += "<div class=\"verdict doubt\">Unreliable: the generator itself was the bottleneck.";
            for doubt in &self.generator.doubts {
                let _ = write!(verdict, "<p>{}</p>", escape(doubt));
            }
            verdict += "</div>\n";
        }
        let missed = self.limits.iter().filter(|limit| !limit.held);
        let missed: Vec<_> = missed.map(|limit| format!("<p>{}</p>", escape(&sentence(limit)))).collect();
        verdict += &if missed.is_empty() {
            "<div class=\"verdict good\">All limits were met, and no answer contradicts what the players \
             know.</div>\n"
                .to_owned()
        } else {
            format!("<div class=\"verdict bad\">Some limits were not met.{}</div>\n", missed.concat())
        };
        verdict
    }

    fn tiles(&self) -> String {
        let totals = &self.totals;
        let main = if totals.latency.count > 0 { &totals.latency } else { &totals.latency_ack_durable };
        let ms = |value: f64| format!("{} <small>ms</small>", number(value));
        let tiles = [
            ("Answered", format!("{} <small>/s</small>", number(totals.answered_per_second))),
            ("p50", ms(main.p50_ms)),
            ("p99", ms(main.p99_ms)),
            ("p99.9", ms(main.p99_9_ms)),
            ("Applied", number(totals.applied as f64)),
            ("Conflicts", number(totals.conflicts as f64)),
            ("Errors", number(totals.errors as f64)),
            ("Contradictions", number(totals.contradictions as f64)),
        ];
        let tiles = tiles.map(|(name, value)| format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
        format!("<dl class=\"tiles\">{}</dl>\n", tiles.concat())
    }

    fn tables(&self) -> String {
        let mut page = String::from(
            "<h2>Limits</h2>\n<div class=\"card\"><table><tr><th>Limit<th class=\"n\">Asked<th class=\"n\">Found<th>Verdict</tr>",
        );
        for limit in &self.limits {
            let (asked, found) = (limit.asked_text(), limit.found_text());
            let class = if limit.held { "good" } else { "bad" };
            let verdict = if limit.held { "held" } else { "missed" };
            let name = limit.limit;
            let _ = write!(
                page,
                "<tr><td>{name}<td class=\"n\">{asked}<td class=\"n\">{found}<td><b class=\"{class}\">&nbsp;{verdict}&nbsp;</b></tr>"
            );
        }
        page += "</table></div>\n<h2>Groups of players</h2>\n<div class=\"card\"><table><tr><th>Group";
        for name in [
            "Players",
            "Applied",
            "Conflicts",
            "Rejected",
            "Errors",
            "Sent again",
            "Pushed",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
        ] {
            let _ = write!(page, "<th class=\"n\">{name}");
        }
        page += "</tr>";
        self.groups.iter().for_each(|group| page += &row(group));
        page += "</table></div>\n<div class=\"two\"><div><h2>Totals</h2>";
        page += &table(&self.sums());
        page += "</div><div><h2>Settings</h2>";
        page += &table(&self.settings_rows());
        page += "</div></div>\n";
        if !self.contradictions.is_empty() {
            page += "<h2>Contradictions</h2>\n<div class=\"card\"><table>";
            for contradiction in &self.contradictions {
                let _ = write!(page, "<tr><td><code>{}</code></tr>", escape(contradiction));
            }
            page += "</table></div>\n";
        }
        page
    }

    fn sums(&self) -> Vec<(&'static str, String)> {
        let totals = &self.totals;
        let generator = &self.generator;
        let cores =
            |cores: Option<f64>| cores.map_or_else(|| "unknown".to_owned(), |cores| format!("{cores:.2} cores"));
        let memory =
            generator.memory_peak_bytes.map_or_else(|| "unknown".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
        vec![
            ("Intents started", number(totals.begun as f64)),
            (
                "Applied",
                format!("{} ({} of them durable)", number(totals.applied as f64), number(totals.durable as f64)),
            ),
            ("Rejected by the rules", counts(&totals.rejected)),
            ("Errors", self.errors()),
            ("Never settled", number(totals.without_an_end as f64)),
            ("Latency, ms", totals.latency.line()),
            ("Latency after the commit, ms", percentiles(&totals.latency_ack_durable)),
            ("Connections", format!("{} opened, {} closed on purpose", totals.connections, totals.reconnects)),
            ("The generator's lateness, ms", generator.lateness.line()),
            (
                "The generator's processor time",
                format!("{}, busiest thread {}", cores(generator.cores), cores(generator.busiest_thread_cores)),
            ),
            ("The generator's peak memory", memory),
        ]
    }

    fn settings_rows(&self) -> Vec<(&'static str, String)> {
        let settings = &self.settings;
        let mut rows = vec![
            (
                "Duration",
                format!(
                    "{} s, ramp {} s, time to settle {} s",
                    settings.duration_seconds, settings.ramp_seconds, settings.settle_seconds
                ),
            ),
            ("Codec", settings.codec.to_owned()),
            ("Threads, seed", format!("{}, {}", settings.threads, settings.seed)),
        ];
        for group in &self.scenario.groups {
            rows.push(("Group", format!("{}, share {}: {}", group.name, group.share, conduct(&group.conduct))));
        }
        rows
    }
}

/// A group's conduct, for people.
fn conduct(conduct: &Conduct) -> String {
    let based_on = match conduct.based_on {
        BasedOn::After => "the previous intent",
        BasedOn::Expect => "the version last seen",
    };
    let mut parts = vec![format!("{}/s each", conduct.intents_per_second), format!("based on {based_on}")];
    for (holds, part) in [
        (conduct.burst_intents > 1, format!("bursts of {}", conduct.burst_intents)),
        (conduct.clients_per_character > 1, format!("{} clients per character", conduct.clients_per_character)),
        (conduct.due_together, "due together".to_owned()),
        (conduct.watch, "watching".to_owned()),
        (conduct.ack_durable_share > 0.0, format!("share {} answered after the commit", conduct.ack_durable_share)),
    ] {
        if holds {
            parts.push(part);
        }
    }
    if let Some(every) = conduct.reconnect_every_seconds {
        parts.push(format!("disconnects every {every} s for {} s", conduct.away_seconds));
    }
    let weights: Vec<_> = conduct.weights.iter().map(|(deed, weight)| format!("{} {weight}", deed.name())).collect();
    format!("{}. Weights: {}.", parts.join(", "), weights.join(", "))
}

fn sentence(limit: &LimitVerdict) -> String {
    format!("{}: limit {}, measured {}.", limit.limit, limit.asked_text(), limit.found_text())
}

fn section(title: &str, charts: &str) -> String {
    format!("<h2>{title}</h2>\n<div class=\"charts\">\n{charts}</div>\n")
}

fn row(group: &GroupReport) -> String {
    let mut row = format!("<tr><td>{}", escape(&group.name));
    let players = group.players as u64;
    for count in [players, group.applied, group.conflicts, group.rejected, group.errors, group.resent, group.pushed] {
        let _ = write!(row, "<td class=\"n\">{}", number(count as f64));
    }
    for value in [group.latency.p50_ms, group.latency.p99_ms, group.latency.p99_9_ms] {
        let _ = write!(row, "<td class=\"n\">{}", number(value));
    }
    row + "</tr>"
}

fn table(rows: &[(&str, String)]) -> String {
    let rows: String = rows.iter().map(|(name, value)| format!("<tr><th>{name}<td>{}</tr>", escape(value))).collect();
    format!("<div class=\"card\"><table>{rows}</table></div>")
}

fn percentiles(percentiles: &Percentiles) -> String {
    if percentiles.count > 0 { percentiles.line() } else { "not measured".to_owned() }
}

/// Escapes text for HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
