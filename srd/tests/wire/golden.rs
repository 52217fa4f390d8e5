//! The bytes of every frame, in both encodings, against the files in `golden/`.
//!
//! The files change only with the wire version. A new frame or action gets new files: run the test with
//! `CASTELLAN_WRITE_GOLDEN=1` and read what it wrote before you keep it.

use crate::samples::{self, reply};

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use castellan_srd::wire::{Action, ClientFrame, Codec, ReplyFrame, ServerFrame};
use serde::Serialize;

fn folder(side: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(side)
}

/// Bytes as lines of 32 in hexadecimal digits.
fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        text.extend(line.iter().map(|byte| format!("{byte:02x}")));
        text.push('\n');
    }
    text
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).expect("a golden file is hexadecimal"))
        .collect()
}

/// Compares a value's bytes with its golden file and reads them back.
fn check<T: Serialize + PartialEq + Debug>(side: &str, name: &str, value: &T, decode: impl Fn(Codec, &[u8]) -> T) {
    for codec in [Codec::MessagePack, Codec::Json] {
        let mut bytes = Vec::new();
        codec.encode(value, &mut bytes);
        let (extension, text) = match codec {
            Codec::MessagePack => ("hex", to_hex(&bytes)),
            Codec::Json => ("json", String::from_utf8(bytes).expect("JSON is text") + "\n"),
        };
        let path = folder(side).join(format!("{name}.{extension}"));
        if std::env::var_os("CASTELLAN_WRITE_GOLDEN").is_some() {
            fs::write(&path, &text).expect("a golden file can be written");
        }
        let golden = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(text, golden, "{} is no longer what goes over the wire", path.display());
        let golden_bytes = match codec {
            Codec::MessagePack => from_hex(&golden),
            Codec::Json => golden.into_bytes(),
        };
        assert_eq!(&decode(codec, &golden_bytes), value, "{} is not read as it was written", path.display());
    }
}

/// Fails on golden files that no sample stands for.
fn check_no_strays(side: &str, names: &BTreeSet<&str>) {
    for entry in fs::read_dir(folder(side)).expect("the golden folder is there") {
        let path = entry.expect("the golden folder can be read").path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("golden files have names");
        assert!(names.contains(stem), "{} belongs to no sample", path.display());
    }
}

#[test]
fn client_frames_have_their_golden_bytes() {
    let samples = samples::client_frames();
    for (name, frame) in &samples {
        check("client", name, frame, |codec, bytes| codec.decode_client_frame(bytes).expect("a golden frame is good"));
    }
    check_no_strays("client", &samples.iter().map(|(name, _)| *name).collect());
    let kinds: BTreeSet<_> = samples.iter().map(|(_, frame)| frame.kind()).collect();
    assert_eq!(kinds, ClientFrame::KINDS.iter().copied().collect(), "every kind of frame has a sample");
    let actions: BTreeSet<_> = samples
        .iter()
        .filter_map(|(_, frame)| match frame {
            ClientFrame::Intent(intent) => Some(intent.action.kind()),
            _ => None,
        })
        .collect();
    assert_eq!(actions, Action::KINDS.iter().copied().collect(), "every action has a sample");
}

#[test]
fn server_frames_have_their_golden_bytes() {
    let samples = samples::server_frames();
    for (name, frame) in &samples {
        check("server", name, frame, |codec, bytes| {
            codec.decode_server_frame(bytes).expect("a golden frame is good").expect("a golden frame is known")
        });
    }
    check_no_strays("server", &samples.iter().map(|(name, _)| *name).collect());
    let kinds: BTreeSet<_> = samples.iter().map(|(_, frame)| frame.kind()).collect();
    assert_eq!(kinds, ServerFrame::<()>::KINDS.iter().copied().collect(), "every kind of frame has a sample");
}

#[test]
fn frames_with_changes_have_their_golden_bytes() {
    let samples = reply::frames();
    for (name, frame) in &samples {
        check("reply", name, frame, |codec, bytes| {
            codec.decode_reply_frame(bytes).expect("a golden frame is good").expect("a golden frame is known")
        });
    }
    check_no_strays("reply", &samples.iter().map(|(name, _)| *name).collect());
}

/// Whoever asks for changes reads what the others get, and whole states in the same bytes.
#[test]
fn frames_without_changes_are_the_same_for_all() {
    for (name, frame) in samples::server_frames() {
        for codec in [Codec::MessagePack, Codec::Json] {
            let (mut plain, mut reply) = (Vec::new(), Vec::new());
            codec.encode(&frame, &mut plain);
            let read: ReplyFrame = codec.decode_reply_frame(&plain).expect("a good frame").expect("a known frame");
            codec.encode(&read, &mut reply);
            assert_eq!(plain, reply, "{name}");
        }
    }
}
