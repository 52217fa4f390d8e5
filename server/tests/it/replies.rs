//! Smaller answers: a client that asks for changes arrives at the same states as one that gets whole states.

use std::collections::HashMap;

use castellan_srd::wire::Codec;
use json_patch::merge;
use serde_json::{Value, json};

use crate::harness::{Kind, Server, Socket};
use crate::play::{House, enter, id};

const CHANGES: &str = "?reply=changes";

/// A client that asks for changes and keeps the last state of each character.
struct Keeper {
    socket: Socket,
    states: HashMap<String, Value>,
    whole: usize,
    patched: usize,
}

impl Keeper {
    fn open(server: &Server, token: &str, codec: Codec) -> Self {
        let socket = Socket::open_as(server.address(), token, codec, CHANGES);
        Self { socket, states: HashMap::new(), whole: 0, patched: 0 }
    }

    /// Reads the next frame. Returns its kind, its fields, and the state that it leads to if it has one.
    fn next(&mut self, character: &str) -> (String, Value, Option<Value>) {
        let (kind, fields) = self.socket.next();
        let state = match (fields.get("character"), fields.get("changes")) {
            (Some(whole), None) => {
                self.whole += 1;
                Some(whole.clone())
            }
            (None, Some(patch)) => {
                assert_ne!(kind, "conflict", "conflicts are whole");
                self.patched += 1;
                let mut state = self.states.get(character).cloned().expect("a state that the changes apply to");
                merge(&mut state, patch);
                Some(state)
            }
            (None, None) => None,
            both => panic!("a frame has a state or changes, not both: {both:?}"),
        };
        if let Some(state) = &state {
            self.states.insert(character.to_owned(), state.clone());
        }
        (kind, fields, state)
    }

    /// Reads until the answer with this id. Returns its kind and the state.
    fn answer(&mut self, character: &str, id: u64) -> (String, Option<Value>) {
        loop {
            let (kind, fields, state) = self.next(character);
            if fields["id"] == json!(id) {
                return (kind, state);
            }
        }
    }

    fn call(&mut self, character: &str, kind: &str, fields: Value) -> (String, Value) {
        let id = self.socket.ask(kind, fields);
        let (kind, state) = self.answer(character, id);
        (kind, state.expect("a state"))
    }
}

/// Actions that touch every part of a character, in an order that the seed decides.
fn actions(seed: u64, count: usize) -> Vec<Value> {
    let all = [
        json!({"modify_hitpoints": {"delta": -1}}),
        json!({"modify_hitpoints": {"delta": 30}}),
        json!({"grant_temporary_hitpoints": {"amount": 4}}),
        json!({"modify_currency": {"gp": 70, "cp": 3}}),
        json!({"buy_item": {"item": "arrow", "quantity": 20}}),
        json!({"add_item": {"item": "ring-of-protection", "quantity": 1}}),
        json!({"add_item": {"item": "longsword+weapon-1", "quantity": 1}}),
        json!({"equip_item": {"item": "ring-of-protection"}}),
        json!({"equip_item": {"item": "longsword+weapon-1"}}),
        json!({"unequip_item": {"slot": "main_hand"}}),
        json!({"unequip_item": {"slot": "armor"}}),
        json!({"equip_item": {"item": "chain-mail"}}),
        json!({"attune": {"item": "ring-of-protection"}}),
        json!({"end_attunement": {"item": "ring-of-protection"}}),
        json!({"remove_item": {"item": "arrow", "quantity": 20}}),
        json!({"add_condition": {"condition": "poisoned"}}),
        json!({"remove_condition": {"condition": "poisoned"}}),
        json!({"gain_experience": {"amount": 300}}),
        json!({"level_up": {"hitpoints": "average"}}),
        json!({"rename": {"name": "Brannör 🪓"}}),
        json!({"long_rest": {}}),
    ];
    // A linear congruential generator, by Knuth.
    let mut number = seed;
    let mut next = || {
        number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(number >> 33).expect("31 bits")
    };
    (0..count).map(|_| all[next() % all.len()].clone()).collect()
}

fn intent(character: &str, action: &Value) -> Value {
    json!({"character": character, "expect": 0, "action": action})
}

/// A client that gets whole states acts; one that gets changes watches and arrives at the same states. Then it acts too.
fn changes_lead_to_the_states_that_others_get(codec: Codec) {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--flush-interval", "20ms"]);
    let (_, token, made) = enter(&server, "ada");
    let me = id(&made);
    let mut plain = Socket::open_as(server.address(), &token, codec, "");
    let mut keeper = Keeper::open(&server, &token, codec);
    assert_eq!(keeper.call(&me, "watch", json!({"character": me})).1, made, "the first state is whole");
    let mut truth = HashMap::from([(made["version"].as_u64(), made)]);
    for seed in 0..6 {
        // The watcher is slow: it reads only after everything has happened.
        let ids: Vec<_> = actions(seed, 60).iter().map(|action| plain.ask("intent", intent(&me, action))).collect();
        for id in ids {
            let (kind, fields) = plain.answer(id);
            assert!(fields.get("changes").is_none(), "{kind}: nobody asked for changes");
            if kind == "applied" {
                truth.insert(fields["character"]["version"].as_u64(), fields["character"].clone());
            }
        }
        let newest = truth.keys().max().copied().expect("a state");
        while keeper.states[&me]["version"].as_u64() != newest {
            if let (_, _, Some(state)) = keeper.next(&me) {
                assert_eq!(state, truth[&state["version"].as_u64()]);
            }
        }
    }
    assert_eq!(keeper.whole, 1, "all states but the first came as changes");
    assert!(keeper.patched >= 6 && truth.len() > 100, "{} patches, {} states", keeper.patched, truth.len());
    act_for_itself(&mut keeper, &mut plain, &me);
}

