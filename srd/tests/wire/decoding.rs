//! What is read, what is refused with which code, and what ends the connection, in both encodings.

use crate::samples;

use castellan_srd::wire::limits::{DEPTH_MAX, INTEGER_MAX};
use castellan_srd::wire::*;
use proptest::prelude::*;
use serde_json::{Value, json};

const CODECS: [Codec; 2] = [Codec::MessagePack, Codec::Json];

/// What decoding a message comes to, in a form that tables can hold.
#[derive(Debug, Clone, PartialEq)]
enum Fate {
    Good,
    Rejected(Option<u64>, RejectionCode),
    Closes,
}

fn fate(codec: Codec, message: &[u8]) -> (Fate, String) {
    match codec.decode_client_frame::<Action>(message) {
        Ok(frame) => (Fate::Good, format!("{frame:?}")),
        Err(FrameError::Rejected { id, code, message }) => (Fate::Rejected(id.map(RequestId::get), code), message),
        Err(FrameError::NotAFrame(message)) => (Fate::Closes, message),
    }
}

fn bytes(codec: Codec, value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode(value, &mut bytes);
    bytes
}

/// Decodes one message in both encodings; the answer's sentence has to contain `sentence`.
fn check(message: &Value, expected: &Fate, sentence: &str) {
    for codec in CODECS {
        let (found, said) = fate(codec, &bytes(codec, message));
        assert_eq!(&found, expected, "{codec:?} {message}: {said}");
        assert!(said.contains(sentence), "{codec:?} {message}: `{said}` does not say `{sentence}`");
    }
}

/// Decodes one JSON text, for what a [`Value`] cannot hold.
fn check_json(message: &str, expected: &Fate) {
    let (found, said) = fate(Codec::Json, message.as_bytes());
    assert_eq!(&found, expected, "{message}: {said}");
}

/// Decodes one MessagePack message, for what JSON cannot hold.
fn check_bytes(message: &[u8], expected: &Fate) {
    let (found, said) = fate(Codec::MessagePack, message);
    assert_eq!(&found, expected, "{message:02x?}: {said}");
}

const CHARACTER: &str = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";

/// An intent with some fields replaced; a field that is replaced by nil is still there.
fn intent(changes: Value) -> Value {
    let mut fields =
        json!({"id": 9, "character": CHARACTER, "after": 0, "action": {"modify_hitpoints": {"delta": -1}}});
    for (key, value) in changes.as_object().expect("changes are a map") {
        fields[key] = value.clone();
    }
    json!({ "intent": fields })
}

fn malformed(id: u64) -> Fate {
    Fate::Rejected(Some(id), RejectionCode::MALFORMED)
}

#[test]
fn nil_counts_as_absent() {
    for good in [
        json!({"intent": null, "ping": {}}),
        json!({"ping": {"id": null}}),
        intent(json!({"expect": null, "ack": null, "traceparent": null, "user": null})),
        intent(json!({"after": null, "expect": 0})),
        intent(json!({"action": {"rename": null, "modify_hitpoints": {"delta": 1, "critical": null}}})),
        intent(json!({"action": {"modify_hitpoints": {"delta": 1, "nonsense": null}}})),
        intent(json!({"action": {"nonsense": null, "long_rest": {}}})),
        intent(json!({"action": {"level_up": {"hitpoints": "roll", "abilities": {"str": null, "dex": 2}}}})),
    ] {
        check(&good, &Fate::Good, "");
    }
    check(&intent(json!({"character": null})), &malformed(9), "missing field `character`");
    check(&intent(json!({"action": null})), &malformed(9), "missing field `action`");
    check(&intent(json!({"action": {"modify_hitpoints": {"delta": null}}})), &malformed(9), "missing field `delta`");
    check(&intent(json!({"action": {"modify_hitpoints": null}})), &malformed(9), "no action");
    check(&intent(json!({"id": null})), &Fate::Rejected(None, RejectionCode::MALFORMED), "missing field `id`");
    check(&intent(json!({"after": null})), &Fate::Rejected(Some(9), RejectionCode::VERSION_REQUIRED), "after");
}

