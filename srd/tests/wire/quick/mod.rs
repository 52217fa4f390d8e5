//! The quick reading of client frames against the general one: whatever it reads, the general readers read the same.

mod frames;
mod tree;

use crate::samples;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use castellan_srd::wire::*;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tree::{Change, Forms, Tree};

const CODEC: Codec = Codec::MessagePack;

/// Reads a message quickly and fails if the general readers do not agree.
fn read(message: &[u8]) -> Option<ClientFrame> {
    let quick = CODEC.decode_client_frame_quickly(message);
    if let Some(frame) = &quick {
        let general = CODEC.decode::<ClientFrame>(message);
        assert_eq!(general.as_ref(), Ok(frame), "{message:02x?}");
    }
    quick
}

fn encode(frame: &ClientFrame) -> Vec<u8> {
    let mut message = Vec::new();
    CODEC.encode(frame, &mut message);
    message
}

/// A frame in other forms than our own encoder chooses, with changes made to it.
fn write(frame: &ClientFrame, seed: &[u8], changes: &[(Index, Change)]) -> Vec<u8> {
    let mut tree = Tree::from(&serde_json::to_value(frame).expect("a frame is JSON"));
    for (place, change) in changes {
        tree::change(&mut tree, place.index(24), change);
    }
    let mut message = Vec::new();
    Forms { seed: seed.iter().cycle(), wide: !changes.is_empty() }.write(&tree, &mut message);
    message
}

fn seed() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 1..40)
}

#[test]
fn golden_frames_are_read_quickly() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/client");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the golden folder is there") {
        let path = entry.expect("the golden folder can be read").path();
        if path.extension().is_none_or(|extension| extension != "hex") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a golden file can be read").replace('\n', "");
        let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("a golden file is hexadecimal");
        let message: Vec<u8> = (0..text.len()).step_by(2).map(digits).collect();
        let frame = read(&message).unwrap_or_else(|| panic!("{} is not read quickly", path.display()));
        assert_eq!(encode(&frame), message, "{}", path.display());
        count += 1;
    }
    assert_eq!(count, samples::client_frames().len());
}

#[test]
fn the_generators_leave_out_no_kind() {
    let parts = frames::parts().new_tree(&mut TestRunner::deterministic()).expect("parts can be made").current();
    let actions = frames::actions(&parts);
    let frames = frames::frames(&parts, actions[0].clone());
    assert_eq!(actions.iter().map(Action::kind).collect::<Vec<_>>(), Action::KINDS);
    assert_eq!(frames.iter().map(ClientFrame::kind).collect::<Vec<_>>(), ClientFrame::KINDS);
}

/// Every byte of every sample replaced by every other one: all single mistakes.
#[test]
fn no_single_byte_makes_the_readings_differ() {
    let (mut read_quickly, mut tried) = (0, 0);
    for (_, frame) in samples::client_frames() {
        let good = encode(&frame);
        for place in 0..good.len() {
            let mut message = good.clone();
            for byte in 0..=u8::MAX {
                message[place] = byte;
                read_quickly += usize::from(read(&message).is_some());
                tried += 1;
            }
            assert_eq!(read(&good[..place]), None, "cut at {place}");
        }
    }
    assert!(read_quickly > tried / 50, "of {tried} only {read_quickly} were read, which shows nothing");
}

