//! The alerts: Prometheus reads them, each fires above its threshold and is silent below, and each has a runbook.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::prometheus::promtool;
use xtask::run::workspace;

fn grafana() -> PathBuf {
    workspace().join("grafana")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs promtool on a file of the folder `grafana`.
fn run(arguments: &[&str]) {
    let program = promtool().expect("promtool");
    let ended = Command::new(program).current_dir(grafana()).args(arguments).output().expect("it starts");
    let said = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(ended.status.success(), "promtool {}:\n{said}", arguments.join(" "));
}

#[test]
fn prometheus_reads_its_settings_and_the_rules() {
    run(&["check", "config", "prometheus.yml"]);
    run(&["check", "rules", "alerts.yml"]);
}

#[test]
fn alerts_fire_above_their_threshold_and_not_below() {
    run(&["test", "rules", "alerts_test.yml"]);
}

#[test]
fn alerts_that_look_at_days_fire_above_their_threshold_and_not_below() {
    run(&["test", "rules", "alerts_days_test.yml"]);
}

/// The text behind a key, on a line of its own or in a map on one line.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let rest = line.split_once(&format!("{key}: "))?.1;
    Some(rest.split([',', '}']).next().unwrap_or(rest).trim())
}

/// For each alert how many tests expect it, and how many expect that it is silent.
fn tested() -> BTreeMap<String, (usize, usize)> {
    let mut tested = BTreeMap::<String, (usize, usize)>::new();
    let mut present = String::new();
    for file in ["alerts_test.yml", "alerts_days_test.yml"] {
        for line in read(&grafana().join(file)).lines() {
            if let Some(alert) = value(line, "alertname") {
                present = alert.to_owned();
            }
            let (fires, silent) = tested.entry(present.clone()).or_default();
            *fires += usize::from(line.contains("exp_labels:"));
            *silent += usize::from(line.contains("exp_alerts: []"));
        }
    }
    tested
}

#[test]
fn every_alert_has_tests_a_severity_and_a_runbook() {
    let rules = read(&grafana().join("alerts.yml"));
    let runbooks = read(&workspace().join("docs/runbooks.md"));
    let titles: BTreeSet<&str> = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let tested = tested();
    let mut alerts = BTreeSet::new();
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().expect("a name");
        assert!(alerts.insert(name), "{name} is there twice");
        let has = |key: &str, wanted: &[&str]| {
            let found = rule.lines().find_map(|line| value(line, key));
            assert!(found.is_some_and(|found| wanted.contains(&found)), "{name}: {key}: {found:?}");
        };
        has("severity", &["critical", "warning"]);
        has("runbook", &[&format!("docs/runbooks.md#{}", name.to_lowercase())]);
        assert!(titles.contains(name), "docs/runbooks.md has no section {name}");
        let (fires, silent) = tested.get(name).copied().unwrap_or_default();
        assert!(fires > 0 && silent > 0, "{name}: {fires} tests in which it fires, {silent} in which it is silent");
    }
    let sections: BTreeSet<&str> = titles.into_iter().filter(|title| title.starts_with("Castellan")).collect();
    assert_eq!(sections, alerts, "no runbook is about an alert that is gone");
}
