//! Tests rule by rule: frames in, frames and events out. `tests/exactly_once.rs` covers random schedules.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use castellan_srd::wire::*;

use super::{CharacterState, Event, Ledger};

#[derive(Debug, Clone, PartialEq)]
struct Shown(CharacterId, u64, u64);

impl CharacterState for Shown {
    fn id(&self) -> CharacterId {
        self.0
    }

    fn version(&self) -> Version {
        Version::new(self.1)
    }

    fn last(&self) -> RequestId {
        RequestId::new(self.2)
    }
}

fn hero() -> CharacterId {
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("a UUID")
}

/// A ledger whose intents have the ids 101, 102, … and whose character was shown at version 1.
struct Table {
    ledger: Ledger<Action, Shown>,
    now: Instant,
}

impl Table {
    fn new() -> Self {
        let mut table = Self { ledger: Ledger::new(RequestId::new(100), 10), now: Instant::now() };
        table.ledger.fetch(hero()).expect("there is room");
        table.welcome(4);
        assert_eq!(table.sent(), ["fetch 100"]);
        table.receive(ServerFrame::State(State {
            character: Shown(hero(), 1, 0),
            durable: Version::new(1),
            id: Some(RequestId::new(100)),
        }));
        assert_eq!(table.told(), ["welcome", "state 1"]);
        table
    }

    fn receive(&mut self, frame: ServerFrame<Shown>) {
        self.ledger.receive(frame, self.now);
    }

    fn welcome(&mut self, in_flight_max: u64) {
        let nobody = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        self.receive(ServerFrame::Welcome(Welcome {
            protocol: 1,
            server: "table".to_owned(),
            session: nobody.parse().expect("a UUID"),
            user: nobody.parse().expect("a UUID"),
            expires_in: 900,
            ping_seconds: 20,
            in_flight_max,
            watch_max: 64,
            frame_bytes_max: 16_384,
            characters: Vec::new(),
        }));
    }

    fn act(&mut self, count: usize) {
        for _ in 0..count {
            self.ledger.act(hero(), Action::LongRest(LongRest {}), Ack::Applied).expect("there is room");
        }
    }

    fn applied(&mut self, id: u64, version: u64, last: u64, durable: u64) {
        let (id, durable) = (RequestId::new(id), Version::new(durable));
        self.receive(ServerFrame::Applied(Applied {
            id,
            character: Shown(hero(), version, last),
            durable,
            duplicate: false,
        }));
    }

    fn conflict(&mut self, id: u64, version: u64, last: u64) {
        let id = RequestId::new(id);
        self.receive(ServerFrame::Conflict(Conflict {
            id,
            character: Shown(hero(), version, last),
            durable: Version::new(1),
        }));
    }

    fn rejected(&mut self, id: u64, retry_after_ms: Option<u64>) {
        let (id, code, message) = (Some(RequestId::new(id)), RejectionCode::OVERLOADED, String::new());
        self.receive(ServerFrame::Rejected(Rejected { id, code, message, retry_after_ms }));
    }

    fn durable(&mut self, version: u64) {
        self.receive(ServerFrame::Durable(Durable { versions: BTreeMap::from([(hero(), Version::new(version))]) }));
    }

    fn reconnect(&mut self) {
        self.ledger.disconnected();
        assert_eq!(self.sent(), [""; 0], "nothing is sent before the welcome");
        self.welcome(4);
    }

    fn wait(&mut self, time_ms: u64) {
        self.now += Duration::from_millis(time_ms);
    }

    /// All due frames, as `after → id`.
    fn sent(&mut self) -> Vec<String> {
        let frames = std::iter::from_fn(|| self.ledger.next_frame(self.now));
        frames
            .map(|frame| match frame {
                ClientFrame::Intent(intent) => match intent.after {
                    Some(after) => format!("{after} → {}", intent.id),
                    None => panic!("{} has no base", intent.id),
                },
                ClientFrame::Fetch(fetch) => format!("fetch {}", fetch.id),
                ClientFrame::Watch(watch) => format!("watch {}", watch.id),
                other => other.kind().to_owned(),
            })
            .collect()
    }

