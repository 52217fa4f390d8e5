//! One shard: a plain state machine over its users' characters. It knows no socket, no clock and no database.
//!
//! Commands come with the time and with their permissions. Their consequences for others go into [`Effects`] as data,
//! and the shell performs them. A refused command changes nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use castellan_game::{Deal, Game};
use castellan_protocol::limits::CHARACTERS_PER_USER_MAX;
use castellan_protocol::{CharacterId, GameTypes, RequestId, UserId, Version};

use crate::books::Receiver;
use crate::buried::Buried;
use crate::effect::{Effect, Effects, Subscriber};
use crate::entry::{Entry, UNFLUSHED_MAX};
use crate::header::Header;
use crate::refusal::Refusal;
use crate::roster::Roster;
use crate::row::Lease;

/// The state that a change is based on. Each field that is given must match the present state.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Base {
    /// The id of the intent applied last.
    pub after: Option<RequestId>,
    /// The present version; 0 means any.
    pub expect: Option<Version>,
}

impl Base {
    fn matches(self, header: &Header) -> bool {
        self.after.is_none_or(|id| id == header.last)
            && self.expect.is_none_or(|version| version.get() == 0 || version == header.version)
    }
}

/// A change to a character.
#[derive(Debug)]
pub enum Change<'a, A> {
    /// An action of the game.
    Action(&'a A),
    /// Deletes it; only the database keeps it.
    Delete,
}

/// A request to change one character.
#[derive(Debug)]
pub struct Command<'a, A> {
    /// The character's owner; only the owner's characters are searched.
    pub owner: UserId,
    /// The character.
    pub character: CharacterId,
    /// The request id, not 0.
    pub id: RequestId,
    /// The state that it is based on.
    pub base: Base,
    /// The change that is asked for.
    pub change: Change<'a, A>,
    /// True if the policy lets the session's role send this action.
    pub permitted: bool,
    /// True if the number of deals a minute is limited. It is not for game servers, which trade for their players.
    pub is_limited: bool,
}

/// A request to make a character.
#[derive(Debug)]
pub struct Creation<'a, C> {
    /// Its future owner.
    pub owner: UserId,
    /// Its id, never used before.
    pub character: CharacterId,
    /// The request id, if there is one. The same id again returns the character that it made.
    pub id: Option<RequestId>,
    /// The character that is asked for.
    pub wanted: &'a C,
    /// How long the owner must wait before another creation. Only a repetition is answered before that.
    pub wait: Option<Duration>,
}

/// The result of a command.
#[derive(Debug)]
pub enum Decision<'a, G: Game, S> {
    /// Applied now, or before.
    Applied {
        /// The character.
        entry: &'a mut Entry<G, S>,
        /// True if the request id was applied before.
        duplicate: bool,
    },
    /// The command was based on another state.
    Conflict {
        /// The character.
        entry: &'a mut Entry<G, S>,
    },
    /// Refused.
    Refused(Refusal),
    /// The owner's characters are not in memory.
    Absent,
    /// Somebody must look if the receiver of the goods exists.
    Unknown,
}

/// A reader of a character's state.
#[derive(Debug, Clone, Copy)]
pub enum Reader<S> {
    /// A request over HTTP, which does not stay.
    Passing,
    /// A connection that asks once.
    Fetches(S),
    /// A connection that wants every state that others make.
    Watches(S),
}

