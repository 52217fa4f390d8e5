//! Seeded runs of the shards and the flusher over a database that fails, in simulated time.
//!
//! One client plays one character: each intent adds one gold piece, so the model is a count. Servers are killed, taken
//! over while they still run, cut off from the database; answers are lost; rows are refused, retried and discarded. Whatever happens, a state that was called
//! durable stays, no version shows two states, and in the end every intent is in the database exactly once.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use castellan::clock::Clock;
use castellan::flush::{FlushSettings, Flusher, Signals};
use castellan::shard::{Answered, Base, Capacity, Change, Command, Creation, Mailbox, Shape, Shards};
use castellan::storage::faulty::{Faults, FaultyStorage, MemoryStorage};
use castellan::storage::{Storage, Verdict};
use castellan_srd::wire::{Ability, Action, CharacterId, ModifyCurrency, NewCharacter, RequestId, UserId, Version};
use castellan_srd::{Catalogue, Srd};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;

/// Runs of one test. `CASTELLAN_SIMULATION_SEED` runs that one alone.
const SEEDS: u64 = 2_000;
const STEPS: usize = 60;

/// How often a server looks for operators' decisions, in milliseconds.
const HOUSEKEEPING_MS: u64 = 70;

static CATALOGUE: LazyLock<Arc<Catalogue>> = LazyLock::new(|| Arc::new(Catalogue::embedded()));

const USER: UserId = UserId::from_uuid(Uuid::from_u128(1));
const CHARACTER: CharacterId = CharacterId::from_uuid(Uuid::from_u128(2));

/// A server: its memory and its flusher.
struct Process {
    shards: Arc<Shards<Srd>>,
    stop: watch::Sender<bool>,
    flusher: JoinHandle<Flusher<Shards<Srd>>>,
    /// Carries out what operators decide.
    housekeeper: JoinHandle<()>,
}

impl Process {
    /// Takes over; `None` where the database does not let it.
    async fn start(storage: &Arc<FaultyStorage>, seed: u64) -> Option<Self> {
        let storage: Arc<dyn Storage> = Arc::clone(storage) as _;
        let leases = storage.take_over("simulated").await.ok()?;
        let signals = Arc::new(Signals::default());
        let capacity = Capacity { characters_max: 100, dirty_max: 100, load_timeout: Duration::from_secs(2) };
        let origin = Instant::now();
        let clock: Clock = Arc::new(move || i64::try_from(origin.elapsed().as_millis()).expect("a short run"));
        let secret: Arc<[u8]> = Arc::from([7; 32]);
        let (handle, signalled) = (Handle::current(), Arc::clone(&signals));
        let shards =
            Shards::new(Arc::clone(&storage), &CATALOGUE, &secret, capacity, signalled, handle, Arc::clone(&clock));
        shards.recall_dead_letters().await.ok()?;
        shards.take(&leases);
        let shards = Arc::new(shards);
        let settings = FlushSettings {
            interval: Duration::from_millis(500),
            batch_rows: 10,
            gather: Duration::from_millis(2),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(1),
        };
        let rng = StdRng::seed_from_u64(seed);
        let flusher = Flusher::new(Arc::clone(&shards), storage, signals, settings, clock, rng);
        let (stop, stopped) = watch::channel(false);
        // Shards that are lost wait for their letters in vain: the next holder reads them.
        let housekeeper = tokio::spawn({
            let shards = Arc::clone(&shards);
            async move {
                loop {
                    pass(HOUSEKEEPING_MS).await;
                    // What could not be done is done the next time.
                    let _ = shards.carry_out_decisions().await;
                }
            }
        });
        Some(Self { shards, stop, flusher: tokio::spawn(flusher.run(stopped)), housekeeper })
    }

    fn kill(self) {
        self.flusher.abort();
        self.housekeeper.abort();
    }
}

/// An intent that the client keeps: it was made on the one before.
#[derive(Clone, Copy)]
struct Kept {
    id: RequestId,
    after: RequestId,
    /// How much gold there is once it is applied.
    gold: i64,
}

/// A client that keeps rules 6 and 7 of `docs/protocol.md`: everything is kept until it is covered, and sent again in order.
struct Client {
    kept: VecDeque<Kept>,
    last: RequestId,
    gold: i64,
    /// The server that it is connected to, and its mailbox there.
    connection: Option<(Arc<Shards<Srd>>, Mailbox)>,
    /// On this connection: the version that each kept intent was answered with.
    answered: BTreeMap<RequestId, Version>,
    durable: Version,
    /// The gold of every version that was ever shown.
    shown: BTreeMap<u64, i64>,
    /// The most gold that was ever called durable.
    safe: i64,
}

