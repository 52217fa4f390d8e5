//! What a process tells the others with its heartbeat: its rules, and how much it has to do.

use std::sync::Arc;

use castellan_game::Game;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::shard::Shards;
use crate::socket::Registry;
use crate::storage::{InUse, Load, Report};
use crate::telemetry;

/// Makes a report whenever it is called.
pub(super) fn reporter<G: Game>(
    rules: impl Fn() -> InUse + Send + 'static,
    shards: &Arc<Shards<G>>,
    registry: &Arc<Registry>,
    clock: &Clock,
) -> impl FnMut() -> Report + Send + 'static {
    let (shards, registry) = (Arc::clone(shards), Arc::clone(registry));
    let clock = Arc::clone(clock);
    let (mut counted, mut counted_at) = (telemetry::intents(), Instant::now());
    move || {
        let (intents, now) = (telemetry::intents(), Instant::now());
        let seconds = (now - counted_at).as_secs_f64().max(f64::MIN_POSITIVE);
        let intents_per_second = ((intents - counted) as f64 / seconds).round() as u32;
        (counted, counted_at) = (intents, now);
        let lag_ms = shards.oldest_dirty_ms().map_or(0, |since_ms| clock().saturating_sub(since_ms).max(0));
        let load = Load {
            sockets: small(registry.sockets()),
            intents_per_second,
            dirty: small(shards.dirty()),
            lag_ms: lag_ms.try_into().unwrap_or(u32::MAX),
        };
        Report { rules: rules(), load }
    }
}

fn small(count: usize) -> u32 {
    count.try_into().unwrap_or(u32::MAX)
}