    /// All events, as text.
    fn told(&mut self) -> Vec<String> {
        let events = std::iter::from_fn(|| self.ledger.next_event());
        events
            .map(|event| match event {
                Event::Welcome(_) => "welcome".to_owned(),
                Event::Applied { id, state } => format!("{id} applied {}", state.1),
                Event::Durable { id, version, .. } => format!("{id} durable {version}"),
                Event::Refused { id, latest } => format!("{id} refused {}", latest.1),
                Event::Rejected { id, .. } => format!("{id} rejected"),
                Event::State { state, .. } => format!("state {}", state.1),
                Event::Accepted { id, .. } => format!("{id} accepted"),
                Event::Denied { id, .. } => format!("{id:?} denied"),
                Event::Closing(_) => "closing".to_owned(),
            })
            .collect()
    }
}

#[test]
fn intents_are_chained_without_waiting_up_to_the_limit() {
    let mut table = Table::new();
    table.act(6);
    assert_eq!(table.sent(), ["0 → 101", "101 → 102", "102 → 103", "103 → 104"]);
    table.applied(101, 2, 101, 1);
    assert_eq!(table.sent(), ["104 → 105"]);
    table.applied(102, 3, 102, 1);
    table.applied(103, 4, 103, 1);
    assert_eq!(table.sent(), ["105 → 106"]);
    assert_eq!(table.told(), ["101 applied 2", "102 applied 3", "103 applied 4"]);
}

#[test]
fn an_intent_that_is_not_durable_is_sent_again_unchanged_and_in_order() {
    let mut table = Table::new();
    table.act(4);
    table.sent();
    table.applied(101, 2, 101, 1);
    table.applied(102, 3, 102, 1);
    table.durable(2);
    assert_eq!(table.told(), ["101 applied 2", "102 applied 3", "101 durable 2"]);
    table.reconnect();
    table.act(1);
    assert_eq!(table.sent(), ["101 → 102", "102 → 103", "103 → 104", "104 → 105"]);
    table.applied(102, 20, 102, 2);
    table.durable(19);
    assert_eq!(table.told(), ["welcome"], "102 is not announced twice, and becomes durable only with version 20");
    table.durable(20);
    assert_eq!(table.told(), ["102 durable 20"]);
}

#[test]
fn durable_may_arrive_before_applied() {
    let mut table = Table::new();
    table.act(1);
    table.sent();
    table.durable(2);
    table.applied(101, 2, 101, 1);
    assert_eq!(table.told(), ["101 applied 2", "101 durable 2"]);
    assert_eq!(table.ledger.kept(), 0);
}

#[test]
fn an_answer_of_an_earlier_connection_does_not_make_an_intent_durable() {
    let mut table = Table::new();
    table.act(1);
    table.sent();
    table.applied(101, 2, 101, 1);
    table.told();
    table.reconnect();
    table.durable(2);
    assert_eq!(table.told(), ["welcome"], "the new connection has not answered 101 yet");
    assert_eq!(table.ledger.kept(), 1);
}

#[test]
fn a_conflict_is_final_once_all_later_intents_are_answered() {
    let mut table = Table::new();
    table.act(3);
    table.sent();
    table.conflict(101, 5, 7);
    table.conflict(102, 5, 7);
    table.act(1);
    assert_eq!(table.told(), [""; 0]);
    assert_eq!(table.sent(), [""; 0], "a new intent waits while 103 may still prove 101 applied");
    table.conflict(103, 5, 7);
    assert_eq!(table.told(), ["101 refused 5", "102 refused 5", "103 refused 5"]);
    assert_eq!(table.sent(), ["7 → 104"]);
}

#[test]
fn applied_overrules_earlier_conflicts_in_the_chain() {
    let mut table = Table::new();
    table.act(3);
    table.sent();
    table.conflict(101, 9, 103);
    table.conflict(102, 9, 103);
    table.applied(103, 9, 103, 1);
    assert_eq!(table.told(), ["101 applied 9", "102 applied 9", "103 applied 9"]);
    table.durable(9);
    assert_eq!(table.told(), ["101 durable 9", "102 durable 9", "103 durable 9"]);
}

#[test]
fn an_intent_rejected_for_a_while_is_sent_again_with_all_later_ones() {
    let mut table = Table::new();
    table.act(3);
    table.sent();
    table.rejected(101, Some(50));
    table.conflict(102, 1, 0);
    table.act(1);
    table.wait(60);
    assert_eq!(table.sent(), [""; 0], "103 is not answered yet");
    table.conflict(103, 1, 0);
    assert_eq!(table.sent(), ["0 → 101", "101 → 102", "102 → 103", "103 → 104"]);
    assert_eq!(table.told(), [""; 0]);
}

