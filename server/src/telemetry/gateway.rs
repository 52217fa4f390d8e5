//! Metrics of a gateway.

use std::sync::LazyLock;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

/// How far a link to a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkPhase {
    /// It is being opened.
    Opening,
    /// It is open.
    Open,
}

struct Handles {
    links_opening: Gauge,
    links_open: Gauge,
    links_broken: Counter,
    frames_held: Gauge,
    held_seconds: Histogram,
}

static HANDLES: LazyLock<Handles> = LazyLock::new(|| {
    let links = |state: &'static str| gauge!("castellan_gateway_links", "state" => state);
    Handles {
        links_opening: links("opening"),
        links_open: links("open"),
        links_broken: counter!("castellan_gateway_links_broken_total"),
        frames_held: gauge!("castellan_gateway_frames_held"),
        held_seconds: histogram!("castellan_gateway_held_seconds"),
    }
});

fn links(phase: LinkPhase) -> &'static Gauge {
    match phase {
        LinkPhase::Opening => &HANDLES.links_opening,
        LinkPhase::Open => &HANDLES.links_open,
    }
}

/// A link to a node enters a phase.
pub fn gateway_link_begins(phase: LinkPhase) {
    links(phase).increment(1);
}

/// A link to a node leaves a phase.
pub fn gateway_link_ends(phase: LinkPhase) {
    links(phase).decrement(1);
}

/// A link to a node broke, or could not be opened.
pub fn gateway_link_broken() {
    HANDLES.links_broken.increment(1);
}

/// The number of frames that a thread of the gateway holds has changed.
pub fn gateway_frames_held(before: usize, now: usize) {
    if before != now {
        HANDLES.frames_held.increment(now as f64 - before as f64);
    }
}

/// Frames of a shard were held for so long.
pub fn gateway_held(elapsed: Duration) {
    HANDLES.held_seconds.record(elapsed);
}
