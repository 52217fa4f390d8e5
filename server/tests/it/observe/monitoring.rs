//! A Prometheus and an Alertmanager that watch some addresses.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::prometheus::{alertmanager, prometheus};
use xtask::run::workspace;

use crate::dashboards;
use crate::harness::{Http, Program};
use crate::starting::free_address;

/// Both programs; killed when dropped.
pub(super) struct Monitoring {
    prometheus: Http,
    alertmanager: Http,
    _programs: [Program; 2],
    _folder: TempDir,
}

impl Monitoring {
    /// Watches these addresses with the settings and rules of the folder `grafana`, all durations divided by `haste`.
    pub(super) fn start(haste: u32, addresses: &[SocketAddr]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (at, alerts_at) = (free_address(), free_address());
        let put = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("it can be written");
        let read = |name: &str| fs::read_to_string(workspace().join("grafana").join(name)).expect("a text");
        put("alerts.yml", &hastened(&read("alerts.yml"), haste));
        let targets: Vec<String> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
        let mut settings = hastened(&read("prometheus.yml"), haste);
        settings = settings.replacen("\"127.0.0.1:8080\"", &targets.join(", "), 1);
        assert!(settings.contains(&targets[0]), "the sample has another address: {settings}");
        let interval = 15_000 / haste;
        settings = settings.replacen("global:\n", &format!("global:\n  evaluation_interval: {interval}ms\n"), 1);
        write!(settings, "alerting:\n  alertmanagers:\n    - static_configs:\n        - targets: [\"{alerts_at}\"]\n")
            .expect("a string");
        put("prometheus.yml", &settings);
        put(
            "alertmanager.yml",
            "route: { receiver: nobody, group_by: [alertname, instance] }\nreceivers: [{ name: nobody }]\n",
        );
        let mut command = alertmanager().expect("Alertmanager");
        command.args(["--config.file=alertmanager.yml", "--storage.path=alerts", "--cluster.listen-address="]);
        command.arg(format!("--web.listen-address={alerts_at}"));
        let alertmanager = Program::start(command, folder.path(), "alertmanager.log", alerts_at);
        let mut command = Command::new(prometheus().expect("Prometheus"));
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=series"]);
        command.arg(format!("--web.listen-address={at}"));
        let prometheus = Program::start(command, folder.path(), "prometheus.log", at);
        let programs = [prometheus, alertmanager];
        Self { prometheus: Http::new(at), alertmanager: Http::new(alerts_at), _programs: programs, _folder: folder }
    }

    /// The alerts that fire now: the instance, empty if it is about all of them, and the name.
    pub(super) fn alerts(&self) -> BTreeSet<(String, String)> {
        let answer = self.alertmanager.get("/api/v2/alerts?active=true");
        let alerts = answer.json.as_array().cloned().unwrap_or_default();
        let label = |alert: &Value, name: &str| alert["labels"][name].as_str().unwrap_or_default().to_owned();
        alerts.iter().map(|alert| (label(alert, "instance"), label(alert, "alertname"))).collect()
    }

    /// The number of series with which a query is answered.
    pub(super) fn series(&self, query: &str) -> usize {
        self.ask("query", &url_form(query)).len()
    }

    /// What all panels have shown since then, as a list: the panel, its unit, the legend, and the series.
    pub(super) fn recorded(&self, since: Instant) -> Value {
        let now = self.ask("query", "query=time()")[0].as_f64().expect("seconds");
        let range = format!("&start={}&end={now}&step=15", now - since.elapsed().as_secs_f64());
        let panels = dashboards::queries().into_iter().map(|query| {
            let series = self.ask("query_range", &(url_form(&query.text) + &range));
            json!({"panel": query.panel, "unit": query.unit, "legend": query.legend, "series": series})
        });
        panels.collect()
    }

    fn ask(&self, kind: &str, body: &str) -> Vec<Value> {
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = self.prometheus.call("POST", &format!("/api/v1/{kind}"), &headers, Some(body));
        assert_eq!(answer.json["status"], "success", "{body}: {answer:?}");
        answer.json["data"]["result"].as_array().cloned().unwrap_or_default()
    }
}

/// The body of a form with the field `query`.
fn url_form(query: &str) -> String {
    let mut body = "query=".to_owned();
    for byte in query.bytes() {
        if byte.is_ascii_alphanumeric() {
            body.push(char::from(byte));
        } else {
            write!(body, "%{byte:02X}").expect("a string");
        }
    }
    body
}

/// Divides the durations in settings and rules: those behind `for:` and in `interval:`, and the ranges in brackets.
fn hastened(text: &str, haste: u32) -> String {
    let mut hastened = String::new();
    for line in text.split_inclusive('\n') {
        let mut rest = line;
        let starts = ["for: ", "interval: ", "["];
        while let Some((at, start)) =
            starts.iter().filter_map(|start| Some((rest.find(start)? + start.len(), start))).min()
        {
            let (before, after) = rest.split_at(at);
            hastened.push_str(before);
            let digits = after.len() - after.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
            let (number, unit) = after.split_at(digits);
            let milliseconds = match unit.chars().next() {
                Some('s') => 1_000,
                Some('m') => 60_000,
                Some('h') => 3_600_000,
                Some('d') => 86_400_000,
                _ => 0,
            };
            match number.parse::<u64>() {
                Ok(number) if milliseconds > 0 => {
                    write!(hastened, "{}ms", number * milliseconds / u64::from(haste)).expect("a string");
                    rest = &unit[1..];
                }
                _ => rest = after,
            }
            let _ = start;
        }
        hastened.push_str(rest);
    }
    hastened
}

#[test]
fn durations_are_divided_and_nothing_else() {
    let text = "  for: 5m\n  expr: rate(x_total{status=~\"[45]..\"}[10m]) > 300\n  interval: 15s\n";
    let expected = "  for: 10000ms\n  expr: rate(x_total{status=~\"[45]..\"}[20000ms]) > 300\n  interval: 500ms\n";
    assert_eq!(hastened(text, 30), expected);
    assert_eq!(hastened("for: 1m\n", 1), "for: 60000ms\n");
}
