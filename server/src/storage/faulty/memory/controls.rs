//! What tests do to the database, and see in it.

use std::sync::Arc;

use castellan_protocol::CharacterId;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::super::replication::{Primary, Rules};
use super::{Database, MemoryStorage};
use crate::storage::CharacterRow;

impl MemoryStorage {
    /// An empty database with its tables, and with a standby that has them too.
    pub fn new() -> Self {
        Self::default()
    }

    /// A character as it is seen, even a deleted one, no matter who holds its lease.
    pub fn character(&self, id: CharacterId) -> Option<CharacterRow> {
        self.0.primary.lock().visible.characters.get(&id).cloned()
    }

    /// A character as a failover would leave it.
    pub fn replicated_character(&self, id: CharacterId) -> Option<CharacterRow> {
        self.0.primary.lock().replicated().characters.get(&id).cloned()
    }

    /// How many shards were taken from a process that had renewed so recently that nobody may call it dead.
    pub fn taken_alive(&self) -> u64 {
        self.0.primary.lock().visible.taken_alive
    }

    /// Refuses rows of this character from now on.
    pub fn refuse(&self, character: CharacterId) {
        self.0.primary.lock().visible.refused.insert(character);
    }

    /// Accepts rows of this character again.
    pub fn accept(&self, character: CharacterId) {
        self.0.primary.lock().visible.refused.remove(&character);
    }

    /// Keeps these rules from now on, and leaves out the others.
    pub fn set_rules(&self, rules: Rules) {
        self.0.primary.lock().rules = rules;
    }

    /// The standby goes away: commits wait for it.
    pub fn standby_leaves(&self) {
        self.change(Primary::standby_leaves);
    }

    /// The standby comes back and gets everything that it lacks.
    pub fn standby_returns(&self) {
        self.change(Primary::standby_returns);
    }

    /// The standby gets so many of the commits that it lacks, oldest first. Those made from now on still wait.
    pub fn standby_receives(&self, count: usize) {
        self.change(|primary| primary.standby_receives(count));
    }

    /// Somebody cancels every commit that waits, as `pg_cancel_backend` does.
    pub fn cancel_waits(&self) {
        self.change(|primary| primary.cancel(|_| true));
    }

    /// The database restarts: all connections break, and all that was committed is seen, replicated or not.
    pub fn restart(&self) {
        self.change(Primary::restart);
    }

    /// The standby is promoted: all connections break, and all that it did not have is gone.
    ///
    /// Returns the old primary, which runs on without a standby. It is for those who still reach it.
    #[must_use]
    pub fn fail_over(&self) -> Self {
        let old = self.change(Primary::fail_over);
        Self(Arc::new(Database { primary: Mutex::new(old), changes: watch::Sender::default() }))
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Primary) -> T) -> T {
        let result = change(&mut self.0.primary.lock());
        self.0.changes.send_replace(());
        result
    }
}
