//! The ledger against a model of the server, over random schedules of faults.
//!
//! Connections break, the server crashes and loses unstored changes, another client interferes, intents are rejected
//! for a while or for good. Afterwards every intent is in the stored state exactly once, or its sender was told
//! otherwise for one of the reasons that rule 9 of `docs/protocol.md#versions-ids-recovery` names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use castellan_client::ledger::{CharacterState, Event, Ledger};
use castellan_srd::wire::*;
use proptest::prelude::*;

/// Ids that the model's server remembers per character, and most unanswered intents that it allows.
const RING: usize = 4;
const JUMP: u64 = 1 << 20;
/// The amount that the model's rules reject.
const FORBIDDEN: i64 = 13;
const OTHERS_FIRST_ID: u64 = 1 << 52;

#[derive(Debug, Clone, PartialEq)]
struct Shown {
    id: CharacterId,
    version: Version,
    last: RequestId,
}

impl CharacterState for Shown {
    fn id(&self) -> CharacterId {
        self.id
    }

    fn version(&self) -> Version {
        self.version
    }

    fn last(&self) -> RequestId {
        self.last
    }
}

/// One character in the server's memory or database, reduced to what the wire makes promises about.
#[derive(Debug, Clone, Default)]
struct Memory {
    version: u64,
    /// Every intent ever applied. Its end gives `last` and the recent ids.
    log: Vec<RequestId>,
}

impl Memory {
    fn last(&self) -> RequestId {
        self.log.last().copied().unwrap_or_default()
    }

    fn remembers(&self, id: RequestId) -> bool {
        self.log.iter().rev().take(RING).any(|applied| *applied == id)
    }

    fn apply(&mut self, id: RequestId) {
        self.version += 1;
        self.log.push(id);
    }
}

struct Server {
    memory: BTreeMap<CharacterId, Memory>,
    stored: BTreeMap<CharacterId, Memory>,
    /// Answers that wait for a commit.
    waiting: Vec<(CharacterId, u64, RequestId, bool)>,
    turn_away: u32,
    others: u64,
    unanswered: usize,
    out: VecDeque<ServerFrame<Shown>>,
}

impl Server {
    fn new(characters: &[CharacterId]) -> Self {
        let new = Memory { version: 1, log: Vec::new() };
        let memory: BTreeMap<_, _> = characters.iter().map(|id| (*id, new.clone())).collect();
        let stored = memory.clone();
        let (waiting, out) = (Vec::new(), VecDeque::new());
        let mut server = Self { memory, stored, waiting, turn_away: 0, others: OTHERS_FIRST_ID, unanswered: 0, out };
        server.accept();
        server
    }

    fn shown(&self, id: CharacterId) -> (Shown, Version) {
        let memory = &self.memory[&id];
        let state = Shown { id, version: Version::new(memory.version), last: memory.last() };
        (state, Version::new(self.stored[&id].version))
    }

    fn accept(&mut self) {
        self.waiting.clear();
        self.out.clear();
        self.unanswered = 0;
        let nobody = uuid();
        self.out.push_back(ServerFrame::Welcome(Welcome {
            protocol: 1,
            server: "model".to_owned(),
            session: nobody.parse().expect("a UUID"),
            user: nobody.parse().expect("a UUID"),
            expires_in: 900,
            ping_seconds: 20,
            in_flight_max: RING as u64,
            watch_max: 64,
            frame_bytes_max: 16_384,
            characters: Vec::new(),
        }));
    }

    fn crash(&mut self) {
        for (id, memory) in &mut self.memory {
            memory.clone_from(&self.stored[id]);
            memory.version += JUMP;
        }
        self.stored.clone_from(&self.memory);
        self.accept();
    }

    fn take(&mut self, frame: ClientFrame) {
        match frame {
            ClientFrame::Intent(intent) => {
                self.unanswered += 1;
                assert!(self.unanswered <= RING, "more unanswered intents than the server allows");
                self.take_intent(&intent);
            }
            ClientFrame::Fetch(Fetch { id, character, .. }) | ClientFrame::Watch(Watch { id, character, .. }) => {
                let (character, durable) = self.shown(character);
                self.out.push_back(ServerFrame::State(State { character, durable, id: Some(id) }));
            }
            other => panic!("the model does not know {}", other.kind()),
        }
    }

