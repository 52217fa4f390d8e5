//! Whether anything gets suddenly dear: many characters, one that everybody wants, less memory than players.
//!
//! All of it is on SQLite. Most rows are written straight into the database, and brought into memory by a game server
//! that asks for them.

mod figures;
mod seed;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

pub use self::figures::{ALONE, Cliff, ELSEWHERE, FEW, HOT, MANY, NEIGHBOURS, PRESSED, ROAMING, ROAMING_ALL};
use self::seed::shard_of;
use self::world::World;
use crate::errands::Owned;
use crate::load::{GameServer, Pace, Player};
use crate::measure::{Measured, Round, measure};
use crate::report::{Report, Series};
use crate::run::Settings;

/// Characters that stand for few, all of them in memory.
const FEW_CHARACTERS: usize = 1_000;

/// One in so many of the characters in the database is in memory.
const IN_MEMORY_OF: usize = 10;

/// Players with a connection, and connections that keep to a pace beside a crowd.
const PLAYERS: usize = 64;

/// Connections that all want the same character.
const CROWD: usize = 100;

/// How often a second each neighbour of the wanted character sends an intent.
const NEIGHBOUR_PER_SECOND: u32 = 20;

/// Intents a second, of all connections together, while memory is short.
const PRESSED_PER_SECOND: u32 = 2_000;

/// Fewest rows in the database: a shard of 256 has a hundred and a half of them.
const ROWS_MIN: usize = 40_000;

/// Of so many rows in the database one finds room in memory where that is to be short.
const ROOM_OF: usize = 100;

/// Least room: what waits for a flush, at most the intents of a second or so, stays in memory whatever the room.
const ROOM_MIN: usize = 2 * PRESSED_PER_SECOND as usize;

/// For how many characters of those acted on there is room for one.
const PRESSED_PER_ROOM: usize = 5;

/// Places in memory that a user with one character takes.
const PLACES_A_USER: usize = 2;

/// Room that is left in memory where it is not to be short, for players and for those who come and go.
const SPARE_PLACES: usize = 10_000;

/// A way to load a world.
struct Case<'a> {
    system: &'static str,
    load: &'static str,
    world: &'a World,
    seats: &'a [Player],
    pace: Pace,
    /// Whom each connection acts on as a game server's, and how many of the connections are a crowd.
    game: Option<(Vec<Arc<[Owned]>>, usize)>,
}

/// Measures all of it.
///
/// # Errors
///
/// Where a server does not start or rows cannot be written; a round that fails is told in the report and left out.
pub fn cliff(settings: &Settings, report: &mut Report) -> Result<()> {
    ensure!(settings.rows >= ROWS_MIN, "this takes {ROWS_MIN} rows at least: a shard has to have {PLAYERS} users");
    let few = World::make(settings, FEW_CHARACTERS, FEW_CHARACTERS)?;
    let mut many = World::make(settings, settings.rows, settings.rows / IN_MEMORY_OF)?;
    let room = (settings.rows / ROOM_OF).max(ROOM_MIN);
    let mut figures = Cliff {
        rows: settings.rows,
        in_memory: settings.rows / IN_MEMORY_OF,
        pressed_users: room * PRESSED_PER_ROOM,
        room,
        ..Cliff::default()
    };
    for cases in against_few(&few, &many) {
        figures.series.extend(rounds(settings, &cases, report));
    }
    few.end()?;
    if let Some(median) = figures.series.iter().find_map(|series| series.median.as_ref()) {
        (report.intent_bytes, report.answer_bytes) = (median.intent_bytes, median.answer_bytes.round() as usize);
    }
    let cases = hot(&many)?;
    figures.series.extend(rounds(settings, &cases, report));
    drop(cases);
    // The server looks at this once a second, so not right after the loads.
    figures.places = many.metric("castellan_cache_places")?;
    many.restart(PLACES_A_USER * room)?;
    // Memory is full before anything counts.
    many.fetch(room)?;
    figures.series.extend(rounds(settings, &[pressed(&many, figures.pressed_users)], report));
    figures.evictions = many.metric("castellan_cache_evictions_total")?;
    many.end()?;
    report.cliff = Some(figures);
    Ok(())
}

