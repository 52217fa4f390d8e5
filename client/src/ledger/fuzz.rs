//! A server that sends anything, lies included: the client's memory stays bounded, and forgets no intent that is open.

use std::collections::BTreeSet;
use std::time::Instant;

use castellan_fuzz::bolero::check;
use castellan_fuzz::{BRIEFLY, Encoding, Input, golden_frames, several, spoiled};
use castellan_srd::wire::*;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{Event, Ledger};
use crate::socket::decode_message;

const KEPT_MAX: usize = 8;
const STEPS_MAX: usize = 40;

/// Golden frames that answer the client's first requests, with low versions: nearly good ones reach furthest.
fn answers() -> Vec<Vec<u8>> {
    let golden = golden_frames("server", Encoding::Json);
    let mut answers = Vec::new();
    for number in 1..=6 {
        for frame in &golden {
            let mut frame: Value = serde_json::from_slice(frame).expect("a golden frame");
            for fields in frame.as_object_mut().expect("a map").values_mut() {
                replace(fields, "id", number);
                replace(fields, "durable", number);
                for version in fields
                    .get_mut("versions")
                    .and_then(Value::as_object_mut)
                    .into_iter()
                    .flat_map(|all| all.values_mut())
                {
                    *version = json!(number);
                }
                if let Some(character) = fields.get_mut("character") {
                    replace(character, "version", number);
                    replace(character, "last", number - 1);
                }
            }
            answers.push(frame.to_string().into_bytes());
        }
    }
    answers
}

fn replace(fields: &mut Value, key: &str, number: u64) {
    if let Some(value) = fields.get_mut(key).filter(|value| value.is_u64()) {
        *value = json!(number);
    }
}

/// The one character of the golden frames.
fn hero() -> CharacterId {
    let state = golden_frames("server", Encoding::Json).into_iter().find_map(|frame| {
        let frame: Value = serde_json::from_slice(&frame).expect("a golden frame");
        frame.get("state")?["character"]["id"].as_str()?.parse().ok()
    });
    state.expect("a golden state")
}

#[test]
fn whatever_a_server_sends_every_intent_is_kept_until_it_ends() {
    let hero = hero();
    let step = (0..12_u8, spoiled(answers()));
    check!().with_generator(several(STEPS_MAX, step)).with_test_time(BRIEFLY).for_each(|steps: &Vec<(u8, Input)>| {
        let mut ledger: Ledger<Action, Character> = Ledger::new(RequestId::new(1), KEPT_MAX);
        let (mut open, mut sent) = (BTreeSet::new(), 0);
        for (deed, Input(message)) in steps {
            match deed {
                0 => open.extend(ledger.act(hero, Action::LongRest(LongRest {}), Ack::Durable)),
                1 => open.extend(ledger.act(hero, Action::Stabilize(Stabilize {}), Ack::Applied)),
                2 => drop(ledger.watch(hero)),
                3 => drop(ledger.fetch(hero)),
                4 => ledger.disconnected(),
                _ => {
                    let text = String::from_utf8_lossy(message).into_owned();
                    if let Ok(Some(frame)) = decode_message::<Character>(Codec::Json, &Message::text(text)) {
                        ledger.receive(frame, Instant::now());
                    }
                }
            }
            while let Some(frame) = ledger.next_frame(Instant::now()) {
                sent += usize::from(matches!(frame, ClientFrame::Intent(_)));
            }
            while let Some(event) = ledger.next_event() {
                if let Event::Durable { id, .. } | Event::Refused { id, .. } | Event::Rejected { id, .. } = event {
                    open.remove(&id);
                }
            }
            // A rejected one is kept as well, for those that are based on it.
            assert!((open.len()..=KEPT_MAX).contains(&ledger.kept()), "{} kept, {} open", ledger.kept(), open.len());
        }
        assert!(sent <= STEPS_MAX * KEPT_MAX, "nothing is sent again and again");
    });
}
