//! Nodes of two releases: states are stored in the schema of the older one.

use super::toy::COINS_MAX;
use super::*;

#[test]
fn during_an_update_states_are_stored_in_the_older_schema_and_only_those_that_fit_are_possible() {
    let mut bench = Bench::new();
    bench.core.store_in_schema(1);
    assert_eq!(bench.gold(5, ANY, COINS_MAX), "applied v2 last 5 durable 1");
    let row = bench.flush().remove(0);
    assert_eq!((row.schema_version, row.state.contains("coins")), (1, true), "{}", row.state);
    assert_eq!(Toy::restore(1, &row.state).expect("the older server reads it").gold, COINS_MAX);
    let refused = bench.gold(6, ANY, 1);
    assert!(refused.contains("unavailable"), "{refused}");
    let entry = &bench.core.rosters.get(&user(1)).expect("here").entries[0];
    assert_eq!((entry.state.gold, entry.header.version.get()), (COINS_MAX, 2), "as if it had never come");

    bench.core.store_in_schema(2);
    assert!(bench.gold(6, ANY, 1).starts_with("applied v3"), "the same intent, after the update");
    let row = bench.flush().remove(0);
    assert_eq!((row.schema_version, row.state.contains("coins")), (2, false), "{}", row.state);
    // As after a restore of the other nodes' past: nothing is lost, whatever is agreed.
    bench.core.store_in_schema(1);
    bench.core.rosters.get_mut(&user(1)).expect("here").entries[0].queued = true;
    bench.core.dirty.push((user(1), character(11)));
    assert_eq!(bench.flush().remove(0).schema_version, 2);
}
