//! The steps of gifts and trades that the server takes by itself.
//!
//! A step follows from the character's own books and from those of another one as the database has them. So it needs a
//! read, and the read counts only in the life of the entry in which it began ([`Core::turn`]).

use castellan_game::Game;
use castellan_protocol::{CharacterId, UserId, Version};
use castellan_trade::{Receipt, Task};

use crate::books::BooksOf;
use crate::core::{Core, changed};
use crate::effect::{Effect, Effects, Subscriber};
use crate::entry::UNFLUSHED_MAX;

/// Whether a character may look at another one's row, to see what is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Its owner's characters must be loaded first.
    Absent,
    /// It takes no steps: it does not exist, is out of play, or is not served here.
    Never,
    /// It may, with this permit.
    Now(StepPermit),
}

/// The life of an entry in which a read began. The read counts only there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepPermit {
    epoch: i64,
    born: Version,
}

impl<G: Game, S: Subscriber> Core<G, S> {
    /// Asks if a character may look at another one's row. Call it before the read begins.
    pub fn turn(&mut self, owner: UserId, character: CharacterId) -> Turn {
        let Some(lease) = self.lease else { return Turn::Never };
        let Some(roster) = self.rosters.get_mut(&owner) else { return Turn::Absent };
        match roster.any_mut(character) {
            Some(entry) if !entry.dead_letter => Turn::Now(StepPermit { epoch: lease.epoch, born: entry.born }),
            _ => Turn::Never,
        }
    }

    /// Takes all steps of a character that follow from its own books and from those of `other`, as the database has them:
    /// `None` if it has no such row. Without `other`, takes those that only need its own.
    ///
    /// The reads for one character must be used in the order in which they began.
    pub fn step(
        &mut self,
        (owner, character): (UserId, CharacterId),
        permit: StepPermit,
        other: Option<(CharacterId, Option<&BooksOf<G>>)>,
        has_room: bool,
        now_ms: i64,
        effects: &mut Effects<S>,
    ) {
        if self.turn(owner, character) != Turn::Now(permit) {
            return;
        }
        let Some(entry) = self.rosters.get_mut(&owner).and_then(|roster| roster.any_mut(character)) else { return };
        if entry.unflushed().is_none_or(|unflushed| unflushed >= UNFLUSHED_MAX) || (entry.is_clean() && !has_room) {
            // Somebody looks again later.
            return;
        }
        let mut desk = entry.desk(&self.rules, self.schema_version, entry.header.version.next(), now_ms);
        let mut acted = false;
        if let Some((other, books)) = other {
            for task in desk.ledger.books.tasks(character, other, books) {
                let received = match &task {
                    Task::Receive { number, parcel } => Some(((other, *number), parcel.accepts.is_some())),
                    _ => None,
                };
                acted |= desk.step(other, task);
                if let Some((parcel, is_trade)) = received {
                    let receipt = desk.ledger.books.receipts().get(&parcel);
                    let is_taken = matches!(receipt, Some(Receipt::Taken(_)));
                    effects.push(Effect::Received { is_trade, is_taken });
                }
            }
        }
        acted |= desk.tidy();
        if !acted {
            return;
        }
        let is_hurried = desk.ledger.has_news();
        entry.put_back(desk);
        changed(entry, &mut self.dirty, now_ms, effects);
        if is_hurried {
            entry.hurry(&mut self.hurried, effects);
        }
        entry.tell_watchers(None, effects);
    }

    /// The books of a character in memory, for [`Bug::ParcelTakenUnstored`](crate::planted::Bug::ParcelTakenUnstored).
    pub fn books_in_memory(&self, owner: UserId, character: CharacterId) -> Option<&BooksOf<G>> {
        let entry = self.rosters.get(&owner)?.entries.iter().find(|entry| entry.id() == character)?;
        entry.ledger.as_ref().map(|ledger| &ledger.books)
    }
}
