//! Which figures stand on which chart.

use super::super::scrape::ServerMoment;
use super::super::series::{Bar, Moment, Percentiles};
use super::Report;
use super::chart::{Chart, Column, Series, distribution};

/// Bytes in a mebibyte.
const MIB: f64 = 1_048_576.0;

impl Report {
    /// What the players saw, over time and all together.
    pub(super) fn player_charts(&self) -> String {
        let times = self.times();
        let chart = |title, note, unit, series| self.chart(&times, title, note, unit, series);
        let latency = "From the moment at which an intent was due to its answer; each step up is ten times more.";
        let mut charts = vec![
            Chart {
                logarithmic: true,
                marks: self.latency_marks(),
                ..chart("Latency", latency, "ms", self.latency_series(|moment| &moment.latency))
            },
            chart(
                "Throughput",
                "Intents that were due, and intents that were answered.",
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
                    "What the answers were.",
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
                "Intents that were not served, connections that were lost, and those that players broke off themselves.",
                "in each stretch",
                vec![
                    self.series("errors", 4, |moment| Some(moment.errors as f64)),
                    self.series("reconnects", 1, |moment| Some(moment.reconnects as f64)),
                ],
            ),
        ];
        let durable = "Intents that ask to be answered only when they are safe in the database.";
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
        page += &bars("How long answers took", "All of the run.", &self.latency_distribution, &self.totals.latency);
        let bars = bars(
            "How long answers after the commit took",
            "All of the run.",
            &self.latency_ack_durable_distribution,
            &self.totals.latency_ack_durable,
        );
        page + &bars
    }

    /// What the server's own metrics say. Empty where they were not read.
    pub(super) fn server_charts(&self) -> String {
        if self.moments.iter().all(|moment| moment.server.is_none()) {
            return String::new();
        }
        let times = self.times();
        let charts = self.server_pace(&times).into_iter().chain(self.server_stock(&times));
        charts.map(|chart| chart.render()).collect()
    }

    /// How fast the server answers and writes.
    fn server_pace<'a>(&self, times: &'a [f64]) -> Vec<Chart<'a>> {
        let chart = |title, note, unit, series| self.chart(times, title, note, unit, series);
        vec![
            Chart {
                stacked: true,
                ..chart(
                    "Intents, as the server counts them",
                    "By what the answer was.",
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
                    "From reading a socket to having sent all answers; from a histogram's buckets.",
                    "ms",
                    vec![
                        self.server("p50", 2, |server| server.answer_p50_ms),
                        self.server("p99", 3, |server| server.answer_p99_ms),
                    ],
                )
            },
            chart(
                "Waiting for the database",
                "Characters with something that is not yet in the database.",
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
                    "How long a transaction took, and how long a change waited for its commit.",
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

    /// How much the server writes and holds.
    fn server_stock<'a>(&self, times: &'a [f64]) -> Vec<Chart<'a>> {
        let chart = |title, note, unit, series| self.chart(times, title, note, unit, series);
        vec![
            chart(
                "Rows written",
                "Characters committed; several changes of one are written as one.",
                "rows/s",
                vec![self.server("rows", 1, |server| Some(server.rows_per_second))],
            ),
            chart(
                "Sockets",
                "Open at the server, and open here.",
                "sockets",
                vec![
                    self.server("server", 1, |server| server.sockets_open),
                    self.series("players", 6, |moment| Some(moment.sockets as f64)),
                ],
            ),
            chart(
                "Found in memory",
                "Of the commands, how many found their characters in memory.",
                "%",
                vec![self.server("hits", 2, |server| server.cache_hit_share.map(|share| share * 100.0))],
            ),
            chart(
                "Memory",
                "Held by the server's process.",
                "MiB",
                vec![self.server("server", 5, |server| server.memory_bytes.map(|bytes| bytes / MIB))],
            ),
        ]
    }

    /// What this program itself cost, beside the server where that tells.
    pub(super) fn generator_charts(&self) -> String {
        let times = self.times();
        let charts = [
            self.chart(&times, "Processor time", "The server's is told in whole seconds, and averaged over ten.", "cores", vec![
                self.server("server", 1, |server| server.cpu_cores),
                self.series("this generator", 6, |moment| moment.generator_cores),
            ]),
            Chart {
                logarithmic: true,
                ..self.chart(&times, "The generator's own lateness", "From the moment at which an intent was due until its player took it up. It is part of the latency above.", "ms", vec![
                    self.series("p50", 2, |moment| some(&moment.lateness, moment.lateness.p50_ms)),
                    self.series("p99", 3, |moment| some(&moment.lateness, moment.lateness.p99_ms)),
                ])
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
        series: Vec<Series>,
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

    /// The stretches that are drawn: those of the load, and of those behind it up to the last in which something came.
    fn drawn(&self) -> &[Moment] {
        let happened = |moment: &Moment| {
            let begin = moment.at_seconds - moment.length_seconds;
            begin < self.totals.seconds - 0.1 || moment.answered_per_second() > 0.0 || moment.errors > 0
        };
        let last = self.moments.iter().rposition(happened).map_or(0, |last| last + 1);
        &self.moments[..last]
    }

    /// Of each stretch its middle.
    fn times(&self) -> Vec<f64> {
        self.drawn().iter().map(|moment| moment.at_seconds - moment.length_seconds / 2.0).collect()
    }

    fn series(&self, name: &'static str, color: u8, value: impl Fn(&Moment) -> Option<f64>) -> Series {
        Series { name, color, values: self.drawn().iter().map(value).collect() }
    }

    fn server(&self, name: &'static str, color: u8, value: impl Fn(&ServerMoment) -> Option<f64>) -> Series {
        self.series(name, color, |moment| moment.server.as_ref().and_then(&value))
    }

    fn latency_series(&self, of: impl Fn(&Moment) -> &Percentiles) -> Vec<Series> {
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

    /// Limits that stand on the latency's own chart.
    fn latency_marks(&self) -> Vec<(String, f64)> {
        let limits = self.limits.iter().filter(|limit| limit.unit == "ms" && !limit.limit.starts_with("durable"));
        limits.map(|limit| (format!("--{} {} ms", limit.limit, limit.asked), limit.asked)).collect()
    }
}

/// A percentile where there is something to have one of.
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
