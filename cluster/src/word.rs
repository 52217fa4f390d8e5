//! The words that a node says to a gateway about a shard. Each names the attachment that it is about.

/// A word from a node about one attachment.
///
/// Answers, notices and frames that are handed back travel on the same link, and in order with these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Word<P> {
    /// The node serves the shard. Frames may be sent.
    Attached {
        /// The epoch. Another one than before means that the node lost its memory in between.
        epoch: u64,
    },
    /// The node does not own the shard, or has lost it: its memory of the shard is gone.
    NotMine,
    /// The node applies nothing more, and hands back what still arrives. The gateway answers with a marker.
    Leaving,
    /// The shard stays with the node after all. The gateway attaches again.
    Resume,
    /// The node owns the shard no more. Everything sent before the marker was answered or handed back, and everything
    /// answered is stored.
    Moved {
        /// The new owner; `None` if there is none yet.
        to: Option<P>,
        /// The newest epoch.
        epoch: u64,
    },
    /// The gateway has parted, as it asked: everything that it sent was answered or handed back, and everything that its
    /// sockets were told is stored. The node keeps the shard and has forgotten these sockets.
    Parted,
}