/// Its own intents: answered at once or after the commit, repeated, refused, and mixed with those of another client.
fn act_for_itself(keeper: &mut Keeper, plain: &mut Socket, me: &str) {
    let whole = |plain: &mut Socket| plain.call("fetch", json!({"character": me})).1["character"].clone();
    for (turn, action) in actions(99, 80).iter().enumerate() {
        let mut fields = intent(me, action);
        if turn % 3 == 0 {
            fields["ack"] = json!("durable");
        }
        let id = keeper.socket.ask("intent", fields.clone());
        let (kind, state) = keeper.answer(me, id);
        assert_eq!(state.is_some(), kind == "applied", "{kind}");
        if kind == "rejected" {
            // The other client's last change may not have arrived yet.
            keeper.call(me, "fetch", json!({"character": me}));
        }
        assert_eq!(keeper.states[me], whole(plain), "after {action}");
        if kind == "applied" {
            fields["id"] = json!(id);
            keeper.socket.send_frame(&json!({"intent": fields}));
            assert_eq!(keeper.answer(me, id).1.as_ref(), Some(&keeper.states[me]), "a duplicate changes nothing");
        }
        plain.act(me, json!({"modify_currency": {"sp": 1}}));
    }
    let stale = json!({"character": me, "expect": 1, "action": {"long_rest": {}}});
    let before = keeper.whole;
    let (kind, latest) = keeper.call(me, "intent", stale);
    assert_eq!((kind.as_str(), keeper.whole), ("conflict", before + 1));
    assert_eq!(latest, whole(plain));
    let (_, rested) = keeper.call(me, "intent", intent(me, &json!({"modify_currency": {"ep": 1}})));
    assert_eq!(rested, whole(plain), "the next changes start at the conflict's state");
    // The first waits for its commit; the others overtake it.
    let mut waiting = intent(me, &json!({"modify_currency": {"gp": 1}}));
    waiting["ack"] = json!("durable");
    let first = keeper.socket.ask("intent", waiting);
    let others: Vec<_> =
        (0..20).map(|_| keeper.socket.ask("intent", intent(me, &json!({"modify_currency": {"cp": 1}})))).collect();
    let mut open: Vec<_> = others.into_iter().chain([first]).collect();
    let mut version = 0;
    while !open.is_empty() {
        let (_, fields, state) = keeper.next(me);
        open.retain(|id| fields["id"] != json!(id));
        if let Some(state) = state {
            assert!(state["version"].as_u64() >= Some(version), "states never go back");
            version = state["version"].as_u64().expect("a version");
        }
    }
    assert_eq!(keeper.states[me], whole(plain));
}

#[test]
fn changes_lead_to_the_states_that_others_get_in_messagepack() {
    changes_lead_to_the_states_that_others_get(Codec::MessagePack);
}

#[test]
fn changes_lead_to_the_states_that_others_get_in_json() {
    changes_lead_to_the_states_that_others_get(Codec::Json);
}

#[test]
fn every_character_and_every_connection_begins_with_a_whole_state() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--socket-watch-max", "1"]);
    let (http, token, made) = enter(&server, "ada");
    // The server keeps the last states of a full roster, even if a connection may watch fewer.
    let mut mine = vec![id(&made)];
    for name in 1..32 {
        let made = http.post("/characters", &crate::play::paladin(&format!("Twin {name}")));
        assert_eq!(made.status, 201, "{made:?}");
        mine.push(id(&made.json));
    }
    for codec in [Codec::Json, Codec::MessagePack] {
        let mut keeper = Keeper::open(&server, &token, codec);
        for round in 0..3 {
            for character in &mine {
                let hurt = intent(character, &json!({"modify_currency": {"gp": 1}}));
                let (kind, state) = keeper.call(character, "intent", hurt);
                assert_eq!((kind.as_str(), &state), ("applied", &http.get(&format!("/characters/{character}")).json));
            }
            assert_eq!((keeper.whole, keeper.patched), (32, 32 * round), "only first states are whole");
        }
    }
}

#[test]
fn changes_are_a_small_part_of_a_whole_answer() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let (_, token, made) = enter(&server, "ada");
    let me = id(&made);
    for codec in [Codec::Json, Codec::MessagePack] {
        let [mut plain, mut changes] =
            ["", CHANGES].map(|query| Socket::open_as(server.address(), &token, codec, query));
        for socket in [&mut plain, &mut changes] {
            socket.call("fetch", json!({"character": me}));
        }
        for action in [
            json!({"modify_hitpoints": {"delta": -1}}),
            json!({"buy_item": {"item": "arrow", "quantity": 1}}),
            json!({"equip_item": {"item": "chain-mail"}}),
            json!({"unequip_item": {"slot": "armor"}}),
        ] {
            plain.act(&me, json!({"modify_currency": {"gp": 5}}));
            let whole = plain.last_bytes;
            changes.call("fetch", json!({"character": me}));
            assert_eq!(changes.act(&me, action.clone()).0, "applied");
            let changed = changes.last_bytes;
            println!("{codec:?}: whole {whole} bytes, changes {changed} bytes: {action}");
            assert!(changed * 4 < whole, "{changed} of {whole} bytes");
        }
    }
}

#[test]
fn only_changes_can_be_asked_for() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let (_, token, _) = enter(&server, "ada");
    for query in ["?reply=whole", "?reply=", "?reply=Changes", "?reply=changes&reply=changes"] {
        let refused = Socket::bare(server.address(), &format!("Bearer {token}"), "castellan.v1.json", query);
        match refused.map(|_| ()) {
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => assert_eq!(response.status(), 400, "{query}"),
            other => panic!("{query} must be refused, got {other:?}"),
        }
    }
}
