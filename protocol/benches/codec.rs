//! What it costs to read an intent and to write an answer, in time and allocations.
//!
//! `cargo bench -p castellan-protocol`

#[path = "../tests/samples/mod.rs"]
#[allow(dead_code, reason = "the golden tests use what is not used here")]
mod samples;

use castellan_protocol::{Applied, ClientFrame, Codec, RequestId, ServerFrame, Version};
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
    let decode = || codec.decode_client_frame(black_box(&bytes));
    bencher.counter(BytesCount::new(bytes.len())).bench(decode);
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
    let decode = || codec.decode_server_frame::<castellan_protocol::Character>(black_box(&bytes));
    bencher.counter(BytesCount::new(bytes.len())).bench(decode);
}
