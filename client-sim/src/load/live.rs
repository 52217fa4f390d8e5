//! The view of a running load: redrawn every second, or one line every few seconds if standard error is not a terminal.

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::series::Moment;

/// Time between two lines without a terminal, in seconds.
const LINE_INTERVAL_SECONDS: u64 = 5;

/// Seconds shown by the small curve of latencies.
const CURVE_SECONDS: usize = 40;

/// Heights of the small curve.
const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A progress bar for a step before the load.
pub(super) fn waiting_bar(length: u64, what: &'static str) -> ProgressBar {
    let style = style("{msg:<12} {bar:40} {pos}/{len} {per_sec} {elapsed}");
    ProgressBar::new(length).with_style(style).with_message(what)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Errors of the whole run so far.
#[derive(Debug, Default)]
struct Sums {
    errors: u64,
    conflicts: u64,
    rejected: u64,
    reconnects: u64,
}

/// The view of a run.
pub(super) struct View {
    terminal: Option<Terminal>,
    duration: Duration,
    seconds: u64,
    p99s: VecDeque<f64>,
    sums: Sums,
}

struct Terminal {
    bar: ProgressBar,
    lines: Vec<ProgressBar>,
}

impl View {
    /// The view of a run of about this length.
    pub(super) fn new(duration: Duration) -> Self {
        let target = ProgressDrawTarget::stderr();
        let terminal = (!target.is_hidden()).then(|| {
            let all = MultiProgress::with_draw_target(target);
            let bar = all.add(ProgressBar::new(duration.as_secs().max(1)));
            bar.set_style(style("{msg:<12} {bar:40.cyan/dim} {pos}/{len} s"));
            bar.set_message("playing");
            let lines = (0..6).map(|_| all.add(ProgressBar::new(1).with_style(style("{msg}")))).collect();
            Terminal { bar, lines }
        });
        Self { terminal, duration, seconds: 0, p99s: VecDeque::new(), sums: Sums::default() }
    }

    /// Shows the last second.
    pub(super) fn show(&mut self, moment: &Moment) {
        self.seconds += 1;
        self.sums.errors += moment.errors;
        self.sums.conflicts += moment.conflicts;
        self.sums.rejected += moment.rejected;
        self.sums.reconnects += moment.reconnects;
        if self.p99s.len() == CURVE_SECONDS {
            self.p99s.pop_front();
        }
        self.p99s.push_back(moment.latency.p99_ms);
        let lines = [rate(moment), latency(moment), self.outcomes(), curve(&self.p99s), server(moment), own(moment)];
        match &self.terminal {
            Some(terminal) => {
                terminal.bar.set_position(self.seconds.min(self.duration.as_secs()));
                for (bar, line) in terminal.lines.iter().zip(&lines) {
                    bar.set_message(line.clone());
                }
            }
            None if self.seconds.is_multiple_of(LINE_INTERVAL_SECONDS) => {
                let [rate, latency, outcomes, _, server, _] = lines;
                let parts =
                    [rate, latency, outcomes, server].map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
                eprintln!("{:>4} s  {}", self.seconds, parts.join(" | "));
            }
            None => {}
        }
    }

    fn outcomes(&self) -> String {
        let Sums { errors, conflicts, rejected, reconnects } = self.sums;
        format!("{:<12} {conflicts} conflicts, {rejected} rejected, {errors} errors, {reconnects} reconnects", "so far")
    }

    /// Removes the view.
    pub(super) fn close(self) {
        if let Some(terminal) = self.terminal {
            terminal.bar.finish_and_clear();
            terminal.lines.iter().for_each(ProgressBar::finish_and_clear);
        }
    }
}

fn rate(moment: &Moment) -> String {
    let due = moment.due as f64 / moment.length_seconds;
    let answered = moment.answered_per_second();
    format!("{:<12} {answered:.0}/s answered, {due:.0}/s due, {} sockets", "intents", moment.sockets)
}

fn latency(moment: &Moment) -> String {
    let latency = &moment.latency;
    let mut line = format!(
        "{:<12} p50 {:.2}  p99 {:.2}  max {:.2}",
        "latency, ms", latency.p50_ms, latency.p99_ms, latency.max_ms
    );
    let durable = &moment.latency_ack_durable;
    if durable.count > 0 {
        let _ = write!(line, "  after commit p50 {:.1}  p99 {:.1}", durable.p50_ms, durable.p99_ms);
    }
    line
}

/// A curve of the 99th percentiles of the last seconds, relative to the highest.
fn curve(p99s: &VecDeque<f64>) -> String {
    let highest = p99s.iter().copied().fold(0.0, f64::max);
    let height = |p99: &f64| HEIGHTS[((p99 / highest.max(0.001) * 7.0).round() as usize).min(7)];
    let curve: String = p99s.iter().map(height).collect();
    format!("{:<12} {curve} highest {highest:.2} ms", "p99")
}

fn server(moment: &Moment) -> String {
    let Some(server) = &moment.server else { return format!("{:<12} no metrics for this second", "server") };
    let mut line = format!("{:<12} {:.0}/s applied", "server", server.applied_per_second);
    for (value, digits, unit) in [
        (server.backlog_characters, 0, " dirty characters"),
        (server.write_p99_ms, 1, " ms per write at p99"),
        (server.memory_bytes.map(|bytes| bytes / (1024.0 * 1024.0)), 0, " MiB"),
        (server.cpu_cores, 2, " cores"),
    ] {
        if let Some(value) = value {
            let _ = write!(line, ", {value:.digits$}{unit}");
        }
    }
    line
}

fn own(moment: &Moment) -> String {
    let cores = moment.generator_cores.map_or_else(String::new, |cores| format!(", {cores:.2} cores"));
    format!("{:<12} {:.2} ms late at p99{cores}", "generator", moment.lateness.p99_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curve_rises_with_the_latency() {
        let p99s = [0.0, 1.0, 3.5, 7.0].into_iter().collect();
        assert_eq!(curve(&p99s), "p99          ▁▂▅█ highest 7.00 ms");
        assert_eq!(curve(&VecDeque::from([0.0])), "p99          ▁ highest 0.00 ms");
    }
}
