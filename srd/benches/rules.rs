//! What an intent costs in the rules, and a state in its encoding.
//!
//! Run with `cargo bench -p castellan-srd --bench rules`. The columns of allocations must show none: the path of an
//! intent reuses what it has. Goal: `apply_and_derive` below 1 µs with 30 inventory lines.

use castellan_game::{Fields, Kept};
use castellan_protocol::pack::{self, merge_patch, write_json};
use castellan_srd::wire::{Action, CharacterId, NewCharacter, RequestId};
use castellan_srd::{Catalogue, Character, Derived, Dice, applied, apply, create, derive, derive_into, stored};
use divan::{AllocProfiler, Bencher, black_box};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const SECRET: &[u8] = b"a secret of the benchmark";

fn main() {
    divan::main();
}

fn id() -> CharacterId {
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("a UUID")
}

/// The state as sockets get it, with what is kept of it.
fn shown(character: &Character, kept: &Kept, out: &mut Vec<u8>) {
    pack::entries(out, character.shown());
    character.write(&mut kept.runs(), out);
}

/// What is kept packed of a state.
fn kept(character: &Character, catalogue: &Catalogue) -> Kept {
    let mut kept = Kept::default();
    character.keep(&derive(character, catalogue), &mut kept);
    kept
}

/// The state as its row has it.
fn stored_json(character: &Character, packed: &mut Vec<u8>, json: &mut Vec<u8>) {
    pack::entries(packed, character.stored());
    character.store(packed);
    write_json(&mut packed.as_slice(), json);
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
        let mut dice = Dice::new(SECRET, id(), RequestId::new(1), 0);
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
    assert_eq!(fighter.inventory().stacks().len(), lines);
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
        let mut dice = Dice::new(SECRET, id(), RequestId::new(9), character.dice_rolled());
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
        let mut dice = Dice::new(SECRET, id(), RequestId::new(9), character.dice_rolled());
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
        let mut dice = Dice::new(SECRET, id(), RequestId::new(9), character.dice_rolled());
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
    bencher.bench_local(|| Dice::new(SECRET, id(), RequestId::new(9), black_box(3)).roll(20));
}

/// The state as sockets get it, from what is kept.
#[divan::bench(args = [4, 30])]
fn write(bencher: Bencher<'_, '_>, lines: usize) {
    let catalogue = Catalogue::embedded();
    let character = fighter(&catalogue, lines);
    let kept = kept(&character, &catalogue);
    let mut bytes = Vec::new();
    shown(&character, &kept, &mut bytes);
    bencher.counter(divan::counter::BytesCount::new(bytes.len())).bench_local(|| {
        bytes.clear();
        shown(black_box(&character), &kept, &mut bytes);
    });
}

/// What is kept, packed again after an action that touched it.
#[divan::bench(args = [4, 30])]
fn keep(bencher: Bencher<'_, '_>, lines: usize) {
    let catalogue = Catalogue::embedded();
    let character = fighter(&catalogue, lines);
    let derived = derive(&character, &catalogue);
    let mut kept = kept(&character, &catalogue);
    bencher.bench_local(|| {
        kept.clear();
        black_box(&character).keep(&derived, &mut kept);
    });
}

/// A packed state as JSON.
#[divan::bench(args = [4, 30])]
fn as_json(bencher: Bencher<'_, '_>, lines: usize) {
    let catalogue = Catalogue::embedded();
    let character = fighter(&catalogue, lines);
    let (mut packed, mut json) = (Vec::new(), Vec::new());
    shown(&character, &kept(&character, &catalogue), &mut packed);
    bencher.bench_local(|| {
        json.clear();
        write_json(&mut black_box(&packed).as_slice(), &mut json);
    });
}

/// What an intent changed, between two packed states: for sockets that ask for changes.
#[divan::bench(args = [4, 30])]
fn patch(bencher: Bencher<'_, '_>, lines: usize) {
    let catalogue = Catalogue::embedded();
    let before = fighter(&catalogue, lines);
    let mut dice = Dice::new(SECRET, id(), RequestId::new(9), 0);
    let hurt = action(r#"{"modify_hitpoints": {"delta": -3}}"#);
    let after = applied(&before, &hurt, &catalogue, &mut dice).expect("by the rules");
    let [old, new] = [&before, &after].map(|character| {
        let mut packed = Vec::new();
        shown(character, &kept(character, &catalogue), &mut packed);
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
    let (mut packed, mut json) = (Vec::with_capacity(16 * 1024), Vec::with_capacity(16 * 1024));
    bencher.bench_local(|| {
        packed.clear();
        json.clear();
        stored_json(black_box(&character), &mut packed, &mut json);
    });
}

#[divan::bench(args = [4, 30])]
fn decode_stored(bencher: Bencher<'_, '_>, lines: usize) {
    let character = fighter(&Catalogue::embedded(), lines);
    let mut json = Vec::new();
    stored_json(&character, &mut Vec::new(), &mut json);
    let json = String::from_utf8(json).expect("JSON is UTF-8");
    bencher.bench_local(|| stored::decode(stored::SCHEMA_VERSION, black_box(&json)));
}
