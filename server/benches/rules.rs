//! What an intent costs in the rules, and a state in its encoding.
//!
//! Run with `cargo bench -p castellan --bench rules`. The columns of allocations must show none: the way of an intent
//! reuses what it has. Goal: `apply_and_derive` below 1 µs with 30 inventory lines.

use castellan::shard::{CharacterView, Header, StoredView, merge_patch};
use castellan_protocol::{Action, Codec, NewCharacter, RequestId, Version};
use castellan_srd::{Catalogue, Character, Derived, Dice, applied, apply, create, derive, derive_into, stored};
use divan::{AllocProfiler, Bencher, black_box};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const SECRET: &[u8] = b"a secret of the benchmark";

fn main() {
    divan::main();
}

fn header() -> Header {
    Header {
        id: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("a UUID"),
        user: "0d6c6f1e-7dec-41d0-a765-00a0c91e6bf6".parse().expect("a UUID"),
        version: Version::new(6),
        last: RequestId::new(1831),
        created_at_ms: 1_795_348_800_000,
        updated_at_ms: 1_795_348_801_500,
    }
}

fn action(json: &str) -> Action {
    serde_json::from_str(json).expect("an action")
}

/// A fighter in arms and attuned magic, with so many inventory lines.
fn fighter(catalogue: &Catalogue, lines: usize) -> Character {
    let new: NewCharacter = serde_json::from_str(
        r#"{"name": "Brannor", "race": "dwarf", "subrace": "hill-dwarf", "class": "fighter",
            "abilities": {"str": 16, "dex": 12, "con": 13, "int": 8, "wis": 12, "cha": 10},
            "skills": ["athletics", "perception"]}"#,
    )
    .expect("a new character");
    let mut fighter = create(&new, catalogue).expect("by the rules");
    let mut play = |json: String| {
        let mut dice = Dice::new(SECRET, header().id, RequestId::new(1), 0);
        fighter = applied(&fighter, &action(&json), catalogue, &mut dice).expect("by the rules");
    };
    for item in ["chain-mail", "shield", "longsword+weapon-1", "ring-of-protection"] {
        play(format!(r#"{{"add_item": {{"item": "{item}", "quantity": 1}}}}"#));
        play(format!(r#"{{"equip_item": {{"item": "{item}"}}}}"#));
    }
    play(r#"{"attune": {"item": "ring-of-protection"}}"#.to_owned());
    play(r#"{"modify_currency": {"gp": 42, "sp": 5}}"#.to_owned());
    let more = catalogue.items().iter().filter(|item| !item.id().as_str().contains('+')).skip(60);
    for item in more.take(lines - 4) {
        play(format!(r#"{{"add_item": {{"item": "{}", "quantity": 3}}}}"#, item.id()));
    }
    assert_eq!(fighter.inventory().entries().len(), lines);
    fighter
}

/// One `modify_hitpoints` and the sheet derived anew.
#[divan::bench(args = [4, 30])]
fn apply_and_derive(bencher: Bencher<'_, '_>, lines: usize) {
    let catalogue = Catalogue::embedded();
    let mut character = fighter(&catalogue, lines);
    let mut derived = derive(&character, &catalogue);
    let actions = [action(r#"{"modify_hitpoints": {"delta": -3}}"#), action(r#"{"modify_hitpoints": {"delta": 3}}"#)];
    let mut turn = 0;
    bencher.bench_local(|| {
        turn ^= 1;
        let mut dice = Dice::new(SECRET, header().id, RequestId::new(9), character.dice_rolled());
        apply(&mut character, black_box(&actions[turn]), &catalogue, &mut dice).expect("by the rules");
        derive_into(&character, &catalogue, &mut derived);
        black_box(&derived);
    });
}

#[divan::bench(args = [4, 30])]
fn apply_alone(bencher: Bencher<'_, '_>, lines: usize) {
    let catalogue = Catalogue::embedded();
    let mut character = fighter(&catalogue, lines);
    let actions = [action(r#"{"modify_hitpoints": {"delta": -3}}"#), action(r#"{"modify_hitpoints": {"delta": 3}}"#)];
    let mut turn = 0;
    bencher.bench_local(|| {
        turn ^= 1;
        let mut dice = Dice::new(SECRET, header().id, RequestId::new(9), character.dice_rolled());
        apply(&mut character, black_box(&actions[turn]), &catalogue, &mut dice)
    });
}

/// An action that changes what copies share.
#[divan::bench(args = [4, 30])]
fn apply_to_the_build(bencher: Bencher<'_, '_>, lines: usize) {
    let catalogue = Catalogue::embedded();
    let mut character = fighter(&catalogue, lines);
    let actions = [
        action(r#"{"add_item": {"item": "torch", "quantity": 1}}"#),
        action(r#"{"remove_item": {"item": "torch", "quantity": 1}}"#),
    ];
    let mut turn = 1;
    bencher.bench_local(|| {
        turn ^= 1;
        let mut dice = Dice::new(SECRET, header().id, RequestId::new(9), character.dice_rolled());
        apply(&mut character, black_box(&actions[turn]), &catalogue, &mut dice).expect("by the rules")
    });
}

#[divan::bench(args = [4, 30])]
fn derive_alone(bencher: Bencher<'_, '_>, lines: usize) {
    let catalogue = Catalogue::embedded();
    let character = fighter(&catalogue, lines);
    let mut derived = Derived::default();
    bencher.bench_local(|| derive_into(black_box(&character), &catalogue, &mut derived));
}

/// One death save: what the first die of an intent costs.
#[divan::bench]
fn first_die(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| Dice::new(SECRET, header().id, RequestId::new(9), black_box(3)).roll(20));
}

/// The state as sockets get it.
#[divan::bench(args = [4, 30])]
fn pack(bencher: Bencher<'_, '_>, lines: usize) {
    let catalogue = Catalogue::embedded();
    let character = fighter(&catalogue, lines);
    let derived = derive(&character, &catalogue);
    let header = header();
    let mut bytes = Vec::new();
    CharacterView::new(&header, &character, &derived).pack(&mut bytes);
    bencher.counter(divan::counter::BytesCount::new(bytes.len())).bench_local(|| {
        bytes.clear();
        CharacterView::new(&header, black_box(&character), &derived).pack(&mut bytes);
    });
}

/// The same through serde, which JSON needs.
#[divan::bench(args = ["msgpack", "json"], consts = [4, 30])]
fn encode<const LINES: usize>(bencher: Bencher<'_, '_>, codec: &str) {
    let catalogue = Catalogue::embedded();
    let character = fighter(&catalogue, LINES);
    let derived = derive(&character, &catalogue);
    let header = header();
    let codec = if codec == "json" { Codec::Json } else { Codec::MessagePack };
    let mut bytes = Vec::new();
    codec.encode(&CharacterView::new(&header, &character, &derived), &mut bytes);
    bencher.counter(divan::counter::BytesCount::new(bytes.len())).bench_local(|| {
        bytes.clear();
        codec.encode(&CharacterView::new(&header, black_box(&character), &derived), &mut bytes);
    });
}

/// What an intent changed, between two packed states: for sockets that ask for changes.
#[divan::bench(args = [4, 30])]
fn patch(bencher: Bencher<'_, '_>, lines: usize) {
    let catalogue = Catalogue::embedded();
    let before = fighter(&catalogue, lines);
    let mut dice = Dice::new(SECRET, header().id, RequestId::new(9), 0);
    let hurt = action(r#"{"modify_hitpoints": {"delta": -3}}"#);
    let after = applied(&before, &hurt, &catalogue, &mut dice).expect("by the rules");
    let [old, new] = [(&before, 6), (&after, 7)].map(|(character, version)| {
        let header = Header { version: Version::new(version), last: RequestId::new(1825 + version), ..header() };
        let mut packed = Vec::new();
        CharacterView::new(&header, character, &derive(character, &catalogue)).pack(&mut packed);
        packed
    });
    let mut patch = Vec::with_capacity(1_024);
    bencher.counter(divan::counter::BytesCount::new(new.len())).bench_local(|| {
        patch.clear();
        merge_patch(black_box(&old), black_box(&new), &mut patch);
    });
}

#[divan::bench(args = [4, 30])]
fn encode_stored(bencher: Bencher<'_, '_>, lines: usize) {
    let character = fighter(&Catalogue::embedded(), lines);
    let header = header();
    let mut bytes = Vec::with_capacity(16 * 1024);
    bencher.bench_local(|| {
        bytes.clear();
        serde_json::to_writer(&mut bytes, &StoredView::new(&header, black_box(&character))).expect("JSON");
    });
}

#[divan::bench(args = [4, 30])]
fn decode_stored(bencher: Bencher<'_, '_>, lines: usize) {
    let character = fighter(&Catalogue::embedded(), lines);
    let json = serde_json::to_string(&StoredView::new(&header(), &character)).expect("JSON");
    bencher.bench_local(|| stored::decode(stored::SCHEMA_VERSION, black_box(&json)));
}
