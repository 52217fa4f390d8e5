//! The envelope around a game's state.

use castellan_game::{Fields, Game, Kept, RUNS_MAX};
use castellan_protocol::{CharacterId, RequestId, UserId, Version, pack, pack_key};

use crate::books::{self, BooksOf};
use crate::timestamp::Timestamp;

/// A character's fields beside the game's state: its owner, and the identity of this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its id.
    pub id: CharacterId,
    /// Its owner.
    pub user: UserId,
    /// The version of this state.
    pub version: Version,
    /// The id of the intent that made this state; 0 if there was none yet.
    pub last: RequestId,
    /// Milliseconds since the Unix epoch.
    pub created_at_ms: i64,
    /// Milliseconds since the Unix epoch.
    pub updated_at_ms: i64,
}

/// Fields of the envelope: `id`, `user_id`, `version`, `last`, `created_at`, `updated_at`.
const FIELDS: usize = 6;

/// Runs of bytes that the envelope keeps: its head and the time of birth.
const RUNS: usize = 2;

impl Header {
    /// Packs the fields that most intents leave alone.
    pub(crate) fn keep<G: Game>(
        &self,
        state: &G::State,
        books: Option<&BooksOf<G>>,
        derived: &G::Derived,
        kept: &mut Kept,
    ) {
        const { assert!(RUNS + <G::State as Fields>::RUNS <= RUNS_MAX, "a game keeps at most six runs") };
        kept.clear();
        kept.keep(|out| self.pack_head(state.shown() + books::fields_shown(books), out));
        state.keep(derived, kept);
        kept.keep(|out| {
            books::pack_shown(books, out);
            self.pack_birth(out);
        });
    }

    /// Appends a character in MessagePack, given its kept part.
    pub(crate) fn write<G: Game>(&self, state: &G::State, kept: &Kept, out: &mut Vec<u8>) {
        let mut runs = kept.runs();
        runs.copy(out);
        state.write(&mut runs, out);
        self.pack_version(out);
        runs.copy(out);
        self.pack_update(out);
    }

    /// Appends a character as its row has it, in MessagePack.
    pub(crate) fn store<G: Game>(&self, state: &G::State, books: Option<&BooksOf<G>>, out: &mut Vec<u8>) {
        self.pack_head(state.stored() + usize::from(books.is_some()), out);
        state.store(out);
        if let Some(books) = books {
            books::pack_stored(books, out);
        }
        self.pack_version(out);
        self.pack_birth(out);
        self.pack_update(out);
    }

    /// The map's beginning, the id and the owner.
    fn pack_head(&self, fields_of_state: usize, out: &mut Vec<u8>) {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        pack::entries(out, FIELDS + fields_of_state);
        pack_key!(out, "id");
        pack::text(out, self.id.uuid().as_hyphenated().encode_lower(&mut text));
        pack_key!(out, "user_id");
        pack::text(out, self.user.uuid().as_hyphenated().encode_lower(&mut text));
    }

    fn pack_version(&self, out: &mut Vec<u8>) {
        pack_key!(out, "version");
        pack::unsigned(out, self.version.get());
        pack_key!(out, "last");
        pack::unsigned(out, self.last.get());
    }

    fn pack_birth(&self, out: &mut Vec<u8>) {
        pack_key!(out, "created_at");
        pack::text(out, Timestamp(self.created_at_ms).text().as_str());
    }

    fn pack_update(&self, out: &mut Vec<u8>) {
        pack_key!(out, "updated_at");
        pack::text(out, Timestamp(self.updated_at_ms).text().as_str());
    }
}