/// What only the general readers take or refuse, and what the whole decoding says of it.
#[test]
fn what_is_not_plain_is_left_to_the_general_readers() {
    for (good, message) in [
        (true, &b"\x81\xa4ping\x81\xa2id\xcb\x40\x08\0\0\0\0\0\0"[..]),
        (true, b"\x81\xa4ping\x81\xa2id\xc0"),
        (true, b"\x82\xa4ping\x80\xa5fetch\xc0"),
        (true, b"\x81\xa4ping\x82\xa2id\x03\xa1x\x01"),
        (true, b"\x81\xa4ping\x82\xa2id\xc0\xa2id\x03"),
        (true, b"\x81\xdb\0\0\0\x04ping\x80"),
        (true, b"\xdf\0\0\0\x01\xa4ping\x80"),
        (false, b"\x81\xa4ping\x82\xa2id\x03\xa2id\x03"),
        (false, b"\x81\xa4ping\x81\xa2id\xff"),
        (false, b"\x81\xa4ping\x81\xa2id\xcf\0\x20\0\0\0\0\0\0"),
        (false, b"\x81\xa4ping\x81\xa2id\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
        (false, b"\x81\xa4ping\x80\x80"),
        (false, b"\x81\xa4ping\x80\xc0"),
        (false, b"\x82\xa4ping\x80\xa4ping\x80"),
        (false, b"\x81\xa4ping\x90"),
        (false, b"\x80"),
        (false, b""),
    ] {
        assert_eq!(CODEC.decode_client_frame_quickly::<Action>(message), None, "{message:02x?}");
        assert_eq!(CODEC.decode_client_frame::<Action>(message).is_ok(), good, "{message:02x?}");
    }
    assert_eq!(Codec::Json.decode_client_frame_quickly::<Action>(br#"{"ping":{}}"#), None);
}

#[test]
fn actions_that_are_not_plain_are_left_to_the_general_readers() {
    let intent = |action: &[u8]| {
        let fields =
            b"\x81\xa6intent\x84\xa2id\x09\xa9character\xd9\x24f81d4fae-7dec-11d0-a765-00a0c91e6bf6\xa5after\x00";
        [fields, &b"\xa6action"[..], action].concat()
    };
    assert!(
        read(&intent(b"\x81\xa8level_up\x82\xa9hitpoints\xa4roll\xa9abilities\x82\xa3str\x01\xa3dex\x01")).is_some()
    );
    for (good, action) in [
        (true, &b"\x81\xa8level_up\x82\xa9hitpoints\xa4roll\xa9abilities\x82\xa3str\xc0\xa3dex\x01"[..]),
        (true, b"\x81\xb0modify_hitpoints\x82\xa5delta\x01\xa1x\xc0"),
        (true, b"\x82\xa9long_rest\x80\xa6revive\xc0"),
        (false, b"\x81\xa8level_up\x82\xa9hitpoints\xa4roll\xa9abilities\x82\xa3str\x01\xa3str\x01"),
        (false, b"\x81\xb0modify_hitpoints\x81\xa5delta\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
        (false, b"\x81\xb0modify_hitpoints\x81\xa5delta\xd3\x80\0\0\0\0\0\0\0"),
        (false, b"\x81\xb0modify_hitpoints\x82\xa5delta\x01\xa1x\x01"),
        (false, b"\x81\xa6rename\x81\xa4name\xc4\x01N"),
        (false, b"\x81\xa6rename\x81\xa4name\xa2\xff\xfe"),
        (false, b"\x82\xa9long_rest\x80\xa9stabilize\x80"),
    ] {
        let message = intent(action);
        assert_eq!(CODEC.decode_client_frame_quickly::<Action>(&message), None, "{message:02x?}");
        assert_eq!(CODEC.decode_client_frame::<Action>(&message).is_ok(), good, "{message:02x?}");
    }
}

#[test]
fn what_is_read_quickly_is_still_checked() {
    let (_, sample) = samples::client_frames().swap_remove(0);
    let ClientFrame::Intent(intent) = sample else { panic!("the first sample is an intent") };
    let no_base = Intent { after: None, expect: None, ..intent.clone() };
    let no_id = Intent { id: RequestId::new(0), ..intent };
    for (frame, expected) in [(no_base, RejectionCode::VERSION_REQUIRED), (no_id, RejectionCode::MALFORMED)] {
        let message = encode(&ClientFrame::Intent(frame));
        assert!(read(&message).is_some());
        let refused = CODEC.decode_client_frame::<Action>(&message);
        assert!(matches!(refused, Err(FrameError::Rejected { code, .. }) if code == expected), "{refused:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_frame_is_read_quickly(frame in frames::client_frame()) {
        prop_assert_eq!(read(&encode(&frame)), Some(frame));
    }

    #[test]
    fn every_plain_form_is_read_quickly(frame in frames::client_frame(), seed in seed()) {
        prop_assert_eq!(read(&write(&frame, &seed, &[])), Some(frame));
    }

    #[test]
    fn changed_values_are_read_alike(
        frame in frames::client_frame(),
        seed in seed(),
        changes in prop::collection::vec((any::<Index>(), tree::changes()), 1..4),
    ) {
        read(&write(&frame, &seed, &changes));
    }

    #[test]
    fn changed_bytes_are_read_alike(
        frame in frames::client_frame(),
        changes in prop::collection::vec((any::<Index>(), 0..4_u8, any::<u8>(), 0..8_usize), 1..4),
    ) {
        let mut message = encode(&frame);
        for (place, how, byte, length) in changes {
            let place = place.index(message.len() + 1);
            let end = message.len().min(place + length);
            match how {
                0 => message.truncate(place),
                1 => { message.splice(place..place, [byte]); }
                2 => { message.drain(place..end); }
                _ => message[place..].iter_mut().take(1).for_each(|found| *found ^= 1 << (byte % 8)),
            }
        }
        read(&message);
    }

    #[test]
    fn ids_are_read_as_the_uuid_crate_reads_them(
        id in any::<u128>(),
        changes in prop::collection::vec((0..36_usize, "[ -~]|[0-9a-f]|\\PC"), 0..3),
    ) {
        let mut text = uuid::Uuid::from_u128(id).to_string();
        for (place, other) in changes {
            let place = text.floor_char_boundary(place);
            text.replace_range(place..text.ceil_char_boundary(place + other.len()), &other);
        }
        check_id(&text);
    }
}

/// Reads an id and fails unless the uuid crate reads the same, but for upper case and other spellings.
fn check_id(text: &str) {
    let lower_case = text.len() == 36 && !text.contains(|c: char| c.is_ascii_uppercase());
    let expected = lower_case.then(|| uuid::Uuid::try_parse(text).ok()).flatten();
    assert_eq!(text.parse::<UserId>().ok().map(UserId::uuid), expected, "{text:?}");
}

#[test]
fn each_character_of_an_id_counts() {
    let good = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    for place in 0..good.len() {
        for other in (0..0x250).filter_map(char::from_u32) {
            let mut text = good.to_owned();
            text.replace_range(place..good.len().min(place + other.len_utf8()), other.encode_utf8(&mut [0; 4]));
            check_id(&text);
        }
    }
}

/// The changes reach what they should: of each verdict there are enough.
#[test]
fn changes_make_frames_of_every_fate() {
    let mut runner = TestRunner::deterministic();
    let strategy = (frames::client_frame(), seed(), any::<Index>(), tree::changes());
    let mut fates = BTreeSet::new();
    for _ in 0..500 {
        let (frame, seed, place, change) = strategy.new_tree(&mut runner).expect("a change can be made").current();
        let message = write(&frame, &seed, &[(place, change)]);
        fates.insert((read(&message).is_some(), CODEC.decode::<ClientFrame>(&message).is_ok()));
    }
    assert_eq!(fates, BTreeSet::from([(false, false), (false, true), (true, true)]));
}
