//! What can be left out of the protocol, to see that the search notices.

/// The rules that the search can do without, one at a time. All of them make up the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Invariant 4: a flush locks the lease row before it writes, so no takeover slips in between.
    pub lock_in_flush: bool,
    /// Invariant 4: a takeover is one statement.
    pub take_over_in_one_statement: bool,
    /// Invariant 4: a lease is given back only where it is still one's own.
    pub fenced_release: bool,
    /// Invariant 3: a flush writes only over a lower version.
    pub only_newer_rows: bool,
    /// Invariant 3: a load jumps ahead once for each takeover at which memory may have been lost.
    pub version_jump: bool,
    /// Invariant 4: a lease is given back only with nothing dirty.
    pub release_clean: bool,
    /// Rule 5: the request ids are stored in the character's row.
    pub stored_ring: bool,
    /// Invariant 5: a commit whose answer was lost is looked up, never assumed.
    pub look_up_lost_commit: bool,
    /// Invariant 5: `durable` is said only after the commit.
    pub durable_after_commit: bool,
    /// Invariant 6: every socket closes when memory falls back to what the database has.
    pub close_on_fall_back: bool,
    /// Invariant 6: `welcome` follows a proof of the lease.
    pub welcome_proves_lease: bool,
    /// Invariant 3: a load proves the lease in its own transaction.
    pub load_proves_lease: bool,
    /// Invariant 3: a character's unflushed intents stay below the jump.
    pub unflushed_bound: bool,
    /// Invariant 7: what is dirty is never evicted.
    pub evict_clean: bool,
    /// Invariant 2: ids are looked up before what the intent was made on.
    pub ids_before_base: bool,
    /// Rule 4: an intent with `expect` is never sent again.
    pub asked_once: bool,
    /// Rule 7: when a connection ends, the client forgets every version that it was answered.
    pub forget_answers: bool,
    /// Rule 8: `applied` overrules the earlier `conflict` of everything that it was made on.
    pub applied_overrules_conflict: bool,
    /// Rule 8: an intent was also made on every own intent that had been answered `applied` when its state was shown,
    /// not only on the one that `after` names.
    pub shown_states_count: bool,
    /// Rule 8: an intent waits for the answers of all that was made on it before it counts as refused.
    pub refused_after_descendants: bool,
}

impl Rules {
    /// The contract as it stands.
    pub const ALL: Self = Self {
        lock_in_flush: true,
        take_over_in_one_statement: true,
        fenced_release: true,
        only_newer_rows: true,
        version_jump: true,
        release_clean: true,
        stored_ring: true,
        look_up_lost_commit: true,
        durable_after_commit: true,
        close_on_fall_back: true,
        welcome_proves_lease: true,
        load_proves_lease: true,
        unflushed_bound: true,
        evict_clean: true,
        ids_before_base: true,
        asked_once: true,
        forget_answers: true,
        applied_overrules_conflict: true,
        shown_states_count: true,
        refused_after_descendants: true,
    };
}
