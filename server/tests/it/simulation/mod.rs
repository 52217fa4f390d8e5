//! Seeded runs of the shards and the flusher over a database that fails, in simulated time.
//!
//! One client plays one character: each intent adds one gold piece, so the model is a count. Servers are killed, taken
//! over while they still run, cut off from the database; answers are lost; rows are refused, retried and discarded. The
//! database has a synchronous standby, which goes away and is promoted: commits wait, are cancelled, are revoked.
//! Whatever happens, a state that was called durable is on the standby, no version names two states, and in the end
//! every intent is in the database exactly once.
//!
//! `CASTELLAN_SIMULATION_SEED` runs one seed again (`42`), or other seeds than usual (`5000..22000`, a million steps):
//!
//! ```text
//! CASTELLAN_SIMULATION_SEED=5000..22000 cargo test -p castellan --features faults --test it simulation::whatever -- --nocapture
//! ```
//!
//! A seed repeats its run, except where two branches of a `tokio::select!` are ready at the same moment: then tokio
//! chooses. About one run in 200 turns out differently.

mod client;
mod cluster;
mod process;
mod world;

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use castellan::storage::faulty::Rules;
use castellan_srd::wire::{CharacterId, UserId};
use tokio::runtime::Builder;
use uuid::Uuid;

use self::world::{Tally, run};

/// Runs of the test.
const SEEDS: u64 = 2_000;

/// Runs within which the simulation must notice that a rule is left out.
const SEEDS_UNTIL_NOTICED: u64 = 100;

const USER: UserId = UserId::from_uuid(Uuid::from_u128(1));
const CHARACTER: CharacterId = CharacterId::from_uuid(Uuid::from_u128(2));

/// Lets simulated time pass, in milliseconds: the clock of the run stands still but for this.
async fn pass(time_ms: u64) {
    tokio::time::sleep(Duration::from_millis(time_ms)).await;
}

fn gold_in(state: &str) -> i64 {
    let state: serde_json::Value = serde_json::from_str(state).expect("a state is JSON");
    state["currency"]["gp"].as_i64().expect("a state has gold")
}

/// Runs one seed. The error is the panic with which it found a fault.
fn try_seed(seed: u64, rules: Rules) -> Result<Tally, Box<dyn Any + Send>> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(seed, rules))))
}

/// The seeds that a person asks for.
fn asked() -> Option<Range<u64>> {
    #[expect(clippy::disallowed_methods, reason = "how a person chooses seeds")]
    let text = std::env::var("CASTELLAN_SIMULATION_SEED").ok()?;
    let number = |text: &str| text.parse::<u64>().expect("a number");
    Some(match text.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => number(&text)..number(&text) + 1,
    })
}

#[test]
fn whatever_happens_every_intent_is_stored_exactly_once() {
    let asked = asked();
    let mut all = Tally::default();
    for seed in asked.clone().unwrap_or(0..SEEDS) {
        match try_seed(seed, Rules::default()) {
            Ok(tally) => {
                all.intents += tally.intents;
                all.losses += tally.losses;
                all.failovers += tally.failovers;
                all.revoked += tally.revoked;
            }
            Err(panic) => {
                eprintln!("seed {seed}: run it alone with CASTELLAN_SIMULATION_SEED={seed}");
                resume_unwind(panic);
            }
        }
    }
    println!("{all:?}");
    if asked.is_none() {
        assert!(all.intents > 50_000 && all.losses > 2_000 && all.revoked > 400, "{all:?} proves little");
    }
}

fn is_noticed(rules: Rules) {
    let noticed = (0..SEEDS_UNTIL_NOTICED).find(|seed| try_seed(*seed, rules).is_err());
    println!("{rules:?}: noticed with seed {noticed:?}");
    assert!(noticed.is_some(), "{SEEDS_UNTIL_NOTICED} runs with {rules:?} and nothing is lost");
}

#[test]
fn believing_a_row_that_could_be_lost_is_noticed() {
    is_noticed(Rules { takeovers_wait: false, reads_wait: false, ..Rules::default() });
}

#[test]
fn ignoring_the_warning_of_a_cancelled_commit_is_noticed() {
    is_noticed(Rules { warnings_count: false, ..Rules::default() });
}