    fn take_intent(&mut self, intent: &Intent) {
        let (id, character) = (intent.id, intent.character);
        let reject = |code, retry_after_ms| {
            ServerFrame::Rejected(Rejected { id: Some(id), code, message: String::new(), retry_after_ms })
        };
        let forbidden = Action::GainExperience(GainExperience { amount: FORBIDDEN });
        let memory = self.memory.get_mut(&character).expect("a character of the model");
        let duplicate = memory.remembers(id);
        let answer = if self.turn_away > 0 {
            self.turn_away -= 1;
            reject(RejectionCode::OVERLOADED, Some(30))
        } else if !duplicate && intent.after != Some(memory.last()) {
            let (character, durable) = self.shown(character);
            ServerFrame::Conflict(Conflict { id, character, durable })
        } else if !duplicate && intent.action == forbidden {
            reject(castellan_srd::code::INSUFFICIENT_FUNDS, None)
        } else {
            if !duplicate {
                memory.apply(id);
            }
            if intent.ack == Some(Ack::Durable) && memory.version > self.stored[&character].version {
                self.waiting.push((character, memory.version, id, duplicate));
                return;
            }
            let (character, durable) = self.shown(character);
            ServerFrame::Applied(Applied { id, character, durable, duplicate })
        };
        self.answer(answer);
    }

    fn answer(&mut self, answer: ServerFrame<Shown>) {
        self.unanswered -= 1;
        self.out.push_back(answer);
    }

    fn flush(&mut self) {
        self.stored.clone_from(&self.memory);
        let versions = self.stored.iter().map(|(id, stored)| (*id, Version::new(stored.version))).collect();
        self.out.push_back(ServerFrame::Durable(Durable { versions }));
        for (character, _, id, duplicate) in std::mem::take(&mut self.waiting) {
            let (character, durable) = self.shown(character);
            self.answer(ServerFrame::Applied(Applied { id, character, durable, duplicate }));
        }
    }

    /// Another client's intent, based on the current state.
    fn interfere(&mut self, character: CharacterId, watched: bool) {
        self.others += 1;
        self.memory.get_mut(&character).expect("a character of the model").apply(RequestId::new(self.others));
        if watched {
            let (character, durable) = self.shown(character);
            self.out.push_back(ServerFrame::State(State { character, durable, id: None }));
        }
    }
}

fn uuid() -> String {
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".to_owned()
}

fn characters() -> [CharacterId; 2] {
    [uuid(), uuid().replace('f', "e")].map(|text| text.parse().expect("a UUID"))
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Act { character: usize, forbidden: bool, durable: bool },
    Watch(usize),
    ToServer(u8),
    ToClient(u8),
    Flush,
    Cut,
    Crash,
    Interfere(usize),
    TurnAway(u32),
    Wait,
}

/// What the client was told about an intent.
#[derive(Debug, Default, Clone, PartialEq)]
struct Told {
    applied: bool,
    end: Option<&'static str>,
}

struct World {
    client: Ledger<Action, Shown>,
    server: Server,
    to_server: VecDeque<ClientFrame>,
    now: Instant,
    told: BTreeMap<RequestId, Told>,
    of: BTreeMap<RequestId, CharacterId>,
    first_sent: BTreeMap<RequestId, ClientFrame>,
    watched: BTreeSet<CharacterId>,
    forbade: bool,
}

impl World {
    fn new() -> Self {
        Self {
            client: Ledger::new(RequestId::new(1), 1000),
            server: Server::new(&characters()),
            to_server: VecDeque::new(),
            now: Instant::now(),
            told: BTreeMap::new(),
            of: BTreeMap::new(),
            first_sent: BTreeMap::new(),
            watched: BTreeSet::new(),
            forbade: false,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Act { character, forbidden, durable } => {
                let character = characters()[character];
                let amount = if forbidden { FORBIDDEN } else { 1 };
                let ack = if durable { Ack::Durable } else { Ack::Applied };
                let action = Action::GainExperience(GainExperience { amount });
                let id = self.client.act(character, action, ack).expect("there is room");
                self.told.insert(id, Told::default());
                self.of.insert(id, character);
                self.forbade |= forbidden;
            }
            Step::Watch(character) => {
                self.client.watch(characters()[character]).expect("there is room");
                self.watched.insert(characters()[character]);
            }
            Step::ToServer(count) => {
                self.send();
                for frame in self.to_server.drain(..usize::from(count).min(self.to_server.len())) {
                    self.server.take(frame);
                }
            }
            Step::ToClient(count) => {
                for frame in self.server.out.drain(..usize::from(count).min(self.server.out.len())) {
                    self.client.receive(frame, self.now);
                }
            }
            Step::Flush => self.server.flush(),
            Step::Cut => self.cut(),
            Step::Crash => {
                self.server.crash();
                self.cut();
            }
            Step::Interfere(character) => {
                let character = characters()[character];
                self.server.interfere(character, self.watched.contains(&character));
            }
            Step::TurnAway(count) => self.server.turn_away = count,
            Step::Wait => self.now += Duration::from_millis(20),
        }
        self.listen();
    }

    fn cut(&mut self) {
        self.to_server.clear();
        self.client.disconnected();
        self.server.accept();
    }

