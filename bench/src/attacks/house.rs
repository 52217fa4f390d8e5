//! A server with accounts, restarted for each attack with an empty memory and its default settings.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::addresses::{ATTACKERS, OPERATOR, of_other, of_player};
use super::people::{Person, make};
use crate::caller::Caller;
use crate::load::Target;
use crate::settings::RunSettings;
use crate::stream::{Certificate, Trust, trust};
use crate::system::{Castellan, Database, Program};

/// Honest accounts besides the players.
const OTHERS: usize = 20;

/// Time limit for the answer to a request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Players' tokens must outlive the run.
const LONG_SESSIONS: [&str; 2] = ["--auth-access-ttl", "1d"];

/// The server's folder and everybody's accounts.
pub(super) struct House {
    castellan: Castellan,
    trust: Trust,
    pub(super) players: Vec<Person>,
    pub(super) others: Vec<Person>,
    /// An honest account that has always used the attackers' address.
    pub(super) neighbour: Person,
    pub(super) attackers: Vec<Person>,
    /// The account of attacks by logins, which end its oldest sessions.
    pub(super) intruder: Person,
}

impl House {
    /// Starts a server without limits and creates all accounts, with default password hashes.
    pub(super) fn make(settings: &RunSettings, players: usize, attackers: usize) -> Result<Self> {
        let castellan = Castellan::new(&settings.server, Database::Sqlite, &settings.place, settings.cores.server)?;
        let begin = Instant::now();
        let mut running = castellan.start_open(&LONG_SESSIONS)?;
        let caller = Caller { address: running.address(), trust: None, source: OPERATOR, patience: 6 * PATIENCE };
        let players = make(&caller, "player", players, of_player)?;
        let others = make(&caller, "other", OTHERS, of_other)?;
        let neighbour = make(&caller, "neighbour", 1, |_| ATTACKERS)?.remove(0);
        let attackers = make(&caller, "attacker", attackers, |_| ATTACKERS)?;
        let intruder = make(&caller, "intruder", 1, |_| ATTACKERS)?.remove(0);
        running.end()?;
        let made = Certificate::make()?;
        std::fs::write(castellan.folder().join("cert.pem"), &made.certificate)?;
        std::fs::write(castellan.folder().join("key.pem"), &made.key)?;
        eprintln!("all accounts created in {:.1} s", begin.elapsed().as_secs_f64());
        Ok(Self { castellan, trust: trust(&made.authority)?, players, others, neighbour, attackers, intruder })
    }

    /// Starts the server with its default limits.
    pub(super) fn start(&self, is_under_tls: bool) -> Result<Program> {
        let tls: &[&str] = if is_under_tls { &["--tls-cert", "cert.pem", "--tls-key", "key.pem"] } else { &[] };
        self.castellan.start_guarded(&[&LONG_SESSIONS, tls].concat())
    }

    /// The server as the players' target.
    pub(super) fn target(&self, running: &Program, is_under_tls: bool) -> Target {
        let trust = is_under_tls.then(|| Trust::clone(&self.trust));
        Target { address: running.address(), trust, source: of_player, is_castellan: true, ack: None }
    }
}

/// A caller at the operator's address.
pub(super) fn operator(target: &Target) -> Caller {
    Caller { address: target.address, trust: target.trust.clone(), source: OPERATOR, patience: PATIENCE }
}
