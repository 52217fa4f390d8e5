//! A server with given numbers of characters in its database and in memory.

use std::time::Instant;

use anyhow::Result;

use super::seed::seed;
use super::sizes::{CROWD, PLACES_PER_USER, PLAYERS, SPARE_PLACES};
use crate::cold::{GAME, fetch_all, game_seats};
use crate::errands::Owned;
use crate::http::Http;
use crate::load::{Player, Target, few_addresses};
use crate::number::thousands;
use crate::players::{PASSWORD, make};
use crate::settings::RunSettings;
use crate::system::{Castellan, Database, Program};

pub(super) struct World {
    castellan: Castellan,
    running: Program,
    /// Players with accounts, in addition to the people.
    pub(super) players: Vec<Player>,
    /// Connections of the game server.
    pub(super) seats: Vec<Player>,
    /// All users in the database, in random order.
    pub(super) people: Vec<Owned>,
    /// Number of people in memory: the first ones.
    pub(super) in_memory: usize,
}

impl World {
    /// Starts a server on a new database with `rows` people and loads the first `in_memory` of them.
    pub(super) fn make(settings: &RunSettings, rows: usize, in_memory: usize) -> Result<Self> {
        let castellan = Castellan::new(&settings.server, Database::Sqlite, &settings.place, settings.cores.server)?;
        let mut running = castellan.start()?;
        let players = make(running.address(), PLAYERS)?;
        castellan.make_game_account(GAME, PASSWORD)?;
        running.end()?;
        let begin = Instant::now();
        let people = seed(&castellan.database_file(), rows)?;
        eprintln!("{} rows written in {:.1} s", thousands(rows as f64), begin.elapsed().as_secs_f64());
        let mut world = Self { castellan, running, players, seats: Vec::new(), people, in_memory: 0 };
        world.start(PLACES_PER_USER * in_memory + SPARE_PLACES)?;
        world.fetch(in_memory)?;
        Ok(world)
    }

    /// Restarts the server with an empty memory that has room for `places`.
    pub(super) fn restart(&mut self, places: usize) -> Result<()> {
        self.running.end()?;
        self.start(places)
    }

    fn start(&mut self, places: usize) -> Result<()> {
        self.running = self.castellan.start_with(&[
            "--cache-characters-max",
            &places.to_string(),
            // Random intents soon dirty more rows than the disk can take; only the intents are measured.
            "--flush-dirty-max",
            "1000000",
        ])?;
        self.seats = game_seats(&self.running, PLAYERS + CROWD)?;
        self.in_memory = 0;
        Ok(())
    }

    /// Lets the game server fetch the first `count` people.
    pub(super) fn fetch(&mut self, count: usize) -> Result<()> {
        let loads = fetch_all(&self.running, &self.seats[..PLAYERS], &self.people[..count])?;
        eprintln!("{} users loaded into memory, {} per second", thousands(count as f64), thousands(loads.rate));
        self.in_memory = count;
        Ok(())
    }

    pub(super) fn metric(&self, name: &str) -> Result<Option<f64>> {
        Http::new(self.running.address()).metric(name)
    }

    pub(super) fn target(&self) -> Target {
        Target { address: self.running.address(), trust: None, source: few_addresses, is_castellan: true, ack: None }
    }

    pub(super) fn process(&self) -> u32 {
        self.running.process()
    }

    pub(super) fn end(mut self) -> Result<()> {
        self.running.end()
    }
}
