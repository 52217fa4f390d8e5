//! The place of this process among those on its database: it registers, shows that it lives, and leaves.
//!
//! Servers and nodes must not run beside each other. This saves players from sockets that close; the epoch in every
//! flush protects the data.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use castellan_cluster::membership::{EXPIRY, Observed, PERIOD};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use uuid::Uuid;

use super::peers;
use super::warnings::Warnings;
use crate::clock::Entropy;
use crate::config;
use crate::link::Trust;
use crate::node::{DatabaseSeen, Renewed, View};
use crate::storage::{self, Membership, Node, Present, Report, Seen, Storage, StorageOptions};
use crate::telemetry;

/// How long a renewal may take. After that a node asks the others if the database is away.
const RENEWAL: Duration = Duration::from_millis(1_500);

/// How often a node asks the others before it tries another renewal, and the time between two questions.
const QUESTIONS_MAX: u32 = 5;
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(250);

/// What a process knows of the heartbeats of others.
struct Watched {
    /// The times in `known` count from here.
    start: Instant,
    known: HashMap<Uuid, Observed>,
}

impl Watched {
    fn new(start: Instant) -> Self {
        Self { start, known: HashMap::new() }
    }

    /// Another successful read.
    fn read(&mut self, found: &[Present], asked: Instant, answered: Instant) {
        let (asked, answered) = (asked - self.start, answered - self.start);
        let mut before = std::mem::take(&mut self.known);
        for Seen { process, heartbeat } in found.iter().map(Present::seen) {
            let heartbeat = heartbeat.cast_unsigned();
            let observed = match before.remove(&process) {
                Some(mut observed) => {
                    observed.read(heartbeat, asked, answered);
                    observed
                }
                None => Observed::new(heartbeat, asked, answered),
            };
            self.known.insert(process, observed);
        }
    }

    /// Those whose heartbeat stood still for as long as they could have raised it.
    fn dead(&self) -> Vec<Seen> {
        let dead = self.known.iter().filter(|(_, observed)| observed.is_dead());
        dead.map(|(process, observed)| Seen { process: *process, heartbeat: observed.heartbeat().cast_signed() })
            .collect()
    }
}

/// What a process knows of others, and has told them.
struct Others {
    watched: Watched,
    warnings: Warnings,
}

/// Registers this process. A database that only one process can use needs no registration.
///
/// Waits for processes of the other kind, and for those of its name, until it is clear that they are dead.
///
/// # Errors
///
/// One of them is alive; or the database's error.
pub async fn register(storage: &Arc<dyn Storage>, node: &Node) -> anyhow::Result<()> {
    let Some(membership) = storage.membership() else { return Ok(()) };
    let mut watched = Watched::new(Instant::now());
    let (mut first_seen, mut has_told) = (HashMap::new(), false);
    loop {
        let asked = Instant::now();
        let found = membership.nodes().await?;
        watched.read(&found, asked, Instant::now());
        let others = membership.register(node, &watched.dead()).await?;
        for other in &others {
            let Seen { process, heartbeat } = other.seen();
            if *first_seen.entry(process).or_insert(heartbeat) != heartbeat {
                let why = if other.node.kind == node.kind {
                    "two nodes cannot have the same name; stop that one, or choose another name"
                } else {
                    "a server takes all shards, and nodes share them, so they cannot run beside each other; stop all \
                     nodes, or start a node instead"
                };
                anyhow::bail!(
                    "{} {} (process {process}, {}) is alive on this database: {why}",
                    other.node.kind.name(),
                    other.node.name,
                    other.node.address
                );
            }
        }
        let Some(other) = others.first() else { return Ok(()) };
        if !std::mem::replace(&mut has_told, true) {
            let (kind, name) = (other.node.kind.name(), &other.node.name);
            tracing::warn!(kind, name, "waiting up to {EXPIRY:?} to see if it is dead");
        }
        tokio::time::sleep_until(asked + PERIOD).await;
    }
}

