//! A character in memory.

use castellan_game::{Dice, Game, Kept, Touched};
use castellan_protocol::{CharacterId, RequestId, Version};
use smallvec::SmallVec;

use crate::books::{Ledger, Loaded};
use crate::effect::{Effect, Effects, Subscriber};
use crate::header::Header;
use crate::planted;
use crate::refusal::Refusal;
use crate::ring::Ring;
use crate::row::{CharacterRow, Lease, VERSION_JUMP};

/// Unflushed intents that one character may have; one more is refused as `overloaded`.
pub(crate) const UNFLUSHED_MAX: u64 = VERSION_JUMP - 1;

const _: () = assert!(UNFLUSHED_MAX < VERSION_JUMP, "a jump must pass every version that a crash can lose");

/// A connection that has seen a character, and the news that it must get.
#[derive(Debug)]
pub(crate) struct Link<S> {
    pub(crate) subscriber: S,
    /// It wants every state that others make.
    pub(crate) watching: bool,
    /// Its newest intent's version, while that is not durable.
    pub(crate) unsafe_until: Option<Version>,
}

/// A character in memory: its state, its durable version, and the connections that have seen it.
#[derive(Debug)]
pub struct Entry<G: Game, S> {
    pub(crate) header: Header,
    pub(crate) state: G::State,
    /// The packed fields that most intents leave alone; empty until the first answer.
    pub(crate) kept: Kept,
    pub(crate) ring: Ring,
    /// The version at which this life of the entry began. News from the database of an earlier version is about an
    /// earlier life. A life begins when the entry is made, is loaded, or falls back to the database.
    pub(crate) born: Version,
    /// The newest version known to be in the database. Never above the present version; equal to it if nothing is
    /// unflushed.
    pub(crate) durable: Version,
    /// In the shard's dirty queue, which the flusher collects.
    pub(crate) queued: bool,
    /// Also in the shard's hurried queue, which the flusher collects first.
    pub(crate) hurried: bool,
    /// When the oldest unflushed intent was applied, in milliseconds since the Unix epoch.
    pub(crate) dirty_since_ms: i64,
    /// When it was deleted, in milliseconds since the Unix epoch. It leaves memory once the deletion is durable.
    pub(crate) deleted_at_ms: Option<i64>,
    /// Takes no intents until memory has fallen back to the database. Either the database refuses this state and an
    /// operator must decide, or the entry's versions contradicted each other.
    pub(crate) dead_letter: bool,
    /// Its gifts and trades, if it has any.
    pub(crate) ledger: Option<Box<Ledger<G>>>,
    /// Stored inline for one connection: most characters have just one, and each intent looks at its link.
    pub(crate) links: SmallVec<[Link<S>; 1]>,
}

impl<G: Game, S: Subscriber> Entry<G, S> {
    /// A character that the database has not seen.
    pub(crate) fn new(header: Header, state: G::State, request: Option<RequestId>) -> Self {
        let mut ring = Ring::default();
        if let Some(id) = request {
            ring.push(id);
        }
        let dirty_since_ms = header.created_at_ms;
        Self {
            header,
            state,
            kept: Kept::default(),
            ring,
            born: header.version,
            durable: Version::new(0),
            queued: false,
            hurried: false,
            dirty_since_ms,
            deleted_at_ms: None,
            dead_letter: false,
            ledger: None,
            links: SmallVec::new(),
        }
    }

    /// A character as the database has it, under the lease that the row was read with.
    ///
    /// The version jumps once for each takeover that came after the row was written and may have lost memory.
    pub(crate) fn loaded(row: CharacterRow, loaded: Loaded<G>, lease: Lease) -> Self {
        let crashes = planted::crashes(lease.crashes_since(row.recoveries));
        let version = Version::new(row.version + crashes * VERSION_JUMP);
        let ring = Ring::from_oldest_first(row.request_ids);
        let header = Header {
            id: row.id,
            user: row.user,
            version,
            last: ring.last().unwrap_or_default(),
            created_at_ms: row.created_at_ms,
            updated_at_ms: row.updated_at_ms,
        };
        let ledger = loaded.books.map(|books| Box::new(Ledger::new(books)));
        let deleted_at_ms = row.deleted_at_ms;
        Self { durable: version, ring, ledger, deleted_at_ms, ..Self::new(header, loaded.state, None) }
    }

    /// Lets the game carry out an action. The caller notes the change.
    ///
    /// # Errors
    ///
    /// The refusal. Nothing has changed.
    pub(crate) fn act(
        &mut self,
        rules: &G::Rules,
        schema_version: i32,
        action: &G::Action,
        request: RequestId,
        dice_secret: &[u8],
    ) -> Result<(), Refusal> {
        let mut dice = Dice::new(dice_secret, self.header.id, request, G::dice_rolled(&self.state));
        // Only during an update of several servers.
        let before = (schema_version < G::SCHEMA_VERSION).then(|| self.state.clone());
        if G::apply(rules, &mut self.state, action, &mut dice)? == Touched::Kept {
            self.kept.clear();
        }
        if let Some(before) = before
            && !G::fits(schema_version, &self.state)
        {
            self.state = before;
            return Err(Refusal::update_unfinished());
        }
        Ok(())
    }

