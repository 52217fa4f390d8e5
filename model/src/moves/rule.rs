//! The rules of a move that can be left out, to test that the search notices.

/// A rule of `docs/cluster.md`.
///
/// The state machines in `cluster/` keep all rules. To leave one out, the model lies to them, or does not do what they
/// say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A frame counts only under an attachment. Left out: a node applies whatever arrives while it owns the shard.
    ExplicitAttach,
    /// Words about an older attachment are ignored. Left out: every word counts for the present one.
    NumberedWords,
    /// An attachment names the epoch that the gateway has heard of. Left out: it names none.
    AttachNamesEpoch,
    /// `attached` names the node's epoch. Left out: the gateway believes that it is still the one that it knew.
    AttachedNamesEpoch,
    /// A broken link closes all sockets attached over it. Left out: only those with unanswered frames.
    BrokenLinkClosesAll,
    /// A gateway leaves a live node only on `moved`. Left out: also if the database names another owner.
    LeaveOnlyOnMoved,
    /// A transfer is one statement. Left out: the owner releases the lease, and the other process takes it.
    TransferInOneStatement,
    /// The transfer is sent when nothing is dirty. Left out: it is sent at once.
    StoredBeforeTransfer,
    /// The transfer is sent when no statement is open. Left out: it does not wait for a flush that was sent.
    StatementsEndFirst,
    /// Frames that arrive after `leaving` are handed back. Left out: they vanish.
    HandBack,
    /// The transfer waits for the markers. Left out: it does not.
    Marker,
    /// A gateway answers `leaving` and `resume` with a marker if it has given the attachment up. Left out: it does not.
    MarkerAfterTheEnd,
    /// A link whose marker is late is cut. Left out: the move waits for ever.
    LateMarkerCutsLink,
    /// Answers and notices go out before `moved`. Left out: when their turn comes.
    AnswersBeforeMoved,
    /// Once the transfer was sent, the node never serves the shard again. Left out: it goes on if the answer is lost.
    NeverServesAgain,
    /// A character that was sent ahead is installed only in its newest version. Left out: in any version.
    InstallComparesVersions,
    /// A character that was sent ahead is never installed over one in memory. Left out: a late `moved` does.
    InstallNotOverMemory,
    /// A link and a `moved` are meant for one process. Left out: they are meant for whatever runs on that node.
    ProcessesAreNamed,
    /// Frames that came back are sent before those that were kept. Left out: after them.
    HandedBackFirst,
    /// A move is called off only after the markers came. Left out: at once.
    UndoAfterMarker,
    /// A process never owns an epoch again that it lost. Left out: a late read of the lease makes it the owner.
    GoneIsGone,
    /// A frame is taken from a client only if there is room for its answer. Left out: always, and a gateway that has no
    /// room for an answer stops reading the link.
    Credit,
    /// A node says `parted` when everything that it told the gateway's sockets is stored. Left out: at once.
    PartedWhenStored,
    /// Answers and notices go out before `parted`. Left out: when their turn comes.
    AnswersBeforeParted,
    /// A gateway gives its sockets away when it has parted. Left out: at once.
    PartBeforeGiving,
    /// Frames that wait travel with their socket. Left out: they are forgotten.
    WaitingFramesTravel,
    /// Frames are kept for a limited time. Left out: for ever.
    KeepIsLimited,
}
