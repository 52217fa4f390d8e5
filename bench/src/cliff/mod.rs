//! Checks for sudden drops in speed: many characters, a popular character, too little memory.
//!
//! Runs on SQLite. Most rows are written directly into the database; a game server fetches them into memory.

mod figures;
mod seed;
mod sizes;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

pub use self::figures::{ALONE, Cliff, ELSEWHERE, FEW, HOT, MANY, NEIGHBOURS, PRESSED, ROAMING, ROAMING_ALL};
pub(crate) use self::seed::shard_of;
use self::sizes::{CROWD, PLACES_PER_USER, PLAYERS};
use self::world::World;
use crate::errands::Owned;
use crate::failures::Failures;
use crate::load::{GameServer, Pace, Player};
use crate::measure::{Measured, RoundSettings, measure};
use crate::series::Series;
use crate::settings::RunSettings;

/// Number of few characters, all in memory.
const FEW_CHARACTERS: usize = 1_000;

/// One of this many characters in the database is in memory.
const IN_MEMORY_OF: usize = 10;

/// Intents per second of each neighbour of the popular character.
const NEIGHBOUR_PER_SECOND: u32 = 20;

/// Intents per second of all connections together with little memory.
const PRESSED_PER_SECOND: u32 = 2_000;

/// Fewest rows in the database: each of 256 shards has about 150 of them.
const ROWS_MIN: usize = 40_000;

/// With little memory, one row in this many fits into memory.
const ROOM_OF: usize = 100;

/// Smallest room. Dirty characters, at most about a second of intents, stay in memory in any case.
const ROOM_MIN: usize = 2 * PRESSED_PER_SECOND as usize;

/// With little memory, one in this many of the characters in use fits into memory.
const PRESSED_PER_ROOM: usize = 5;

/// One case of a world and a load.
struct Case<'a> {
    system: &'static str,
    load: &'static str,
    world: &'a World,
    seats: &'a [Player],
    pace: Pace,
    /// For a game server: the targets of each connection, and the number of connections in the crowd.
    game: Option<(Vec<Arc<[Owned]>>, usize)>,
}

/// Runs the whole part.
///
/// # Errors
///
/// A server that does not start, or rows that cannot be written. A failed round is only recorded in `failures`.
pub fn cliff(settings: &RunSettings, failures: &mut Failures) -> Result<Cliff> {
    ensure!(
        settings.rows >= ROWS_MIN,
        "--rows must be at least {ROWS_MIN}, so that a shard has more than {PLAYERS} users"
    );
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
        figures.series.extend(rounds(settings, &cases, failures));
    }
    few.end()?;
    let cases = hot(&many)?;
    figures.series.extend(rounds(settings, &cases, failures));
    drop(cases);
    // The server updates this once per second, so it is not read right after the loads.
    figures.places = many.metric("castellan_cache_places")?;
    many.restart(PLACES_PER_USER * room)?;
    // Fills the memory before anything counts.
    many.fetch(room)?;
    figures.series.extend(rounds(settings, &[pressed(&many, figures.pressed_users)], failures));
    figures.evictions = many.metric("castellan_cache_evictions_total")?;
    many.end()?;
    Ok(figures)
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
    // The same number of characters in both, so that a flush has the same number of rows.
    let some = worlds.map(|world| roaming(ROAMING, world, FEW_CHARACTERS)).into();
    let all = vec![roaming(ROAMING_ALL, (MANY, many), many.in_memory)];
    vec![own("64 × 1", 1), own("64 × 16", 16), some, all]
}

/// Neighbours of a character: alone, with a crowd at that character, and with the crowd in other shards.
fn hot(world: &World) -> Result<Vec<Case<'_>>> {
    let in_memory = &world.people[..world.in_memory];
    let (wanted, others) = in_memory.split_first().context("no character is in memory")?;
    let shard = shard_of(wanted.user);
    let neighbours: Vec<Arc<[Owned]>> = world.people[1..]
        .iter()
        .filter(|owned| shard_of(owned.user) == shard)
        .take(PLAYERS)
        .map(|owned| Arc::from([*owned]))
        .collect();
    ensure!(
        neighbours.len() == PLAYERS,
        "a shard has only {} users besides the popular one; raise --rows",
        neighbours.len()
    );
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

/// Intents for far more characters than fit into memory.
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

/// Runs the rounds of the cases in turn.
fn rounds(settings: &RunSettings, cases: &[Case<'_>], failures: &mut Failures) -> Vec<Series> {
    let mut results: Vec<Vec<Measured>> = vec![Vec::new(); cases.len()];
    for _ in 0..settings.rounds {
        for (case, results) in cases.iter().zip(&mut results) {
            let what = format!("{}, {}", case.system, case.load);
            let measured = measure(settings.cores, case.round(settings));
            if let Ok(measured) = &measured {
                eprintln!("{what}: {}", measured.line());
            }
            results.extend(failures.keep(&what, measured));
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
    fn round(&self, settings: &RunSettings) -> RoundSettings<'_> {
        RoundSettings {
            target: self.world.target(),
            processes: vec![self.world.process()],
            players: self.seats,
            pace: self.pace,
            game: self.game.as_ref().map(|(targets, crowd)| GameServer { targets, crowd: *crowd }),
            // In an open loop's first second all connections send their first intents at once.
            warm_up: if matches!(self.pace, Pace::Open(_)) { 3 * settings.warm_up } else { settings.warm_up },
            time: settings.time,
        }
    }
}
