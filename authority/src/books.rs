//! A character's part in gifts and trades, in memory, in its row, and as clients see it.
//!
//! [`Books`] are the state machine; `docs/trades.md` has the protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use castellan_game::{Corrupt, Game, Goods};
use castellan_protocol::{CharacterId, Codec, Version, pack_key};
use castellan_trade::{Accepts, Books};
use serde::{Deserialize, Serialize};

use crate::row::WITH_BOOKS;
use crate::timestamp::Timestamp;

/// A character's books in a game.
pub type BooksOf<G> = Books<CharacterId, <G as Game>::Goods>;

/// The knowledge of a character that an action names as the receiver of goods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receiver {
    /// Nothing: somebody must look first.
    Unknown,
    /// It was in the database not long ago, and was not deleted.
    There,
    /// It was not.
    Nowhere,
}

/// The books of a character in memory, and who must look at them.
#[derive(Debug)]
pub(crate) struct Ledger<G: Game> {
    pub(crate) books: BooksOf<G>,
    /// Characters that must look at the row: once it has the first of these versions, and again once it has the last.
    news: BTreeMap<CharacterId, (Version, Version)>,
    /// When the present minute of deals began, in milliseconds since the Unix epoch, and how many there were.
    minute: (i64, u32),
}

/// A minute, in milliseconds.
const MINUTE_MS: i64 = 60_000;

impl<G: Game> Clone for Ledger<G> {
    fn clone(&self) -> Self {
        Self { books: self.books.clone(), news: self.news.clone(), minute: self.minute }
    }
}

impl<G: Game> Ledger<G> {
    pub(crate) fn new(books: BooksOf<G>) -> Self {
        Self { books, news: BTreeMap::new(), minute: (0, 0) }
    }

    /// Another character must look at the row once it has `version`.
    pub(crate) fn tell(&mut self, other: CharacterId, version: Version) {
        self.news.entry(other).or_insert((version, version)).1 = version;
    }

    /// Returns true if somebody must look at the row once it is stored.
    pub(crate) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// The characters that must look at the row, which has `version` now.
    pub(crate) fn stored(&mut self, version: Version) -> BTreeSet<CharacterId> {
        let told = self.news.iter().filter(|(_, (first, _))| *first <= version).map(|(other, _)| *other).collect();
        self.news.retain(|_, (_, last)| *last > version);
        self.news.values_mut().for_each(|(first, last)| *first = (*first).max(version.next()).min(*last));
        told
    }

    /// Returns true if it can be forgotten. Once there was a deal it stays as long as the character is in memory, because it
    /// counts them.
    pub(crate) fn is_over(&self) -> bool {
        self.books.is_empty() && self.news.is_empty() && self.minute.1 == 0
    }

    /// Checks that another deal may be made in this minute.
    ///
    /// # Errors
    ///
    /// There were `most`. Returns the time until the next one.
    pub(crate) fn check(&self, most: u32, now_ms: i64) -> Result<(), Duration> {
        match self.left_ms(now_ms) {
            Some(left_ms) if self.minute.1 >= most => Err(Duration::from_millis(left_ms)),
            _ => Ok(()),
        }
    }

    /// Counts a deal.
    pub(crate) fn count(&mut self, now_ms: i64) {
        if self.left_ms(now_ms).is_none() {
            self.minute = (now_ms, 0);
        }
        self.minute.1 += 1;
    }

    /// The rest of the present minute, in milliseconds; `None` if it is over.
    fn left_ms(&self, now_ms: i64) -> Option<u64> {
        let left_ms = self.minute.0.saturating_add(MINUTE_MS).saturating_sub(now_ms);
        (1..=MINUTE_MS).contains(&left_ms).then(|| left_ms.unsigned_abs())
    }
}

/// A character's state and books, as they were read from a row.
#[derive(Debug)]
pub struct Loaded<G: Game> {
    /// The state.
    pub state: G::State,
    /// The books, if there is anything in them.
    pub books: Option<BooksOf<G>>,
}

/// Reads the state of a row.
///
/// # Errors
///
/// [`Corrupt`] names the field at fault.
pub fn restore<G: Game>(schema_version: i32, stored: &str) -> Result<Loaded<G>, Corrupt> {
    #[derive(Deserialize)]
    struct WithBooks<B> {
        books: B,
    }
    let has_books = schema_version >= WITH_BOOKS;
    let state = G::restore(if has_books { schema_version - WITH_BOOKS } else { schema_version }, stored)?;
    let books = has_books.then(|| serde_json::from_str::<WithBooks<BooksOf<G>>>(stored)).transpose()?;
    Ok(Loaded { state, books: books.map(|read| read.books) })
}

/// Reads the field `books` of a row's state.
///
/// # Errors
///
/// [`Corrupt`] names the field at fault.
pub fn restore_books<G: Game>(stored: &str) -> Result<BooksOf<G>, Corrupt> {
    Ok(serde_json::from_str(stored)?)
}

/// A parcel as clients see it.
#[derive(Serialize)]
struct ShownParcel<'a, G> {
    number: u64,
    to: CharacterId,
    goods: &'a G,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepts: Option<&'a Accepts<G>>,
}

/// An offer as clients see it.
#[derive(Serialize)]
struct ShownOffer<'a, G> {
    number: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<CharacterId>,
    gives: &'a G,
    wants: &'a G,
    until: String,
}

/// Goods that wait, as clients see them.
#[derive(Serialize)]
struct ShownWaiting<'a, G> {
    number: u64,
    goods: &'a G,
}

/// The number of fields that books add to a character as clients see it.
pub(crate) fn fields_shown<G: Goods>(books: Option<&Books<CharacterId, G>>) -> usize {
    let Some(books) = books else { return 0 };
    let fields = [books.sent().is_empty(), books.offers().is_empty(), books.waiting().is_empty()];
    fields.into_iter().filter(|is_empty| !is_empty).count()
}

/// Appends these fields: `parcels`, `offers`, `waiting`.
pub(crate) fn pack_shown<G: Goods>(books: Option<&Books<CharacterId, G>>, out: &mut Vec<u8>) {
    let Some(books) = books else { return };
    if !books.sent().is_empty() {
        pack_key!(out, "parcels");
        let parcels = books.sent().iter().map(|(number, parcel)| ShownParcel {
            number: *number,
            to: parcel.to,
            goods: &parcel.goods,
            accepts: parcel.accepts.as_ref(),
        });
        Codec::MessagePack.encode(&parcels.collect::<Vec<_>>(), out);
    }
    if !books.offers().is_empty() {
        pack_key!(out, "offers");
        let offers = books.offers().iter().map(|(number, offer)| ShownOffer {
            number: *number,
            to: offer.to,
            gives: &offer.held,
            wants: &offer.wanted,
            until: Timestamp(offer.until_ms).text().as_str().to_owned(),
        });
        Codec::MessagePack.encode(&offers.collect::<Vec<_>>(), out);
    }
    if !books.waiting().is_empty() {
        pack_key!(out, "waiting");
        let waiting = books.waiting().iter().map(|(number, goods)| ShownWaiting { number: *number, goods });
        Codec::MessagePack.encode(&waiting.collect::<Vec<_>>(), out);
    }
}

/// Appends the field of the stored state.
pub(crate) fn pack_stored<G: Goods>(books: &Books<CharacterId, G>, out: &mut Vec<u8>) {
    pack_key!(out, "books");
    Codec::MessagePack.encode(books, out);
}
