use serde_json::json;

use castellan_srd::wire::{Character, Codec, ReplyFrame, Told, merge};
use serde_json::Value;

/// The example test cases of RFC 7396, appendix A: original, patch, result.
#[test]
fn merging_follows_the_rfc() {
    let table = [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
        (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), Value::Null, Value::Null),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
        (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
        (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
    ];
    for (original, patch, result) in table {
        let mut merged = original.clone();
        merge(&mut merged, &patch);
        assert_eq!(merged, result, "{original} patched with {patch}");
    }
}

fn told(fields: Value) -> Told {
    of(json!({"state": fields}).to_string().as_bytes())
}

/// What the golden file of this name tells of.
macro_rules! golden {
    ($name:literal) => {
        of(include_bytes!(concat!("../golden/reply/", $name, ".json")))
    };
}

fn of(frame: &[u8]) -> Told {
    match Codec::Json.decode_reply_frame(frame).expect("a good frame").expect("a known frame") {
        ReplyFrame::Applied(applied) => applied.told,
        ReplyFrame::State(state) => state.told,
        other => panic!("{other:?} tells of no state"),
    }
}

#[test]
fn changes_lead_from_one_state_to_the_next() {
    let first = golden!("applied_whole").state(None).expect("whole");
    let hurt = golden!("applied").state(Some(&first)).expect("a patch of it");
    assert_eq!((hurt.hitpoints, hurt.version.get(), hurt.last.get()), (17, 7, 1832));
    assert_eq!(golden!("applied_duplicate").state(Some(&hurt)).as_ref(), Ok(&hurt));
    let disarmed = golden!("state").state(Some(&hurt)).expect("a patch of it");
    assert_eq!(disarmed.equipment.keys().collect::<Vec<_>>(), ["armor"]);
    assert_eq!((disarmed.derived.armor_class, disarmed.derived.speed), (16, hurt.derived.speed));
    assert_eq!((disarmed.derived.attacks.len(), &disarmed.inventory), (0, &hurt.inventory));
}

#[test]
fn changes_need_a_state_that_they_fit() {
    let patch = told(json!({"changes": {"hitpoints": 3}, "durable": 1}));
    assert!(patch.state(None).expect_err("no base").to_string().contains("no earlier state"));
    let whole = golden!("state_whole").state(None).expect("whole");
    let broken = told(json!({"changes": {"hitpoints": "three"}, "durable": 1}));
    assert!(broken.state(Some(&whole)).expect_err("no character").to_string().contains("three"));
    let newer =
        told(json!({"changes": {"hitpoints": 3, "aura": {"colour": "blue"}, "scars": null}, "durable": 1, "x": 1}));
    assert_eq!(newer.state(Some(&whole)).expect("unknown keys are passed over").hitpoints, 3);
    let neither = Codec::Json.decode_reply_frame::<Character>(br#"{"state": {"durable": 1}}"#);
    assert!(neither.is_err(), "one of both is there");
    let unknown = Codec::Json.decode_reply_frame::<Character>(br#"{"omen": {"durable": 1}}"#);
    assert_eq!(unknown, Ok(None), "frames of unknown kinds are ignored");
}
