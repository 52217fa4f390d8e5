//! The faults of a cluster. Each leaves it as it found it: with all processes ready, and an owner for every shard.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::RngExt;
use rand::rngs::StdRng;
use rustix::process::Signal;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{ClusterWorld, LOOK_AGAIN, NAMES, owners};
use crate::check::{Finding, Rule, Standing};
use crate::faults::{cut_sockets, ms, send_twice};
use crate::link_proxy::{Links, Passage};
use crate::period::Period;
use crate::schedule::Fault;

/// Time limit for `castellan drain`: every move waits for a flush.
const DRAIN_PATIENCE: Duration = Duration::from_secs(40);

/// Time limit for a flush, or a transfer, at one node. After a long time without a node, players wait for up to 30 s.
const PATIENCE: Duration = Duration::from_secs(45);

/// Time that sockets need to hear of a fault: a broken link is noticed after 2 s, and frames are kept for 1 s.
const AFTERMATH: Duration = Duration::from_secs(5);

/// Time limit for a gateway to give everything to another process.
const REPLACED: Duration = Duration::from_secs(20);

/// How long targets change, and how often.
const CHANGING: Duration = Duration::from_secs(12);
const CHANGE: Duration = Duration::from_secs(2);

/// How long to wait for another transfer.
const LOSE_NEXT: Duration = Duration::from_millis(500);

/// A frozen node is dead for the others after 5 s; then its players come back.
const TAKEN_OVER: Duration = Duration::from_secs(12);

/// Closed sockets that are listed; the rest are counted.
const LISTED_MAX: usize = 3;

/// A command that runs beside the run.
type Running = JoinHandle<Result<()>>;

