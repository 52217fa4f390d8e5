use std::time::Instant;
use stateright::*;
use crate::protocol::Protocol;
use crate::rules::Rules;
use crate::scenario::*;

#[test]
fn probe() {
    let scenario = Scenario {
        intents: [2, 0], styles: [Style::Chained; 2], ring: 2, jump: 4, unflushed_max: 2, in_flight_max: 2,
        faults: Faults { kills: 1, zombies: 1, cuts: 1, lost_answers: 1, ..Faults::default() },
    };
    let get = |name: &str, or: u8| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(or);
    let mut s = scenario;
    s.intents = [get("A", 2) as usize, get("B", 0) as usize];
    s.faults = Faults { kills: get("K", 1), zombies: get("Z", 1), cuts: get("C", 1), lost_answers: get("L", 1), stops: get("S", 0), evictions: get("E", 0), timeouts: get("T", 0)};
    s.ring = get("R", 2) as usize; s.jump = get("J", 4); s.unflushed_max = get("U", 2); s.in_flight_max = get("F", 2) as usize;
    let st = |n: u8| [Style::Chained, Style::ChainedDurable, Style::Asking][n as usize];
    s.styles = [st(get("SA", 0)), st(get("SB", 0))];
    println!("size {} client {} server {}", size_of::<crate::system::System>(), size_of::<crate::client::Client>(), size_of::<crate::server::Server>());
 let began = Instant::now();
    let mut rules = Rules::ALL;
 match std::env::var("RULE").as_deref().unwrap_or("") {
        "lock_in_flush" => rules.lock_in_flush = false,
        "version_jump" => rules.version_jump = false,
        "release_clean" => rules.release_clean = false,
        "stored_ring" => rules.stored_ring = false,
        "look_up_lost_commit" => rules.look_up_lost_commit = false,
        "durable_after_commit" => rules.durable_after_commit = false,
        "close_on_fall_back" => rules.close_on_fall_back = false,
        "welcome_proves_lease" => rules.welcome_proves_lease = false,
        "load_proves_lease" => rules.load_proves_lease = false,
        "unflushed_bound" => rules.unflushed_bound = false,
        "evict_clean" => rules.evict_clean = false,
        "ids_before_base" => rules.ids_before_base = false,
        "forget_answers" => rules.forget_answers = false,
        "applied_overrules_conflict" => rules.applied_overrules_conflict = false,
        "shown_states_count" => rules.shown_states_count = false,
        "refused_after_descendants" => rules.refused_after_descendants = false,
 "" => {} other => panic!("{other}") }
 let c = Protocol { rules, scenario: s }.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    for (name, path) in c.discoveries() { println!("{name}: {path}\n{:#?}", path.last_state()); }
    println!("unique {} generated {} depth {} {:?}", c.unique_state_count(), c.state_count(), c.max_depth(), began.elapsed());
}
