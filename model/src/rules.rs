//! The rules that can be left out, to test that the search notices.

/// The rules of the contract. A search can leave out any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Invariant 4: a flush locks the lease row before it writes, so that no takeover can happen in between.
    pub lock_in_flush: bool,
    /// Invariant 4: a takeover is one statement.
    pub take_over_in_one_statement: bool,
    /// Invariant 4: a server gives a lease back only if it still has it.
    pub fenced_release: bool,
    /// Invariant 3: a flush replaces only a lower version.
    pub only_newer_rows: bool,
    /// Invariant 3: a load jumps ahead once for each takeover that may have lost memory.
    pub version_jump: bool,
    /// Invariant 4: a server gives a lease back only if nothing is dirty.
    pub release_clean: bool,
    /// Rule 5: the request ids are stored in the character's row.
    pub stored_ring: bool,
    /// Invariant 5: a commit with a lost answer is looked up, never assumed.
    pub look_up_lost_commit: bool,
    /// Invariant 5: `durable` is sent only after the commit.
    pub durable_after_commit: bool,
    /// Invariant 6: every socket closes when memory falls back to the database.
    pub close_on_fall_back: bool,
    /// Invariant 6: `welcome` follows a proof of the lease.
    pub welcome_proves_lease: bool,
    /// Invariant 3: a load proves the lease in its own transaction.
    pub load_proves_lease: bool,
    /// Invariant 3: a character's unflushed intents stay below the jump.
    pub unflushed_bound: bool,
    /// Invariant 7: a dirty character is never evicted.
    pub evict_clean: bool,
    /// Invariant 2: the id is checked before the base.
    pub ids_before_base: bool,
    /// Rule 4: an intent with `expect` is never sent again.
    pub asked_once: bool,
    /// Rule 7: when a connection ends, the client forgets all versions of its answers.
    pub forget_answers: bool,
    /// Rule 8: `applied` overrules earlier conflicts of all intents that it is based on.
    pub applied_overrules_conflict: bool,
    /// Rule 8: an intent is also based on every own intent that was answered `applied` when its base was shown, not
    /// only on the one in `after`.
    pub shown_states_count: bool,
    /// Rule 8: an intent counts as refused only after all intents based on it are answered.
    pub refused_after_descendants: bool,
}

impl Rules {
    /// The complete contract.
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