#[test]
fn integers_may_be_doubles_and_have_bounds() {
    let delta = |delta: Value| intent(json!({"action": {"modify_hitpoints": {"delta": delta}}}));
    for good in
        [json!(6.0), json!(-6.0), json!(-0.0), json!(INTEGER_MAX), json!(-INTEGER_MAX), json!(9007199254740991.0)]
    {
        check(&delta(good), &Fate::Good, "");
    }
    for bad in [
        json!(6.5),
        json!(INTEGER_MAX + 1),
        json!(-INTEGER_MAX - 1),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(9007199254740992.0),
        json!(1e300),
        json!("6"),
        json!(true),
        json!([6]),
        json!({}),
    ] {
        check(&delta(bad), &malformed(9), "action.modify_hitpoints.delta");
    }
    check_bytes(&with_delta(&[0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]), &malformed(9));
    check_bytes(&with_delta(&[0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0]), &malformed(9));
    check_bytes(&with_delta(&[0xca, 0x40, 0xc0, 0, 0]), &Fate::Good);
    check_bytes(&with_delta(&[0xd3, 0, 0, 0, 0, 0, 0, 0, 6]), &Fate::Good);
    check(&intent(json!({"id": 9.0})), &Fate::Good, "");
    for bad in [json!(0), json!(-1), json!(INTEGER_MAX + 1), json!(0.5), json!("9"), json!({})] {
        check(&intent(json!({ "id": bad })), &Fate::Rejected(None, RejectionCode::MALFORMED), "id");
    }
    check(&intent(json!({"after": -1})), &malformed(9), "after");
    check(&intent(json!({"after": null, "expect": 1.5})), &malformed(9), "expect");
}

/// An intent whose `delta` is given as bytes.
fn with_delta(delta: &[u8]) -> Vec<u8> {
    let mut message = bytes(Codec::MessagePack, &intent(json!({})));
    let place = message.iter().rposition(|byte| *byte == 0xff).expect("-1 is 0xff");
    message.splice(place..=place, delta.iter().copied());
    message
}

#[test]
fn an_intent_says_exactly_once_what_it_is_based_on() {
    let required = Fate::Rejected(Some(9), RejectionCode::VERSION_REQUIRED);
    check(&intent(json!({"expect": 0})), &required, "exactly one");
    check(&intent(json!({"after": null, "expect": null})), &required, "exactly one");
    check(&intent(json!({"after": 3.0})), &Fate::Good, "");
}

#[test]
fn unknown_keys_are_ignored_in_frames_and_refused_in_actions() {
    for good in [
        intent(json!({"nonsense": {"deep": [1, 2, {"er": null}]}})),
        json!({"ping": {"id": 4, "1": 2, "": []}}),
        json!({"refresh": {"id": 4, "token": "x", "more": "y"}}),
    ] {
        check(&good, &Fate::Good, "");
    }
    let action = |action: Value| intent(json!({ "action": action }));
    check(&action(json!({"modify_hitpoints": {"delta": 1, "more": 2}})), &malformed(9), "unknown field `more`");
    check(&action(json!({"long_rest": {"more": 2}})), &malformed(9), "unknown field `more`");
}

#[test]
fn unknown_kinds_are_named() {
    let unknown = |id| Fate::Rejected(id, RejectionCode::UNKNOWN_FRAME);
    check(&json!({"dance": {"id": 4}}), &unknown(Some(4)), "unknown frame `dance`");
    check(&json!({"dance": {}}), &unknown(None), "`dance`");
    check(&json!({"Intent": {"id": 4.0}}), &unknown(Some(4)), "`Intent`");
    check(&json!({"x".repeat(5000): {"id": "4"}}), &unknown(None), "xxx");
    let action = |action: Value| intent(json!({ "action": action }));
    let unknown = Fate::Rejected(Some(9), RejectionCode::UNKNOWN_ACTION);
    check(&action(json!({"dance": {}})), &unknown, "unknown action `dance`");
    check(&action(json!({"dance": 1, "long_rest": null})), &unknown, "`dance`");
    let (_, said) = fate(Codec::Json, action(json!({"ä".repeat(3000): {}})).to_string().as_bytes());
    assert!(said.len() < 300, "an answer repeats only the beginning of a client's words: {said}");
}

