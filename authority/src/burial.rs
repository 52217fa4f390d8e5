//! Characters out of play: the database refused their state, so they take no intents until an operator has decided.
//! Then memory falls back to the database.
//!
//! A write of the character may still be in flight, and may arrive after its caller gave up. So the transaction that
//! carries out the decision raises the row's version above every version that this process has shown or written. Then a
//! late write changes nothing, and no version names two states. The answer to a late write is about an earlier life of
//! the entry and is ignored ([`Entry::is_of_this_life`]).

use castellan_game::Game;
use castellan_protocol::{CharacterId, UserId, Version};

use crate::books::Loaded;
use crate::core::Core;
use crate::effect::{Effect, Effects, Subscriber};
use crate::entry::Entry;
use crate::row::{CharacterRow, Lease, VERSION_JUMP};

impl<G: Game, S: Subscriber> Core<G, S> {
    /// Notes that the character of a dead letter waits for an operator, before it is loaded.
    pub fn recall(&mut self, letter: &CharacterRow) {
        self.buried.recall(letter);
    }

    /// The characters that are out of play, with their owners.
    pub fn out_of_play(&self) -> impl Iterator<Item = (UserId, CharacterId)> {
        self.buried.iter()
    }

    /// True if a character is out of play.
    pub fn is_out_of_play(&self, character: CharacterId) -> bool {
        self.buried.contains(character)
    }

    /// The database refuses this version of a character: it takes no intents until an operator has decided.
    ///
    /// The refusal may come twice: the flusher also collects an intent that was applied while the dead letter was being
    /// written.
    pub fn bury(&mut self, user: UserId, character: CharacterId, version: Version, effects: &mut Effects<S>) {
        self.writing = self.writing.saturating_sub(1);
        let entry = self.rosters.get_mut(&user).and_then(|roster| roster.any_mut(character));
        let Some(entry) = entry.filter(|entry| entry.is_of_this_life(version)) else { return };
        self.buried.insert(user, character);
        if entry.is_flushable() {
            effects.push(Effect::Dirty(-1));
        }
        entry.dead_letter = true;
    }

    /// True if a dead letter that was written under `epoch` changes nothing any more.
    ///
    /// There are two causes. The database took a later write of the same life, which contains the letter's state. Or
    /// this process has ended that life by a decision about an earlier letter. A letter from before this process had
    /// the shard tells nothing about either.
    pub fn is_settled(&mut self, letter: &CharacterRow, epoch: i64) -> bool {
        let ours = self.held().is_some_and(|lease| lease.epoch == epoch);
        let entry = self.rosters.get_mut(&letter.user).and_then(|roster| roster.any_mut(letter.id));
        let version = Version::new(letter.version);
        let settled = |entry: &mut Entry<G, S>| match entry.is_of_this_life(version) {
            true => version <= entry.durable,
            false => !entry.dead_letter,
        };
        ours && entry.is_some_and(settled)
    }

    /// Takes a character out of play, even if it is not in memory, and ends the present life of its entry.
    ///
    /// No further write of it begins, and the answers to writes in flight are ignored.
    ///
    /// `written` is the highest version that may have been shown or written while the character was not in memory.
    /// Returns the version at which its next life begins, above every version that was shown or written before.
    pub fn freeze(&mut self, user: UserId, character: CharacterId, written: u64, effects: &mut Effects<S>) -> u64 {
        self.buried.insert(user, character);
        let entry = self.rosters.get_mut(&user).and_then(|roster| roster.any_mut(character));
        let shown = entry.as_ref().map_or(0, |entry| entry.header.version.get());
        // A jump passes every version that was applied but not written: fewer intents than that may be unflushed.
        let next_version = shown.max(written) + VERSION_JUMP;
        if let Some(entry) = entry {
            if entry.is_flushable() {
                effects.push(Effect::Dirty(-1));
            }
            entry.dead_letter = true;
            entry.queued = false;
            entry.born = Version::new(next_version);
        }
        next_version
    }

    /// Memory falls back to the database's state of a character (`None` if it has none). The connections that saw the
    /// character end.
    pub fn fall_back(
        &mut self,
        lease: Lease,
        user: UserId,
        id: CharacterId,
        stored: Option<(CharacterRow, Loaded<G>)>,
        effects: &mut Effects<S>,
    ) {
        self.buried.remove(id);
        self.fallbacks += 1;
        let Some(roster) = self.rosters.get_mut(&user) else { return };
        let before = roster.places();
        if let Some(index) = roster.entries.iter().position(|entry| entry.id() == id) {
            roster.entries.remove(index).close_links(effects);
        }
        roster.entries.extend(stored.map(|(row, loaded)| Entry::loaded(row, loaded, lease)));
        effects.push(Effect::Places(roster.places() - before));
        self.try_leave(user, effects);
    }
}
