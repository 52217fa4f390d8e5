//! Copies that other nodes have sent.

use std::collections::HashMap;

use castellan_cluster::lease::Held;
use castellan_game::Game;
use castellan_protocol::{UserId, Version};
use uuid::Uuid;

use super::SHARD_BYTES_MAX;
use super::arrived::{FromPeer, Room};
use super::wire::{self, Given};
use crate::link::LinkId;
use crate::planted::{self, Bug};
use crate::shard::{Restored, Versions};
use crate::storage::{CharacterRow, ShardId};

/// Copies that this node has received, and that are not installed yet.
pub(in crate::node) struct Received<G: Game> {
    attempts: HashMap<(LinkId, ShardId), Attempt<G>>,
}

/// The copies of one attempt to move a shard.
struct Attempt<G: Game> {
    number: u64,
    bytes: usize,
    rosters: HashMap<UserId, Roster<G>>,
}

/// A user's characters.
struct Roster<G: Game> {
    characters: Restored<G>,
    room: Room,
}

/// A shard that was given to a process, with the copies that are exactly as the database has them.
pub(in crate::node) struct Gift<G: Game> {
    /// The new owner.
    pub(in crate::node) to: Uuid,
    /// What it holds.
    pub(in crate::node) held: Held,
    /// The copies.
    pub(in crate::node) rosters: Vec<(UserId, Restored<G>)>,
    /// The number of users whose copies were there.
    pub(in crate::node) received: usize,
    _rooms: Vec<Room>,
}

impl<G: Game> Default for Received<G> {
    fn default() -> Self {
        Self { attempts: HashMap::new() }
    }
}

impl<G: Game> Received<G> {
    /// Hears a message. Returns the gift, if it announces one.
    pub(in crate::node) fn hear(&mut self, link: LinkId, said: FromPeer) -> Option<(ShardId, Gift<G>)> {
        match said {
            FromPeer::Copy { shard, number, body, room } => self.keep((link, shard), number, &body, room),
            FromPeer::Given { shard, number, body } => {
                return Some((shard, self.given((link, shard), number, wire::read_given(&body)?)));
            }
            FromPeer::CalledOff { shard } => drop(self.attempts.remove(&(link, shard))),
            FromPeer::Down => self.attempts.retain(|(other, _), _| *other != link),
        }
        None
    }

    /// Keeps a copy in place of the user's earlier one.
    fn keep(&mut self, key: (LinkId, ShardId), number: u64, body: &[u8], room: Room) {
        let new = || Attempt { number, bytes: 0, rosters: HashMap::new() };
        let attempt = self.attempts.entry(key).or_insert_with(new);
        if number < attempt.number {
            return;
        }
        if number > attempt.number {
            *attempt = new();
        }
        let Some((user, characters)) = wire::read_roster::<G>(body, key.1) else { return };
        // An earlier copy would not be the newest, so it goes in any case.
        attempt.bytes -= attempt.rosters.remove(&user).map_or(0, |before| before.room.bytes);
        if attempt.bytes + room.bytes <= SHARD_BYTES_MAX {
            attempt.bytes += room.bytes;
            attempt.rosters.insert(user, Roster { characters, room });
        }
    }

    /// Chooses the copies that are whole and that the database has in the same versions.
    fn given(&mut self, key: (LinkId, ShardId), number: u64, given: Given) -> Gift<G> {
        let Given { to, held, rosters: stored } = given;
        let attempt = self.attempts.remove(&key).filter(|attempt| attempt.number == number);
        let mut copies = attempt.map(|attempt| attempt.rosters).unwrap_or_default();
        let received = copies.len();
        let (mut rosters, mut rooms) = (Vec::new(), Vec::new());
        for (user, versions) in stored {
            if let Some(Roster { characters, room }) = copies.remove(&user)
                && (is_stored(&characters, held, &versions) || planted::is(Bug::OldCopiesInstalled))
            {
                rosters.push((user, characters));
                rooms.push(room);
            }
        }
        Gift { to, held, rosters, received, _rooms: rooms }
    }
}

/// Returns true if these are all characters of a user, as the database has them.
fn is_stored<S>(characters: &[(CharacterRow, S)], held: Held, stored: &Versions) -> bool {
    let is_in = |row: &CharacterRow| {
        let is_same_life = row.recoveries.cast_unsigned() == held.recoveries;
        is_same_life && stored.contains(&(row.id, Version::new(row.version)))
    };
    characters.len() == stored.len() && characters.iter().all(|(row, _)| is_in(row))
}

#[cfg(test)]
mod tests;
