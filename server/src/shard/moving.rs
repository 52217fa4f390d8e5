//! Shards that come and go while the server runs. `crate::node` decides when.

use castellan_authority::{CharacterRow, Effects, Loaded, Snapshot, Unstored, Versions};
use castellan_game::Game;
use castellan_protocol::UserId;

use super::mailbox::Mailbox;
use super::store::Shards;
use crate::planted::{self, Bug};
use crate::storage::{Lease, ShardId};

/// The characters of a user: their rows, and the states that were read from them.
pub type Restored<G> = Vec<(CharacterRow, Loaded<G>)>;

impl<G: Game> Shards<G> {
    /// Serves nobody in a shard from now on, and stores everything as soon as possible.
    pub fn set_aside(&self, shard: ShardId) {
        let mut effects = Effects::default();
        let mut shard = self.lock(shard);
        shard.core.set_aside(&mut effects);
        self.perform(shard, effects);
    }

    /// Serves a shard again that was set aside.
    pub fn resume(&self, shard: ShardId) {
        self.lock(shard).core.resume();
    }

    /// Hurries everything dirty in a shard into the database, while it is served.
    pub fn hurry_shard(&self, shard: ShardId) {
        let mut effects = Effects::default();
        let mut shard = self.lock(shard);
        shard.core.hurry_all(&mut effects);
        self.perform(shard, effects);
    }

    /// Lets these connections hear when everything in a shard that they may have seen is in the database.
    pub fn await_seen(&self, shard: ShardId, is_one: impl Fn(&Mailbox) -> bool) {
        self.lock(shard).core.await_seen(is_one);
    }

    /// Hurries everything in a shard into the database that these connections wait for. Returns true if there is
    /// something.
    pub fn hurry_awaited(&self, shard: ShardId, is_one: impl Fn(&Mailbox) -> bool) -> bool {
        let mut effects = Effects::default();
        let mut shard = self.lock(shard);
        let is_awaited = shard.core.hurry_awaited(is_one, &mut effects);
        self.perform(shard, effects);
        is_awaited
    }

    /// Returns true if nothing in a shard is left to store, and nothing is being stored.
    pub fn is_stored(&self, shard: ShardId) -> bool {
        self.lock(shard).core.is_stored() || planted::is(Bug::TransferBeforeStored)
    }

    /// How much of a shard is not stored.
    pub fn unstored(&self, shard: ShardId) -> Unstored {
        if planted::is(Bug::TransferBeforeStored) {
            return Unstored::default();
        }
        self.lock(shard).core.unstored()
    }

    /// The users in memory whose characters can be copied, with the versions. With `only_stored`, those of whom the
    /// database has everything.
    pub fn versions(&self, shard: ShardId, only_stored: bool) -> Vec<(UserId, Versions)> {
        self.lock(shard).core.versions(only_stored)
    }

    /// Copies of the characters of those among these users who can be copied, as a flush would write them.
    pub fn copies(&self, shard: ShardId, users: &[UserId]) -> Vec<(UserId, Vec<CharacterRow>)> {
        let copies: Vec<_> = {
            let shard = self.lock(shard);
            users.iter().filter_map(|user| Some((*user, shard.core.copy(*user)?))).collect()
        };
        copies.into_iter().map(|(user, copy)| (user, copy.into_iter().map(Snapshot::into_row).collect())).collect()
    }

    /// Installs characters as if they had just been loaded. Returns the number of users; none whose characters are in
    /// memory already.
    pub fn install_copies(&self, lease: Lease, copies: Vec<(UserId, Restored<G>)>) -> usize {
        let install = |(user, characters)| {
            // A load that is under way may have read older rows, and must find them in memory.
            let loads = self.loads.lock();
            if loads.contains_key(&user) {
                return false;
            }
            let permit = self.make_room(lease.shard).then(|| self.lock(lease.shard).core.load_permit()).flatten();
            permit.is_some_and(|permit| permit.lease == lease && self.install(user, permit, characters))
        };
        copies.into_iter().map(install).filter(|is_installed| *is_installed).count()
    }

    /// The lease of a shard, while it is served or still written.
    pub fn held(&self, shard: ShardId) -> Option<Lease> {
        self.lock(shard).core.held()
    }

    /// Forgets a shard that was set aside and stored, and has another owner now. Nobody's connection ends.
    pub fn hand_over(&self, lease: Lease) {
        let mut effects = Effects::default();
        let mut shard = self.lock(lease.shard);
        if shard.core.held() == Some(lease) {
            shard.core.hand_over(&mut effects);
            self.perform(shard, effects);
        }
    }

    /// Wakes the task that moves shards.
    pub fn wake_moves(&self) {
        self.news.notify_one();
    }

    /// Waits until it was woken, or something was stored or a shard was lost since the last call. Only one task calls it.
    pub async fn news(&self) {
        self.news.notified().await;
    }
}