#[test]
fn exactly_one_entry() {
    for bad in [
        json!({}),
        json!({"intent": null}),
        json!({"ping": {}, "fetch": {}}),
        json!({"ping": {}, "dance": {}}),
        json!([]),
        json!("ping"),
        json!(null),
        json!(5),
        json!(["ping", {}]),
        json!([{"ping": {}}]),
        json!({"ping": []}),
        json!({"ping": [5]}),
        json!({"ping": "now"}),
        json!({"ping": 5}),
        json!({"intent": [9, CHARACTER, 0]}),
    ] {
        check(&bad, &Fate::Closes, "");
    }
    let action = |action: Value| intent(json!({ "action": action }));
    for bad in [
        json!({}),
        json!({"long_rest": {}, "stabilize": {}}),
        json!([]),
        json!("long_rest"),
        json!(["long_rest", {}]),
        json!({"long_rest": []}),
        json!({"long_rest": "now"}),
        json!({"long_rest": 5}),
        json!({"modify_hitpoints": [-1, true]}),
        json!({"level_up": {"hitpoints": "roll", "abilities": [["str", 2]]}}),
        json!({"level_up": {"hitpoints": {"roll": {}}}}),
        json!({"unequip_item": {"slot": "tail"}}),
    ] {
        check(&action(bad), &malformed(9), "");
    }
}

