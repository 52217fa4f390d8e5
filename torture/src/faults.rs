//! The faults. Each leaves the world as it found it: with one serving server and a database that answers.

mod failover;
mod refusal;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::RngExt;
use rand::rngs::StdRng;
use rustix::process::Signal;

use crate::check::Finding;
use crate::front::{Cut, Front};
use crate::history::Gate;
use crate::schedule::Fault;
use crate::servers::Server;
use crate::world::World;

/// Time limit for the effect of a flush: many flushes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time limit for a clean stop: the server's own limit and some time to end.
const STOP_PATIENCE: Duration = Duration::from_secs(12);

pub(crate) fn ms(rng: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

/// Cuts all sockets of players, several times.
pub(crate) async fn cut_sockets(front: &Front, rng: &mut StdRng) {
    for _ in 0..rng.random_range(2..5) {
        front.cut(Cut::All);
        tokio::time::sleep(ms(rng, 5..900)).await;
    }
}

/// The same; and what players send first on the next ones arrives twice.
pub(crate) async fn send_twice(front: &Front, rng: &mut StdRng) {
    front.send_twice(true);
    cut_sockets(front, rng).await;
    tokio::time::sleep(ms(rng, 500..1_500)).await;
    front.send_twice(false);
    front.cut(Cut::All);
}

impl World<'_> {
    /// Injects a fault.
    pub(crate) async fn inject_fault(&mut self, fault: Fault, rng: &mut StdRng) -> Result<()> {
        match fault {
            Fault::Kill => self.kill(rng).await,
            Fault::CrashBeforeTransaction => self.crash_at("before_transaction", rng).await,
            Fault::CrashAfterWrites => self.crash_at("after_writes", rng).await,
            Fault::CrashAfterCommit => self.crash_at("after_commit", rng).await,
            Fault::Restart => self.restart().await,
            Fault::DatabaseCrash => self.database.postgres()?.crash(ms(rng, 0..1_500)).await,
            // Longer than the servers wait for a statement.
            Fault::DatabaseFreeze => self.database.postgres()?.freeze(ms(rng, 2_500..4_000)).await,
            Fault::DatabaseDiskFull => self.fill_database_disk(rng).await,
            Fault::CommitAnswerLost => self.lose_commit(true, rng).await,
            Fault::CommitLost => self.lose_commit(false, rng).await,
            Fault::Zombie => self.zombie(rng).await,
            Fault::HeldWrite => self.held_write(rng).await,
            Fault::SocketsCut => {
                cut_sockets(&self.front, rng).await;
                Ok(())
            }
            Fault::SentTwice => {
                send_twice(&self.front, rng).await;
                Ok(())
            }
            Fault::RefusedThenRetried => self.refuse_row("retry", rng).await,
            Fault::RefusedThenDiscarded => self.refuse_row("discard", rng).await,
            Fault::RefusedWhileWritten => self.refuse_while_written(rng).await,
            Fault::Spool => self.spool(false).await,
            Fault::SpoolDiskFull => self.spool(true).await,
            Fault::ClockMoved => self.move_clock(rng).await,
            Fault::Failover => self.fail_over(rng).await,
            Fault::Switchover => self.switch_over(rng).await,
            Fault::StandbyAway => self.send_standby_away(rng).await,
            Fault::VisibleThenLost => self.show_then_lose(rng).await,
            Fault::CommitCancelled => self.cancel_commits(rng).await,
            Fault::OldPrimaryReturns => self.old_primary_returns(rng).await,
            Fault::DrainInterrupted
            | Fault::NodeDrained
            | Fault::TargetsChange
            | Fault::NodeRestarted
            | Fault::NodeKilled
            | Fault::NodeFrozen
            | Fault::NodeCutOff
            | Fault::LinkCut
            | Fault::LinkSilent
            | Fault::GatewayReplaced
            | Fault::GatewayKilled
            | Fault::TransferAnswerLost
            | Fault::DatabaseAway => bail!("this is for a cluster only"),
        }
    }

    fn take_present(&mut self) -> Result<Server> {
        self.present.take().context("no server is running")
    }

    async fn kill(&mut self, rng: &mut StdRng) -> Result<()> {
        let server = self.take_present()?;
        self.servers.kill(server).await?;
        tokio::time::sleep(ms(rng, 0..300)).await;
        self.start_server(None).await
    }

    /// Starts a server that dies at a point of one of its next flushes, and then another server.
    async fn crash_at(&mut self, point: &str, rng: &mut StdRng) -> Result<()> {
        let server = self.take_present()?;
        self.servers.kill(server).await?;
        self.start_server(Some((point, rng.random_range(1..6)))).await?;
        let server = self.take_present()?;
        if self.servers.wait(server, PATIENCE).await?.is_none() {
            bail!("a server did not die at a flush, although it should have");
        }
        self.start_server(None).await
    }

    async fn restart(&mut self) -> Result<()> {
        let server = self.take_present()?;
        match self.servers.stop(server, STOP_PATIENCE).await? {
            Some(status) if status.success() => {}
            other => self.complain(format!("a clean stop exited with {other:?}")),
        }
        self.start_server(None).await
    }

    /// In half of the cases a kill follows soon, so that memory is lost too.
    async fn lose_commit(&mut self, delivered: bool, rng: &mut StdRng) -> Result<()> {
        if !self.database.postgres()?.proxy.lose_commit(delivered, PATIENCE).await {
            bail!("the server did not flush within {PATIENCE:?}");
        }
        tokio::time::sleep(ms(rng, 20..80)).await;
        if rng.random() { self.kill(rng).await } else { Ok(()) }
    }

    async fn zombie(&mut self, rng: &mut StdRng) -> Result<()> {
        let zombie = self.take_present()?;
        zombie.signal(Signal::STOP);
        self.start_server(None).await?;
        // Half of the clients move; the others still listen to the zombie.
        self.front.cut(Cut::Half);
        tokio::time::sleep(ms(rng, 200..1_200)).await;
        zombie.signal(Signal::CONT);
        tokio::time::sleep(ms(rng, 300..1_500)).await;
        self.end_zombie(zombie, rng).await
    }

    /// A second server takes over while the first is between its proof and its write: it must wait.
    async fn held_write(&mut self, rng: &mut StdRng) -> Result<()> {
        let zombie = self.take_present()?;
        let mut gate = self.history.close(Gate::Writes).await?;
        if !gate.holds_somebody(PATIENCE).await? {
            bail!("the server did not flush within {PATIENCE:?}");
        }
        // Enough for a takeover that does not wait, and less than PostgreSQL's limit for the first server.
        let pause = ms(rng, 900..1_400);
        let let_go = async {
            tokio::time::sleep(pause).await;
            gate.open().await
        };
        let (started, let_go) = tokio::join!(self.start_server(None), let_go);
        started.and(let_go)?;
        self.front.cut(Cut::Half);
        tokio::time::sleep(ms(rng, 300..800)).await;
        self.end_zombie(zombie, rng).await
    }

    /// Kills or stops a server that has lost its leases. Either must do no harm.
    async fn end_zombie(&mut self, zombie: Server, rng: &mut StdRng) -> Result<()> {
        if rng.random() {
            return self.servers.kill(zombie).await;
        }
        if self.servers.stop(zombie, STOP_PATIENCE).await?.is_none() {
            self.complain("a server without its leases did not stop".to_owned());
        }
        Ok(())
    }

    /// The database is unreachable during a stop. With a full disk nothing is kept, and the clients send it again.
    async fn spool(&mut self, disk_full: bool) -> Result<()> {
        let disk = self.disk.as_ref().filter(|_| disk_full);
        if let Some(disk) = disk {
            disk.fill()?;
        }
        let certain = self.database.set_away(true)?;
        tokio::time::sleep(Duration::from_millis(400)).await;
        let server = self.present.take().context("no server is running")?;
        let status = self.servers.stop(server, STOP_PATIENCE).await?;
        if let Some(disk) = disk {
            disk.clear()?;
        }
        self.database.set_away(false)?;
        if certain && status.is_none_or(|status| status.success()) {
            self.complain(format!("a stop without a database exited with {status:?}"));
        }
        self.start_server(None).await
    }

    /// Moves the clock an hour ahead, so that tokens expire, and back.
    async fn move_clock(&mut self, rng: &mut StdRng) -> Result<()> {
        let clock = self.clock.as_ref().context("this run has no clock to move")?;
        clock.set(Duration::from_secs(3_600))?;
        tokio::time::sleep(ms(rng, 2_500..4_000)).await;
        clock.set(Duration::ZERO)?;
        Ok(())
    }

    /// In half of the cases the server dies before there is space again.
    async fn fill_database_disk(&mut self, rng: &mut StdRng) -> Result<()> {
        self.database.set_away(true)?;
        tokio::time::sleep(ms(rng, 1_000..2_500)).await;
        let server = if rng.random() { self.present.take() } else { None };
        if let Some(server) = server {
            self.servers.kill(server).await?;
        }
        self.database.set_away(false)?;
        if self.present.is_none() { self.start_server(None).await } else { Ok(()) }
    }

    pub(crate) fn complain(&mut self, what: String) {
        self.complaints.push(Finding::crashed(what));
    }
}
