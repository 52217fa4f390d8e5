//! How each fault is done. Every one leaves the world as it found it: one server that serves, a database that answers.

mod refusal;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::RngExt;
use rand::rngs::StdRng;
use rustix::process::Signal;

use crate::check::Violation;
use crate::front::Cut;
use crate::history::Gate;
use crate::run::World;
use crate::schedule::Fault;
use crate::servers::Server;

/// How long to wait for what a flush brings about: many flushes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a server may take for a clean stop: its own limit and what it takes to end.
const STOP_PATIENCE: Duration = Duration::from_secs(12);

fn ms(rng: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

impl World<'_> {
    /// Does a fault.
    pub(crate) async fn inject(&mut self, fault: Fault, rng: &mut StdRng) -> Result<()> {
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
            Fault::SocketsCut => self.cut_sockets(rng).await,
            Fault::SentTwice => self.send_twice(rng).await,
            Fault::RefusedThenRetried => self.refuse_row("retry", rng).await,
            Fault::RefusedThenDiscarded => self.refuse_row("discard", rng).await,
            Fault::RefusedWhileWritten => self.refuse_while_written(rng).await,
            Fault::Spool => self.spool(false).await,
            Fault::SpoolDiskFull => self.spool(true).await,
            Fault::ClockMoved => self.move_clock(rng).await,
        }
    }

    fn take_present(&mut self) -> Result<Server> {
        self.present.take().context("a server serves between two faults")
    }

    async fn kill(&mut self, rng: &mut StdRng) -> Result<()> {
        let server = self.take_present()?;
        self.servers.kill(server).await?;
        tokio::time::sleep(ms(rng, 0..300)).await;
        self.start_server(None).await
    }

    /// Puts a server there that dies at a point of one of its next flushes, and another one when it has.
    async fn crash_at(&mut self, point: &str, rng: &mut StdRng) -> Result<()> {
        let server = self.take_present()?;
        self.servers.kill(server).await?;
        self.start_server(Some((point, rng.random_range(1..6)))).await?;
        let server = self.take_present()?;
        if self.servers.wait(server, PATIENCE).await?.is_none() {
            bail!("a server that was to die at a flush did not");
        }
        self.start_server(None).await
    }

    async fn restart(&mut self) -> Result<()> {
        let server = self.take_present()?;
        match self.servers.stop(server, STOP_PATIENCE).await? {
            Some(status) if status.success() => {}
            other => self.complain(format!("a clean stop came out as {other:?}")),
        }
        self.start_server(None).await
    }

    /// With a kill close behind in half of the cases: what was taken for written is then gone from memory too.
    async fn lose_commit(&mut self, delivered: bool, rng: &mut StdRng) -> Result<()> {
        if !self.database.postgres()?.proxy.lose_commit(delivered, PATIENCE).await {
            bail!("no flush came");
        }
        tokio::time::sleep(ms(rng, 20..80)).await;
        if rng.random() { self.kill(rng).await } else { Ok(()) }
    }

    async fn zombie(&mut self, rng: &mut StdRng) -> Result<()> {
        let zombie = self.take_present()?;
        zombie.signal(Signal::STOP);
        self.start_server(None).await?;
        // Half of the clients go over; the others do not know yet, and hear from the zombie first.
        self.front.cut(Cut::Half);
        tokio::time::sleep(ms(rng, 200..1_200)).await;
        zombie.signal(Signal::CONT);
        tokio::time::sleep(ms(rng, 300..1_500)).await;
        self.end_zombie(zombie, rng).await
    }

    /// A second server takes over while the first one is between its proof and its write: it has to wait.
    async fn held_write(&mut self, rng: &mut StdRng) -> Result<()> {
        let zombie = self.take_present()?;
        let mut gate = self.history.close(Gate::Writes).await?;
        if !gate.holds_somebody(PATIENCE).await? {
            bail!("no flush came");
        }
        // Time for a second server that does not wait to take over, and less than PostgreSQL gives the first one.
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

    /// It has lost everything: killed or asked to stop, it can do no harm.
    async fn end_zombie(&mut self, zombie: Server, rng: &mut StdRng) -> Result<()> {
        if rng.random() {
            return self.servers.kill(zombie).await;
        }
        if self.servers.stop(zombie, STOP_PATIENCE).await?.is_none() {
            self.complain("a server that had lost its shards did not stop".to_owned());
        }
        Ok(())
    }

    async fn cut_sockets(&mut self, rng: &mut StdRng) -> Result<()> {
        for _ in 0..rng.random_range(2..5) {
            self.front.cut(Cut::All);
            tokio::time::sleep(ms(rng, 5..900)).await;
        }
        Ok(())
    }

    async fn send_twice(&mut self, rng: &mut StdRng) -> Result<()> {
        self.front.send_twice(true);
        self.cut_sockets(rng).await?;
        tokio::time::sleep(ms(rng, 500..1_500)).await;
        self.front.send_twice(false);
        self.front.cut(Cut::All);
        Ok(())
    }

    /// The database is away during a stop. With a full disk nothing can be kept; then the clients bring it back.
    async fn spool(&mut self, disk_full: bool) -> Result<()> {
        let disk = self.disk.as_ref().filter(|_| disk_full);
        if let Some(disk) = disk {
            disk.fill()?;
        }
        let certain = self.database.set_away(true)?;
        tokio::time::sleep(Duration::from_millis(400)).await;
        let server = self.present.take().context("a server serves between two faults")?;
        let status = self.servers.stop(server, STOP_PATIENCE).await?;
        if let Some(disk) = disk {
            disk.clear()?;
        }
        self.database.set_away(false)?;
        if certain && status.is_none_or(|status| status.success()) {
            self.complain(format!("a stop without a database came out as {status:?}"));
        }
        self.start_server(None).await
    }

    /// Ahead by an hour, so that tokens run out, and back.
    async fn move_clock(&mut self, rng: &mut StdRng) -> Result<()> {
        let clock = self.clock.as_ref().context("there is a clock to move")?;
        clock.set(Duration::from_secs(3_600))?;
        tokio::time::sleep(ms(rng, 2_500..4_000)).await;
        clock.set(Duration::ZERO)?;
        Ok(())
    }

    /// In half of the cases the server dies before there is room again.
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
        self.complaints.push(Violation::crashed(what));
    }
}