/// One shard's characters.
pub struct Core<G: Game, S> {
    /// The lease, while the shard is served.
    pub(crate) lease: Option<Lease>,
    /// The lease, while the shard is only written.
    pub(crate) aside: Option<Lease>,
    /// The server assigns the user ids, so a fast hash is safe.
    pub(crate) rosters: HashMap<UserId, Roster<G, S>, foldhash::fast::RandomState>,
    /// The characters that the flusher must collect, oldest first.
    ///
    /// A hurried entry stays queued until the next sweep, even after its flush. So the queue holds at most one place for
    /// each dirty character and one for each write since the last sweep.
    pub(crate) dirty: Vec<(UserId, CharacterId)>,
    /// The hurried ones among them, which the flusher collects first.
    pub(crate) hurried: Vec<(UserId, CharacterId)>,
    /// Rows that the flusher has collected, and not reported yet.
    pub(crate) writing: usize,
    /// Connections of this shard's own users.
    pub(crate) sockets: Vec<S>,
    /// Characters that take no intents until memory has fallen back to the database.
    pub(crate) buried: Buried,
    /// How often memory has fallen back to the database. A load that began before the last time comes too late.
    pub(crate) fallbacks: u64,
    pub(crate) rules: Arc<G::Rules>,
    /// The schema that states are stored in.
    pub(crate) schema_version: i32,
    /// True if all servers can read books.
    pub(crate) stores_books: bool,
    /// Most gifts, offers and acceptances of a character in a minute.
    pub(crate) deals_per_minute: u32,
    dice_secret: Arc<[u8]>,
}

impl<G: Game, S: Subscriber> Core<G, S> {
    /// A shard without characters.
    pub fn new(lease: Option<Lease>, rules: Arc<G::Rules>, dice_secret: Arc<[u8]>) -> Self {
        Self {
            lease,
            aside: None,
            rosters: HashMap::default(),
            dirty: Vec::new(),
            hurried: Vec::new(),
            writing: 0,
            sockets: Vec::new(),
            buried: Buried::default(),
            fallbacks: 0,
            rules,
            schema_version: G::SCHEMA_VERSION,
            stores_books: true,
            deals_per_minute: u32::MAX,
            dice_secret,
        }
    }

    /// Serves the shard under this lease from here on.
    pub fn take(&mut self, lease: Lease) {
        (self.lease, self.aside) = (Some(lease), None);
    }

    /// The lease, while the shard is served.
    pub fn lease(&self) -> Option<Lease> {
        self.lease
    }

    /// Returns true if the user's characters are in memory.
    pub fn has(&self, user: UserId) -> bool {
        self.rosters.contains_key(&user)
    }

    /// A user's characters, for a request that asks for all of them.
    pub fn roster(&mut self, user: UserId, now_ms: i64) -> Option<&mut Roster<G, S>> {
        let roster = self.rosters.get_mut(&user)?;
        roster.touch(now_ms);
        Some(roster)
    }

