//! Before the load: logs everybody in and gives each player a mind, a schedule and a thread.

use std::sync::Arc;

use anyhow::{Context, Result};
use castellan_client::{Credentials, HttpClient, Session};
use castellan_srd::wire::CharacterId;
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;

use std::time::Duration;

use super::bazaar::Bazaar;
use super::enter;
use super::live::waiting_bar;
use super::pace::{self, Pace, Schedule};
use super::player::{Agenda, Break, Chain, Common, Identity, Member, Party, PartyBook, Player, Score};
use super::scenario::{BasedOn, Conduct, Scenario, Seat};
use super::settings::LoadSettings;
use super::tally::Tally;

/// A logged-in player and the character to play.
pub(super) type Login = (Credentials, Session, CharacterId);

/// Counts by thread and group.
pub(super) type Tallies = Vec<Vec<Arc<Mutex<Tally>>>>;

/// All players, ready to start.
pub(super) struct Cast {
    pub(super) paces: Vec<(Schedule, Arc<Pace>)>,
    pub(super) threads: Vec<std::thread::JoinHandle<()>>,
    pub(super) tallies: Tallies,
}

/// Logs in all players, a few parties at a time. The first member creates the party's account and character.
pub(super) fn log_in_all(http: &HttpClient, seats: &[Seat], settings: &LoadSettings) -> Result<Vec<Login>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bar = waiting_bar(u64::from(settings.players), "logging in");
    let parties = seats.iter().filter(|seat| seat.member == 0);
    let logins = runtime.block_on(async {
        let logins = futures_util::stream::iter(parties).map(async |seat| {
            let mut logins = Vec::with_capacity(seat.party_size as usize);
            for _ in 0..seat.party_size {
                let login = enter::enter(http, enter::credentials(settings.seed, seat.party)).await;
                logins.push(login.with_context(|| format!("party {} cannot log in", seat.party))?);
                bar.inc(1);
            }
            anyhow::Ok(logins)
        });
        let logins: Vec<_> = logins.buffered(usize::from(settings.logins)).collect().await;
        logins.into_iter().collect::<Result<Vec<_>>>()
    });
    bar.finish_and_clear();
    Ok(logins?.into_iter().flatten().collect())
}

/// Gives each player a mind and a schedule, and starts the threads.
///
/// Each thread runs one runtime with a share of the players.
pub(super) fn cast(
    common: &Arc<Common>,
    scenario: &Scenario,
    seats: &[Seat],
    logins: Vec<Login>,
    settings: &LoadSettings,
) -> Result<Cast> {
    let schedules = pace::schedules(scenario, seats, settings.ramp, settings.duration, settings.seed);
    let paces: Vec<(Schedule, Arc<Pace>)> =
        schedules.into_iter().map(|schedule| (schedule, Arc::new(Pace::default()))).collect();
    let threads = usize::from(settings.threads);
    let groups = scenario.groups.len();
    let tallies: Tallies = (0..threads).map(|_| (0..groups).map(|_| Arc::default()).collect()).collect();
    let mut shares: Vec<Vec<BoxFuture<'static, ()>>> = (0..threads).map(|_| Vec::new()).collect();
    let bazaar = Arc::new(Bazaar::default());
    let mut party: Option<Party> = None;
    for (number, ((seat, login), (schedule, pace))) in seats.iter().zip(logins).zip(&paces).enumerate() {
        let conduct = seat.conduct(scenario);
        if seat.member == 0 {
            party = (conduct.based_on == BasedOn::Expect).then(|| Party {
                character: login.2,
                book: Arc::new(Mutex::new(PartyBook::default())),
                leader: Arc::clone(pace),
            });
        }
        let score =
            Score { tally: Arc::clone(&tallies[number % threads][seat.group]), username: login.0.username.clone() };
        let seed = settings.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(number as u64);
        let agenda = Agenda::new(Arc::clone(pace), *schedule);
        let player =
            player(common, score, (agenda, Arc::clone(pace)), login, conduct, ((party.clone(), &bazaar), seed));
        shares[number % threads].push(player);
    }
    let threads = shares.into_iter().zip(&tallies).map(|(share, tallies)| spawn(share, Arc::clone(&tallies[0])));
    let threads = threads.collect::<Result<_>>()?;
    Ok(Cast { paces, threads, tallies })
}

/// One running player.
fn player(
    common: &Arc<Common>,
    score: Score,
    (agenda, pace): (Agenda, Arc<Pace>),
    (credentials, session, character): Login,
    conduct: &Conduct,
    ((party, bazaar), seed): ((Option<Party>, &Arc<Bazaar>), u64),
) -> BoxFuture<'static, ()> {
    let away = Duration::from_secs_f64(conduct.away_seconds);
    let breaks = conduct.reconnect_every_seconds.map(|every| Break { every: Duration::from_secs_f64(every), away });
    let (common, identity) = (Arc::clone(common), Identity { credentials, session, seed });
    match party {
        Some(party) => {
            let mind = Member::new(score.clone(), agenda, party, conduct, seed);
            Player::new(common, score, pace, identity, breaks, mind).run().boxed()
        }
        None => {
            let mind = Chain::new(score.clone(), agenda, character, conduct, bazaar, seed);
            Player::new(common, score, pace, identity, breaks, mind).run().boxed()
        }
    }
}

/// Starts a thread for a share of the players.
fn spawn(share: Vec<BoxFuture<'static, ()>>, tally: Arc<Mutex<Tally>>) -> Result<std::thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || {
        runtime.block_on(async {
            let players: Vec<_> = share.into_iter().map(tokio::spawn).collect();
            for player in players {
                // The panic is already on standard error. The other players continue, but the run fails.
                if player.await.is_err() {
                    tally.lock().unsettled += 1;
                }
            }
        });
    };
    Ok(std::thread::Builder::new().name("players".to_owned()).spawn(run)?)
}
