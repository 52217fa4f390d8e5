//! The server's counters, and what an attack changes in them.

use std::collections::BTreeMap;

/// Families of counters that show an attack.
const SHOWN: [&str; 7] = [
    "castellan_refused_total",
    "castellan_socket_closes_total",
    "castellan_logins_total",
    "castellan_tls_handshakes_total",
    "castellan_rejections_total",
    "castellan_http_requests_total",
    "castellan_audit_dropped_total",
];

/// Reads those counters from Prometheus text.
pub(super) fn counters(text: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    lines
        .filter(|(name, _)| SHOWN.contains(&name.split('{').next().unwrap_or(name)))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

/// The counters that have changed, by how much.
pub(super) fn changes(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let change = |(name, value): (&String, &f64)| (name.clone(), value - before.get(name).unwrap_or(&0.0));
    after.iter().map(change).filter(|(_, change)| *change > 0.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_counters_that_have_changed_are_shown() {
        let before =
            counters("castellan_refused_total{limit=\"sockets\"} 2\ncastellan_logins_total{outcome=\"granted\"} 5\n");
        let text = "# HELP castellan_refused_total Refusals.\n\
                    castellan_refused_total{limit=\"sockets\"} 9\n\
                    castellan_socket_closes_total{code=\"4404\"} 4\n\
                    castellan_logins_total{outcome=\"granted\"} 5\n\
                    castellan_sockets_open 500\n";
        let changes = changes(&before, &counters(text));
        let expected = [
            ("castellan_refused_total{limit=\"sockets\"}", 7.0),
            ("castellan_socket_closes_total{code=\"4404\"}", 4.0),
        ];
        assert_eq!(changes, expected.map(|(name, change)| (name.to_owned(), change)).into());
    }
}
