//! Carries out gifts and trades: one task reads the rows of those who trade, and lets the characters concerned take
//! their next steps (docs/trades.md).
//!
//! There is one read at a time, so the reads for a character are used in the order in which they began, as
//! [`Core::step`](castellan_authority::Core::step) asks for.

use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use castellan_authority::{BooksOf, Effects, StepPermit, Turn, restore_books, shard_of};
use castellan_game::Game;
use castellan_protocol::{CharacterId, UserId};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::store::Shards;
use crate::planted::{self, Bug};
use crate::storage::{BooksRow, Look, ShardId, StorageError};
use crate::telemetry;

/// How often the database is searched for characters with books. Everything that happens here is known without it; it
/// finds what was forgotten: after a crash, a lost hint or an error.
const SEARCH: Duration = Duration::from_secs(10);

/// Most rows that a search reads at once.
const PAGE: u32 = 500;

/// Pause after an error.
const PAUSE: Duration = Duration::from_millis(500);

/// A character that may look at a row.
struct Ready {
    owner: UserId,
    look: Look,
    permit: StepPermit,
}

impl<G: Game> Shards<G> {
    /// Another server has changed books: these characters should look at those.
    pub fn hear_of_books(&self, looks: Vec<Look>) {
        self.looks.put_all(looks.into_iter().map(|look| (look, false)));
    }