/// The same loads with few characters and with many.
fn against_few<'a>(few: &'a World, many: &'a World) -> Vec<Vec<Case<'a>>> {
    let worlds = [(FEW, few), (MANY, many)];
    let own = |load, in_flight| {
        let case = |(system, world): (_, &'a World)| Case {
            system,
            load,
            world,
            seats: &world.players,
            pace: Pace::Closed(in_flight),
            game: None,
        };
        worlds.map(case).into()
    };
    let roaming = |load, (system, world): (_, &'a World), count: usize| {
        let targets: Arc<[Owned]> = world.people[..count].into();
        let game = Some((vec![targets; PLAYERS], 0));
        Case { system, load, world, seats: &world.seats[..PLAYERS], pace: Pace::Closed(1), game }
    };
    // As many different characters in both, so that a flush has as many rows.
    let some = worlds.map(|world| roaming(ROAMING, world, FEW_CHARACTERS)).into();
    let all = vec![roaming(ROAMING_ALL, (MANY, many), many.in_memory)];
    vec![own("64 × 1", 1), own("64 × 16", 16), some, all]
}

/// Neighbours of a character: alone, while a crowd is at that character, and while the crowd is in other shards.
fn hot(world: &World) -> Result<Vec<Case<'_>>> {
    let in_memory = &world.people[..world.in_memory];
    let (wanted, others) = in_memory.split_first().context("somebody is in memory")?;
    let shard = shard_of(wanted.user);
    let neighbours: Vec<Arc<[Owned]>> = world.people[1..]
        .iter()
        .filter(|owned| shard_of(owned.user) == shard)
        .take(PLAYERS)
        .map(|owned| Arc::from([*owned]))
        .collect();
    ensure!(neighbours.len() == PLAYERS, "a shard has to have more than {PLAYERS} users");
    let elsewhere = others.iter().filter(|owned| shard_of(owned.user) != shard).take(CROWD);
    let crowds = [
        (ALONE, Vec::new()),
        (HOT, vec![Arc::from([*wanted]); CROWD]),
        (ELSEWHERE, elsewhere.map(|owned| Arc::from([*owned])).collect()),
    ];
    let case = |(system, crowd): (_, Vec<Arc<[Owned]>>)| Case {
        system,
        load: NEIGHBOURS,
        world,
        seats: &world.seats[..PLAYERS + crowd.len()],
        pace: Pace::Open(Duration::from_secs(1) / NEIGHBOUR_PER_SECOND),
        game: Some(([neighbours.as_slice(), crowd.as_slice()].concat(), crowd.len())),
    };
    Ok(crowds.into_iter().map(case).collect())
}

/// Intents on far more characters than memory has room for.
fn pressed(world: &World, users: usize) -> Case<'_> {
    let targets: Arc<[Owned]> = world.people[..users].into();
    Case {
        system: MANY,
        load: PRESSED,
        world,
        seats: &world.seats[..PLAYERS],
        pace: Pace::Open(Duration::from_secs(1) * PLAYERS as u32 / PRESSED_PER_SECOND),
        game: Some((vec![targets; PLAYERS], 0)),
    }
}

/// Runs the rounds of these cases in turn.
fn rounds(settings: &Settings, cases: &[Case<'_>], report: &mut Report) -> Vec<Series> {
    let mut results: Vec<Vec<Measured>> = vec![Vec::new(); cases.len()];
    for _ in 0..settings.rounds {
        for (case, results) in cases.iter().zip(&mut results) {
            let what = format!("{}, {}", case.system, case.load);
            let measured = measure(settings.cores, case.round(settings));
            if let Ok(measured) = &measured {
                eprintln!("{what}: {}", measured.line());
            }
            report.keep(&what, measured, |_, measured| results.push(measured));
        }
    }
    cases
        .iter()
        .zip(results)
        .filter(|(_, results)| !results.is_empty())
        .map(|(case, results)| Series::new(case.system, case.load.to_owned(), results))
        .collect()
}

impl Case<'_> {
    fn round(&self, settings: &Settings) -> Round<'_> {
        Round {
            target: self.world.target(),
            process: self.world.process(),
            players: self.seats,
            pace: self.pace,
            game: self.game.as_ref().map(|(targets, crowd)| GameServer { targets, crowd: *crowd }),
            // An open loop's first second is its connections' first intents all at once.
            warm_up: if matches!(self.pace, Pace::Open(_)) { 3 * settings.warm_up } else { settings.warm_up },
            time: settings.time,
        }
    }
}
