//! Several machines: a gateway and its nodes beside a server, and moves of shards under load.
//!
//! Runs on PostgreSQL, in two databases, because nodes and servers do not share one. Both systems run all the time and take
//! turns, so that a slowing machine slows both.

mod figures;
mod moves;
mod pauses;
mod site;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use castellan_srd::wire::UserId;

pub use self::figures::{Cluster, Loops, Memory};
pub use self::moves::Moves;
pub use self::pauses::Pauses;

use self::moves::Field;
use self::site::{Piece, SHARDS, Site};
use crate::failures::Failures;
use crate::load::{Pace, Player};
use crate::machine::{cores, raise_open_files, resident_bytes};
use crate::measure::{Cores, RoundSettings, measure, while_idle};
use crate::number::thousands;
use crate::players::{make, make_named};
use crate::series::Series;
use crate::settings::RunSettings;

/// The systems.
pub(crate) const SERVE: &str = "serve";
pub(crate) const TOGETHER: &str = "gateway and node on one core";
pub(crate) const APART: &str = "node, gateway on another core";

/// The names of the nodes.
const FIRST: &str = "castor";
const SECOND: &str = "pollux";

/// Connections and intents in flight on each.
const LOADS: [(usize, usize); 3] = [(64, 1), (1_000, 1), (64, 16)];

/// Players while shards move.
const PLAYERS: usize = 1_000;

/// Idle time before memory is read: longer than a flush.
const IDLE: Duration = Duration::from_secs(3);

/// Open files in addition to the players' sockets.
const OTHER_FILES: u64 = 1_000;

/// Processes that serve players, with these players.
struct System<'a> {
    name: &'static str,
    /// The process that players connect to comes first.
    pieces: Vec<&'a Piece>,
    players: &'a [Player],
}

/// Runs the whole part.
///
/// # Errors
///
/// A process that does not start, or whose memory cannot be measured. Other failures are only recorded in `failures`.
pub fn cluster(settings: &RunSettings, failures: &mut Failures) -> Result<Cluster> {
    raise_open_files(settings.players as u64 + OTHER_FILES)?;
    ensure!(settings.players >= PLAYERS, "--players must be at least {PLAYERS}");
    let core = settings.cores.server;
    let (alone, split) = (Site::make(settings, "serve")?, Site::make(settings, "cluster")?);
    // Players are created before anything is measured; the second start empties the memory.
    let serve = alone.start(core, &[])?;
    let serve_players = make(serve.running.address(), settings.players)?;
    serve.end()?;
    let (node, gateway) = (split.start_node(FIRST)?, split.start_gateway(core)?);
    let players = make(gateway.running.address(), settings.players)?;
    gateway.end()?;
    node.end()?;
    let serve = alone.start(core, &[])?;
    let (node, gateway) = (split.start_node(FIRST)?, split.start_gateway(core)?);

    let server = System { name: SERVE, pieces: vec![&serve], players: &serve_players };
    let together = System { name: TOGETHER, pieces: vec![&gateway, &node], players: &players };
    let serve_bytes = idle(settings.cores, &server)?[0];
    let [gateway_bytes, node_bytes] = idle(settings.cores, &together)?[..] else { unreachable!("two processes") };
    let connections = players.len();
    let mut figures = Cluster {
        memory: Memory { connections, serve: serve_bytes, gateway: gateway_bytes, node: node_bytes },
        loops: Vec::new(),
        gateway_has_a_core: true,
        moves: Vec::new(),
    };
    figures.loops.extend(loops(settings, &server, &together, failures));
    drop(together);
    gateway.end()?;

    let other = spare_core(settings.cores)?;
    figures.gateway_has_a_core = other.is_some();
    let gateway = split.start_gateway(other.unwrap_or(settings.cores.load))?;
    let apart = System { name: APART, pieces: vec![&gateway, &node], players: &players };
    figures.loops.extend(loops(settings, &server, &apart, failures));
    drop((apart, server));
    gateway.end()?;
    serve.end()?;

    let (gateway, second) = (split.start_gateway(core)?, split.start_node(SECOND)?);
    split.until_owns(SECOND, SHARDS / 2)?;
    let field = Field { settings, site: &split, gateway: &gateway, nodes: [&node, &second], drained: SECOND };
    let moves = field.play("all shards", &players[..PLAYERS]);
    figures.moves.extend(failures.keep("moves, players in all shards", moves));
    let moves = crowd(&split, &gateway, players[0].user).and_then(|crowd| field.play("one shard", &crowd));
    figures.moves.extend(failures.keep("moves, players in one shard", moves));
    gateway.end()?;
    second.end()?;
    node.end()?;
    Ok(figures)
}

/// Players who are all in one shard of the second node.
fn crowd(site: &Site<'_>, gateway: &Piece, like: UserId) -> Result<Vec<Player>> {
    let shard = site.owners()?.iter().position(|owner| owner == SECOND);
    let shard = shard.context("the second node has no shard")?;
    make_named(gateway.running.address(), &site.crowd(shard, PLAYERS, like)?)
}

/// A core that neither the servers nor the load use, nor PostgreSQL, which runs on the third.
fn spare_core(used: Cores) -> Result<Option<usize>> {
    Ok(cores()?.into_iter().filter(|core| *core != used.server && *core != used.load).nth(1))
}

/// Bytes of each process per idle logged-in connection.
fn idle(cores: Cores, system: &System<'_>) -> Result<Vec<f64>> {
    let resident = || system.pieces.iter().map(|piece| resident_bytes(piece.running.process())).collect();
    let before: Vec<u64> = resident()?;
    let with: Vec<u64> = while_idle(cores, system.pieces[0].target(), system.players, IDLE, resident)?;
    let bytes: Vec<f64> = with
        .iter()
        .zip(&before)
        .map(|(with, before)| with.saturating_sub(*before) as f64 / system.players.len() as f64)
        .collect();
    eprintln!("{}: {bytes:.0?} bytes per idle connection", system.name);
    Ok(bytes)
}

/// The closed loops of two systems, in turn.
fn loops(settings: &RunSettings, serve: &System<'_>, split: &System<'_>, failures: &mut Failures) -> Vec<Loops> {
    let mut all = Vec::new();
    for (connections, in_flight) in LOADS.into_iter().filter(|load| settings.has_load(load.0, load.1)) {
        let load = format!("{} × {in_flight}", thousands(connections as f64));
        let systems = [serve, split];
        let mut rounds = [Vec::new(), Vec::new()];
        for _ in 0..settings.rounds {
            for (system, rounds) in systems.iter().zip(&mut rounds) {
                let round = RoundSettings {
                    target: system.pieces[0].target(),
                    processes: system.pieces.iter().map(|piece| piece.running.process()).collect(),
                    players: &system.players[..connections],
                    pace: Pace::Closed(in_flight),
                    game: None,
                    warm_up: settings.warm_up,
                    time: settings.time,
                };
                let measured = measure(settings.cores, round);
                let what = format!("{}, {load}", system.name);
                if let Ok(measured) = &measured {
                    eprintln!("{what}: {}; each {:.2?}", measured.line(), measured.cpu_of_each);
                }
                rounds.extend(failures.keep(&what, measured));
            }
        }
        let [ours, theirs] = rounds;
        if !ours.is_empty() && !theirs.is_empty() {
            let serve = Series::new(serve.name, load.clone(), ours);
            all.push(Loops { serve, split: Series::new(split.name, load, theirs) });
        }
    }
    all
}
