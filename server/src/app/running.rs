//! A server that runs: waits until it is told to stop, then stops without losing anything.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use castellan_game::Game;
use castellan_protocol::CloseCode;
use parking_lot::RwLock;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use uuid::Uuid;

use super::membership::{self, Heartbeat};
use super::rules::Rules;
use super::start::{publish, read_rules};
use super::supervisor;
use crate::audit::{Actor, Audit, Event, Outcome, Target};
use crate::auth::Issuers;
use crate::clock::Clock;
use crate::config::Config;
use crate::flush::{Entries, Flusher, Queue, spool};
use crate::http;
use crate::link::Trust;
use crate::planted::{self, Bug};
use crate::shard::{CloseOrder, Shards};
use crate::socket::Registry;
use crate::storage::Storage;

/// How long connections may take to say goodbye at a stop.
pub(super) const GOODBYE: Duration = Duration::from_secs(3);

const FLUSHER_PANICKED: &str = "the flusher has panicked, so nothing can be stored; stopping";

/// The signals that a running server obeys.
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl StopSignals {
    /// Listens from now on.
    pub(super) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one. Returns false if it says to stop, true if files should be read again.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
            _ = self.hang_up.recv() => true,
        }
    }
}

/// Goes on for a while after the process has said that it is not ready, so that load balancers can notice. Ends early at
/// another signal to stop. `reload` reads files again.
pub(super) async fn linger(delay: Duration, signals: &mut StopSignals, reload: impl Fn()) {
    if delay.is_zero() {
        return;
    }
    tracing::info!("told to stop; going on for {delay:?} (--shutdown-delay), but not ready any more");
    let stopped_again = async {
        while signals.next().await {
            reload();
        }
    };
    tokio::select! {
        () = tokio::time::sleep(delay) => {}
        () = stopped_again => {}
    }
}

/// Switches to the certificates and the keys of outside issuers as their files are now; a bad one changes nothing.
pub(super) fn reload(tls: Option<&http::Tls>, trust: Option<&Trust>, issuers: &Issuers) {
    match tls.map(http::Tls::reload) {
        None => {}
        Some(Ok(())) => tracing::info!("the certificate was read again"),
        Some(Err(error)) => tracing::error!(%error, "cannot read the certificate again; the old one stays in use"),
    }
    match trust.map(Trust::reload) {
        None => {}
        Some(Ok(())) => tracing::info!("the authorities of nodes (--link-ca) were read again"),
        Some(Err(error)) => {
            tracing::error!(%error, "cannot read the authorities of nodes again (--link-ca); the old ones stay in use");
        }
    }
    if let Err(errors) = issuers.reload() {
        tracing::error!(%errors, "cannot read the keys of outside issuers again; the old ones stay in use");
    }
}

/// Switches to the catalogue as its files are now; a bad one changes nothing.
fn reload_rules<G: Game>(config: &Config, shards: &Shards<G>, published: &RwLock<Arc<http::Published>>) -> Outcome {
    match read_rules::<G>(config) {
        Ok(rules) => {
            let rules = Arc::new(rules);
            shards.use_rules(&rules);
            *published.write() = publish::<G>(&rules);
            tracing::info!(revision = G::revision(&rules), "the catalogue was reloaded");
            Outcome::Done
        }
        Err(errors) => {
            tracing::error!(%errors, "cannot reload the catalogue; the old one stays in use");
            Outcome::Failed
        }
    }
}

/// Everything that runs, from the first connection to the last flush.
pub(super) struct Running<G: Game> {
    pub(super) config: Config,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) shards: Arc<Shards<G>>,
    pub(super) registry: Arc<Registry>,
    pub(super) published: Arc<RwLock<Arc<http::Published>>>,
    pub(super) issuers: Arc<Issuers>,
    pub(super) tls: Option<Arc<http::Tls>>,
    pub(super) trust: Option<Arc<Trust>>,
    pub(super) leaving: watch::Sender<bool>,
    pub(super) stop_accepting: watch::Sender<bool>,
    pub(super) listeners: JoinSet<()>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) flusher: JoinHandle<Flusher<Shards<G>>>,
    pub(super) housekeeping: JoinHandle<()>,
    pub(super) heartbeat: Option<Heartbeat>,
    pub(super) process: Uuid,
    pub(super) clock: Clock,
    pub(super) audit: Audit,
    /// A node's rules are those of all nodes. A server has its own.
    pub(super) rules: Option<Arc<Rules<G>>>,
}