    /// Carries out gifts and trades, without end.
    pub async fn carry_out_deals(self: &Arc<Self>) {
        let mut known = Parcels::new();
        let mut searches = interval(SEARCH);
        searches.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                _ = searches.tick() => self.search(&mut known).await,
                () = self.looks.searches.notified() => self.search(&mut known).await,
                () = self.looks.news.notified() => Ok(()),
            };
            if let Err(error) = done {
                tracing::debug!(%error, "cannot search for characters with books");
            }
            loop {
                let looks = self.looks.take();
                if looks.is_empty() {
                    break;
                }
                if let Err(error) = self.look_all(&looks).await {
                    tracing::debug!(%error, "cannot read the books of characters; trying again");
                    self.looks.put_all(looks);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes one round of looks.
    async fn look_all(self: &Arc<Self>, looks: &[(Look, bool)]) -> Result<(), StorageError> {
        let owners = self.find_owners(looks).await?;
        let (mut ready, mut elsewhere) = (Vec::new(), Vec::new());
        for &((character, other), is_told) in looks {
            // If it has no owner, there is no such character.
            let Some(&owner) = owners.get(&character) else { continue };
            let look = (character, other);
            let mut shard = self.lock(shard_of(owner));
            if shard.core.lease().is_none() {
                if is_told {
                    elsewhere.push(look);
                }
                continue;
            }
            match shard.core.turn(owner, character) {
                Turn::Now(permit) => ready.push(Ready { owner, look, permit }),
                Turn::Never => {}
                Turn::Absent => {
                    drop(shard);
                    self.look_once_loaded(owner, look, is_told);
                }
            }
        }
        if !elsewhere.is_empty()
            && let Err(error) = self.storage.hint_books(&elsewhere).await
        {
            // Their own servers search for them.
            tracing::debug!(%error, "cannot tell other servers of new books");
        }
        let others: BTreeSet<CharacterId> = ready.iter().map(|ready| ready.look.1).collect();
        if others.is_empty() {
            return Ok(());
        }
        let rows = self.read(&others.into_iter().collect::<Vec<_>>()).await?;
        let books: HashMap<CharacterId, Option<Option<BooksOf<G>>>> =
            rows.iter().map(|row| (row.id, books::<G>(row))).collect();
        for ready in ready {
            let other = ready.look.1;
            if planted::is(Bug::ParcelTakenUnstored)
                && let Some(books) = self.books_in_memory(other)
            {
                self.step(&ready, Some(&books));
                continue;
            }
            match books.get(&other) {
                // There is no such row.
                None => self.step(&ready, None),
                Some(Some(books)) => self.step(&ready, Some(books.as_ref().unwrap_or(&BooksOf::<G>::default()))),
                // It cannot be read, so nothing is known.
                Some(None) => {}
            }
        }
        Ok(())
    }

    fn step(&self, ready: &Ready, books: Option<&BooksOf<G>>) {
        let Ready { owner, look: (character, other), permit } = *ready;
        let mut effects = Effects::default();
        let mut shard = self.lock(shard_of(owner));
        let read = (character != other).then_some((other, books));
        let (has_room, now_ms) = (self.has_room(), (self.clock)());
        let step = || shard.core.step((owner, character), permit, read, has_room, now_ms, &mut effects);
        // A rule that panics has changed nothing. The steps of others go on, and the next search tries this one again.
        if std::panic::catch_unwind(AssertUnwindSafe(step)).is_err() {
            tracing::error!(%character, %other, "a step of a gift or trade panicked");
            return;
        }
        self.perform(shard, effects);
    }

    /// Books that may not be stored, for [`Bug::ParcelTakenUnstored`].
    fn books_in_memory(&self, character: CharacterId) -> Option<BooksOf<G>> {
        let owner = self.receivers.owner(character)?;
        self.lock(shard_of(owner)).core.books_in_memory(owner, character).cloned()
    }

    /// Finds out whose the characters are.
    async fn find_owners(&self, looks: &[(Look, bool)]) -> Result<HashMap<CharacterId, UserId>, StorageError> {
        let characters: BTreeSet<_> = looks.iter().map(|((character, _), _)| *character).collect();
        let known = |character: &CharacterId| Some((*character, self.receivers.owner(*character)?));
        let mut owners: HashMap<_, _> = characters.iter().filter_map(known).collect();
        let unknown: Vec<_> = characters.into_iter().filter(|character| !owners.contains_key(character)).collect();
        if !unknown.is_empty() {
            owners.extend(self.read(&unknown).await?.into_iter().map(|row| (row.id, row.user)));
        }
        Ok(owners)
    }

    async fn read(&self, characters: &[CharacterId]) -> Result<Vec<BooksRow>, StorageError> {
        let read = timeout(self.capacity.load_timeout, self.storage.books(characters)).await;
        let rows = read.map_err(|_| StorageError::Transient("no answer in time".to_owned()))??;
        self.receivers.remember(characters, &rows);
        Ok(rows)
    }

    /// Looks again once the owner's characters are in memory. If too many are being loaded, the next search finds it.
    fn look_once_loaded(self: &Arc<Self>, owner: UserId, look: Look, is_told: bool) {
        let Ok(permit) = Arc::clone(&self.looks.loads).try_acquire_owned() else { return };
        let shards = Arc::clone(self);
        self.background.spawn(async move {
            // If they cannot be loaded, the next search finds them.
            if shards.load(owner).await.is_ok() {
                shards.looks.put_all([(look, is_told)]);
            }
            drop(permit);
        });
    }

    /// Searches the shards that are served here for characters with books.
    async fn search(&self, known: &mut Parcels) -> Result<(), StorageError> {
        let (began, now_ms, mut traders) = (Instant::now(), (self.clock)(), 0);
        let mut found = Parcels::new();
        let shards: Vec<ShardId> = self.leases().into_iter().map(|lease| lease.shard).collect();
        let mut after = None;
        while !shards.is_empty() {
            let page = self.storage.traders(&shards, after, PAGE);
            let page = timeout(self.capacity.load_timeout, page).await;
            let rows = page.map_err(|_| StorageError::Transient("no answer in time".to_owned()))??;
            let ids: Vec<CharacterId> = rows.iter().map(|row| row.id).collect();
            self.receivers.remember(&ids, &rows);
            for row in &rows {
                let Some(Some(books)) = books::<G>(row) else { continue };
                traders += 1;
                let parcels = books.sent().keys().map(|number| (row.id, *number));
                found.extend(parcels.map(|parcel| (parcel, known.get(&parcel).copied().unwrap_or(began))));
                let looks = books.others().into_iter().flat_map(|other| [(row.id, other), (other, row.id)]);
                self.looks.put_all(looks.map(|look| (look, true)));
                if row.is_deleted || books.offers().values().any(|offer| offer.until_ms <= now_ms) {
                    self.looks.put_all([((row.id, row.id), false)]);
                }
            }
            after = ids.last().copied();
            if rows.len() < PAGE as usize {
                break;
            }
        }
        *known = found;
        let oldest = known.values().min().map(Instant::elapsed).unwrap_or_default();
        telemetry::traders(traders, oldest);
        Ok(())
    }
}

/// When a search first found a parcel, by its sender and number.
type Parcels = HashMap<(CharacterId, u64), Instant>;

/// The books in a row: those of a character that has none are `Some(None)`. `None` if they cannot be read.
fn books<G: Game>(row: &BooksRow) -> Option<Option<BooksOf<G>>> {
    let Some(stored) = &row.books else { return Some(None) };
    match restore_books::<G>(stored) {
        Ok(books) => Some(Some(books)),
        Err(error) => {
            tracing::error!(character = %row.id, %error, "the books of a character cannot be read");
            None
        }
    }
}