    /// Decides a change. Checks run in the wire's order: character, permission, id, version, rule.
    ///
    /// `sender` is the connection that asks. `receiver` matters only if the action names one. `has_room` is true if another
    /// character may become dirty.
    pub fn change(
        &mut self,
        command: &Command<'_, G::Action>,
        sender: Option<&S>,
        receiver: Receiver,
        has_room: bool,
        now_ms: i64,
        effects: &mut Effects<S>,
    ) -> Decision<'_, G, S> {
        if self.lease.is_none() {
            return Decision::Refused(Refusal::shard_lost());
        }
        let Some(roster) = self.rosters.get_mut(&command.owner) else { return Decision::Absent };
        roster.touch(now_ms);
        let Some(entry) = roster.find_mut(command.character) else {
            return Decision::Refused(self.buried.refusal(command.owner, command.character));
        };
        if !command.permitted {
            return Decision::Refused(Refusal::not_permitted());
        }
        if entry.dead_letter {
            return Decision::Refused(Refusal::dead_letter());
        }
        if entry.ring.contains(command.id) {
            if let Some(sender) = sender {
                entry.await_durability(sender);
            }
            return Decision::Applied { entry, duplicate: true };
        }
        if !command.base.matches(&entry.header) {
            if let Some(sender) = sender {
                entry.link(sender);
            }
            return Decision::Conflict { entry };
        }
        match entry.unflushed() {
            None => {
                entry.take_out_of_play(effects);
                self.buried.insert(command.owner, command.character);
                return Decision::Refused(Refusal::out_of_play());
            }
            Some(unflushed) if unflushed >= UNFLUSHED_MAX || (entry.is_clean() && !has_room) => {
                return Decision::Refused(Refusal::flush_behind());
            }
            Some(_) => {}
        }
        let mut is_deal = false;
        match command.change {
            Change::Action(action) => {
                if let Some(deal) = G::deal(action) {
                    if !self.stores_books {
                        return Decision::Refused(Refusal::update_unfinished());
                    }
                    let is_limited = command.is_limited;
                    if is_limited
                        && !matches!(deal, Deal::Cancel { .. })
                        && let Err(wait) = entry.check_deals(self.deals_per_minute, now_ms)
                    {
                        return Decision::Refused(Refusal::too_many_deals(wait));
                    }
                    match receiver {
                        _ if deal.other().is_none() => {}
                        Receiver::There => {}
                        Receiver::Unknown => return Decision::Unknown,
                        Receiver::Nowhere => {
                            if is_limited {
                                entry.count_deal(now_ms);
                            }
                            return Decision::Refused(Refusal::no_such_receiver());
                        }
                    }
                    if let Err(refusal) = entry.deal(&self.rules, self.schema_version, &deal, is_limited, now_ms) {
                        return Decision::Refused(refusal);
                    }
                    is_deal = true;
                } else if let Err(refusal) =
                    entry.act(&self.rules, self.schema_version, action, command.id, &self.dice_secret)
                {
                    return Decision::Refused(refusal);
                }
            }
            Change::Delete => entry.deleted_at_ms = Some(now_ms),
        }
        entry.header.last = command.id;
        entry.ring.push(command.id);
        changed(entry, &mut self.dirty, now_ms, effects);
        entry.tidy(&self.rules, self.schema_version, now_ms);
        if is_deal {
            entry.hurry(&mut self.hurried, effects);
        }
        if let Some(sender) = sender {
            entry.await_durability(sender);
        }
        entry.tell_watchers(sender, effects);
        Decision::Applied { entry, duplicate: false }
    }

    /// Makes a character. The same request id again returns the character that it made.
    pub fn create(
        &mut self,
        creation: &Creation<'_, <G as GameTypes>::Creation>,
        has_room: bool,
        now_ms: i64,
        effects: &mut Effects<S>,
    ) -> Decision<'_, G, S> {
        let Creation { owner, character, id: request, wanted, wait } = *creation;
        if self.lease.is_none() {
            return Decision::Refused(Refusal::shard_lost());
        }
        let Some(roster) = self.rosters.get_mut(&owner) else { return Decision::Absent };
        roster.touch(now_ms);
        // A deleted one may stay until its books are settled.
        let made =
            |entry: &Entry<G, S>, id| entry.ring.contains(id) && !(entry.deleted_at_ms.is_some() && entry.is_clean());
        let known = request.and_then(|id| roster.entries.iter().position(|entry| made(entry, id)));
        if known.is_some_and(|index| roster.entries[index].dead_letter) || self.buried.made(owner, request) {
            return Decision::Refused(Refusal::dead_letter());
        }
        if let Some(index) = known {
            return Decision::Applied { entry: &mut roster.entries[index], duplicate: true };
        }
        if let Some(wait) = wait {
            return Decision::Refused(Refusal::too_many_creations(wait));
        }
        if roster.living().count() >= CHARACTERS_PER_USER_MAX {
            return Decision::Refused(Refusal::too_many_characters());
        }
        if !has_room {
            return Decision::Refused(Refusal::flush_behind());
        }
        let made = match G::create(&self.rules, wanted) {
            Ok(made) => made,
            Err(violation) => return Decision::Refused(violation.into()),
        };
        if self.schema_version < G::SCHEMA_VERSION && !G::fits(self.schema_version, &made) {
            return Decision::Refused(Refusal::update_unfinished());
        }
        let header = Header {
            id: character,
            user: owner,
            version: Version::new(1),
            last: request.unwrap_or_default(),
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
        };
        let mut entry = Entry::new(header, made, request);
        entry.queued = true;
        self.dirty.push((owner, character));
        effects.push(Effect::Dirty(1));
        effects.push(Effect::Places(1));
        // Most players have one or two.
        roster.entries.reserve_exact(1);
        roster.entries.push(entry);
        let entry = roster.entries.last_mut().expect("pushed just now");
        Decision::Applied { entry, duplicate: false }
    }

    /// The present state of a character, for this reader.
    pub fn look(
        &mut self,
        owner: UserId,
        character: CharacterId,
        reader: Reader<&S>,
        now_ms: i64,
    ) -> Decision<'_, G, S> {
        if self.lease.is_none() {
            return Decision::Refused(Refusal::shard_lost());
        }
        let Some(roster) = self.rosters.get_mut(&owner) else { return Decision::Absent };
        roster.touch(now_ms);
        let Some(entry) = roster.find_mut(character) else {
            return Decision::Refused(self.buried.refusal(owner, character));
        };
        match reader {
            Reader::Passing => {}
            Reader::Fetches(subscriber) => {
                entry.link(subscriber);
            }
            Reader::Watches(subscriber) => entry.link(subscriber).watching = true,
        }
        Decision::Applied { entry, duplicate: false }
    }

    /// The present state of a character, for an answer that waited for its commit. A shard that is about to move gives
    /// these answers, though it refuses everything else.
    pub fn confirm(&mut self, owner: UserId, character: CharacterId, now_ms: i64) -> Decision<'_, G, S> {
        let Some(roster) = self.rosters.get_mut(&owner) else { return Decision::Absent };
        roster.touch(now_ms);
        match roster.find_mut(character) {
            Some(entry) => Decision::Applied { entry, duplicate: false },
            None => Decision::Refused(self.buried.refusal(owner, character)),
        }
    }

    /// Ends a watch. Does nothing if there is none.
    pub fn unwatch(&mut self, owner: UserId, character: CharacterId, subscriber: &S) {
        let entry = self.rosters.get_mut(&owner).and_then(|roster| roster.find_mut(character));
        if let Some(entry) = entry {
            entry.link(subscriber).watching = false;
        }
    }

    /// A user's characters, for the first frame of a connection. The core remembers the connection from here on.
    pub fn welcome(&mut self, user: UserId, subscriber: &S, now_ms: i64) -> Option<&Roster<G, S>> {
        self.lease?;
        let roster = self.rosters.get_mut(&user)?;
        roster.touch(now_ms);
        for entry in &mut roster.entries {
            entry.link(subscriber);
        }
        self.sockets.push(subscriber.clone());
        Some(roster)
    }

    /// Forgets a connection that has seen characters of a user.
    pub fn farewell(&mut self, user: UserId, subscriber: &S, effects: &mut Effects<S>) {
        self.sockets.retain(|other| other != subscriber);
        if let Some(roster) = self.rosters.get_mut(&user) {
            roster.entries.iter_mut().for_each(|entry| entry.unlink(subscriber));
            self.try_leave(user, effects);
        }
    }

    /// Gives the lease up if nothing is left to flush. From then on every change is refused.
    pub fn retire(&mut self) -> Option<Lease> {
        if self.is_stored() { self.lease.take() } else { None }
    }

    /// Gives the lease up and forgets all characters. Returns the places that they took.
    pub(crate) fn forget(
        &mut self,
        effects: &mut Effects<S>,
        mut each: impl FnMut(Entry<G, S>, &mut Effects<S>),
    ) -> isize {
        (self.lease, self.aside) = (None, None);
        self.buried = Buried::default();
        self.dirty.clear();
        self.hurried.clear();
        self.writing = 0;
        let mut places = 0;
        for (_, roster) in self.rosters.drain() {
            places += roster.places();
            roster.entries.into_iter().for_each(|entry| each(entry, effects));
        }
        effects.push(Effect::Places(-places));
        places
    }
}

/// Notes a change of an entry: it has the next version, and the flusher must collect it.
pub(crate) fn changed<G: Game, S: Subscriber>(
    entry: &mut Entry<G, S>,
    dirty: &mut Vec<(UserId, CharacterId)>,
    now_ms: i64,
    effects: &mut Effects<S>,
) {
    if entry.is_clean() {
        entry.dirty_since_ms = now_ms;
        effects.push(Effect::Dirty(1));
    }
    entry.header.version = entry.header.version.next();
    entry.header.updated_at_ms = now_ms.max(entry.header.updated_at_ms);
    if !entry.queued {
        entry.queued = true;
        dirty.push((entry.header.user, entry.header.id));
    }
}