/// The heartbeat of this process.
///
/// It has a thread and a connection of its own. The thread has normal priority, so neither a busy pool nor busy socket
/// threads stop it.
pub(super) struct Heartbeat {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl Heartbeat {
    /// Starts it, if the database knows of processes. Call it on the main thread, whose priority it gets.
    ///
    /// `report` makes what the others are told.
    pub(super) fn start(
        settings: &config::Database,
        storage: &Arc<dyn Storage>,
        node: Node,
        report: impl FnMut() -> Report + Send + 'static,
        shares: Option<Shares>,
    ) -> anyhow::Result<Option<Self>> {
        if storage.membership().is_none() {
            return Ok(None);
        }
        let (url, options) =
            (settings.url.expose().to_owned(), StorageOptions { connections_max: 1, ..settings.options() });
        let (stop, mut stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let work = async move {
            let storage = match storage::connect(&url, &options).await {
                Ok(storage) => storage,
                Err(error) => return tracing::error!(%error, "this process cannot show that it lives"),
            };
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = beat(&storage, &node, report, shares.as_ref()) => {}
            }
        };
        let thread = std::thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn(move || runtime.block_on(work))
            .context("cannot start the thread of the heartbeat")?;
        Ok(Some(Self { stop, thread }))
    }

    /// Ends it.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        let ended = tokio::task::spawn_blocking(|| self.thread.join()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("the thread of the heartbeat has panicked");
        }
    }
}

/// The parts of a heartbeat that only a node needs, because it shares the shards with others.
pub struct Shares {
    /// Hears of each renewal.
    pub renewed: watch::Sender<Option<Renewed>>,
    /// The state of the database, as other nodes hear it.
    pub database: Arc<DatabaseSeen>,
    /// Randomness for links to the other nodes; `None`: they are never asked.
    pub entropy: Option<Entropy>,
    /// The authorities that sign the certificates of the other nodes, if links use TLS.
    pub trust: Option<Arc<Trust>>,
}

/// Raises the heartbeat once a second. A failure is logged once, and it goes on.
pub async fn beat(
    storage: &Arc<dyn Storage>,
    node: &Node,
    mut report: impl FnMut() -> Report,
    shares: Option<&Shares>,
) {
    let Some(membership) = storage.membership() else { return };
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut others = Others { watched: Watched::new(Instant::now()), warnings: Warnings::default() };
    let mut is_failing = false;
    loop {
        ticks.tick().await;
        let report = report();
        let node = Node { rules: report.rules.clone(), ..node.clone() };
        let asked = Instant::now();
        let renewed = timeout(RENEWAL, renew(membership, &node, &report, &mut others, shares)).await;
        let result = renewed.map_err(|_| anyhow::anyhow!("the database does not answer in time")).flatten();
        if result.is_ok() {
            telemetry::heartbeat_renewed(asked);
        }
        if let Some(shares) = shares {
            share(shares, &node, &result, asked).await;
        }
        match (result, is_failing) {
            (Ok(_), true) => tracing::info!("this process shows again that it lives"),
            (Err(error), false) => {
                tracing::warn!(error = format!("{error:#}"), "this process cannot show that it lives");
            }
            (Ok(_), false) | (Err(_), true) => continue,
        }
        is_failing = !is_failing;
    }
}

/// Tells the task that moves shards of a renewal. If there was none, because no node can reach the database, it goes on
/// with what it knows.
async fn share(shares: &Shares, node: &Node, result: &anyhow::Result<Arc<View>>, asked: Instant) {
    if let Ok(view) = result {
        shares.database.renewed(asked);
        let renewed = Renewed { asked, is_agreed: false, view: Arc::clone(view) };
        shares.renewed.send_replace(Some(renewed));
        return;
    }
    let (Some(Renewed { view, .. }), Some(entropy)) = (shares.renewed.borrow().clone(), &shares.entropy) else {
        return;
    };
    // The others notice an outage at other moments.
    for _ in 0..QUESTIONS_MAX {
        if shares.database.is_warned() {
            return;
        }
        let asked = Instant::now();
        if peers::all_say_away(&view, node.process, shares.trust.as_deref(), entropy).await {
            shares.renewed.send_replace(Some(Renewed { asked, is_agreed: true, view }));
            return;
        }
        tokio::time::sleep_until(asked + BETWEEN_QUESTIONS).await;
    }
}