    fn send(&mut self) {
        while let Some(frame) = self.client.next_frame(self.now) {
            if let ClientFrame::Intent(intent) = &frame {
                let first = self.first_sent.entry(intent.id).or_insert_with(|| frame.clone());
                assert_eq!(first, &frame, "an intent is sent again unchanged");
            }
            self.to_server.push_back(frame);
        }
    }

    fn listen(&mut self) {
        while let Some(event) = self.client.next_event() {
            let (id, end) = match event {
                Event::Applied { id, .. } => {
                    let told = self.told.get_mut(&id).expect("an own intent");
                    assert_eq!(told, &Told::default(), "{id}: applied comes once, and first");
                    told.applied = true;
                    continue;
                }
                Event::Durable { id, character, .. } => {
                    assert!(self.told[&id].applied, "{id}: durable comes after applied");
                    let count = self.server.stored[&character].log.iter().filter(|stored| **stored == id).count();
                    assert_eq!(count, 1, "{id}: a durable intent is stored");
                    (id, "durable")
                }
                Event::Refused { id, .. } => (id, "refused"),
                Event::Rejected { id, .. } => (id, "rejected"),
                _ => continue,
            };
            let before = self.told.get_mut(&id).expect("an own intent").end.replace(end);
            assert_eq!(before, None, "{id}: it ends once");
        }
    }

    /// Runs without further faults until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..self.told.len() * 4 + 20 {
            for step in [Step::ToClient(255), Step::ToServer(255), Step::ToClient(255), Step::Flush, Step::Wait] {
                self.step(step);
            }
            if self.client.kept() == 0 {
                return;
            }
        }
        panic!("{} intents never end", self.client.kept());
    }

    fn check(&self) {
        for (id, told) in &self.told {
            let log = &self.server.stored[&self.of[id]].log;
            let count = log.iter().filter(|stored| *stored == id).count();
            assert!(count <= 1, "{id}: stored {count} times");
            match told.end {
                Some("durable") => assert_eq!(count, 1, "{id}: told durable"),
                Some("rejected") => assert_eq!(count, 0, "{id}: told rejected"),
                Some("refused") if count == 1 => {
                    let others = log.iter().rev().take_while(|stored| *stored != id);
                    let others = others.filter(|stored| stored.get() >= OTHERS_FIRST_ID).count();
                    assert!(
                        others >= RING,
                        "{id}: refused, but it is stored, and other clients sent only {others} intents after it"
                    );
                }
                Some("refused") => {
                    let alone = self.server.others == OTHERS_FIRST_ID;
                    assert!(!alone || self.forbade, "{id}: refused although nobody else acted");
                    assert!(!alone || !told.applied, "{id}: applied, then refused, although nobody else acted");
                }
                other => panic!("{id}: ends as {other:?}"),
            }
        }
    }
}

/// How often other clients interfere.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Others {
    None,
    Some,
    /// Very often; the only other faults are lost connections and lost answers.
    Many,
}

fn steps(others: Others, with_forbidden: bool) -> impl Strategy<Value = Vec<Step>> {
    let act = (0..2usize, prop::bool::weighted(if with_forbidden { 0.1 } else { 0.0 }), prop::bool::weighted(0.2))
        .prop_map(|(character, forbidden, durable)| Step::Act { character, forbidden, durable });
    let (interfere, answers, faults) = match others {
        Others::None => (0, 6, 1),
        Others::Some => (1, 6, 1),
        Others::Many => (3, 3, 0),
    };
    let step = prop_oneof![
        10 => act,
        6 => (1..6u8).prop_map(Step::ToServer),
        answers => (1..6u8).prop_map(Step::ToClient),
        2 * faults => Just(Step::Flush),
        if others == Others::Many { 3 } else { 1 } => Just(Step::Cut),
        faults => Just(Step::Crash),
        1 => (0..2usize).prop_map(Step::Watch),
        faults => (1..4u32).prop_map(Step::TurnAway),
        2 * faults => Just(Step::Wait),
        interfere => (0..2usize).prop_map(Step::Interfere),
    ];
    prop::collection::vec(step, 1..120)
}

fn run(steps: &[Step]) {
    let mut world = World::new();
    for step in steps {
        world.step(*step);
    }
    world.settle();
    world.check();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn without_other_clients_nothing_is_lost_or_refused(steps in steps(Others::None, false)) {
        run(&steps);
    }

    #[test]
    fn without_other_clients_only_intents_after_a_rejected_one_are_refused(steps in steps(Others::None, true)) {
        run(&steps);
    }

    #[test]
    fn with_other_clients_no_intent_is_lost_silently(steps in steps(Others::Some, true)) {
        run(&steps);
    }

    #[test]
    fn with_many_other_clients_no_intent_leaves_the_ring_silently(steps in steps(Others::Many, false)) {
        run(&steps);
    }
}
