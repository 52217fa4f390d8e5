//! Metrics of gifts and trades.

use std::sync::LazyLock;
use std::time::Duration;

use metrics::{Counter, Gauge, counter, gauge};

struct Handles {
    /// Gifts and acceptances, each refused and taken.
    received: [[Counter; 2]; 2],
    traders: Gauge,
    oldest: Gauge,
}

static HANDLES: LazyLock<Handles> = LazyLock::new(|| {
    let received = |kind: &'static str, outcome: &'static str| counter!("castellan_parcels_total", "kind" => kind, "outcome" => outcome);
    Handles {
        received: ["gift", "acceptance"].map(|kind| ["refused", "taken"].map(|outcome| received(kind, outcome))),
        traders: gauge!("castellan_traders"),
        oldest: gauge!("castellan_parcel_oldest_seconds"),
    }
});

/// A character has taken or refused a parcel.
pub fn parcel_received(is_trade: bool, is_taken: bool) {
    HANDLES.received[usize::from(is_trade)][usize::from(is_taken)].increment(1);
}

/// A search has found so many characters with books; the oldest parcel among them has been found for so long.
pub fn traders(count: usize, oldest_parcel: Duration) {
    HANDLES.traders.set(count as f64);
    HANDLES.oldest.set(oldest_parcel.as_secs_f64());
}
