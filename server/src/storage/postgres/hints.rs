//! Hints that others have changed something, on a connection of their own.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::time::{sleep, timeout};

use super::books;
use super::hosts::Hosts;
use crate::storage::Hint;

/// The channel. The triggers of migration 0010 name it, too.
const CHANNEL: &str = "castellan";

/// Pause before a lost connection is opened again.
const PAUSE: Duration = Duration::from_secs(1);

/// A connection that was silent for so long is asked if it still lives.
const SILENCE: Duration = Duration::from_secs(30);

/// How long it may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Listens as long as it is polled.
pub(super) async fn follow(hosts: &Hosts, hear: &(dyn Fn(Hint) + Send + Sync)) {
    loop {
        if let Err(error) = listen(hosts, hear).await {
            // Everybody reads each second anyway.
            tracing::debug!(%error, "no hints from the database");
        }
        sleep(PAUSE).await;
    }
}

/// Listens until the connection is lost, or writes go to another host.
async fn listen(hosts: &Hosts, hear: &(dyn Fn(Hint) + Send + Sync)) -> Result<(), sqlx::Error> {
    let host = hosts.current();
    let one = PgPoolOptions::new().max_connections(1).connect_lazy_with(hosts.options(host));
    let mut listener = PgListener::connect_with(&one).await?;
    listener.listen(CHANNEL).await?;
    // What has changed before that was not heard.
    hear(Hint::Leases);
    hear(Hint::Sessions);
    while hosts.current() == host {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(heard))) => hear(match heard.payload() {
                "leases" => Hint::Leases,
                other => books::read_hint(other).map_or(Hint::Sessions, Hint::Books),
            }),
            Ok(Ok(None)) => break,
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let asked = timeout(ANSWER, sqlx::query("SELECT 1").execute(&mut listener)).await;
                asked.map_err(|_| sqlx::Error::PoolTimedOut)??;
            }
        }
    }
    Ok(())
}
