//! The attackers: a process of its own, so that its memory, its files and its end do not touch the measuring one.
//!
//! It runs on the load's core, because the server has its core for itself, and at the lowest priority: the players'
//! thread runs in real time and takes what it needs, the attackers take all that is left, most of a core. So the
//! players' latency shows what the server does and not what the attackers do to the load. It needs the permission for
//! real time; without it, the players' own lateness in the report tells how far to trust the figures.

mod deeds;
mod line;
mod logins;
mod requests;
mod sockets;
mod tls;

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use castellan_srd::wire::{CharacterId, UserId};
use serde::{Deserialize, Serialize};

use self::deeds::Deeds;
use super::kind::Kind;
use crate::machine::raise_open_files;

/// Niceness of the attackers, in steps: the most.
const NICENESS: i32 = 19;

/// The orders of an attack, as JSON on the attackers' standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Orders {
    pub(super) kind: Kind,
    /// The server.
    pub(super) address: SocketAddr,
    /// Time after which the attack ends.
    pub(super) time: Duration,
    pub(super) accounts: Vec<Account>,
    /// The name that is attacked by wrong passwords.
    pub(super) victim: String,
}

/// An account of the attackers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) name: String,
    /// The loopback address of the attack.
    pub(super) source: Ipv4Addr,
    pub(super) token: String,
    pub(super) user: UserId,
    pub(super) character: CharacterId,
}

/// An attack in progress.
struct Attack {
    orders: Orders,
    deeds: Deeds,
}

/// Carries out an attack and prints what it did, as JSON.
///
/// # Errors
///
/// Invalid orders, or an error of the operating system.
pub fn run() -> Result<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let orders: Orders = serde_json::from_str(&text).context("the orders cannot be read")?;
    raise_open_files(0)?;
    rustix::process::nice(NICENESS)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (time, attack) = (orders.time, Rc::new(Attack { orders, deeds: Deeds::default() }));
    tokio::task::LocalSet::new().block_on(&runtime, async {
        // An attack that is over early waits for its end, so that its connections stay.
        let _ = tokio::time::timeout(time, carry_out(Rc::clone(&attack))).await;
    });
    let deeds: BTreeMap<String, u64> = attack.deeds.all();
    println!("{}", serde_json::to_string(&deeds)?);
    Ok(())
}

async fn carry_out(attack: Rc<Attack>) {
    match attack.orders.kind {
        Kind::IdleConnections => requests::idle(&attack).await,
        Kind::Pings | Kind::Pongs | Kind::EmptyFragments | Kind::UnknownFrames | Kind::UnknownActions => {
            sockets::flood(&attack).await;
        }
        Kind::UnreadFetches => sockets::unread_fetches(&attack).await,
        Kind::CreateDelete => requests::create_delete(&attack).await,
        Kind::LoginLoop => logins::in_a_loop(&attack).await,
        Kind::ManySessions => logins::many_sessions(&attack).await,
        Kind::WrongLogins => logins::of_many_names(&attack).await,
        Kind::WrongPasswords => logins::of_one_name(&attack).await,
        Kind::LoginsAtOnce => logins::at_once_from_everywhere(&attack).await,
        Kind::SlowSockets => sockets::slow(&attack).await,
        Kind::SlowRequests => requests::slow(&attack).await,
        Kind::UnreadRequests => requests::unread(&attack).await,
        Kind::ForgedTokens => sockets::forged(&attack).await,
        Kind::TlsHandshakes => tls::handshakes(&attack).await,
    }
    std::future::pending::<()>().await;
}

/// Runs `work` in this many tasks at once, until they all end.
async fn at_once<F: Future<Output = ()> + 'static>(
    attack: &Rc<Attack>,
    count: usize,
    work: impl Fn(Rc<Attack>, usize) -> F,
) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..count {
        tasks.spawn_local(work(Rc::clone(attack), number));
    }
    tasks.join_all().await;
}
