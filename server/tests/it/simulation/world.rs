//! One run: what happens to the servers, the database and the client, as chance has it.

use std::sync::Arc;
use std::time::Duration;

use castellan::shard::{Answered, Creation};
use castellan::storage::faulty::{Faults, FaultyStorage, MemoryStorage, Rules};
use castellan::storage::{Storage, Verdict};
use castellan_srd::wire::{Ability, CharacterId, NewCharacter, UserId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::client::Client;
use super::process::Process;
use super::{CHARACTER, USER, gold_in, pass};

/// Steps of one run.
const STEPS: usize = 60;

/// What happened in runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) intents: i64,
    /// How often a server died or lost its shards.
    pub(super) losses: u32,
    pub(super) failovers: u32,
    /// Failovers that took away a state that was there for everyone to see.
    pub(super) revoked: u32,
}

struct World {
    chance: StdRng,
    memory: MemoryStorage,
    storage: Arc<FaultyStorage>,
    /// The newest last: it has the leases.
    servers: Vec<Process>,
    client: Client,
    tally: Tally,
}

/// One run, over a storage that keeps these rules.
pub(super) async fn run(seed: u64, rules: Rules) -> Tally {
    let mut chance = StdRng::seed_from_u64(seed);
    let memory = MemoryStorage::new();
    memory.set_rules(Rules { cancels: chance.random(), ..rules });
    let storage = Arc::new(FaultyStorage::new(Arc::new(memory.clone()), seed, Faults::default()));
    let first = Process::start(&storage, seed).await.expect("nothing goes wrong yet");
    create(&first, &memory, USER, CHARACTER).await;
    storage.set_faults(Faults {
        refused_per_mille: chance.random_range(0..300),
        lost_per_mille: chance.random_range(0..300),
        delay_max: Duration::from_millis(chance.random_range(0..50)),
        slow_per_mille: chance.random_range(0..200),
        stray_per_mille: chance.random_range(0..300),
    });
    let (client, tally) = (Client::new(), Tally::default());
    let mut world = World { chance, memory, storage, servers: vec![first], client, tally };
    for _ in 0..STEPS {
        world.step().await;
        while world.servers.len() > 2 {
            world.kill(0);
        }
        world.send().await;
        world.decide().await;
    }
    world.end(seed).await
}

/// Makes the character, with nothing going wrong.
pub(super) async fn create(process: &Process, memory: &MemoryStorage, owner: UserId, character: CharacterId) {
    let wanted = NewCharacter {
        name: "Brannor".to_owned(),
        race: "human".to_owned(),
        subrace: None,
        class: "fighter".to_owned(),
        abilities: Ability::ALL.iter().map(|ability| (*ability, 12)).collect(),
        skills: None,
    };
    let creation = Creation { owner, character, id: None, wanted: &wanted, wait: None };
    let made = process.shards.create(&creation, &mut Vec::new()).await;
    assert!(matches!(made, Answered::Applied { .. }), "{made:?}");
    while memory.character(character).is_none() {
        pass(100).await;
    }
}

impl World {
    async fn step(&mut self) {
        match self.chance.random_range(0..120) {
            0..45 => (0..self.chance.random_range(1..5)).for_each(|_| self.client.intend()),
            45..58 => pass(self.chance.random_range(0..60)).await,
            58..72 => pass(self.chance.random_range(0..1_500)).await,
            72..77 => self.client.disconnect(),
            77..81 => self.client.answered.clear(),
            81..83 => self.memory.refuse(CHARACTER),
            83..86 => self.memory.accept(CHARACTER),
            86..88 => self.decide_while_refused().await,
            88..92 => self.storage.set_away(self.chance.random_bool(0.5)),
            92..96 => {
                self.tally.losses += 1;
                if !self.servers.is_empty() {
                    let index = self.chance.random_range(0..self.servers.len());
                    self.kill(index);
                }
            }
            96..100 => self.start().await,
            100..104 => self.memory.standby_leaves(),
            104..110 => self.memory.standby_returns(),
            110..112 => self.memory.standby_receives(self.chance.random_range(1..4)),
            112..115 => self.end_waits(),
            115..117 => self.fail_over(),
            _ => self.lose_the_standby_and_then_the_primary().await,
        }
    }