#[test]
fn a_key_given_twice_is_refused() {
    check_json(r#"{"ping":{},"ping":{}}"#, &Fate::Closes);
    check_json(r#"{"ping":{"id":3,"id":3}}"#, &malformed(3));
    check_json(r#"{"ping":{"id":null,"id":3}}"#, &Fate::Good);
    let twice =
        |action: &str| format!(r#"{{"intent":{{"id":9,"character":"{CHARACTER}","after":0,"action":{action}}}}}"#);
    check_json(&twice(r#"{"rename":{"name":"a","name":"b"}}"#), &malformed(9));
    check_json(&twice(r#"{"long_rest":{},"long_rest":{}}"#), &malformed(9));
    check_json(&twice(r#"{"level_up":{"hitpoints":"roll","abilities":{"str":1,"str":1}}}"#), &malformed(9));
    check_bytes(b"\x81\xa4ping\x82\xa2id\x03\xa2id\x03", &malformed(3));
}

#[test]
fn keys_that_are_no_text_are_unknown_keys() {
    for key in
        [&b"\x05"[..], b"\xff", b"\xc3", b"\xc0", b"\xcb\0\0\0\0\0\0\0\0", b"\xc4\x02id", b"\x91\x01", b"\x81\x01\x02"]
    {
        check_bytes(&[b"\x81\xa4ping\x82\xa2id\x03", key, b"\x01"].concat(), &Fate::Good);
        check_bytes(
            &[b"\x81", key, b"\x81\xa2id\x03"].concat(),
            &Fate::Rejected(Some(3), RejectionCode::UNKNOWN_FRAME),
        );
    }
    check_bytes(b"\x81\xa4ping\x82\xa2id\x03\xd4\x01\x00\x01", &Fate::Good);
    check_bytes(b"\x81\xa4ping\x82\xa2id\x03\xa2\xff\xfe\x01", &Fate::Good);
    check_json(r#"{"ping":{5:6}}"#, &Fate::Closes);
}

#[test]
fn texts_are_texts() {
    let rename = |name: &[u8]| {
        let mut message = bytes(Codec::MessagePack, &intent(json!({"action": {"rename": {"name": "N"}}})));
        let place = message.windows(2).position(|pair| pair == b"\xa1N").expect("the name is there");
        message.splice(place..place + 2, name.iter().copied());
        message
    };
    check_bytes(&rename(b"\xa1N"), &Fate::Good);
    check_bytes(&rename(b"\xc4\x01N"), &malformed(9));
    check_bytes(&rename(b"\xa2\xff\xfe"), &malformed(9));
    check_bytes(&rename(b"\x91\xa1N"), &malformed(9));
    check_bytes(&rename(b"\xd4\x01N"), &malformed(9));
    for bad in
        [CHARACTER.to_uppercase(), CHARACTER.replace('-', ""), format!("{{{CHARACTER}}}"), CHARACTER[1..].to_owned()]
    {
        check(&intent(json!({ "character": bad })), &malformed(9), "intent.character");
    }
}

#[test]
fn one_message_is_one_value() {
    for frame in [json!({"ping": {}}), intent(json!({}))] {
        for codec in CODECS {
            let good = bytes(codec, &frame);
            for end in 0..good.len() {
                assert_eq!(fate(codec, &good[..end]).0, Fate::Closes, "{codec:?} cut at {end}");
            }
        }
        let good = bytes(Codec::MessagePack, &frame);
        for tail in [&b"\xc0"[..], b"\x01", b"\x91", b"\xdf", b"\xc1", b"\xa5", b"\x81\xa4ping\x80"] {
            check_bytes(&[&good, tail].concat(), &Fate::Closes);
        }
        check_json(&format!("{frame} {{}}"), &Fate::Closes);
        check_json(&format!("{frame}]"), &Fate::Closes);
        check_json(&format!(" {frame}\n"), &Fate::Good);
    }
    check_bytes(b"", &Fate::Closes);
    check_json("", &Fate::Closes);
}

#[test]
fn deep_and_long_messages_do_no_harm() {
    let deep = |open: &[u8], levels: usize| [&b"\x81\xa4ping\x81\xa1x"[..], &open.repeat(levels), b"\xc0"].concat();
    check_bytes(&deep(b"\x91", DEPTH_MAX - 3), &Fate::Good);
    check_bytes(&deep(b"\x91", 16_000), &Fate::Closes);
    check_bytes(&deep(b"\x81\xa1x", 5_000), &Fate::Closes);
    check_bytes(&b"\x81\x91".repeat(8_000), &Fate::Closes);
    for brackets in [["[", "]"], ["{\"x\":", "}"]] {
        let levels = 2_000;
        let deep = format!("{}0{}", brackets[0].repeat(levels), brackets[1].repeat(levels));
        check_json(&deep, &Fate::Closes);
        check_json(&format!(r#"{{"dance":{deep}}}"#), &Fate::Closes);
    }
    // Lengths that the message does not have.
    for bad in [&b"\xdf\xff\xff\xff\xff"[..], b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"]
    {
        check_bytes(bad, &Fate::Closes);
        check_bytes(&[b"\x81\xa4ping", bad].concat(), &Fate::Closes);
    }
}

#[test]
fn every_frame_survives_both_encodings() {
    for (name, frame) in samples::client_frames() {
        for codec in CODECS {
            let mut bytes = Vec::new();
            codec.encode(&frame, &mut bytes);
            assert_eq!(codec.decode_client_frame::<Action>(&bytes).as_ref(), Ok(&frame), "{name} {codec:?}");
        }
    }
    for (name, frame) in samples::server_frames() {
        for codec in CODECS {
            let mut bytes = Vec::new();
            codec.encode(&frame, &mut bytes);
            assert_eq!(codec.decode_server_frame(&bytes), Ok(Some(frame.clone())), "{name} {codec:?}");
        }
    }
}

#[test]
fn clients_pass_over_what_they_do_not_know() {
    for codec in CODECS {
        let read = |value: Value| codec.decode_server_frame::<Character>(&bytes(codec, &value));
        assert_eq!(read(json!({"fireworks": {"colour": "red"}})), Ok(None));
        assert_eq!(
            read(json!({"pong": {"id": 3, "colour": "red"}})),
            Ok(Some(ServerFrame::Pong(Pong { id: Some(RequestId::new(3)) })))
        );
        let Ok(Some(ServerFrame::Rejected(rejected))) =
            read(json!({"rejected": {"id": 3, "code": "out_of_cheese", "message": "Out of cheese."}}))
        else {
            panic!("an unknown code is still a rejection");
        };
        assert_eq!(rejected.code.as_str(), "out_of_cheese");
        for bad in [json!({"pong": {}, "state": {}}), json!({"applied": {}}), json!([]), json!({"durable": 3})] {
            assert!(read(bad.clone()).is_err(), "{codec:?} {bad}");
        }
        let mut state = serde_json::to_value(samples::character()).expect("a character is JSON");
        state["hat"] = json!({"colour": "red"});
        state["conditions"] = json!(["blushing"]);
        state["derived"]["luck"] = json!(3);
        let read = read(json!({"state": {"character": state, "durable": 3}})).expect("new keys are ignored");
        assert!(
            matches!(read, Some(ServerFrame::State(State { character, .. })) if character.conditions == ["blushing"])
        );
    }
}

#[test]
fn actions_of_http_bodies_have_the_same_codes() {
    let code = |action: Value| decode_action::<Action>(&action).map_err(|(code, _)| code);
    assert_eq!(
        code(json!({"modify_hitpoints": {"delta": 6.0}})),
        Ok(Action::ModifyHitpoints(ModifyHitpoints { delta: 6, critical: false }))
    );
    assert_eq!(code(json!({"dance": {}})), Err(RejectionCode::UNKNOWN_ACTION));
    for bad in [
        json!({}),
        json!([]),
        json!(null),
        json!("long_rest"),
        json!({"long_rest": {"x": 1}}),
        json!({"long_rest": [] }),
        json!({"long_rest": {}, "dance": {}}),
    ] {
        assert_eq!(code(bad.clone()), Err(RejectionCode::MALFORMED), "{bad}");
    }
    let (_, said) =
        decode_action::<Action>(&json!({"add_item": {"item": "x", "quantity": "many"}})).expect_err("not a number");
    assert!(said.contains("add_item.quantity"), "{said}");
}

#[test]
fn new_characters_have_all_their_fields() {
    let scores = json!({"str": 8, "dex": 8.0, "con": 8, "int": 8, "wis": 8, "cha": 8});
    let body = json!({"name": "N", "race": "elf", "subrace": null, "class": "wizard", "abilities": scores, "skills": ["arcana"]});
    let read: NewCharacter = decode_value(&body).expect("a good body");
    assert_eq!((read.abilities[&Ability::Dexterity], read.subrace), (8, None));
    for (key, value) in [
        ("abilities", json!([8, 8])),
        ("skills", json!("arcana")),
        ("skills", json!([5])),
        ("hat", json!(1)),
        ("name", json!(5)),
    ] {
        let mut bad = body.clone();
        bad[key] = value;
        let error = decode_value::<NewCharacter>(&bad).expect_err("a bad body");
        assert!(error.to_string().contains(key), "{error}");
    }
}

/// Any value that both encodings can hold, with the wire's own words in it.
fn values() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "intent",
        "ping",
        "id",
        "action",
        "after",
        "character",
        "long_rest",
        "delta",
        "x",
        CHARACTER,
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3.0..3.0).prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(word.clone().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_bytes_make_it_panic(message in prop::collection::vec(any::<u8>(), 0..300)) {
        for codec in CODECS {
            let _ = codec.decode_client_frame::<Action>(&message);
            let _ = codec.decode_server_frame::<Character>(&message);
            let _ = codec.decode::<NewCharacter>(&message);
        }
    }

    #[test]
    fn no_change_of_a_good_frame_makes_it_panic(
        sample in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        insert in any::<bool>(),
    ) {
        let samples = samples::client_frames();
        for codec in CODECS {
            let mut message = Vec::new();
            codec.encode(&sample.get(&samples).1, &mut message);
            let place = place.index(message.len());
            message.splice(place..place + usize::from(!insert), [byte]);
            let _ = codec.decode_client_frame::<Action>(&message);
        }
    }

    #[test]
    fn both_encodings_have_the_same_fate(value in values()) {
        let of = |codec| fate(codec, &bytes(codec, &value)).0;
        prop_assert_eq!(of(Codec::MessagePack), of(Codec::Json), "{}", value);
        if let Some(action) = value.get("action") {
            let _ = decode_action::<Action>(action);
        }
    }
}
