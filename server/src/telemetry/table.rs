//! All metrics with name, unit and meaning, one per line.

/// The kind of a metric. A histogram has the upper bounds of its buckets.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

/// A declared metric.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metric {
    pub(super) kind: Kind,
    /// Ends with the unit: `_seconds`, `_bytes`, and `_total` for counters.
    pub(super) name: &'static str,
    pub(super) doc: &'static str,
}

const fn counter(name: &'static str, doc: &'static str) -> Metric {
    Metric { kind: Kind::Counter, name, doc }
}

const fn gauge(name: &'static str, doc: &'static str) -> Metric {
    Metric { kind: Kind::Gauge, name, doc }
}

const fn histogram(name: &'static str, buckets: &'static [f64], doc: &'static str) -> Metric {
    Metric { kind: Kind::Histogram(buckets), name, doc }
}

/// Answers from memory, in seconds.
const FAST: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
];

/// Answers that may wait for the database or for a hash, in seconds; 0.1, 0.3 and 1.5 are alert thresholds.
const SLOW: &[f64] =
    &[0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0];

/// Sizes of rows, in bytes. PostgreSQL stores larger rows than 2,000 bytes apart, and rewrites them whole.
const SIZES: &[f64] =
    &[250.0, 500.0, 750.0, 1_000.0, 1_250.0, 1_500.0, 1_750.0, 2_000.0, 3_000.0, 4_000.0, 8_000.0, 16_000.0, 64_000.0];