#[test]
fn a_held_intent_is_sent_at_its_time() {
    let mut table = Table::new();
    table.act(1);
    table.sent();
    table.rejected(101, Some(50));
    table.wait(40);
    assert_eq!(table.sent(), [""; 0]);
    assert_eq!(table.ledger.wakeup(), Some(table.now + Duration::from_millis(10)));
    table.wait(10);
    assert_eq!(table.sent(), ["0 → 101"]);
    assert_eq!(table.ledger.wakeup(), None);
}

#[test]
fn an_intent_based_on_a_rejected_one_is_refused() {
    let mut table = Table::new();
    table.act(2);
    table.sent();
    table.rejected(101, None);
    table.act(1);
    assert_eq!(table.sent(), [""; 0]);
    table.conflict(102, 1, 0);
    assert_eq!(table.told(), ["101 rejected", "102 refused 1"]);
    assert_eq!(table.sent(), ["0 → 103"]);
}

#[test]
fn a_rejected_intent_is_not_sent_again() {
    let mut table = Table::new();
    table.act(2);
    table.sent();
    table.rejected(101, None);
    table.reconnect();
    assert_eq!(table.sent(), ["101 → 102"]);
    table.conflict(102, 1, 0);
    assert_eq!(table.told(), ["101 rejected", "welcome", "102 refused 1"]);
    assert_eq!(table.ledger.kept(), 0);
}

#[test]
fn an_intent_is_based_on_the_newest_state() {
    let mut table = Table::new();
    table.receive(ServerFrame::State(State { character: Shown(hero(), 3, 77), durable: Version::new(1), id: None }));
    table.act(1);
    table.receive(ServerFrame::State(State { character: Shown(hero(), 2, 66), durable: Version::new(1), id: None }));
    table.applied(101, 4, 101, 1);
    table.receive(ServerFrame::State(State { character: Shown(hero(), 5, 88), durable: Version::new(1), id: None }));
    table.act(1);
    assert_eq!(table.sent(), ["88 → 102"]);
    assert_eq!(table.ledger.state(hero()).map(|state| state.1), Some(5));
}

#[test]
fn a_character_that_was_never_shown_is_fetched_first() {
    let mut table = Table { ledger: Ledger::new(RequestId::new(100), 10), now: Instant::now() };
    table.act(2);
    table.welcome(4);
    assert_eq!(table.sent(), ["fetch 101"]);
    table.reconnect();
    assert_eq!(table.sent(), ["fetch 101"]);
    table.receive(ServerFrame::State(State {
        character: Shown(hero(), 9, 5),
        durable: Version::new(9),
        id: Some(RequestId::new(101)),
    }));
    assert_eq!(table.sent(), ["5 → 100", "100 → 102"]);

    let mut table = Table { ledger: Ledger::new(RequestId::new(100), 10), now: Instant::now() };
    table.act(2);
    table.welcome(4);
    assert_eq!(table.sent(), ["fetch 101"]);
    table.rejected(101, None);
    assert_eq!(table.told(), ["welcome", "100 rejected", "102 rejected"]);
    assert_eq!(table.ledger.kept(), 0);
}

#[test]
fn watches_survive_the_connection() {
    let mut table = Table::new();
    table.ledger.watch(hero()).expect("there is room");
    assert_eq!(table.sent(), ["watch 101"]);
    table.reconnect();
    assert_eq!(table.sent(), ["watch 101"], "it was not answered");
    table.receive(ServerFrame::State(State {
        character: Shown(hero(), 2, 5),
        durable: Version::new(1),
        id: Some(RequestId::new(101)),
    }));
    table.reconnect();
    assert_eq!(table.sent(), ["watch 102"]);
    table.ledger.unwatch(hero()).expect("there is room");
    assert_eq!(table.sent(), ["unwatch"]);
    table.receive(ServerFrame::State(State {
        character: Shown(hero(), 2, 5),
        durable: Version::new(1),
        id: Some(RequestId::new(102)),
    }));
    table.reconnect();
    assert_eq!(table.sent(), [""; 0]);
}

#[test]
fn the_ledger_is_bounded() {
    let mut table = Table::new();
    table.act(10);
    assert!(table.ledger.act(hero(), Action::LongRest(LongRest {}), Ack::Applied).is_err());
    table.sent();
    table.applied(101, 2, 101, 2);
    table.act(1);
    assert_eq!(table.ledger.kept(), 10);
    for _ in 0..10 {
        table.ledger.fetch(hero()).expect("there is room");
    }
    assert!(table.ledger.fetch(hero()).is_err());
}
