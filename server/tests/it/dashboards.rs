//! The dashboards: Grafana knows all their keys, Prometheus reads all their queries, and they fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use xtask::prometheus::promtool;
use xtask::run::workspace;

/// The kinds of panels that the dashboards use. Grafana ships all of them.
const PLAIN: [&str; 4] = ["row", "stat", "table", "timeseries"];

/// The columns of a dashboard.
const COLUMNS: u64 = 24;

/// The files of all dashboards, with their content.
fn dashboards() -> BTreeMap<PathBuf, Value> {
    let files = fs::read_dir(workspace().join("grafana/dashboards")).expect("the folder");
    let read = |file: PathBuf| {
        let text = fs::read_to_string(&file).expect("a text");
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (file, value)
    };
    files.map(|entry| read(entry.expect("an entry").path())).collect()
}

/// The elements of a list.
fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A query of a panel.
pub(crate) struct Query {
    /// The dashboard and the title.
    pub(crate) panel: String,
    /// As Grafana sends it.
    pub(crate) text: String,
    /// The names of its series, with labels in double braces.
    pub(crate) legend: String,
    pub(crate) unit: String,
}

/// The queries of all panels.
pub(crate) fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for (file, dashboard) in dashboards() {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        for panel in panels(&dashboard) {
            queries.extend(list(panel, "targets").iter().map(|target| Query {
                panel: format!("{name}: {}", text(panel, "title")),
                text: sent(text(target, "expr")),
                legend: text(target, "legendFormat").to_owned(),
                unit: text(&panel["fieldConfig"]["defaults"], "unit").to_owned(),
            }));
        }
    }
    queries
}

/// All panels but the rows' headings.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    list(dashboard, "panels").iter().filter(|panel| text(panel, "type") != "row")
}

/// A query as Grafana sends it, with everything selected.
fn sent(query: &str) -> String {
    query.replace("$__rate_interval", "1m").replace("$job", "castellan").replace("$instance", ".*")
}

/// Runs a program that must succeed.
fn run(command: &mut Command) {
    let ended = command.output().expect("it starts");
    let said = [ended.stdout, ended.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(ended.status.success(), "{command:?}:\n{said}");
}

#[test]
fn prometheus_reads_every_query() {
    let mut rules = "groups:\n- name: queries\n  rules:\n".to_owned();
    let mut count = 0;
    for dashboard in dashboards().values() {
        for target in panels(dashboard).flat_map(|panel| list(panel, "targets")) {
            let query = sent(text(target, "expr"));
            assert!(!query.is_empty() && !query.contains('$'), "a query with unknown variables: {query}");
            // JSON is YAML.
            writeln!(rules, "  - {{ record: query_{count}, expr: {} }}", Value::from(query)).expect("a string");
            count += 1;
        }
    }
    assert!(count > 50, "only {count} queries were found");
    let file = tempfile::Builder::new().suffix(".yml").tempfile().expect("a file");
    fs::write(file.path(), rules).expect("it can be written");
    run(Command::new(promtool().expect("promtool")).args(["check", "rules"]).arg(file.path()));
}

#[test]
fn grafana_knows_every_key_and_unit() {
    #[expect(clippy::disallowed_methods, reason = "how xtask tells the tests where its Python is")]
    let python = std::env::var("CASTELLAN_TEST_PYTHON")
        .expect("this test needs a Python with grafana-foundation-sdk: run it with `cargo xtask test`");
    run(Command::new(python).arg(workspace().join("grafana/check_dashboards.py")).args(dashboards().keys()));
}

#[test]
fn every_panel_is_plain_explained_and_in_its_place() {
    for (file, dashboard) in dashboards() {
        let (mut ids, mut cells) = (BTreeSet::new(), BTreeSet::new());
        for panel in list(&dashboard, "panels") {
            let name = format!("{}: {}", file.display(), text(panel, "title"));
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{name}: the id is there twice");
            assert!(PLAIN.contains(&text(panel, "type")), "{name}: {}", text(panel, "type"));
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a place"));
            assert!(x + w <= COLUMNS, "{name} is too wide");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(cells.insert(cell), "{name} lies on another panel");
            }
        }
        for panel in panels(&dashboard) {
            let name = format!("{}: {}", file.display(), text(panel, "title"));
            assert!(text(panel, "description").ends_with('.'), "{name} has no description");
            assert_eq!(text(&panel["datasource"], "uid"), "${datasource}", "{name}");
            let needs_unit = text(panel, "type") != "table";
            assert_eq!(!text(&panel["fieldConfig"]["defaults"], "unit").is_empty(), needs_unit, "{name}: the unit");
            for target in list(panel, "targets") {
                let query = text(target, "expr");
                let (metrics, jobs) = (query.matches('{').count(), query.matches("job=~\"$job").count());
                assert_eq!(metrics, jobs, "{name} does not select the job everywhere: {query}");
            }
        }
    }
}

#[test]
fn dashboards_link_to_each_other_and_share_their_variables() {
    let dashboards = dashboards();
    let uids: BTreeSet<&str> = dashboards.values().map(|dashboard| text(dashboard, "uid")).collect();
    assert_eq!(uids.len(), 5, "{uids:?}");
    let variables = &dashboards.values().next().expect("a dashboard")["templating"];
    for (file, dashboard) in &dashboards {
        let name = file.display();
        assert_eq!(&dashboard["templating"], variables, "{name}: the variables");
        assert_eq!(dashboard["tags"], serde_json::json!(["castellan"]), "{name}: links are made by the tag");
        let [links] = list(dashboard, "links") else { panic!("{name}: one list of links") };
        assert_eq!((&links["tags"], &links["includeVars"]), (&dashboard["tags"], &Value::Bool(true)), "{name}");
        for link in panels(dashboard).flat_map(|panel| list(panel, "links")) {
            let rest = text(link, "url").strip_prefix("/d/").expect("a dashboard");
            let (uid, variables) = rest.split_once('?').expect("variables");
            assert!(uids.contains(uid), "{name}: no dashboard has the uid {uid}");
            assert_eq!(variables, "${__url_time_range}&${__all_variables}", "{name}");
        }
    }
}
