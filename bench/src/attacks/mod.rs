//! Attacks by one guest while others play: who feels it?
//!
//! Runs on SQLite. Each attack meets a server that has just started, with its default settings and limits. Players and
//! other honest clients have an address each; all attackers share another one.

mod addresses;
mod attacker;
mod figures;
mod honest;
mod house;
mod kind;
mod metrics;
mod people;
mod phases;
mod play;
mod times;
mod watch;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;

use self::addresses::of_other;
pub use self::attacker::run as run_attackers;
use self::attacker::{Account, Orders};
pub use self::figures::{Attacked, Attacks, Phase};
use self::house::{House, operator};
pub use self::kind::Kind;
use self::kind::Logins;
use self::people::Person;
pub use self::phases::Lengths;
use self::phases::Moments;
pub use self::times::Times;
use self::watch::{Watched, watch};
use crate::failures::Failures;
use crate::load::{Player, connect};
use crate::machine::{come_first, make_timers_exact, pin_this_thread, raise_open_files};
use crate::measure::{Cores, rest};
use crate::settings::RunSettings;

/// Open files that attackers need: the idle connections.
const FILES: u64 = 10_000;

/// Time between the first intents and the first phase.
const WARM_UP: Duration = Duration::from_secs(2);

/// First number of the addresses of others with a request on a new connection; they take turns.
const FIRST_REQUESTER: usize = 1_000;

/// Number of these addresses.
const REQUESTERS: usize = 200;

/// Settings of the attacks.
#[derive(Debug, Clone)]
pub struct AttackSettings {
    /// Lengths of the phases.
    pub lengths: Lengths,
    /// Number of players.
    pub players: usize,
    /// The attacks; empty for all.
    pub kinds: Vec<Kind>,
}

/// Runs the whole part.
///
/// # Errors
///
/// A server that does not start, or accounts that cannot be created. A failed attack is only recorded in `failures`.
pub fn attacks(settings: &RunSettings, wanted: &AttackSettings, failures: &mut Failures) -> Result<Attacks> {
    raise_open_files(FILES)?;
    let kinds = if wanted.kinds.is_empty() { Kind::value_variants().to_vec() } else { wanted.kinds.clone() };
    let attackers = kinds.iter().filter(|kind| **kind != Kind::LoginsAtOnce).map(|kind| kind.accounts()).max();
    let house = House::make(settings, wanted.players, attackers.unwrap_or(0))?;
    let mut all = Vec::new();
    for kind in kinds {
        let cores = settings.cores;
        let attacked = thread::scope(|scope| {
            let work = || {
                // Everything but the server runs on the load's core.
                pin_this_thread(cores.load)?;
                attack(cores, &house, kind, wanted.lengths)
            };
            scope.spawn(work).join().map_err(|_| anyhow::anyhow!("the measuring thread panicked"))?
        });
        if let Ok(attacked) = &attacked {
            eprintln!("{}", attacked.verdict());
        }
        all.extend(failures.keep(&format!("attack {}", kind.name()), attacked));
    }
    let Lengths { before, during, after } = wanted.lengths;
    let seconds = [before, during, after].map(|time| time.as_secs_f64());
    Ok(Attacks { players: house.players.len(), seconds, attacks: all })
}

/// Runs one attack.
fn attack(cores: Cores, house: &House, kind: Kind, lengths: Lengths) -> Result<Attacked> {
    let mut running = house.start(kind.is_under_tls())?;
    rest(cores)?;
    let process = running.process();
    let target = house.target(&running, kind.is_under_tls());
    let operator = operator(&target);
    let players: Vec<Player> = house.players.iter().map(|person| person.player.clone()).collect();
    let (ready, is_ready) = mpsc::channel();
    let gives_up = AtomicBool::new(false);
    let attacked = thread::scope(|scope| {
        let game = scope.spawn(|| {
            make_timers_exact()?;
            let connections = connect(&target, &players)?;
            // The report says if this was not allowed.
            let _ = come_first();
            let moments = Moments::from(Instant::now() + WARM_UP, lengths);
            // An error means that the attack was given up.
            let _ = ready.send(moments);
            drop(ready);
            play::play(connections, &players, moments)
        });
        let Ok(moments) = is_ready.recv() else {
            game.join().map_err(|_| anyhow::anyhow!("the players panicked"))??;
            anyhow::bail!("the players were never ready");
        };
        let gives_up = &gives_up;
        let requester = |number: usize| of_other(FIRST_REQUESTER + number % REQUESTERS);
        let requests = scope.spawn({
            let operator = &operator;
            move || honest::requests(operator, requester, &moments, gives_up)
        });
        let logins = kind.logins().map(|logins| {
            let (operator, people) = (&operator, house.honest(logins));
            scope.spawn(move || honest::logins(operator, people, &moments, gives_up))
        });
        let orders = house.orders(kind, target.address, lengths.during);
        let watched = watch(cores, process, moments, &operator, &orders);
        gives_up.store(watched.is_err(), Ordering::Relaxed);
        let played = game.join().map_err(|_| anyhow::anyhow!("the players panicked"))??;
        let requests = requests.join().map_err(|_| anyhow::anyhow!("a requester panicked"))?;
        let logins = logins.map(|logins| logins.join().map_err(|_| anyhow::anyhow!("a login panicked"))).transpose()?;
        let Watched { mut phases, resident_bytes, counters, deeds } = watched?;
        for (number, phase) in phases.iter_mut().enumerate() {
            phase.answers = played.answers[number];
            phase.lateness = played.lateness[number];
            phase.requests = requests[number];
            phase.logins = logins.map(|logins| logins[number]);
        }
        Ok(Attacked { kind, phases, troubles: played.troubles, resident_bytes, counters, deeds })
    })?;
    running.end().context("the server did not end well")?;
    Ok(attacked)
}

impl House {
    /// The people whose logins are measured.
    fn honest(&self, logins: Logins) -> &[Person] {
        match logins {
            Logins::OwnAddress => &self.others,
            Logins::OneName => &self.others[..1],
            Logins::AttackersAddress => std::slice::from_ref(&self.neighbour),
        }
    }

    fn orders(&self, kind: Kind, address: std::net::SocketAddr, time: Duration) -> Orders {
        let people = match kind {
            // Honest load comes from the players themselves, each at the own address.
            Kind::LoginsAtOnce => self.players.as_slice(),
            Kind::LoginLoop | Kind::ManySessions => std::slice::from_ref(&self.intruder),
            _ => self.attackers.as_slice(),
        };
        let account = |person: &Person| Account {
            name: person.name.clone(),
            source: person.source,
            token: person.player.token.clone(),
            user: person.player.user,
            character: person.player.character,
        };
        let accounts = people.iter().take(kind.accounts()).map(account).collect();
        Orders { kind, address, time, accounts, victim: self.others[0].name.clone() }
    }
}