impl Client {
    fn new() -> Self {
        Self {
            kept: VecDeque::new(),
            last: RequestId::new(0),
            gold: 0,
            connection: None,
            answered: BTreeMap::new(),
            durable: Version::new(0),
            shown: BTreeMap::new(),
            safe: 0,
        }
    }

    /// Thinks of one more intent.
    fn intend(&mut self) {
        let id = RequestId::new(self.last.get().max(1_000) + 1);
        self.gold += 1;
        self.kept.push_back(Kept { id, after: self.last, gold: self.gold });
        self.last = id;
    }

    /// The server is gone, and its connections with it.
    fn lose(&mut self, server: &Process) {
        if self.connection.as_ref().is_some_and(|(shards, _)| Arc::ptr_eq(shards, &server.shards)) {
            self.disconnect();
        }
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.answered.clear();
        self.durable = Version::new(0);
    }

    /// Sends what was not answered on this connection, in order; where there is none, connects to `server` first.
    async fn send(&mut self, server: &Arc<Shards<Srd>>) {
        if self.connection.as_ref().is_none_or(|(_, mailbox)| mailbox.is_closing()) {
            self.disconnect();
            let mailbox = Mailbox::default();
            if server.welcome(USER, &mailbox).await.is_err() {
                return;
            }
            self.connection = Some((Arc::clone(server), mailbox));
        }
        let (shards, mailbox) = self.connection.clone().expect("connected just now");
        let mut in_conflict = false;
        for kept in self.kept.clone() {
            if self.answered.contains_key(&kept.id) {
                continue;
            }
            let action = gold_piece();
            let command = Command {
                owner: USER,
                character: CHARACTER,
                id: kept.id,
                base: Base { after: Some(kept.after), expect: None },
                change: Change::Action(&action),
                permitted: true,
            };
            let mut body = Vec::new();
            match shards.change(&command, Some(&mailbox), Shape::Body, 0, &mut body).await {
                Answered::Applied { shown, .. } => {
                    self.see(shown.version, &body);
                    if kept.id.get().is_multiple_of(3) {
                        shards.hurry(USER, CHARACTER);
                    }
                    // Applied means that all it was made on is applied, overruling an earlier conflict.
                    for earlier in self.kept.iter().take_while(|earlier| earlier.id <= kept.id) {
                        self.answered.entry(earlier.id).or_insert(shown.version);
                    }
                    (self.durable, in_conflict) = (self.durable.max(shown.durable), false);
                }
                // More than 64 of its own may have been applied since: then a later one will say so.
                Answered::Conflict(_) => in_conflict = true,
                Answered::Refused(refusal) => {
                    assert!(refusal.retry_after_ms.is_some(), "refused for good: {refusal:?}");
                    return;
                }
                Answered::Closing => return self.disconnect(),
            }
        }
        assert!(!in_conflict, "an intent of the only client of a character was refused");
    }

    fn see(&mut self, version: Version, body: &[u8]) {
        let gold = gold_in(&text(body));
        let before = self.shown.insert(version.get(), gold);
        assert!(before.is_none_or(|before| before == gold), "version {version} showed two states");
    }

    /// Reads the mail and forgets what is covered.
    fn hear(&mut self) {
        let Some((_, mailbox)) = &self.connection else { return };
        if mailbox.is_closing() {
            return;
        }
        if let Some(version) = mailbox.take().durable.get(&CHARACTER) {
            self.durable = self.durable.max(*version);
        }
        while let Some(kept) = self.kept.front() {
            match self.answered.get(&kept.id) {
                Some(version) if *version <= self.durable => {
                    self.safe = self.safe.max(kept.gold);
                    self.kept.pop_front();
                }
                _ => break,
            }
        }
    }
}

/// Lets simulated time pass, in milliseconds: the clock of the run stands still but for this.
async fn pass(time_ms: u64) {
    tokio::time::sleep(Duration::from_millis(time_ms)).await;
}

