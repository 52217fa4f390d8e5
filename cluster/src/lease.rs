//! The lease of a shard: the row in the database that says which process owns it.

/// The right to write a shard, as its owner holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Held {
    /// Grows with every new owner. Every statement about the shard proves it.
    pub epoch: u64,
    /// Counts the owners whose memory may have been lost. Each makes the versions jump.
    pub recoveries: u64,
}

/// The row of a shard's lease.
///
/// The three methods are the only statements that change it. Each is a single one, and changes nothing unless the row
/// still has the epoch that its sender saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease<P> {
    /// The right of the present owner, or of the last one.
    pub held: Held,
    /// The owning process; `None` if the last one gave the shard back with everything stored.
    pub owner: Option<P>,
}

impl<P: Eq> Lease<P> {
    /// Returns true if this is the lease after a process held it: another epoch, or the same one, released.
    pub fn is_after(&self, held: Held, process: P) -> bool {
        self.held.epoch > held.epoch || (self.held.epoch == held.epoch && self.owner != Some(process))
    }

    /// A process takes the shard of a dead owner, or one that nobody owns.
    #[must_use]
    pub fn taken_by(self, process: P) -> Self {
        let Held { epoch, recoveries } = self.held;
        let lost = u64::from(self.owner.is_some());
        Self { held: Held { epoch: epoch + 1, recoveries: recoveries + lost }, owner: Some(process) }
    }

    /// The owner, which has stored everything, makes another process the owner.
    #[must_use]
    pub fn transferred_to(self, process: P) -> Self {
        Self { held: Held { epoch: self.held.epoch + 1, ..self.held }, owner: Some(process) }
    }

    /// The owner, which has stored everything, gives the shard back.
    #[must_use]
    pub fn released(self) -> Self {
        Self { owner: None, ..self }
    }
}
