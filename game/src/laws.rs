//! The laws that every game is tested against.
//!
//! A game that breaks a law fails in its tests, not in production. [`hold`] checks all laws for any character and any
//! actions that the game's own strategies make. The strategies should include the extremes of every number, because a
//! test build panics if an integer overflows.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};

use castellan_protocol::limits::SERVER_FRAME_BYTES_MAX;
use castellan_protocol::{Action, CharacterId, Codec, RequestId, merge, pack};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::Value;

use crate::{Amounts, Dice, Fields, Game, Goods, Kept, RUNS_MAX, Touched, Violation};

/// Most bytes of a frame outside the game's part: the frame's own fields and the envelope.
const ENVELOPE_BYTES_MAX: usize = 32 * 1_024;

/// Runs of bytes that the envelope keeps beside the game's.
const ENVELOPE_RUNS: usize = 2;

/// Most actions of one life.
const ACTIONS_MAX: usize = 40;

/// Most goods that go out or in, in one life.
const DEALINGS_MAX: usize = 8;

/// Checks all laws but those about goods, which [`conserve`] checks.
///
/// - Creations and actions are deterministic.
/// - No action panics. A refused action leaves the state as it was. So does one that panics, although it breaks the
///   law.
/// - An action that says it touched only fresh fields leaves the kept fields as they were.
/// - The packed state equals what serde makes of the sheet, in MessagePack and in JSON, and fits a frame.
/// - A stored state is read back as the same state, also if it fits an older schema and was stored in that one.
/// - Every sample is still read: `stored` holds states as released versions wrote them, each with its schema version,
///   at least one for each.
/// - The merge patch between two states leads from one to the other.
/// - Dice are counted.
/// - Rights, routes and the schema name only existing actions and fields.
///
/// # Panics
///
/// If a law is broken. The message has the smallest case that was found.
pub fn hold<G: Game>(
    rules: &G::Rules,
    creations: impl Strategy<Value = G::Creation>,
    actions: impl Strategy<Value = G::Action>,
    stored: &[(i32, &str)],
) {
    names_are_known::<G>();
    every_stored_shape_loads::<G>(stored);
    let lives = (creations, prop::collection::vec(actions, 0..ACTIONS_MAX));
    let result = runner().run(&lives, |(creation, actions)| {
        let Ok(mut state) = G::create(rules, &creation) else { return Ok(()) };
        let again = G::create(rules, &creation);
        prop_assert_eq!(Ok(&state), again.as_ref(), "a creation is deterministic");
        is_well_written::<G>(rules, &state);
        for (index, action) in actions.iter().enumerate() {
            obeys::<G>(rules, &mut state, action, index as u64 + 1);
            is_well_written::<G>(rules, &state);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Checks the laws about goods.
///
/// - Goods go out and in deterministically, without a panic.
/// - A refusal leaves the state as it was, and says why.
/// - Otherwise exactly these amounts have gone out or in, and it is said if that changed kept fields.
/// - What has just gone out can go in again.
/// - Nothing is no goods: it is refused.
/// - Goods are read back as they were written, in MessagePack and in JSON.
///
/// # Panics
///
/// If a law is broken. The message has the smallest case that was found.
pub fn conserve<G: Game>(
    rules: &G::Rules,
    creations: impl Strategy<Value = G::Creation>,
    actions: impl Strategy<Value = G::Action>,
    goods: impl Strategy<Value = G::Goods>,
) {
    let dealings = prop::collection::vec((any::<bool>(), goods), 1..DEALINGS_MAX);
    let lives = (creations, prop::collection::vec(actions, 0..ACTIONS_MAX), dealings);
    let result = runner().run(&lives, |(creation, actions, dealings)| {
        let Ok(mut state) = G::create(rules, &creation) else { return Ok(()) };
        for (action, request) in actions.iter().zip(1..) {
            let mut dice = dice::<G>(&state, request);
            // A refused action changes nothing.
            let _ = G::apply(rules, &mut state, action, &mut dice);
        }
        for (goes_out, goods) in dealings {
            is_read_back(&goods);
            deals::<G>(rules, &mut state, goes_out, &goods);
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

fn is_read_back<T: Goods>(goods: &T) {
    for codec in [Codec::MessagePack, Codec::Json] {
        let mut bytes = Vec::new();
        codec.encode(goods, &mut bytes);
        assert_eq!(reads::<T>(codec, &bytes), *goods, "goods are read back as they were");
    }
}

/// Takes goods out or puts them in, and checks the laws about it.
fn deals<G: Game>(rules: &G::Rules, state: &mut G::State, goes_out: bool, goods: &G::Goods) {
    let deal = |state: &mut G::State, goes_out: bool| -> Result<Touched, Violation> {
        if goes_out { G::take_out(rules, state, goods) } else { G::put_in(rules, state, goods) }
    };
    let (before, mut again) = (state.clone(), state.clone());
    let outcome = deal(state, goes_out);
    assert_eq!((&outcome, &*state), (&deal(&mut again, goes_out), &again), "a deal is deterministic: {goods:?}");
    let touched = match outcome {
        Err(violation) => {
            assert_eq!(*state, before, "a refused deal leaves the state as it was: {goods:?}");
            return assert!(!violation.message.is_empty(), "a refusal says why: {goods:?}");
        }
        Ok(touched) => touched,
    };
    let amounts = goods.amounts();
    assert!(!amounts.is_empty() && amounts.values().all(|amount| *amount > 0), "nothing is no goods: {goods:?}");
    let (more, less) = if goes_out { (&before, &*state) } else { (&*state, &before) };
    assert_eq!(sum(&G::holdings(less), &amounts), G::holdings(more), "exactly these go out or in: {goods:?}");
    leads(&packed::<G>(rules, &before), &packed::<G>(rules, state));
    is_well_written::<G>(rules, state);
    if touched == Touched::Fresh {
        let same = kept::<G>(rules, &before) == kept::<G>(rules, state);
        assert!(same, "{goods:?} changed kept fields, which was not said");
    }
    if goes_out {
        let back = deal(&mut state.clone(), false);
        assert!(back.is_ok(), "what has just gone out can go in again: {goods:?}: {back:?}");
    }
}

fn sum(one: &Amounts, other: &Amounts) -> Amounts {
    let mut sum = one.clone();
    for (kind, amount) in other {
        *sum.entry(kind.clone()).or_default() += amount;
    }
    sum
}

fn runner() -> TestRunner {
    TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })
}

/// Checks the fixed parts of a game: rights, routes, options, runs.
fn names_are_known<G: Game>() {
    const { assert!(ENVELOPE_RUNS + <G::State as Fields>::RUNS <= RUNS_MAX, "too many kept blocks") };
    let rights = G::rights();
    for name in G::STRICT {
        let known = rights.iter().any(|right| right == name || right.starts_with(&format!("{name}:")));
        assert!(known, "STRICT names `{name}`, which is not a right");
    }
    for route in G::ROUTES {
        assert!(G::Action::KINDS.contains(&route.kind), "the route {} has no action", route.path);
        assert!(route.path.starts_with('/'), "the route {} must begin with a slash", route.path);
    }
    for option in G::OPTIONS {
        assert!(!option.choices.is_empty(), "the option {} has no value", option.name);
    }
}

fn every_stored_shape_loads<G: Game>(stored: &[(i32, &str)]) {
    for (version, state) in stored {
        if let Err(error) = G::restore(*version, state) {
            panic!("a state of schema version {version} cannot be read any more: {error}");
        }
    }
    let sampled: BTreeSet<i32> = stored.iter().map(|(version, _)| *version).collect();
    assert_eq!(sampled, (1..=G::SCHEMA_VERSION).collect(), "each schema version needs at least one sample");
}

fn dice<G: Game>(state: &G::State, request: u64) -> Dice<'static> {
    let character = CharacterId::from_uuid(uuid::Uuid::from_u128(7));
    Dice::new(b"a secret", character, RequestId::new(request), G::dice_rolled(state))
}

/// Applies an action and checks the laws about it.
fn obeys<G: Game>(rules: &G::Rules, state: &mut G::State, action: &G::Action, request: u64) {
    let before = state.clone();
    let shown_before = packed::<G>(rules, &before);
    let kept_before = kept::<G>(rules, &before);
    let mut rolled = dice::<G>(state, request);
    let outcome = catch_unwind(AssertUnwindSafe(|| G::apply(rules, state, action, &mut rolled)));
    let Ok(outcome) = outcome else {
        assert_eq!(*state, before, "an action that panics leaves the state as it was: {action:?}");
        panic!("an action panics: {action:?}");
    };
    let mut again = before.clone();
    let repeated = G::apply(rules, &mut again, action, &mut dice::<G>(&before, request));
    assert_eq!((&outcome, &*state), (&repeated, &again), "an action is deterministic: {action:?}");
    let right = G::right(action).0;
    assert!(right < G::rights().len(), "{action:?} needs a right that is not listed");
    match outcome {
        Err(violation) => {
            assert_eq!(*state, before, "a refused action leaves the state as it was: {action:?}");
            assert!(!violation.message.is_empty(), "a refusal says why: {action:?}");
        }
        Ok(touched) => {
            let counted = G::dice_rolled(state) - G::dice_rolled(&before);
            assert_eq!(counted, rolled.rolled(), "dice are counted: {action:?}");
            leads(&shown_before, &packed::<G>(rules, state));
            if touched == Touched::Fresh {
                assert!(kept_before == kept::<G>(rules, state), "{action:?} changed kept fields and does not say so");
            }
        }
    }
}

/// Checks that the merge patch between two states leads from one to the other.
fn leads(before: &[u8], after: &[u8]) {
    let mut patch = Vec::new();
    pack::merge_patch(before, after, &mut patch);
    let mut patched: Value = reads(Codec::MessagePack, before);
    merge(&mut patched, &reads(Codec::MessagePack, &patch));
    assert_eq!(patched, reads::<Value>(Codec::MessagePack, after), "a patch leads from one state to the next");
}

fn kept<G: Game>(rules: &G::Rules, state: &G::State) -> Vec<u8> {
    let mut derived = G::Derived::default();
    G::derive(rules, state, &mut derived);
    let mut kept = Kept::default();
    state.keep(&derived, &mut kept);
    let (mut runs, mut bytes) = (kept.runs(), Vec::new());
    for _ in 0..<G::State as Fields>::RUNS {
        runs.copy(&mut bytes);
    }
    bytes
}

/// A state as an answer shows it.
fn packed<G: Game>(rules: &G::Rules, state: &G::State) -> Vec<u8> {
    let mut derived = G::Derived::default();
    G::derive(rules, state, &mut derived);
    let mut kept = Kept::default();
    state.keep(&derived, &mut kept);
    let mut bytes = Vec::new();
    pack::entries(&mut bytes, state.shown());
    state.write(&mut kept.runs(), &mut bytes);
    bytes
}

/// Checks how a state is shown and stored.
fn is_well_written<G: Game>(rules: &G::Rules, state: &G::State) {
    let bytes = packed::<G>(rules, state);
    let sheet: G::Sheet = reads(Codec::MessagePack, &bytes);
    let mut by_serde = Vec::new();
    Codec::MessagePack.encode(&sheet, &mut by_serde);
    let (mut json, mut json_by_serde) = (Vec::new(), Vec::new());
    pack::write_json(&mut bytes.as_slice(), &mut json);
    Codec::Json.encode(&sheet, &mut json_by_serde);
    for (codec, packed, by_serde) in [(Codec::MessagePack, &bytes, &by_serde), (Codec::Json, &json, &json_by_serde)] {
        // The entries of a map may be in another order, but the length must equal serde's.
        let same = reads::<Value>(codec, packed) == reads::<Value>(codec, by_serde) && packed.len() == by_serde.len();
        assert!(same, "the packed bytes differ from those that serde writes: {sheet:?}");
    }
    assert!(
        json.len() + ENVELOPE_BYTES_MAX <= SERVER_FRAME_BYTES_MAX,
        "a state of {} bytes does not fit a frame",
        json.len()
    );
    assert!(!G::name(state).is_empty(), "a character has a name");

    let schema = G::State::schema();
    let shown: Value = reads(Codec::Json, &json);
    let fields = shown.as_object().expect("a map");
    for field in fields.keys() {
        assert!(schema["properties"].get(field).is_some(), "the schema does not have `{field}`");
    }
    for required in schema["required"].as_array().expect("a list") {
        assert!(fields.contains_key(required.as_str().expect("a name")), "{required} is required and missing");
    }

    let mut row = Vec::new();
    pack::entries(&mut row, state.stored());
    state.store(&mut row);
    let mut stored = Vec::new();
    pack::write_json(&mut row.as_slice(), &mut stored);
    let text = String::from_utf8(stored).expect("JSON is UTF-8");
    match G::restore(G::SCHEMA_VERSION, &text) {
        Ok(restored) => assert_eq!(restored, *state, "a stored state is read back as it was"),
        Err(error) => panic!("{error}: {text}"),
    }
    for older in (G::OLDEST_STORED_SCHEMA..G::SCHEMA_VERSION).filter(|older| G::fits(*older, state)) {
        match G::restore(older, &G::downgrade(older, text.clone())) {
            Ok(restored) => assert_eq!(restored, *state, "schema {older} holds all of a state that fits"),
            Err(error) => panic!("schema {older}: {error}: {text}"),
        }
    }
}

fn reads<T: serde::de::DeserializeOwned + Debug>(codec: Codec, bytes: &[u8]) -> T {
    codec.decode(bytes).unwrap_or_else(|error| panic!("clients cannot read the written state: {error}"))
}