/// All metrics.
pub(super) const METRICS: &[Metric] = &[
    gauge("castellan_build_info", "1, with the role of the process (serve, node, gateway), its version and commit."),
    gauge("castellan_http_connections_open", "Open HTTP connections, without those that have become sockets."),
    gauge(
        "castellan_lease_age_seconds",
        "Time since this process last renewed its heartbeat in PostgreSQL, on which the leases of its shards depend.",
    ),
    gauge(
        "castellan_replica_lag_seconds",
        "How far the slowest connected standby of PostgreSQL is behind, as far as this process may see them; NaN without any.",
    ),
    counter("castellan_http_requests_total", "HTTP requests answered, by route template, method and status."),
    histogram(
        "castellan_http_request_seconds",
        SLOW,
        "Time from receiving the head of an HTTP request to sending the head of its answer, by route and method.",
    ),
    counter("castellan_logins_total", "Logins, by outcome: granted, refused, limited, overloaded, failed."),
    counter(
        "castellan_audit_dropped_total",
        "Events that are missing in the table `audit`, because too many came or the database was away for too long.",
    ),
    counter(
        "castellan_refused_total",
        "Connections, sockets and requests refused, by the limit on what one client may use.",
    ),
    counter("castellan_tls_handshakes_total", "TLS handshakes of clients, by outcome: done, failed."),
    counter("castellan_intents_total", "Intents answered, by outcome: applied, duplicate, conflict, rejected."),
    counter(
        "castellan_parcels_total",
        "Parcels of goods that arrived, by kind: gift, acceptance (of an offer); and by outcome: taken, refused.",
    ),
    gauge(
        "castellan_traders",
        "Characters with parcels, receipts, offers or waiting goods. Counted every ten seconds.",
    ),
    gauge(
        "castellan_parcel_oldest_seconds",
        "How long this server has known the oldest parcel that is not settled. Looked at every ten seconds.",
    ),
    counter("castellan_rejections_total", "Intents rejected, by code."),
    counter(
        "castellan_cache_lookups_total",
        "Commands that found their user's characters in memory (hit) or not (miss).",
    ),
    counter("castellan_cache_evictions_total", "Places freed in memory to make room for other characters."),
    gauge("castellan_cache_places", "Places in use in memory: one per loaded character and one per loaded user."),
    histogram("castellan_load_seconds", SLOW, "Time to load a user's characters from the database."),
    gauge("castellan_flush_backlog_characters", "Dirty characters: those with changes not yet in the database."),
    counter("castellan_flush_rows_total", "Character rows committed."),
    histogram("castellan_row_bytes", SIZES, "Size of the state in a committed row, as text."),
    counter("castellan_database_writes_total", "Transactions of the flusher, including failed ones."),
    counter("castellan_database_write_failures_total", "Transactions of the flusher that failed."),
    histogram("castellan_database_write_seconds", SLOW, "Duration of a transaction of the flusher."),
    histogram("castellan_persistence_seconds", SLOW, "Time from a character's first unwritten change to its commit."),
    gauge(
        "castellan_dead_letters",
        "Characters that the database refused, until an operator retries or discards them.",
    ),
    counter(
        "castellan_characters_reloaded_total",
        "Characters loaded again because their versions contradicted each other.",
    ),
    counter("castellan_shards_lost_total", "Shards that another server has taken over."),
    gauge("castellan_shards_owned", "Shards that this node owns."),
    counter("castellan_shard_moves_total", "Planned moves of shards to another node, by outcome: done, called_off."),
    histogram(
        "castellan_shard_move_seconds",
        SLOW,
        "Time from the last intent that a node takes in a shard that moves, until the shard has its new owner.",
    ),
    counter(
        "castellan_copies_total",
        "Users of whose characters a copy came with a shard, by outcome: installed, unused (loaded when needed).",
    ),
    counter(
        "castellan_characters_dropped_total",
        "Characters with unsaved changes when another server took over their shard.",
    ),
    gauge("castellan_sockets_open", "Sockets that were welcomed and have not ended."),
    counter("castellan_socket_closes_total", "Sockets ended, by close code."),
    histogram(
        "castellan_socket_answer_seconds",
        FAST,
        "Time from reading a socket to sending all answers to that read.",
    ),
    gauge("castellan_gateway_links", "Links of a gateway to nodes, by state: opening, open."),
    counter("castellan_gateway_links_broken_total", "Links of a gateway to nodes that broke or could not be opened."),
    gauge("castellan_gateway_frames_held", "Frames and requests that a gateway holds while nobody serves their shard."),
    histogram("castellan_gateway_held_seconds", SLOW, "Time for which a gateway held the frames of a shard."),
    gauge("castellan_machine_cores", "Cores that the process may use."),
    gauge(
        "castellan_machine_memory_bytes",
        "Memory that the process may use: the smaller of the machine's and its control group's.",
    ),
    gauge("process_resident_memory_bytes", "Resident memory of the process."),
    gauge("process_open_fds", "Open file descriptors of the process, connections included."),
    gauge("process_start_time_seconds", "Start time of the process, in seconds since the Unix epoch."),
    counter("process_cpu_seconds_total", "Processor time used by the process, all cores together."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All metric names in string literals of the sources.
    fn recorded() -> BTreeSet<&'static str> {
        let sources = [
            include_str!("characters.rs"),
            include_str!("health.rs"),
            include_str!("gateway.rs"),
            include_str!("http.rs"),
            include_str!("moves.rs"),
            include_str!("process.rs"),
            include_str!("refusals.rs"),
            include_str!("trading.rs"),
        ];
        let texts = sources.into_iter().flat_map(|source| source.split('"').skip(1).step_by(2));
        texts.filter(|text| text.starts_with("castellan_") || text.starts_with("process_")).collect()
    }

    #[test]
    fn every_recorded_metric_is_declared_and_every_declared_one_is_recorded() {
        let declared: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(declared, recorded());
        assert_eq!(declared.len(), METRICS.len(), "a metric is declared once");
    }

    /// All metric names in a file for Grafana or Prometheus, without the `_bucket` of histograms.
    fn asked_for(text: &'static str) -> BTreeSet<&'static str> {
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let names = words.filter(|word| word.starts_with("castellan_") || word.starts_with("process_"));
        names.map(|name| name.strip_suffix("_bucket").unwrap_or(name)).collect()
    }

    #[test]
    fn the_dashboards_show_every_metric_and_alerts_use_only_declared_ones() {
        let declared: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        let dashboards = [
            include_str!("../../../grafana/dashboards/overview.json"),
            include_str!("../../../grafana/dashboards/players.json"),
            include_str!("../../../grafana/dashboards/database.json"),
            include_str!("../../../grafana/dashboards/cluster.json"),
            include_str!("../../../grafana/dashboards/runtime.json"),
        ];
        let shown: BTreeSet<_> = dashboards.into_iter().flat_map(asked_for).collect();
        assert_eq!(shown, declared);
        let alerts = asked_for(include_str!("../../../grafana/alerts.yml"));
        assert!(alerts.is_subset(&declared), "{alerts:?}");
        assert!(alerts.len() > 10, "{alerts:?}");
    }

    #[test]
    fn names_end_in_their_unit() {
        for metric in METRICS {
            let total = metric.name.ends_with("_total");
            assert_eq!(total, matches!(metric.kind, Kind::Counter), "{}", metric.name);
            if let Kind::Histogram(buckets) = metric.kind {
                assert!(metric.name.ends_with("_seconds") || metric.name.ends_with("_bytes"), "{}", metric.name);
                assert!(buckets.is_sorted(), "{}", metric.name);
            }
            assert!(metric.doc.ends_with('.'), "{}", metric.name);
        }
    }
}