/// Raises the heartbeat, registers again if others took this process for dead, and removes the dead.
async fn renew(
    membership: &dyn Membership,
    node: &Node,
    report: &Report,
    Others { watched, warnings }: &mut Others,
    shares: Option<&Shares>,
) -> anyhow::Result<Arc<View>> {
    let renewal = membership.renew(node.process, report).await?;
    let asked = Instant::now();
    let found = membership.nodes().await?;
    if shares.is_some_and(|shares| shares.database.read(asked)) {
        *watched = Watched::new(asked);
    }
    watched.read(&found, asked, Instant::now());
    let mut dead = watched.dead();
    if let Some(Shares { entropy: Some(entropy), trust, .. }) = shares {
        let warn = |other: &Node| {
            let (other, me) = (other.clone(), node.process);
            let (trust, entropy) = (trust.clone(), Arc::clone(entropy));
            tokio::spawn(async move { peers::warn(&other, me, trust.as_deref(), &entropy).await })
        };
        dead = warnings.silenced(dead, &found, warn).await;
    }
    if renewal.is_none()
        && let [other, ..] = &membership.register(node, &dead).await?[..]
    {
        let (kind, name) = (other.node.kind.name(), &other.node.name);
        anyhow::bail!("it was taken for dead, and {kind} {name} may be alive");
    }
    if !dead.is_empty() {
        membership.forget(&dead).await?;
    }
    let agreed = match renewal {
        Some(renewal) => renewal.agreed,
        None => membership.agreed().await?,
    };
    Ok(Arc::new(View { nodes: found, dead, agreed }))
}

/// Ends the heartbeat, and removes this process if it owns no shard any more. Others see it as dead otherwise.
pub(super) async fn end(heartbeat: Option<Heartbeat>, storage: &Arc<dyn Storage>, process: Uuid) {
    let (Some(heartbeat), Some(membership)) = (heartbeat, storage.membership()) else { return };
    // First, because it would register again.
    heartbeat.stop().await;
    match membership.leave(process).await {
        Ok(true) => {}
        Ok(false) => tracing::warn!("this process stays registered, because it still owns shards"),
        Err(error) => tracing::warn!(%error, "this process stays registered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{InUse, Load, NodeKind};

    fn present(process: u128, heartbeat: i64) -> Present {
        let node = Node {
            process: Uuid::from_u128(process),
            kind: NodeKind::Node,
            name: String::new(),
            address: String::new(),
            link: None,
            weight: 0,
            draining: false,
            rules: InUse::default(),
            schema_version: 0,
        };
        Present { node, load: Load::default(), heartbeat, started_at_ms: 0, age_ms: 0, seen_ago_ms: 0 }
    }

    #[test]
    fn whoever_stood_still_for_five_seconds_of_reads_without_a_gap_is_dead() {
        let start = Instant::now();
        let at = |second| start + Duration::from_secs(second);
        let mut watched = Watched::new(start);
        for second in 0..5 {
            let moving = i64::try_from(second).expect("small");
            watched.read(&[present(1, 7), present(2, moving)], at(second), at(second));
            assert_eq!(watched.dead(), [], "after {second} s");
        }
        watched.read(&[present(1, 7), present(2, 5)], at(5), at(5));
        assert_eq!(watched.dead(), [present(1, 7).seen()]);

        watched.read(&[present(1, 7), present(2, 5)], at(20), at(20));
        assert_eq!(watched.dead(), [], "an outage says nothing about the others");
        watched.read(&[present(1, 8), present(2, 5)], at(22), at(22));
        watched.read(&[present(1, 8), present(2, 5)], at(24), at(24));
        watched.read(&[present(1, 8)], at(25), at(25));
        assert_eq!(watched.dead(), [], "one came back, one has left");
    }
}
