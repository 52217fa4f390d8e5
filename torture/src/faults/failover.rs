//! The standby, and what a failover may lose.
//!
//! A commit waits until the standby has it. Without one nothing becomes durable, however visible a row is.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::task::block_in_place;
use tokio::time::Instant;
use xtask::postgres::{Cluster, Stop};

use super::ms;
use crate::check::{Finding, Rule, Standing};
use crate::database::address_of;
use crate::front::Cut;
use crate::period::Period;
use crate::world::World;

/// Time limit for players to act: after a long time without a server they wait for up to 30 s before they connect again.
const PATIENCE: Duration = Duration::from_secs(45);

/// Time between two looks at the records, and between two rounds of cancelling.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Time for a server to start that must not get its leases: it needs a fraction of a second if it gets them.
const START_IN_VAIN: Duration = Duration::from_secs(4);

/// Premature answers that are listed; the rest are counted.
const LISTED_MAX: usize = 3;

impl World<'_> {
    /// In half of the cases the server dies too, so that memory is lost.
    pub(super) async fn fail_over(&mut self, rng: &mut StdRng) -> Result<()> {
        if rng.random() {
            let server = self.take_present()?;
            self.servers.kill(server).await?;
        }
        let postgres = self.database.postgres()?;
        block_in_place(|| postgres.replicas.primary().stop(Stop::Immediate))?;
        tokio::time::sleep(ms(rng, 0..1_000)).await;
        let dead = self.promote()?;
        self.renew_standby(dead).await
    }

    pub(super) async fn switch_over(&mut self, rng: &mut StdRng) -> Result<()> {
        let postgres = self.database.postgres()?;
        postgres.replicas.until_in_sync().await?;
        // It stops when the standby has everything.
        block_in_place(|| postgres.replicas.primary().stop(Stop::Fast))?;
        tokio::time::sleep(ms(rng, 0..500)).await;
        let old = self.promote()?;
        let postgres = self.database.postgres()?;
        postgres.replicas.take_back(old)?;
        postgres.replicas.until_in_sync().await
    }

    /// In half of the cases it is stopped, otherwise suspended.
    pub(super) async fn send_standby_away(&mut self, rng: &mut StdRng) -> Result<()> {
        let stopped = rng.random();
        self.until_in_play().await?;
        let postgres = self.database.postgres()?;
        if stopped {
            block_in_place(|| postgres.replicas.standby()?.stop(Stop::Fast))?;
        } else {
            postgres.suspend_standby(true)?;
        }
        let standstill = Period::begin(&self.players.records)?;
        self.database.postgres()?.replicas.until_commit_waits(PATIENCE).await?;
        tokio::time::sleep(ms(rng, 1_500..4_500)).await;
        self.until_applied(&standstill).await?;
        self.expect_nothing_durable(&standstill, "the standby was away")?;
        let postgres = self.database.postgres()?;
        if stopped {
            block_in_place(|| postgres.replicas.standby()?.start_again())?;
        } else {
            postgres.suspend_standby(false)?;
        }
        postgres.replicas.until_in_sync().await
    }

    pub(super) async fn show_then_lose(&mut self, rng: &mut StdRng) -> Result<()> {
        let before = self.history.newest_place().await?;
        let standstill = self.stop_standby().await?;
        tokio::time::sleep(ms(rng, 0..1_000)).await;
        // Recovery shows what is on the primary's own disk.
        self.database.postgres()?.crash(ms(rng, 0..300)).await?;
        if self.history.newest_place().await? <= before {
            eprintln!("      no row became visible");
        }
        // The server finds its rows there without having heard of their commit.
        tokio::time::sleep(ms(rng, 1_000..2_000)).await;
        let server = self.take_present()?;
        self.servers.kill(server).await?;
        // Another one must not believe that it has the leases, not even if its commit is cancelled.
        if self.start_and_cancel(START_IN_VAIN).await? {
            tokio::time::sleep(ms(rng, 1_500..2_500)).await;
        }
        self.expect_nothing_durable(&standstill, "the standby was away")?;
        self.lose_primary().await
    }

    pub(super) async fn cancel_commits(&mut self, rng: &mut StdRng) -> Result<()> {
        let standstill = self.stop_standby().await?;
        let deadline = Instant::now() + ms(rng, 1_500..3_000);
        while Instant::now() < deadline {
            self.database.postgres()?.replicas.cancel_commits().await?;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        self.expect_nothing_durable(&standstill, "commits were cancelled without a standby")?;
        if rng.random() {
            return self.lose_primary().await;
        }
        let replicas = &mut *self.database.postgres()?.replicas;
        block_in_place(|| replicas.standby()?.start_again())?;
        replicas.until_in_sync().await
    }

    /// The old primary has no standby any more: it must not acknowledge anything, and what it has is out of date.
    ///
    /// In half of the cases a server was started meanwhile: the old primary does not know of its leases.
    pub(super) async fn old_primary_returns(&mut self, rng: &mut StdRng) -> Result<()> {
        let zombie = self.promote()?;
        let replicas = &mut *self.database.postgres()?.replicas;
        replicas.renew_standby()?;
        replicas.until_in_sync().await?;
        if rng.random() {
            let server = self.take_present()?;
            self.servers.kill(server).await?;
            self.start_server(None).await?;
        }
        // The new primary gets ahead of the old one.
        tokio::time::sleep(ms(rng, 500..1_500)).await;
        self.database.postgres()?.proxy.lead_to(address_of(&zombie)?);
        let standstill = Period::begin(&self.players.records)?;
        // Players come back, so characters are loaded.
        self.front.cut(Cut::All);
        tokio::time::sleep(ms(rng, 500..2_500)).await;
        self.expect_nothing_durable(&standstill, "only the old primary was reachable")?;
        self.database.postgres()?.lead_to_primary()?;
        block_in_place(|| drop(zombie));
        Ok(())
    }

    /// Makes the standby the primary and leads everybody to it. Returns the old primary.
    fn promote(&mut self) -> Result<Cluster> {
        let postgres = self.database.postgres()?;
        let old = postgres.replicas.promote()?;
        postgres.lead_to_primary()?;
        self.history.move_to(postgres.url()?);
        Ok(old)
    }

    /// Removes a dead primary, makes a new standby, and starts a server if there is none.
    async fn renew_standby(&mut self, dead: Cluster) -> Result<()> {
        block_in_place(|| drop(dead));
        let replicas = &mut *self.database.postgres()?.replicas;
        replicas.renew_standby()?;
        replicas.until_in_sync().await?;
        if self.present.is_none() { self.start_server(None).await } else { Ok(()) }
    }

    /// Stops the standby and waits until a commit waits for it. From now on nothing that players send is durable.
    async fn stop_standby(&mut self) -> Result<Period> {
        self.until_in_play().await?;
        let replicas = &mut *self.database.postgres()?.replicas;
        block_in_place(|| replicas.standby()?.stop(Stop::Fast))?;
        let standstill = Period::begin(&self.players.records)?;
        replicas.until_commit_waits(PATIENCE).await?;
        Ok(standstill)
    }

    /// The primary and the server die while the standby is stopped: what only they had is gone.
    async fn lose_primary(&mut self) -> Result<()> {
        if let Some(server) = self.present.take() {
            self.servers.kill(server).await?;
        }
        let postgres = self.database.postgres()?;
        block_in_place(|| postgres.replicas.primary().stop(Stop::Immediate))?;
        let dead = self.promote()?;
        self.renew_standby(dead).await
    }

    /// Starts a server while commits that wait are cancelled. Returns true if one serves.
    async fn start_and_cancel(&mut self, within: Duration) -> Result<bool> {
        let replicas = &*self.database.postgres()?.replicas;
        let cancel = async {
            loop {
                replicas.cancel_commits().await?;
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        let started = tokio::select! {
            started = self.servers.start_within(within, &self.children, self.clock.as_ref(), None) => started?,
            stopped = cancel => return stopped,
        };
        Ok(match started {
            Ok(server) => {
                self.make_present(server);
                true
            }
            Err(_) => false,
        })
    }

    /// Waits until something that is sent from now on is durable. Without a standby no character can be loaded, so players
    /// must be in play before it leaves.
    async fn until_in_play(&self) -> Result<()> {
        let now = Period::begin(&self.players.records)?;
        let deadline = Instant::now() + PATIENCE;
        while now.answers()?.durable.is_empty() {
            if Instant::now() > deadline {
                bail!("nothing became durable within {PATIENCE:?}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Waits until an intent that was sent since the beginning is answered as applied.
    async fn until_applied(&mut self, standstill: &Period) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while standstill.answers()?.applied == 0 {
            if Instant::now() > deadline {
                self.complain(format!("no intent was applied within {PATIENCE:?} without a standby"));
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    fn expect_nothing_durable(&mut self, standstill: &Period, why: &str) -> Result<()> {
        let durable = standstill.answers().context("cannot read the records")?.durable;
        let listed = durable.iter().take(LISTED_MAX).map(String::as_str).collect::<Vec<_>>().join("; ");
        if !durable.is_empty() {
            let what = format!("{} intents were reported as durable while {why}, for example {listed}", durable.len());
            self.complaints.push(Finding { rule: Rule::Premature, standing: Standing::Certain, what });
        }
        Ok(())
    }
}