impl ClusterWorld<'_> {
    /// Injects a fault.
    pub(super) async fn inject_fault(&mut self, fault: Fault, rng: &mut StdRng) -> Result<()> {
        if fault.is_planned() {
            tokio::time::sleep_until(self.disturbed_at + AFTERMATH).await;
        }
        let period = Period::begin(&self.players.records)?;
        let node = rng.random_range(0..NAMES.len());
        match fault {
            Fault::DrainInterrupted => self.interrupt_drain(node, rng).await,
            Fault::NodeDrained => self.drain(node, rng).await,
            Fault::TargetsChange => self.change_targets(node).await,
            Fault::NodeRestarted => self.restart(node, rng).await,
            Fault::NodeKilled => self.kill_while_quiet(node, rng).await,
            Fault::NodeFrozen => self.freeze(node, ms(rng, 6_000..20_000)).await,
            Fault::NodeCutOff => self.cut_off(node, ms(rng, 2_000..12_000)).await,
            Fault::LinkCut => self.disturb_links(node, Passage::Closed, ms(rng, 0..3_000), rng).await,
            Fault::LinkSilent => self.disturb_links(node, Passage::Silent, Duration::from_secs(3), rng).await,
            Fault::GatewayReplaced => self.replace_gateway(rng).await,
            Fault::GatewayKilled => self.kill_gateway(rng).await,
            Fault::TransferAnswerLost => self.lose_transfer(node, rng).await,
            Fault::DatabaseAway => self.send_database_away(Duration::from_secs(3)).await,
            Fault::DatabaseCrash => {
                self.all_may_lose();
                self.database.postgres()?.crash(ms(rng, 0..1_500)).await
            }
            Fault::CommitAnswerLost => self.lose_commit(node, true, rng).await,
            Fault::CommitLost => self.lose_commit(node, false, rng).await,
            Fault::SocketsCut => {
                cut_sockets(&self.front, rng).await;
                Ok(())
            }
            Fault::SentTwice => self.send_twice_during_drain(node, rng).await,
            _ => bail!("this is not for a cluster"),
        }?;
        if fault.is_planned() {
            self.until_balanced().await?;
            return self.expect_no_closed_socket(&period, fault);
        }
        self.until_whole().await?;
        self.disturbed_at = Instant::now();
        Ok(())
    }

    fn all_may_lose(&mut self) {
        self.nodes.iter_mut().for_each(|place| place.has_lost = true);
    }

    /// Runs `castellan undrain`, again if it fails: a node that was cut off counts as dead until it is heard of again.
    async fn undrain(&self, node: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.order("undrain", node).await? {
                Err(_) if Instant::now() < deadline => tokio::time::sleep(LOOK_AGAIN).await,
                done => return done,
            }
        }
    }

    /// Starts `castellan drain` or `undrain`.
    fn order(&self, verb: &'static str, node: usize) -> Running {
        let (url, name) = (self.history.place().url(), self.nodes[node].name);
        let command = self.servers.command_of(&url, &[verb, name]);
        tokio::spawn(command)
    }

    async fn drain(&mut self, node: usize, rng: &mut StdRng) -> Result<()> {
        let name = self.nodes[node].name;
        let drained = tokio::time::timeout(DRAIN_PATIENCE, self.order("drain", node)).await;
        match drained {
            Ok(done) => done??,
            Err(_) => {
                bail!("draining {name} took more than {DRAIN_PATIENCE:?}: {}", self.owners().await?.tell(&self.nodes))
            }
        }
        tokio::time::sleep(ms(rng, 0..1_500)).await;
        self.undrain(node).await
    }

    /// The order to drain is carried out as far as possible, and then taken back.
    async fn interrupt_drain(&mut self, node: usize, rng: &mut StdRng) -> Result<()> {
        let drain = self.order("drain", node);
        // The order reaches the node after some 1.5 s; 85 shards need a few seconds.
        tokio::time::sleep(ms(rng, 500..4_500)).await;
        let other = (node + rng.random_range(1..NAMES.len())) % NAMES.len();
        let (form, pause) = (rng.random_range(0..6), ms(rng, 2_000..8_000));
        let [this, that] = [node, other].map(|node| self.nodes[node].name);
        let outcome = match form {
            0 => {
                eprintln!("      {this} is killed");
                self.kill(node, rng).await
            }
            1 => {
                eprintln!("      {that} is killed");
                self.kill(other, rng).await
            }
            2 => {
                eprintln!("      {this} is cut off from the database for {pause:?}");
                self.cut_off(node, pause).await
            }
            3 => {
                eprintln!("      {that} is cut off from the database for {pause:?}");
                self.cut_off(other, pause).await
            }
            4 => {
                eprintln!("      the links to {this} are silent");
                self.disturb_links(node, Passage::Silent, Duration::from_secs(3), rng).await
            }
            _ => {
                eprintln!("      {this} is suspended for {pause:?}");
                self.freeze(node, pause).await
            }
        };
        // It may have given up, or wait for a node that does not exist any more.
        drain.abort();
        outcome?;
        self.undrain(node).await
    }

    async fn change_targets(&mut self, first: usize) -> Result<()> {
        let end = Instant::now() + CHANGING;
        let mut node = first;
        while Instant::now() < end {
            let next = Instant::now() + CHANGE;
            let drain = self.order("drain", node);
            tokio::time::sleep_until(next).await;
            drain.abort();
            self.undrain(node).await?;
            node = (node + 1) % NAMES.len();
        }
        Ok(())
    }

    async fn restart(&mut self, node: usize, rng: &mut StdRng) -> Result<()> {
        self.stop_node(node).await?;
        tokio::time::sleep(ms(rng, 0..1_000)).await;
        self.start_node(node).await
    }

    async fn kill(&mut self, node: usize, rng: &mut StdRng) -> Result<()> {
        self.kill_node(node).await?;
        tokio::time::sleep(ms(rng, 0..300)).await;
        self.start_node(node).await
    }

    /// In half of the cases the players are suspended meanwhile: those whose frames were all answered send nothing by
    /// which a gateway could notice them.
    async fn kill_while_quiet(&mut self, node: usize, rng: &mut StdRng) -> Result<()> {
        if rng.random() {
            return self.kill(node, rng).await;
        }
        self.players.signal(Signal::STOP);
        tokio::time::sleep(ms(rng, 20..80)).await;
        let mut outcome = self.kill(node, rng).await;
        if outcome.is_ok() {
            outcome = self.until_whole().await;
        }
        self.players.signal(Signal::CONT);
        outcome
    }

    async fn freeze(&mut self, node: usize, pause: Duration) -> Result<()> {
        let place = &mut self.nodes[node];
        place.has_lost = true;
        let Some(server) = &place.running else { bail!("{} is not running", place.name) };
        let registered = server.registered.context("a node said no process")?;
        server.signal(Signal::STOP);
        // The database finishes what was sent.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let url = self.history.place().url();
        let its_own = owners::characters_of(&url, registered).await?;
        let newest = self.history.newest_place().await?;
        tokio::time::sleep(pause).await;
        if pause >= TAKEN_OVER && !its_own.is_empty() {
            let written = self.history.written_since(newest).await?;
            if !written.iter().any(|(_, character)| its_own.contains(character)) {
                let (name, count) = (self.nodes[node].name, its_own.len());
                let what = format!("nobody plays on with the {count} characters of {name}, suspended for {pause:?}");
                self.complaints.push(Finding { rule: Rule::Stuck, standing: Standing::Certain, what });
            }
        }
        if let Some(server) = &self.nodes[node].running {
            server.signal(Signal::CONT);
        }
        Ok(())
    }

    async fn cut_off(&mut self, node: usize, pause: Duration) -> Result<()> {
        let place = &mut self.nodes[node];
        place.has_lost = true;
        place.database.close(true);
        tokio::time::sleep(pause).await;
        place.database.close(false);
        Ok(())
    }

    async fn disturb_links(&mut self, node: usize, how: Passage, pause: Duration, rng: &mut StdRng) -> Result<()> {
        let links = if rng.random() { Links::All } else { Links::Half };
        self.nodes[node].links.set(how, links);
        tokio::time::sleep(pause).await;
        self.nodes[node].links.set(Passage::Open, Links::All);
        Ok(())
    }

    async fn kill_gateway(&mut self, rng: &mut StdRng) -> Result<()> {
        let gateway = rng.random_range(0..self.gateways.len());
        if let Some(server) = self.gateways[gateway].take() {
            self.look_at_all();
            self.servers.kill(server).await?;
        }
        tokio::time::sleep(ms(rng, 0..1_000)).await;
        self.start_gateway(gateway).await
    }

    async fn replace_gateway(&mut self, rng: &mut StdRng) -> Result<()> {
        let gateway = rng.random_range(0..self.gateways.len());
        let Some(old) = self.gateways[gateway].take() else { return Ok(()) };
        self.start_gateway(gateway).await?;
        match self.servers.wait(old, REPLACED).await? {
            Some(status) if status.success() => Ok(()),
            ended => bail!("a gateway that was replaced ended with {ended:?}"),
        }
    }

    /// The commits of many transfers are lost, or their answers.
    async fn lose_transfer(&mut self, node: usize, rng: &mut StdRng) -> Result<()> {
        // A node that was restarted a moment ago has nothing yet.
        let process = self.nodes[node].running.as_ref().and_then(|server| server.registered);
        self.until("the node owns a shard", |owners, _| process.is_none_or(|process| owners.of(process) > 0)).await?;
        let drain = self.order("drain", node);
        let name = self.nodes[node].name;
        if !self.nodes[node].database.lose_transfer(true, PATIENCE).await {
            bail!("{name} handed no shard over within {PATIENCE:?}");
        }
        // A shard without players shows nothing, so it happens again and again.
        while !drain.is_finished() {
            self.nodes[node].database.lose_transfer(rng.random_ratio(3, 4), LOSE_NEXT).await;
            tokio::time::sleep(ms(rng, 0..50)).await;
        }
        match tokio::time::timeout(DRAIN_PATIENCE, drain).await {
            Ok(drained) => drained??,
            Err(_) => bail!("the drain took more than {DRAIN_PATIENCE:?} after an answer was lost"),
        }
        self.undrain(node).await
    }

    async fn send_database_away(&mut self, pause: Duration) -> Result<()> {
        self.all_may_lose();
        let close = |world: &mut Self, closed| {
            world.nodes.iter().for_each(|place| place.database.close(closed));
            world.database.set_away(closed).map(drop)
        };
        close(self, true)?;
        tokio::time::sleep(pause).await;
        close(self, false)
    }

    /// In half of the cases a kill follows soon, so that memory is lost too.
    async fn lose_commit(&mut self, node: usize, delivered: bool, rng: &mut StdRng) -> Result<()> {
        if !self.nodes[node].database.lose_commit(delivered, PATIENCE).await {
            bail!("{} did not flush within {PATIENCE:?}", self.nodes[node].name);
        }
        tokio::time::sleep(ms(rng, 20..80)).await;
        if rng.random() { self.kill(node, rng).await } else { Ok(()) }
    }

    /// In half of the cases shards move meanwhile.
    async fn send_twice_during_drain(&mut self, node: usize, rng: &mut StdRng) -> Result<()> {
        let drain = rng.random::<bool>().then(|| self.order("drain", node));
        send_twice(&self.front, rng).await;
        let Some(drain) = drain else { return Ok(()) };
        drain.abort();
        self.undrain(node).await
    }

    fn expect_no_closed_socket(&mut self, period: &Period, fault: Fault) -> Result<()> {
        let mut closed = period.answers()?.closed;
        if closed.is_empty() {
            return Ok(());
        }
        let count = closed.len();
        closed.truncate(LISTED_MAX);
        let what = format!("{count} sockets were closed during {fault}: {}", closed.join("; "));
        self.complaints.push(Finding { rule: Rule::Closed, standing: Standing::Certain, what });
        Ok(())
    }
}
