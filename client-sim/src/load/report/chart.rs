//! Charts as inline SVG: lines over time, stacked areas over time, and a distribution.
//!
//! Colours are classes of the page's style sheet, so that they follow its light and dark scheme. SVG titles show the
//! figures under the pointer; there is no script.
//!
//! Drawn here because plotters' SVG has neither classes nor titles, so no dark scheme and no figures under the pointer;
//! poloto has no logarithmic axis and no stacked areas; charming needs a script and brings 25 new crates.

use std::fmt::Write;

use super::scale::{Scale, number, time, time_ticks};

/// Size of a chart and its margins, in units of its view box.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 30.0;

/// Most slices of a chart. Each shows its figures under the pointer.
const SLICES_MAX: usize = 160;

/// A series of figures over time; `None` leaves a gap.
pub(super) struct Curve {
    pub(super) name: &'static str,
    /// Colour, 1 to 6.
    pub(super) color: u8,
    pub(super) values: Vec<Option<f64>>,
}

/// Figures over time.
pub(super) struct Chart<'a> {
    pub(super) title: &'static str,
    /// One sentence that explains the figures.
    pub(super) note: &'static str,
    pub(super) unit: &'static str,
    /// Seconds since the start of the load, one for each value.
    pub(super) times: &'a [f64],
    pub(super) series: Vec<Curve>,
    /// Stacked areas instead of lines.
    pub(super) stacked: bool,
    /// A logarithmic axis, for latencies.
    pub(super) logarithmic: bool,
    /// Limits drawn as horizontal lines.
    pub(super) marks: Vec<(String, f64)>,
    /// End of the load; later values belong to the remaining answers.
    pub(super) load_seconds: f64,
}

