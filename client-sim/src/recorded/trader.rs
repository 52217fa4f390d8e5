//! Traders: characters that give each other goods, offer, accept and cancel, and do nothing else. Whatever happens, the
//! goods of all of them together stay the same; `torture/` adds them up after every write.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use castellan_client::{Client, Notice};
use castellan_srd::Srd;
use castellan_srd::wire::{
    Accept, Ack, Action, AddItem, Cancel, Character, CharacterId, Codec, Coin, Give, Goods, ModifyCurrency, Offer,
};
use parking_lot::Mutex;
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::Instant;

use super::enter::{RecordedSettings, log_in, make_character};

/// Gold pieces that each trader begins with.
pub const GP: i64 = 1_000;
/// Units of [`ITEM`] that each trader begins with.
pub const UNITS: i64 = 60;
/// The item that they trade. A fighter starts with none.
pub const ITEM: &str = "club";

/// Most intents that a trader keeps.
const KEPT_MAX: usize = 24;

/// An offer that somebody has seen.
#[derive(Debug, Clone)]
struct Seen {
    by: CharacterId,
    number: i64,
    to: Option<CharacterId>,
    gives: Goods,
    wants: Goods,
}

/// The knowledge that all traders share.
#[derive(Debug, Default)]
pub(super) struct Market {
    traders: Mutex<Vec<CharacterId>>,
    offers: Mutex<Vec<Seen>>,
}

/// A trader that has its goods.
pub(super) struct Trader {
    client: Client<Srd>,
    me: CharacterId,
    market: Arc<Market>,
    rng: StdRng,
}

impl Trader {
    /// Creates a character and gives it its goods. Notes it in the folder of the records.
    pub(super) async fn begin(
        settings: &RecordedSettings,
        number: u32,
        market: Arc<Market>,
        rng: StdRng,
    ) -> Result<Self> {
        let name = format!("trader-{number}");
        let codec = if number.is_multiple_of(2) { Codec::MessagePack } else { Codec::Json };
        let client = log_in(settings, &name, KEPT_MAX, codec).await?;
        let me = make_character(&client, &name).await?.id;
        note(&settings.records, &name, me)?;
        let coins = ModifyCurrency { cp: None, sp: None, ep: None, gp: Some(GP), pp: None };
        client.send(me, Action::ModifyCurrency(coins))?;
        client.send(me, Action::AddItem(AddItem { item: ITEM.to_owned(), quantity: UNITS }))?;
        client.watch(me)?;
        tokio::time::timeout(settings.patience, client.settled()).await.context("a trader did not get its goods")?;
        market.traders.lock().push(me);
        Ok(Self { client, me, market, rng })
    }

    /// Trades until `finish` is true, then cancels its offers and waits until nothing is on its way.
    pub(super) async fn trade(
        mut self,
        deals_per_second: f64,
        patience: Duration,
        mut finish: watch::Receiver<bool>,
    ) -> Result<()> {
        let mut next = Instant::now();
        while !*finish.borrow() {
            let client = self.client.clone();
            tokio::select! {
                _ = finish.changed() => {}
                notice = client.notice() => self.hear(notice)?,
                () = tokio::time::sleep_until(next) => {
                    if self.client.kept() < KEPT_MAX {
                        self.act()?;
                    }
                    next = Instant::now() + Duration::from_secs_f64(self.rng.random_range(0.2..1.8) / deals_per_second);
                }
            }
        }
        self.settle(Instant::now() + patience).await
    }

    fn hear(&mut self, notice: Notice<Character>) -> Result<()> {
        match notice {
            Notice::Stopped { reason } => bail!("the client of {} ended unexpectedly: {reason}", self.me),
            Notice::Event(_) | Notice::Offline { .. } | Notice::Missed(_) => self.show_offers(),
        }
        Ok(())
    }

    /// Shows the others what it offers.
    fn show_offers(&self) {
        let Some(state) = self.client.state(self.me) else { return };
        let own = state.offers.iter().filter_map(|offer| {
            Some(Seen {
                by: self.me,
                number: i64::try_from(offer.number).ok()?,
                to: offer.to,
                gives: serde_json::from_value(offer.gives.clone()).ok()?,
                wants: serde_json::from_value(offer.wants.clone()).ok()?,
            })
        });
        let own: Vec<_> = own.collect();
        let mut offers = self.market.offers.lock();
        // Those that are over stay for a while: somebody shall come too late.
        offers.retain(|offer| offer.by != self.me || self.is_recent(offer, &own));
        let new =
            own.into_iter().filter(|one| !offers.iter().any(|offer| offer.by == one.by && offer.number == one.number));
        let new: Vec<_> = new.collect();
        offers.extend(new);
    }

