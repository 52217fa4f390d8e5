//! Spoiled golden frames: whatever arrives, a reader refuses it or reads a value that it can write again.

use castellan_fuzz::bolero::check;
use castellan_fuzz::{BRIEFLY, Encoding, Input, golden_frames, spoiled};
use castellan_srd::wire::limits::INTEGER_MAX;
use castellan_srd::wire::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest sentence that a refusal may have, in bytes.
const SENTENCE_BYTES_MAX: usize = 400;

fn encoding(codec: Codec) -> Encoding {
    match codec {
        Codec::Json => Encoding::Json,
        Codec::MessagePack => Encoding::MessagePack,
    }
}

fn bytes<T: Serialize>(codec: Codec, value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode(value, &mut bytes);
    bytes
}

/// A value that was read can be written, and what is written is read as the same value.
fn comes_back<T: Serialize + DeserializeOwned>(codec: Codec, value: &T) {
    let written = bytes(codec, value);
    let again: T = codec.decode(&written).expect("what is written can be read");
    assert_eq!(bytes(codec, &again), written);
}

fn a_client_frame_is_read_or_refused(codec: Codec) {
    let frames = spoiled(golden_frames("client", encoding(codec)));
    check!().with_generator(frames).with_test_time(BRIEFLY).for_each(|Input(message): &Input| {
        match codec.decode_client_frame::<Action>(message) {
            Ok(frame) => {
                assert_eq!(codec.decode::<ClientFrame>(message).as_ref(), Ok(&frame), "both readers read the same");
                assert!(frame.id().is_none_or(|id| (1..=INTEGER_MAX.unsigned_abs()).contains(&id.get())));
                for codec in [Codec::Json, Codec::MessagePack] {
                    let read = codec.decode_client_frame::<Action>(&bytes(codec, &frame));
                    assert_eq!(read.as_ref(), Ok(&frame), "in {codec:?}");
                }
            }
            Err(FrameError::Rejected { id, code, message: sentence }) => {
                let codes = [
                    RejectionCode::MALFORMED,
                    RejectionCode::UNKNOWN_ACTION,
                    RejectionCode::UNKNOWN_FRAME,
                    RejectionCode::VERSION_REQUIRED,
                ];
                assert!(codes.contains(&code), "{code}");
                assert!(id.is_none_or(|id| (1..=INTEGER_MAX.unsigned_abs()).contains(&id.get())));
                assert!(!sentence.is_empty() && sentence.len() <= SENTENCE_BYTES_MAX, "{sentence}");
            }
            Err(FrameError::NotAFrame(_)) => {}
        }
        if let Some(quick) = codec.decode_client_frame_quickly::<Action>(message) {
            assert_eq!(codec.decode::<ClientFrame>(message), Ok(quick), "both readers read the same");
        }
    });
}

#[test]
fn a_client_frame_in_json_is_read_or_refused() {
    a_client_frame_is_read_or_refused(Codec::Json);
}

#[test]
fn a_client_frame_in_messagepack_is_read_or_refused() {
    a_client_frame_is_read_or_refused(Codec::MessagePack);
}

fn a_server_frame_is_read_or_refused(codec: Codec) {
    let frames = [golden_frames("server", encoding(codec)), golden_frames("reply", encoding(codec))].concat();
    check!().with_generator(spoiled(frames)).with_test_time(BRIEFLY).for_each(|Input(message): &Input| {
        if let Ok(Some(frame)) = codec.decode_server_frame::<Character>(message) {
            comes_back(codec, &frame);
        }
        if let Ok(Some(frame)) = codec.decode_reply_frame::<Character>(message) {
            comes_back(codec, &frame);
        }
    });
}

#[test]
fn a_large_number_in_a_change_comes_back() {
    let frame = br#"{"state":{"changes":{"last":1831e63,"version":8},"durable":5}}"#;
    let frame = Codec::Json.decode_reply_frame::<Character>(frame).expect("a good frame").expect("a known kind");
    comes_back(Codec::Json, &frame);
}

#[test]
fn a_server_frame_in_json_is_read_or_refused() {
    a_server_frame_is_read_or_refused(Codec::Json);
}

#[test]
fn a_server_frame_in_messagepack_is_read_or_refused() {
    a_server_frame_is_read_or_refused(Codec::MessagePack);
}

#[test]
fn an_action_in_a_body_is_read_or_refused() {
    let frames = golden_frames("client", Encoding::Json);
    let actions = frames.iter().filter_map(|frame| {
        let frame: Value = serde_json::from_slice(frame).expect("a golden frame");
        Some(frame.get("intent")?.get("action")?.to_string().into_bytes())
    });
    check!().with_generator(spoiled(actions.collect())).with_test_time(BRIEFLY).for_each(|Input(body): &Input| {
        let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
        match decode_action::<Action>(&value) {
            Ok(action) => comes_back(Codec::Json, &action),
            Err((code, sentence)) => {
                assert!([RejectionCode::MALFORMED, RejectionCode::UNKNOWN_ACTION].contains(&code), "{code}");
                assert!(!sentence.is_empty() && sentence.len() <= SENTENCE_BYTES_MAX, "{sentence}");
            }
        }
    });
}