impl Chart<'_> {
    /// The chart with its title and legend; empty without figures.
    pub(super) fn render(&self) -> String {
        let values = || self.series.iter().flat_map(|series| series.values.iter().flatten().copied());
        if values().next().is_none() {
            return String::new();
        }
        let tops: Vec<f64> = if self.stacked { self.tops() } else { values().collect() };
        let marks = self.marks.iter().map(|(_, value)| *value);
        let scale = Scale::over(tops.into_iter().chain(marks), self.logarithmic);
        let mut svg = open(self.title);
        grid(&mut svg, &scale);
        let end = self.times.last().copied().unwrap_or(1.0).max(self.load_seconds).max(1.0);
        for tick in time_ticks(end) {
            label(&mut svg, x(tick / end), HEIGHT - BOTTOM + 16.0, "middle", &time(tick));
        }
        if self.stacked {
            self.areas(&mut svg, &scale, end)
        } else {
            self.lines(&mut svg, &scale, end)
        }
        if self.load_seconds < end {
            let at = x(self.load_seconds / end);
            let floor = HEIGHT - BOTTOM;
            let _ = write!(svg, r#"<line class="mark" x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{floor}"/>"#);
            label(&mut svg, at - 4.0, TOP + 13.0, "end", "end of the load");
        }
        for (name, value) in &self.marks {
            let y = y(scale.position(*value));
            let _ =
                write!(svg, r#"<line class="mark" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/>"#, WIDTH - RIGHT);
            let above_or_below = if y < TOP + 16.0 { y + 14.0 } else { y - 4.0 };
            label(&mut svg, WIDTH - RIGHT - 4.0, above_or_below, "end", name);
        }
        self.slices(&mut svg, end);
        svg.push_str("</svg>");
        figure(self.title, self.note, self.unit, &self.legend(), &svg)
    }

    /// The sum of all series at each time.
    fn tops(&self) -> Vec<f64> {
        let sum = |index: usize| self.series.iter().filter_map(|series| series.values[index]).sum();
        (0..self.times.len()).map(sum).collect()
    }

    fn lines(&self, svg: &mut String, scale: &Scale, end: f64) {
        for series in &self.series {
            let mut path = String::new();
            for (index, (time, value)) in self.times.iter().zip(&series.values).enumerate() {
                let Some(value) = value else { continue };
                let (x, y) = (x(time / end), y(scale.position(*value)));
                let is_drawn = |index: Option<usize>| {
                    index.and_then(|index| series.values.get(index)).is_some_and(Option::is_some)
                };
                let color = series.color;
                let _ = match (is_drawn(index.checked_sub(1)), is_drawn(Some(index + 1))) {
                    (true, _) => write!(path, "L{x:.1} {y:.1}"),
                    (false, true) => write!(path, "M{x:.1} {y:.1}"),
                    // A single point.
                    (false, false) => write!(svg, r#"<circle class="f{color}" cx="{x:.1}" cy="{y:.1}" r="2.5"/>"#),
                };
            }
            let _ = write!(svg, r#"<path class="line c{}" d="{path}"/>"#, series.color);
        }
    }

    fn areas(&self, svg: &mut String, scale: &Scale, end: f64) {
        let mut floor = vec![0.0; self.times.len()];
        for series in &self.series {
            let top: Vec<f64> =
                floor.iter().zip(&series.values).map(|(floor, value)| floor + value.unwrap_or(0.0)).collect();
            let point = |index: usize, value: f64| (x(self.times[index] / end), y(scale.position(value)));
            let mut path = String::new();
            for (index, value) in top.iter().enumerate() {
                let (x, y) = point(index, *value);
                let _ = write!(path, "{}{x:.1} {y:.1}", if index == 0 { "M" } else { "L" });
            }
            for (index, value) in floor.iter().enumerate().rev() {
                let (x, y) = point(index, *value);
                let _ = write!(path, "L{x:.1} {y:.1}");
            }
            let _ = write!(svg, r#"<path class="area f{}" d="{path}Z"/>"#, series.color);
            floor = top;
        }
    }

    /// Invisible strips that show the figures of their time.
    fn slices(&self, svg: &mut String, end: f64) {
        let step = self.times.len().div_ceil(SLICES_MAX).max(1);
        let mut left = LEFT;
        for begin in (0..self.times.len()).step_by(step) {
            let last = (begin + step - 1).min(self.times.len() - 1);
            let right = x(self.times[last] / end) + 0.5 / self.times.len() as f64 * (WIDTH - LEFT - RIGHT);
            let right = right.min(WIDTH - RIGHT);
            let mut told = time(self.times[last]);
            for series in &self.series {
                if let Some(value) = series.values[last] {
                    let _ = write!(told, "\n{}: {} {}", series.name, number(value), self.unit);
                }
            }
            slice(svg, left, right, &told);
            left = right;
        }
    }

    fn legend(&self) -> String {
        let mut legend = String::new();
        for series in self.series.iter().filter(|series| series.values.iter().any(Option::is_some)) {
            let highest = series.values.iter().flatten().copied().fold(0.0, f64::max);
            let (color, name, highest) = (series.color, series.name, number(highest));
            let _ = write!(legend, r#"<li><i class="b{color}"></i>{name} <small>max {highest}</small></li>"#);
        }
        legend
    }
}

/// The share of values between two bounds.
pub(super) struct Column {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) share: f64,
}

/// A distribution in columns of equal width on a logarithmic scale. `marks` are drawn at their values.
pub(super) fn distribution(
    title: &'static str,
    note: &'static str,
    columns: &[Column],
    marks: &[(&'static str, f64)],
) -> String {
    let (Some(first), Some(last)) = (columns.first(), columns.last()) else { return String::new() };
    let (low, high) = (first.from.log10(), last.to.log10());
    let across = |value: f64| x(((value.log10() - low) / (high - low)).clamp(0.0, 1.0));
    let scale = Scale::over(columns.iter().map(|column| column.share * 100.0), false);
    let mut svg = open(title);
    grid(&mut svg, &scale);
    for value in Scale::Logarithmic(low.floor(), high.ceil()).ticks() {
        if !(low..=high).contains(&value.log10()) {
            continue;
        }
        label(&mut svg, across(value), HEIGHT - BOTTOM + 16.0, "middle", &format!("{} ms", number(value)));
    }
    for column in columns {
        let (left, right) = (across(column.from), across(column.to));
        let (top, floor) = (y(scale.position(column.share * 100.0)), HEIGHT - BOTTOM);
        let (width, height) = ((right - left - 1.0).max(0.5), floor - top);
        let _ = write!(svg, r#"<rect class="f1" x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}"/>"#);
        let (from, to) = (number(column.from), number(column.to));
        slice(&mut svg, left, right, &format!("{from} to {to} ms: {:.3} %", column.share * 100.0));
    }
    for (index, (name, value)) in marks.iter().enumerate() {
        let (at, text) = (across(*value), TOP + 12.0 + 14.0 * index as f64);
        let floor = HEIGHT - BOTTOM;
        let _ = write!(svg, r#"<line class="mark" x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{floor}"/>"#);
        let (anchor, shift) = if at > WIDTH * 0.8 { ("end", -4.0) } else { ("start", 4.0) };
        label(&mut svg, at + shift, text, anchor, &format!("{name} {} ms", number(*value)));
    }
    svg.push_str("</svg>");
    figure(title, note, "% of the answers", "", &svg)
}

fn figure(title: &str, note: &str, unit: &str, legend: &str, svg: &str) -> String {
    let unit = if unit.is_empty() { String::new() } else { format!(" <small>{unit}</small>") };
    format!("<figure><h3>{title}{unit}</h3><p>{note}</p><ul>{legend}</ul>{svg}</figure>\n")
}

fn open(title: &str) -> String {
    format!(r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">"#)
}

fn grid(svg: &mut String, scale: &Scale) {
    for tick in scale.ticks() {
        let y = y(scale.position(tick));
        let _ = write!(svg, r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/>"#, WIDTH - RIGHT);
        label(svg, LEFT - 8.0, y + 4.0, "end", &number(tick));
    }
}

fn label(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = write!(svg, r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#);
}

fn slice(svg: &mut String, left: f64, right: f64, told: &str) {
    let (width, height) = ((right - left).max(0.0), HEIGHT - TOP - BOTTOM);
    let _ = write!(
        svg,
        r#"<rect class="s" x="{left:.1}" y="{TOP}" width="{width:.1}" height="{height}"><title>{told}</title></rect>"#
    );
}

/// The x coordinate of a position from 0 to 1.
fn x(share: f64) -> f64 {
    LEFT + share * (WIDTH - LEFT - RIGHT)
}

/// The y coordinate of a position from 0 to 1.
fn y(share: f64) -> f64 {
    HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
}
