//! What it costs to read an intent and to write an answer, in time and allocations.
//!
//! `cargo bench -p castellan-srd`

#[path = "../tests/wire/samples/mod.rs"]
#[allow(dead_code, reason = "the golden tests use what is not used here")]
mod samples;

use castellan_srd::wire::{Action, Applied, CharacterId, ClientFrame, Codec, RequestId, ServerFrame, Version};
use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const CODECS: [&str; 2] = ["msgpack", "json"];

fn main() {
    divan::main();
}

fn codec(name: &str) -> Codec {
    if name == "json" { Codec::Json } else { Codec::MessagePack }
}

#[divan::bench(args = CODECS)]
fn decode_intent(bencher: Bencher<'_, '_>, name: &str) {
    let (codec, mut bytes) = (codec(name), Vec::new());
    let frames = samples::client_frames();
    let (_, frame) = frames.iter().find(|(name, _)| *name == "intent_modify_hitpoints").expect("a sample");
    codec.encode::<ClientFrame>(frame, &mut bytes);
    let decode = || codec.decode_client_frame::<Action>(black_box(&bytes));
    bencher.counter(BytesCount::new(bytes.len())).bench(decode);
}

/// The kinds of client frame whose quick and general reading are compared: the usual ones, the shortest, the longest.
const SAMPLES: [&str; 5] =
    ["intent_modify_hitpoints", "intent_equip_item", "intent_level_up", "intent_every_field", "ping"];

fn sample(name: &str) -> Vec<u8> {
    let (frames, mut bytes) = (samples::client_frames(), Vec::new());
    let (_, frame) = frames.iter().find(|(found, _)| *found == name).expect("a sample");
    Codec::MessagePack.encode::<ClientFrame>(frame, &mut bytes);
    bytes
}

#[divan::bench(args = SAMPLES)]
fn read_quickly(bencher: Bencher<'_, '_>, name: &str) {
    let bytes = sample(name);
    assert!(Codec::MessagePack.decode_client_frame_quickly::<Action>(&bytes).is_some(), "a sample is plain");
    let read = || Codec::MessagePack.decode_client_frame_quickly::<Action>(black_box(&bytes));
    bencher.counter(BytesCount::new(bytes.len())).bench(read);
}

#[divan::bench(args = SAMPLES)]
fn read_generally(bencher: Bencher<'_, '_>, name: &str) {
    let bytes = sample(name);
    let read = || Codec::MessagePack.decode::<ClientFrame>(black_box(&bytes));
    bencher.counter(BytesCount::new(bytes.len())).bench(read);
}

/// An intent whose `delta`, its last number, is a double: the quick reading gives up late, then the general one begins.
#[divan::bench]
fn decode_intent_with_a_double(bencher: Bencher<'_, '_>) {
    let mut bytes = sample("intent_modify_hitpoints");
    let delta = bytes.windows(6).position(|part| part == b"delta\xf6").expect("the sample's delta is -10") + 5;
    bytes.splice(delta..=delta, [&[0xcb][..], &(-10_f64).to_be_bytes()].concat());
    assert!(Codec::MessagePack.decode_client_frame::<Action>(&bytes).is_ok(), "doubles are read");
    let decode = || Codec::MessagePack.decode_client_frame::<Action>(black_box(&bytes));
    bencher.counter(BytesCount::new(bytes.len())).bench(decode);
}

#[divan::bench]
fn parse_id(bencher: Bencher<'_, '_>) {
    bencher.bench(|| black_box("f81d4fae-7dec-11d0-a765-00a0c91e6bf6").parse::<CharacterId>());
}

/// The answer as clients' own types have it; the server writes it straight from its own.
#[divan::bench(args = CODECS)]
fn encode_answer_into_a_reused_buffer(bencher: Bencher<'_, '_>, name: &str) {
    let (codec, mut out) = (codec(name), Vec::with_capacity(4_096));
    let (id, durable) = (RequestId::new(1 << 50), Version::new(5));
    let frame = ServerFrame::Applied(Applied { id, character: samples::character(), durable, duplicate: false });
    codec.encode(&frame, &mut out);
    bencher.counter(BytesCount::new(out.len())).bench_local(|| {
        out.clear();
        codec.encode(black_box(&frame), &mut out);
    });
}

#[divan::bench(args = CODECS)]
fn decode_answer(bencher: Bencher<'_, '_>, name: &str) {
    let (codec, mut bytes) = (codec(name), Vec::new());
    let (id, durable) = (RequestId::new(1 << 50), Version::new(5));
    let frame = ServerFrame::Applied(Applied { id, character: samples::character(), durable, duplicate: false });
    codec.encode(&frame, &mut bytes);
    let decode = || codec.decode_server_frame::<castellan_srd::wire::Character>(black_box(&bytes));
    bencher.counter(BytesCount::new(bytes.len())).bench(decode);
}