    /// An operator decides while the row is still being refused.
    async fn decide_while_refused(&mut self) {
        self.memory.refuse(CHARACTER);
        for _ in 0..self.chance.random_range(2..8) {
            self.client.intend();
            if let Some(server) = self.servers.last() {
                self.client.send(&server.shards).await;
            }
            pass(self.chance.random_range(0..80)).await;
        }
        self.memory.accept(CHARACTER);
        self.decide().await;
        for _ in 0..self.chance.random_range(0..40) {
            pass(5).await;
            self.client.hear();
            self.client.check(&self.memory);
        }
    }

    /// Commits wait, become visible and are read; then they are gone.
    async fn lose_the_standby_and_then_the_primary(&mut self) {
        self.storage.set_away(false);
        self.memory.standby_leaves();
        for _ in 0..self.chance.random_range(1..5) {
            self.client.intend();
            self.send().await;
            pass(self.chance.random_range(0..800)).await;
            self.end_waits();
        }
        if self.chance.random() {
            // The next server reads what the last ones have left.
            while !self.servers.is_empty() {
                self.kill(0);
            }
            for _ in 0..4 {
                if self.servers.is_empty() {
                    self.start().await;
                }
            }
        }
        for _ in 0..self.chance.random_range(0..4) {
            self.send().await;
            pass(self.chance.random_range(0..300)).await;
        }
        self.fail_over();
    }

    /// Commits stop waiting, but are not on the standby.
    fn end_waits(&mut self) {
        if self.chance.random() {
            self.memory.cancel_waits();
        } else {
            self.memory.restart();
        }
    }

    fn fail_over(&mut self) {
        self.tally.failovers += 1;
        let [seen, kept] = [self.memory.character(CHARACTER), self.memory.replicated_character(CHARACTER)];
        self.tally.revoked += u32::from(seen != kept);
        let old: Arc<dyn Storage> = Arc::new(self.memory.fail_over());
        self.storage.set_zombie(self.chance.random_bool(0.5).then_some(old));
        if self.chance.random_bool(0.3) {
            self.memory.standby_leaves();
        }
    }

    async fn start(&mut self) {
        let seed = self.chance.random();
        if let Some(process) = Process::start(&self.storage, seed).await {
            self.tally.losses += 1;
            self.servers.push(process);
        }
    }

    fn kill(&mut self, index: usize) {
        let server = self.servers.remove(index);
        self.client.lose(&server);
        server.kill();
    }

    /// The client does not know which server has the lease: it may well come to one that has lost it.
    async fn send(&mut self) {
        if !self.servers.is_empty() {
            let index = self.chance.random_range(0..self.servers.len());
            self.client.send(&self.servers[index].shards).await;
        }
        self.client.hear();
        self.client.check(&self.memory);
    }

    /// An operator decides on the character's dead letter, if there is one.
    async fn decide(&mut self) {
        let verdict = if self.chance.random() { Verdict::Retry } else { Verdict::Discard };
        // An operator who hears of an error looks again later.
        let _ = self.storage.decide_dead_letter(CHARACTER, verdict).await;
        self.client.check(&self.memory);
    }

    /// Nothing goes wrong any more: everything is stored in the end.
    async fn end(mut self, seed: u64) -> Tally {
        self.storage.set_away(false);
        self.storage.set_zombie(None);
        self.storage.set_faults(Faults::default());
        self.memory.accept(CHARACTER);
        self.memory.standby_returns();
        let last = Process::start(&self.storage, seed).await.expect("nothing goes wrong any more");
        self.client.disconnect();
        while !self.client.kept.is_empty() {
            self.decide().await;
            self.client.send(&last.shards).await;
            pass(600).await;
            self.client.hear();
        }
        let stored = self.memory.replicated_character(CHARACTER).map(|row| gold_in(&row.state));
        assert_eq!(stored, Some(self.client.gold), "every intent is stored exactly once");
        last.stop();
        self.servers.into_iter().for_each(Process::kill);
        Tally { intents: self.client.gold, ..self.tally }
    }
}
