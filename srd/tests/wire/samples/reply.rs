//! Samples of the frames that a connection gets if it asked for changes.

use castellan_srd::wire::*;

use crate::samples::character;

fn changes(json: &str) -> Told {
    Told::Changes(serde_json::from_str(json).expect("samples hold good patches"))
}

/// Frames of a connection that asked for changes, where they differ from those of others.
pub(crate) fn frames() -> Vec<(&'static str, ReplyFrame)> {
    let (id, durable) = (RequestId::new(1832), Version::new(5));
    let hurt = || changes(r#"{"hitpoints": 17, "last": 1832, "version": 7}"#);
    let disarmed = changes(
        r#"{"derived": {"armor_class": 16, "attacks": [], "flags": []}, "equipment": {"main_hand": null, "shield": null},
            "last": 1833, "updated_at": "2026-11-22T12:00:06Z", "version": 8}"#,
    );
    let whole = Told::Character(Box::new(character()));
    let applied = |told, duplicate| ReplyFrame::Applied(AppliedReply { id, told, durable, duplicate });
    vec![
        ("applied_whole", applied(whole.clone(), false)),
        ("applied", applied(hurt(), false)),
        ("applied_duplicate", applied(changes("{}"), true)),
        ("conflict", ReplyFrame::Conflict(Box::new(Conflict { id, character: character(), durable }))),
        ("state", ReplyFrame::State(StateReply { told: disarmed, durable, id: None })),
        ("state_answer", ReplyFrame::State(StateReply { told: hurt(), durable, id: Some(id) })),
        ("state_whole", ReplyFrame::State(StateReply { told: whole, durable, id: Some(id) })),
    ]
}