impl<G: Game> Running<G> {
    /// Waits for SIGTERM or SIGINT; SIGHUP reads files again.
    ///
    /// # Errors
    ///
    /// The flusher has panicked, and the batch that it was writing is lost. So the process must end at once, as if it
    /// had been killed: the next start makes versions jump, and clients resend the intents that were not durable.
    pub(super) async fn until_told_to_stop(&mut self, mut signals: StopSignals) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                must_reload = signals.next() => {
                    if !must_reload {
                        self.leaving.send_replace(true);
                        supervisor::stopping();
                        tokio::select! {
                            () = linger(self.config.listen.shutdown_delay, &mut signals, || {
                                reload(self.tls.as_deref(), self.trust.as_deref(), &self.issuers);
                            }) => return Ok(()),
                            _ = &mut self.flusher => anyhow::bail!(FLUSHER_PANICKED),
                        }
                    }
                    reload(self.tls.as_deref(), self.trust.as_deref(), &self.issuers);
                    match &self.rules {
                        Some(rules) => rules.ask_to_publish(),
                        None => {
                            let outcome = reload_rules::<G>(&self.config, &self.shards, &self.published);
                            let target = Target::Named("rules of this server".to_owned());
                            let (actor, action) = (Actor::Operator, "reload");
                            self.audit.record(Event { actor, address: None, target, action, outcome });
                        }
                    }
                }
                _ = &mut self.flusher => anyhow::bail!(FLUSHER_PANICKED),
            }
        }
    }

    /// Stops accepting, tells the sockets, finishes what was read, flushes, releases the leases.
    pub(super) async fn drain(mut self) -> anyhow::Result<()> {
        const GOING_AWAY: CloseOrder = CloseOrder::new(CloseCode::GoingAway, "the server is stopping; reconnect");
        tracing::info!("stopping");
        let deadline = Instant::now() + self.config.listen.shutdown_timeout;
        let goodbye = (Instant::now() + GOODBYE).min(deadline);
        self.registry.close_all(&GOING_AWAY);
        self.stop_accepting.send_replace(true);
        while !self.registry.is_empty() && Instant::now() < goodbye {
            // Those that were in the middle of their upgrade are told now.
            self.registry.close_all(&GOING_AWAY);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let requests = async { while self.listeners.join_next().await.is_some() {} };
        if tokio::time::timeout_at(goodbye, requests).await.is_err() {
            tracing::warn!("requests were cut off: they took too long");
            self.listeners.abort_all();
        }
        self.stop.send_replace(true);
        // Before any lease is released, because housekeeping would take released leases back.
        if let Err(error) = (&mut self.housekeeping).await {
            tracing::error!(%error, "housekeeping has ended unexpectedly");
        }
        let mut flusher = (&mut self.flusher).await.context("the flusher ended unexpectedly")?;
        let mut leases = Vec::new();
        loop {
            if planted::is(Bug::ReleaseWhileDirty) {
                leases = self.shards.leases();
                break;
            }
            if !flusher.drain(deadline).await {
                return self.spool();
            }
            // A request that was cut off may still change something until its shard is retired.
            leases.extend(self.shards.retire());
            if self.shards.leases().is_empty() {
                break;
            }
            if Instant::now() >= deadline {
                return self.spool();
            }
        }
        match tokio::time::timeout_at(deadline, self.storage.release(&leases)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => anyhow::bail!("everything is stored, but the leases could not be released: {error}"),
            Err(_) => anyhow::bail!("everything is stored, but the leases could not be released in time"),
        }
        membership::end(self.heartbeat, &self.storage, self.process).await;
        match self.shards.dropped() {
            0 => {
                tracing::info!("everything is stored");
                Ok(())
            }
            dropped => anyhow::bail!(
                "everything that this server still held is stored. But other servers took over shards while {dropped} \
                 characters had unsaved changes; these are lost unless the players' clients send them again"
            ),
        }
    }

    /// Writes what the database did not take to a file.
    fn spool(&self) -> anyhow::Result<()> {
        let (batch, _) = self.shards.collect(Queue::Dirty, usize::MAX);
        let characters = batch.rows.len();
        let path = spool::write(&self.config.flush.spool, &batch, (self.clock)()).with_context(|| {
            format!(
                "{characters} unsaved characters could be written neither to the database nor to a spool file; the \
                 changes are lost unless the players' clients send them again"
            )
        })?;
        anyhow::bail!(
            "the database could not be reached; {characters} unsaved characters are in {}; the server stores them when \
             it starts again",
            path.display()
        )
    }
}