    /// True if nothing is unflushed.
    pub(crate) fn is_clean(&self) -> bool {
        self.durable == self.header.version
    }

    /// Number of intents that the database does not have; `None` if the durable version is above the present one.
    pub(crate) fn unflushed(&self) -> Option<u64> {
        self.header.version.get().checked_sub(self.durable.get())
    }

    /// True if this version was made in the present life of the entry.
    pub(crate) fn is_of_this_life(&self, version: Version) -> bool {
        version >= self.born
    }

    /// Takes no further intents, and ends the connections that saw it.
    pub(crate) fn take_out_of_play(&mut self, effects: &mut Effects<S>) {
        if self.is_flushable() {
            effects.push(Effect::Dirty(-1));
        }
        self.dead_letter = true;
        self.close_links(effects);
        effects.push(Effect::OutOfPlay(self.id()));
    }

    /// Ends the connections that saw it.
    pub(crate) fn close_links(&mut self, effects: &mut Effects<S>) {
        for link in self.links.drain(..) {
            effects.push(Effect::Close { to: link.subscriber });
        }
    }

    /// True if the entry is dirty and not a dead letter: the flusher must write it, or is writing it.
    pub(crate) fn is_flushable(&self) -> bool {
        !self.is_clean() && !self.dead_letter
    }

    /// True if the entry may leave memory: the database has all of it, and no open connection watches it.
    pub(crate) fn is_evictable(&self) -> bool {
        planted::may_leave(self.is_clean() && !self.queued)
            && !self.dead_letter
            && self.links.iter().all(|link| !link.watching || link.subscriber.is_gone())
    }

    /// The link of a connection. Makes one if there is none.
    pub(crate) fn link(&mut self, subscriber: &S) -> &mut Link<S> {
        let found = self.links.iter().position(|link| link.subscriber == *subscriber);
        let index = found.unwrap_or_else(|| {
            // Removes the links of ended connections before the list would grow.
            if self.links.len() == self.links.capacity() {
                self.links.retain(|link| !link.subscriber.is_gone());
            }
            self.links.push(Link { subscriber: subscriber.clone(), watching: false, unsafe_until: None });
            self.links.len() - 1
        });
        &mut self.links[index]
    }

    /// Links a connection, which will hear of the present state's commit.
    pub fn await_durability(&mut self, subscriber: &S) {
        let unsafe_until = (!self.is_clean()).then_some(self.header.version);
        let link = self.link(subscriber);
        link.unsafe_until = unsafe_until.or(link.unsafe_until);
    }

    pub(crate) fn unlink(&mut self, subscriber: &S) {
        self.links.retain(|link| link.subscriber != *subscriber);
    }

    /// Tells all watchers except `sender` that there is a newer state.
    pub(crate) fn tell_watchers(&mut self, sender: Option<&S>, effects: &mut Effects<S>) {
        let mut some_gone = false;
        for link in self.links.iter().filter(|link| link.watching && sender != Some(&link.subscriber)) {
            if link.subscriber.is_gone() {
                some_gone = true;
            } else {
                let to = link.subscriber.clone();
                effects.push(Effect::Changed { to, owner: self.header.user, character: self.header.id });
            }
        }
        if some_gone {
            self.links.retain(|link| !link.subscriber.is_gone());
        }
    }

    /// Notes that the database has `version`, which is not above the present one. Tells the connections that wait for
    /// it or watch.
    pub(crate) fn saved(&mut self, version: Version, effects: &mut Effects<S>) {
        self.durable = self.durable.max(version);
        let (character, durable) = (self.header.id, self.durable);
        for link in self.links.iter_mut().filter(|link| link.watching || link.unsafe_until.is_some()) {
            if link.unsafe_until.is_some_and(|version| version <= durable) {
                link.unsafe_until = None;
            }
            effects.push(Effect::Durable { to: link.subscriber.clone(), character, version: durable });
        }
        if let Some(ledger) = &mut self.ledger {
            let others = ledger.stored(durable);
            if ledger.is_over() {
                self.ledger = None;
            }
            if !others.is_empty() {
                effects.push(Effect::BooksStored { character, others });
            }
        }
    }

    /// Its id.
    pub fn id(&self) -> CharacterId {
        self.header.id
    }

    /// Its present version.
    pub fn version(&self) -> Version {
        self.header.version
    }

    /// Its name.
    pub fn name(&self) -> &str {
        G::name(&self.state)
    }
}
