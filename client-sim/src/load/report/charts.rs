//! The charts and their figures.

use super::super::scrape::ServerMoment;
use super::super::series::{Bar, Moment, Percentiles};
use super::Report;
use super::chart::{Chart, Column, Curve, distribution};

/// Bytes in a mebibyte.
const MIB: f64 = 1_048_576.0;

impl Report {
    /// Charts of the players' measurements, over time and in total.
    pub(super) fn player_charts(&self) -> String {
        let times = self.times();
        let chart = |title, note, unit, series| self.chart(&times, title, note, unit, series);
        let latency = "Time from an intent's due time to its answer; logarithmic scale.";
        let mut charts = vec![
            Chart {
                logarithmic: true,
                marks: self.latency_marks(),
                ..chart("Latency", latency, "ms", self.latency_series(|moment| &moment.latency))
            },
            chart(
                "Throughput",
                "Due and answered intents.",
                "intents/s",
                vec![
                    self.series("due", 6, |moment| Some(moment.due as f64 / moment.length_seconds)),
                    self.series("answered", 1, |moment| Some(moment.answered_per_second())),
                ],
            ),
            Chart {
                stacked: true,
                ..chart(
                    "Outcomes",
                    "Answers by outcome.",
                    "answers/s",
                    vec![
                        self.series("applied", 2, |moment| per_second(moment, moment.applied)),
                        self.series("conflict", 3, |moment| per_second(moment, moment.conflicts)),
                        self.series("rejected", 5, |moment| per_second(moment, moment.rejected)),
                    ],
                )
            },
            chart(
                "Errors and reconnects",
                "Failed intents and lost connections, and connections that players closed on purpose.",
                "per stretch",
                vec![
                    self.series("errors", 4, |moment| Some(moment.errors as f64)),
                    self.series("reconnects", 1, |moment| Some(moment.reconnects as f64)),
                ],
            ),
        ];
        let durable = "Intents that ask for their answer after the commit.";
        charts.push(Chart {
            logarithmic: true,
            ..chart(
                "Latency after the commit",
                durable,
                "ms",
                self.latency_series(|moment| &moment.latency_ack_durable),
            )
        });
        let mut page: String = charts.iter().map(Chart::render).collect();
        page += &bars("Distribution of latency", "The whole run.", &self.latency_distribution, &self.totals.latency);
        let bars = bars(
            "Distribution of latency after the commit",
            "The whole run.",
            &self.latency_ack_durable_distribution,
            &self.totals.latency_ack_durable,
        );
        page + &bars
    }

    /// Charts of the server's metrics; empty if they were not read.
    pub(super) fn server_charts(&self) -> String {
        if self.moments.iter().all(|moment| moment.server.is_none()) {
            return String::new();
        }
        let times = self.times();
        let charts = self.server_pace(&times).into_iter().chain(self.server_stock(&times));
        charts.map(|chart| chart.render()).collect()
    }

