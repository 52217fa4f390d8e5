//! Who is alive: what the others see of a node, and what a node may believe of itself.
//!
//! A node writes a growing number, its heartbeat, into its row in the database, and reads its leases in the same
//! transaction. The others read it. Both count with their own clocks, which need not agree on the time, only on how
//! fast it passes; [`MARGIN`] covers the difference.
//!
//! This is politeness: it saves clients from work that is lost. What protects the data is the epoch in every flush.

use std::time::Duration;

/// How often a node renews its heartbeat and reads those of the others.
pub const PERIOD: Duration = Duration::from_secs(1);

/// How long a heartbeat must stand still.
pub const EXPIRY: Duration = Duration::from_secs(5);

/// How much earlier a node stops believing in itself: clocks that differ, and the way from the check to the socket.
pub const MARGIN: Duration = Duration::from_secs(1);

/// Longest time between two reads in a row. Twice the period, so that one slow read is no gap.
pub const GAP: Duration = Duration::from_secs(2);

const _: () = assert!(PERIOD.as_millis() < GAP.as_millis() && GAP.as_millis() < EXPIRY.as_millis());
const _: () = assert!(MARGIN.as_millis() + GAP.as_millis() < EXPIRY.as_millis());

/// What an observer knows about another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Observed {
    heartbeat: u64,
    /// When the first read in a row that found this heartbeat was answered.
    since: Duration,
    /// When the last one was asked.
    last: Duration,
}

impl Observed {
    /// The first read.
    pub fn new(heartbeat: u64, asked: Duration, answered: Duration) -> Self {
        Self { heartbeat, since: answered, last: asked }
    }

    /// Another successful read.
    ///
    /// After a gap the count begins anew: if the observer could not read, the other could not write perhaps.
    pub fn read(&mut self, heartbeat: u64, asked: Duration, answered: Duration) {
        if heartbeat != self.heartbeat || asked > self.last + GAP {
            self.since = answered;
        }
        self.heartbeat = heartbeat;
        self.last = asked;
    }

    /// Returns true if a read was asked at this time or later.
    pub fn has_read(&self, since: Duration) -> bool {
        self.last >= since
    }

    /// The heartbeat found last.
    ///
    /// The statement that takes a shard compares it once more: the node may have come back since.
    pub fn heartbeat(&self) -> u64 {
        self.heartbeat
    }

    /// Returns true if the node is dead: its heartbeat stood still for as long as it could have been renewed.
    pub fn is_dead(&self) -> bool {
        self.last >= self.since + EXPIRY
    }
}

/// How long a node may answer for its shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Validity {
    until: Duration,
}

impl Validity {
    /// A renewal succeeded that was sent at this time. The leases that it read count from now on.
    ///
    /// The time before sending counts, not that of the answer: the database may have executed it at once.
    pub fn renewed(&mut self, asked: Duration) {
        self.until = self.until.max(asked + EXPIRY - MARGIN);
    }

    /// Until when it may.
    pub fn until(&self) -> Duration {
        self.until
    }

    /// From when on another node may take its shards at once, if only a renewal lets this one answer again.
    pub fn over(&self) -> Duration {
        self.until + MARGIN
    }

    /// Returns true if no other node can have taken a shard by now, apart from the leases that were read.
    pub fn holds(&self, now: Duration) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds.
    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_node_is_dead_once_its_heartbeat_stood_still_for_the_expiry() {
        let mut observed = Observed::new(7, s(10), s(10));
        for now in 11..15 {
            observed.read(7, s(now), s(now));
            assert!(!observed.is_dead(), "after {} s", now - 10);
        }
        observed.read(7, s(15), s(15));
        assert!(observed.is_dead());
        observed.read(8, s(16), s(16));
        assert!(!observed.is_dead(), "it is back");
    }

    #[test]
    fn a_gap_in_the_reads_begins_the_count_anew() {
        let mut observed = Observed::new(7, s(10), s(10));
        observed.read(7, s(30), s(30));
        assert!(!observed.is_dead(), "an outage says nothing about the other node");
        (31..=35).for_each(|now| observed.read(7, s(now), s(now)));
        assert!(observed.is_dead());
    }

    #[test]
    fn a_node_stops_before_others_call_it_dead() {
        let mut validity = Validity::default();
        assert!(!validity.holds(s(0)), "nobody has read the leases yet");
        validity.renewed(s(10));
        assert!(validity.holds(s(13)) && !validity.holds(s(14)));
        validity.renewed(s(9));
        assert!(validity.holds(s(13)), "an older answer that comes late takes nothing away");
    }
}
