//! Characters that may get goods: which are in the database, and whose they are.
//!
//! Goods may be sent only to a character that is in the database. If there is no row, its sender gets them back, and that
//! is final: a character whose row came later could still take them (docs/trades.md).

use std::collections::HashMap;
use std::time::Duration;

use castellan_authority::Receiver;
use castellan_protocol::{CharacterId, UserId};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::storage::BooksRow;

/// How long a character counts as being there. If it is deleted meanwhile, the goods come back.
const THERE: Duration = Duration::from_secs(60);

/// How long a character counts as not being there: long enough to refuse a request, and not much longer, because it may
/// have been created just now.
const NOWHERE: Duration = Duration::from_secs(1);

/// Most characters that are remembered.
const REMEMBERED_MAX: usize = 65_536;

/// Something that must be read from the database before a request can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// The characters of this user.
    Characters(UserId),
    /// The receiver of goods.
    Receiver(CharacterId),
}

/// Characters that were looked up not long ago.
#[derive(Default)]
pub(super) struct Receivers(Mutex<HashMap<CharacterId, Known>>);

#[derive(Clone, Copy)]
struct Known {
    /// The owner, if there is a row.
    owner: Option<UserId>,
    is_there: bool,
    read_at: Instant,
}

impl Receivers {
    /// Says if a character is in the database, if that was read not long ago.
    pub(super) fn get(&self, character: CharacterId) -> Receiver {
        match self.0.lock().get(&character) {
            Some(known) if known.is_there && known.read_at.elapsed() < THERE => Receiver::There,
            Some(known) if !known.is_there && known.read_at.elapsed() < NOWHERE => Receiver::Nowhere,
            _ => Receiver::Unknown,
        }
    }

    /// The owner of a character. An owner never changes.
    pub(super) fn owner(&self, character: CharacterId) -> Option<UserId> {
        self.0.lock().get(&character)?.owner
    }

    /// Remembers what was read about these characters. Those without a row are nowhere.
    pub(super) fn remember(&self, asked: &[CharacterId], rows: &[BooksRow]) {
        let read_at = Instant::now();
        let mut known = self.0.lock();
        if known.len() + asked.len() > REMEMBERED_MAX {
            known.retain(|_, known| known.is_there && known.read_at.elapsed() < THERE);
        }
        if known.len() + asked.len() > REMEMBERED_MAX {
            known.clear();
        }
        known.extend(asked.iter().map(|id| (*id, Known { owner: None, is_there: false, read_at })));
        known.extend(
            rows.iter().map(|row| (row.id, Known { owner: Some(row.user), is_there: !row.is_deleted, read_at })),
        );
    }
}