    /// Charts of the server's speed.
    fn server_pace<'a>(&self, times: &'a [f64]) -> Vec<Chart<'a>> {
        let chart = |title, note, unit, series| self.chart(times, title, note, unit, series);
        vec![
            Chart {
                stacked: true,
                ..chart(
                    "Intents counted by the server",
                    "By outcome.",
                    "intents/s",
                    vec![
                        self.server("applied", 2, |server| Some(server.applied_per_second)),
                        self.server("conflict", 3, |server| Some(server.conflicts_per_second)),
                        self.server("rejected", 5, |server| Some(server.rejected_per_second)),
                    ],
                )
            },
            Chart {
                logarithmic: true,
                ..chart(
                    "The server's own answer time",
                    "Time from reading a socket to sending all answers, estimated from a histogram's buckets.",
                    "ms",
                    vec![
                        self.server("p50", 2, |server| server.answer_p50_ms),
                        self.server("p99", 3, |server| server.answer_p99_ms),
                    ],
                )
            },
            chart(
                "Waiting for the database",
                "Dirty characters: those with changes not yet in the database.",
                "characters",
                vec![
                    self.server("backlog", 1, |server| server.backlog_characters),
                    self.server("dead letters", 4, |server| server.dead_letters.filter(|count| *count > 0.0)),
                ],
            ),
            Chart {
                logarithmic: true,
                ..chart(
                    "Flushing",
                    "Time for a transaction, and time from a change to its commit.",
                    "ms",
                    vec![
                        self.server("write p50", 2, |server| server.write_p50_ms),
                        self.server("write p99", 3, |server| server.write_p99_ms),
                        self.server("change to commit p99", 5, |server| server.persistence_p99_ms),
                    ],
                )
            },
        ]
    }

    /// Charts of the server's amounts.
    fn server_stock<'a>(&self, times: &'a [f64]) -> Vec<Chart<'a>> {
        let chart = |title, note, unit, series| self.chart(times, title, note, unit, series);
        vec![
            chart(
                "Rows written",
                "Committed character rows; several changes of a character are written as one row.",
                "rows/s",
                vec![self.server("rows", 1, |server| Some(server.rows_per_second))],
            ),
            chart(
                "Sockets",
                "Open sockets counted by the server and by the players.",
                "sockets",
                vec![
                    self.server("server", 1, |server| server.sockets_open),
                    self.series("players", 6, |moment| Some(moment.sockets as f64)),
                ],
            ),
            chart(
                "Found in memory",
                "Share of commands that found their characters in memory.",
                "%",
                vec![self.server("hits", 2, |server| server.cache_hit_share.map(|share| share * 100.0))],
            ),
            chart(
                "Memory",
                "Resident memory of the server's process.",
                "MiB",
                vec![self.server("server", 5, |server| server.memory_bytes.map(|bytes| bytes / MIB))],
            ),
        ]
    }

    /// Charts of this program's own cost, with the server's if known.
    pub(super) fn generator_charts(&self) -> String {
        let times = self.times();
        let charts = [
            self.chart(
                &times,
                "Processor time",
                "The server's time is reported in whole seconds and averaged over ten.",
                "cores",
                vec![
                    self.server("server", 1, |server| server.cpu_cores),
                    self.series("this generator", 6, |moment| moment.generator_cores),
                ],
            ),
            Chart {
                logarithmic: true,
                ..self.chart(
                    &times,
                    "The generator's own lateness",
                    "Time from an intent's due time until its player handled it. It is part of the latency above.",
                    "ms",
                    vec![
                        self.series("p50", 2, |moment| some(&moment.lateness, moment.lateness.p50_ms)),
                        self.series("p99", 3, |moment| some(&moment.lateness, moment.lateness.p99_ms)),
                    ],
                )
            },
        ];
        charts.iter().map(Chart::render).collect()
    }

    fn chart<'a>(
        &self,
        times: &'a [f64],
        title: &'static str,
        note: &'static str,
        unit: &'static str,
        series: Vec<Curve>,
    ) -> Chart<'a> {
        Chart {
            title,
            note,
            unit,
            times,
            series,
            stacked: false,
            logarithmic: false,
            marks: Vec::new(),
            load_seconds: self.totals.seconds,
        }
    }

    /// The stretches to draw: those of the load, and later ones up to the last with an answer.
    fn drawn(&self) -> &[Moment] {
        let happened = |moment: &Moment| {
            let begin = moment.at_seconds - moment.length_seconds;
            begin < self.totals.seconds - 0.1 || moment.answered_per_second() > 0.0 || moment.errors > 0
        };
        let last = self.moments.iter().rposition(happened).map_or(0, |last| last + 1);
        &self.moments[..last]
    }

    /// The middle of each stretch.
    fn times(&self) -> Vec<f64> {
        self.drawn().iter().map(|moment| moment.at_seconds - moment.length_seconds / 2.0).collect()
    }

    fn series(&self, name: &'static str, color: u8, value: impl Fn(&Moment) -> Option<f64>) -> Curve {
        Curve { name, color, values: self.drawn().iter().map(value).collect() }
    }

    fn server(&self, name: &'static str, color: u8, value: impl Fn(&ServerMoment) -> Option<f64>) -> Curve {
        self.series(name, color, |moment| moment.server.as_ref().and_then(&value))
    }

    fn latency_series(&self, of: impl Fn(&Moment) -> &Percentiles) -> Vec<Curve> {
        let series = |name, color, value: fn(&Percentiles) -> f64| {
            self.series(name, color, |moment| some(of(moment), value(of(moment))))
        };
        vec![
            series("p50", 2, |latency| latency.p50_ms),
            series("p90", 1, |latency| latency.p90_ms),
            series("p99", 3, |latency| latency.p99_ms),
            series("p99.9", 4, |latency| latency.p99_9_ms),
        ]
    }

    /// Limits shown on the latency chart.
    fn latency_marks(&self) -> Vec<(String, f64)> {
        let limits = self.limits.iter().filter(|limit| limit.unit == "ms" && !limit.limit.starts_with("durable"));
        limits.map(|limit| (format!("--{} {} ms", limit.limit, limit.asked), limit.asked)).collect()
    }
}

/// A percentile; `None` without values.
fn some(percentiles: &Percentiles, value: f64) -> Option<f64> {
    (percentiles.count > 0).then_some(value)
}

fn per_second(moment: &Moment, count: u64) -> Option<f64> {
    Some(count as f64 / moment.length_seconds)
}

fn bars(title: &'static str, note: &'static str, bars: &[Bar], latency: &Percentiles) -> String {
    let all: u64 = bars.iter().map(|bar| bar.count).sum();
    let column = |bar: &Bar| Column { from: bar.from_ms, to: bar.to_ms, share: bar.count as f64 / all as f64 };
    let columns: Vec<_> = bars.iter().map(column).collect();
    let marks = [("p50", latency.p50_ms), ("p99", latency.p99_ms), ("p99.9", latency.p99_9_ms)];
    distribution(title, note, &columns, &marks)
}
