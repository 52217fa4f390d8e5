//! The server's health.

use std::sync::Arc;
use std::time::Duration;

use castellan_cluster::membership::Validity;
use castellan_game::Game;
use tokio::sync::watch;

use crate::flush::Signals;
use crate::gateway::Snapshot;
use crate::http;
use crate::node::Renewed;
use crate::shard::Shards;
use crate::storage::SHARDS;

/// The health of the server, as a readiness probe asks for it.
pub(super) fn health<G: Game>(
    shards: &Arc<Shards<G>>,
    signals: &Arc<Signals>,
    stopped: watch::Receiver<bool>,
) -> impl Fn() -> http::Health + Send + Sync + use<G> {
    let (shards, signals) = (Arc::clone(shards), Arc::clone(signals));
    move || {
        let lost = usize::from(SHARDS) - shards.leases().len();
        let mut problems = Vec::new();
        let mut status = http::Standing::Ready;
        if signals.is_database_away() {
            status = http::Standing::Degraded;
            problems.push(format!("the database accepts no writes; {} changed characters wait", shards.dirty()));
        } else if signals.is_database_unreachable() {
            status = http::Standing::Degraded;
            problems.push("the database does not answer".to_owned());
        }
        if lost > 0 {
            status = http::Standing::Unready;
            problems.push(format!("{lost} of {SHARDS} shards belong to another server"));
        }
        if *stopped.borrow() {
            status = http::Standing::Unready;
            problems.push("the server is stopping".to_owned());
        }
        http::Health { status, problems }
    }
}

/// The health of a node. Shards that others own are no problem.
pub(super) fn of_node(
    signals: &Arc<Signals>,
    renewed: watch::Receiver<Option<Renewed>>,
    stopped: watch::Receiver<bool>,
) -> impl Fn() -> http::Health + Send + Sync + use<> {
    let signals = Arc::clone(signals);
    move || {
        let mut problems = Vec::new();
        let mut status = http::Standing::Ready;
        if signals.is_database_away() {
            status = http::Standing::Degraded;
            problems.push("the database accepts no writes".to_owned());
        }
        if !renewed.borrow().as_ref().is_some_and(is_valid) {
            status = http::Standing::Unready;
            problems.push("the node could not renew its leases, so it answers nobody".to_owned());
        }
        if *stopped.borrow() {
            status = http::Standing::Unready;
            problems.push("the node is stopping".to_owned());
        }
        http::Health { status, problems }
    }
}

/// Returns true as long as no other node can have taken the shards of one that renewed its leases like that.
fn is_valid(renewed: &Renewed) -> bool {
    let mut validity = Validity::default();
    validity.renewed(Duration::ZERO);
    validity.holds(renewed.asked.elapsed())
}

/// The health of a gateway: it is ready if it knows an owner for every shard.
pub(super) fn of_gateway(
    owners: watch::Receiver<Arc<Snapshot>>,
    stopped: watch::Receiver<bool>,
) -> impl Fn() -> http::Health + Send + Sync {
    move || {
        let mut problems = Vec::new();
        if !owners.borrow().is_whole() {
            problems.push("some shards have no owner".to_owned());
        }
        if *stopped.borrow() {
            problems.push("the gateway is stopping".to_owned());
        }
        let status = if problems.is_empty() { http::Standing::Ready } else { http::Standing::Unready };
        http::Health { status, problems }
    }
}