    fn is_recent(&self, offer: &Seen, own: &[Seen]) -> bool {
        let newest = own.iter().map(|offer| offer.number).max().unwrap_or_default();
        own.iter().any(|one| one.number == offer.number) || newest < offer.number + 20
    }

    fn act(&mut self) -> Result<()> {
        self.show_offers();
        let others: Vec<CharacterId> = self.market.traders.lock().iter().copied().filter(|id| *id != self.me).collect();
        let Some(&other) = self.pick(&others) else { return Ok(()) };
        let action = match self.rng.random_range(0..10) {
            0..4 => Action::Give(Give { to: other, goods: self.goods() }),
            4..6 => {
                let to = self.rng.random_bool(0.5).then_some(other);
                // Some are over at once.
                let seconds = if self.rng.random_bool(0.2) { 1 } else { 3_600 };
                Action::Offer(Offer { to, gives: self.goods(), wants: self.goods(), seconds })
            }
            6..9 => {
                let me = self.me;
                let open = |offer: &&Seen| offer.by != me && offer.to.is_none_or(|to| to == me);
                let offers: Vec<Seen> = self.market.offers.lock().iter().filter(open).cloned().collect();
                let Some(Seen { by, number, gives, wants, .. }) = self.pick(&offers).cloned() else { return Ok(()) };
                Action::Accept(Accept { from: by, offer: number, gives: wants, gets: gives })
            }
            _ => {
                let own: Vec<i64> = self.own_offers();
                let Some(&offer) = self.pick(&own) else { return Ok(()) };
                Action::Cancel(Cancel { offer })
            }
        };
        let ack = if self.rng.random_ratio(1, 8) { Ack::Durable } else { Ack::Applied };
        self.client.send_with(self.me, action, ack).ok();
        Ok(())
    }

    fn own_offers(&self) -> Vec<i64> {
        let state = self.client.state(self.me);
        let offers = state.iter().flat_map(|state| &state.offers);
        offers.filter_map(|offer| i64::try_from(offer.number).ok()).collect()
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> Option<&'a T> {
        if list.is_empty() { None } else { list.get(self.rng.random_range(0..list.len())) }
    }

    /// A few coins, or a few items, or both.
    fn goods(&mut self) -> Goods {
        let mut goods = Goods::default();
        if self.rng.random_bool(0.6) {
            goods.currency.insert(Coin::Gold, self.rng.random_range(1..6));
        }
        if goods.currency.is_empty() || self.rng.random_bool(0.3) {
            goods.items.insert(ITEM.to_owned(), self.rng.random_range(1..3));
        }
        goods
    }

    /// Ends all offers, and waits until the books are empty. The check finds those that are not.
    async fn settle(mut self, deadline: Instant) -> Result<()> {
        let mut next_look = Instant::now();
        while Instant::now() < deadline {
            let client = self.client.clone();
            tokio::select! {
                notice = client.notice() => self.hear(notice)?,
                () = tokio::time::sleep_until(next_look) => {
                    let state = client.state(self.me);
                    let is_over = |state: &Character| state.parcels.is_empty() && state.offers.is_empty() && state.waiting.is_empty();
                    if client.kept() == 0 && state.as_deref().is_some_and(is_over) {
                        break;
                    }
                    if client.kept() == 0 {
                        for offer in self.own_offers() {
                            client.send(self.me, Action::Cancel(Cancel { offer })).ok();
                        }
                    }
                    client.fetch(self.me).ok();
                    next_look = Instant::now() + Duration::from_millis(200);
                }
            }
        }
        self.client.close();
        Ok(())
    }
}

/// The folder of the traders' ids, beside the records.
pub fn folder(records: &Path) -> std::path::PathBuf {
    records.with_extension("traders")
}

fn note(records: &Path, name: &str, character: CharacterId) -> Result<()> {
    let folder = folder(records);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(name), character.to_string())?;
    Ok(())
}

/// The characters of all traders that have begun.
///
/// # Errors
///
/// An error of the operating system, or a file that has no id in it.
pub fn characters(records: &Path) -> Result<Vec<CharacterId>> {
    let folder = folder(records);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let read = |entry: std::io::Result<std::fs::DirEntry>| Ok(std::fs::read_to_string(entry?.path())?.parse()?);
    std::fs::read_dir(folder)?.map(read).collect()
}