fn gold_piece() -> Action {
    Action::ModifyCurrency(ModifyCurrency { cp: None, sp: None, ep: None, gp: Some(1), pp: None })
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

fn gold_in(state: &str) -> i64 {
    let state: serde_json::Value = serde_json::from_str(state).expect("a state is JSON");
    state["currency"]["gp"].as_i64().expect("a state has gold")
}

fn stored_gold(memory: &MemoryStorage) -> i64 {
    memory.character(CHARACTER).map_or(0, |row| gold_in(&row.state))
}

/// An operator decides on the character's dead letter, if there is one.
async fn decide(storage: &FaultyStorage, retry: bool) {
    let verdict = if retry { Verdict::Retry } else { Verdict::Discard };
    // An operator who hears of an error looks again later.
    let _ = storage.decide_dead_letter(CHARACTER, verdict).await;
}

/// Makes the character, with nothing going wrong.
async fn create(process: &Process, memory: &MemoryStorage) {
    let wanted = NewCharacter {
        name: "Brannor".to_owned(),
        race: "human".to_owned(),
        subrace: None,
        class: "fighter".to_owned(),
        abilities: Ability::ALL.iter().map(|ability| (*ability, 12)).collect(),
        skills: None,
    };
    let creation = Creation { owner: USER, character: CHARACTER, id: None, wanted: &wanted };
    let made = process.shards.create(&creation, &mut Vec::new()).await;
    assert!(matches!(made, Answered::Applied { .. }), "{made:?}");
    while memory.character(CHARACTER).is_none() {
        pass(100).await;
    }
}

/// One run. Returns how many intents were sent and how often memory was lost.
async fn run(seed: u64) -> (i64, u32) {
    let mut chance = StdRng::seed_from_u64(seed);
    let memory = MemoryStorage::new();
    let storage = Arc::new(FaultyStorage::new(Arc::new(memory.clone()), seed, Faults::default()));
    let mut servers = vec![Process::start(&storage, seed).await.expect("nothing goes wrong yet")];
    create(&servers[0], &memory).await;
    storage.set_faults(Faults {
        refused_per_mille: chance.random_range(0..300),
        lost_per_mille: chance.random_range(0..300),
        delay_max: Duration::from_millis(chance.random_range(0..50)),
        slow_per_mille: chance.random_range(0..200),
    });
    let mut client = Client::new();
    let mut losses = 0;
    for _ in 0..STEPS {
        match chance.random_range(0..100) {
            0..45 => (0..chance.random_range(1..5)).for_each(|_| client.intend()),
            45..58 => pass(chance.random_range(0..60)).await,
            58..72 => pass(chance.random_range(0..1_500)).await,
            72..77 => client.disconnect(),
            77..81 => client.answered.clear(),
            81..83 => storage.refuse(CHARACTER),
            83..86 => storage.accept(CHARACTER),
            86..88 => {
                // An operator who decides while the row is still being refused.
                storage.refuse(CHARACTER);
                for _ in 0..chance.random_range(2..8) {
                    client.intend();
                    if let Some(server) = servers.last() {
                        client.send(&server.shards).await;
                    }
                    pass(chance.random_range(0..80)).await;
                }
                storage.accept(CHARACTER);
                decide(&storage, chance.random()).await;
                for _ in 0..chance.random_range(0..40) {
                    pass(5).await;
                    client.hear();
                    assert!(stored_gold(&memory) >= client.safe, "what was called durable is gone");
                }
            }
            88..92 => storage.set_away(chance.random_bool(0.5)),
            92..96 => {
                losses += 1;
                if !servers.is_empty() {
                    let server = servers.remove(chance.random_range(0..servers.len()));
                    client.lose(&server);
                    server.kill();
                }
            }
            _ => {
                if let Some(process) = Process::start(&storage, chance.random()).await {
                    losses += 1;
                    servers.push(process);
                }
            }
        }
        while servers.len() > 2 {
            let server = servers.remove(0);
            client.lose(&server);
            server.kill();
        }
        // The client does not know which server has the lease: it may well come to one that has lost it.
        if !servers.is_empty() {
            client.send(&servers[chance.random_range(0..servers.len())].shards).await;
        }
        client.hear();
        decide(&storage, chance.random()).await;
        assert!(stored_gold(&memory) >= client.safe, "what was called durable is gone");
    }
    storage.set_away(false);
    storage.accept(CHARACTER);
    storage.set_faults(Faults::default());
    let last = Process::start(&storage, seed).await.expect("nothing goes wrong any more");
    client.disconnect();
    while !client.kept.is_empty() {
        decide(&storage, chance.random()).await;
        client.send(&last.shards).await;
        pass(600).await;
        client.hear();
    }
    assert_eq!(stored_gold(&memory), client.gold, "every intent is stored exactly once");
    last.stop.send_replace(true);
    servers.into_iter().for_each(Process::kill);
    (client.gold, losses)
}

#[test]
fn whatever_happens_every_intent_is_stored_exactly_once() {
    #[expect(clippy::disallowed_methods, reason = "how a person runs one seed again")]
    let only = std::env::var("CASTELLAN_SIMULATION_SEED").ok().map(|seed| seed.parse::<u64>().expect("a number"));
    let seeds = only.map_or(0..SEEDS, |seed| seed..seed + 1);
    let (mut intents, mut losses) = (0, 0);
    for seed in seeds {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(run(seed))));
        match result {
            Ok((sent, lost)) => (intents, losses) = (intents + sent, losses + lost),
            Err(panic) => {
                eprintln!("seed {seed}: run it alone with CASTELLAN_SIMULATION_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    if only.is_none() {
        assert!(intents > 50_000 && losses > 2_000, "{intents} intents and {losses} losses prove little");
    }
}
