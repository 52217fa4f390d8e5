//! The PostgreSQL servers of a run: one, or a primary with a synchronous standby.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sqlx::{Connection, PgConnection};
use tokio::task::block_in_place;
use xtask::postgres::{Cluster, ClusterOptions, STANDBY_NAME};

/// Time limit for the standby to have everything.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time between two looks at the primary.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Counts synchronous standbys that have everything.
const IN_SYNC: &str = "SELECT count(*) FROM pg_stat_replication \
     WHERE state = 'streaming' AND sync_state = 'sync' AND flush_lsn >= pg_current_wal_flush_lsn()";

/// Counts commits that wait for the standby.
const WAITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND wait_event = 'SyncRep'";

/// Cancels commits that wait for the standby, and counts them.
const CANCEL: &str = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
     WHERE backend_type = 'client backend' AND wait_event = 'SyncRep'";

/// The PostgreSQL servers of a run.
pub struct Replicas {
    primary: Cluster,
    standby: Option<Cluster>,
    /// True if there should be a standby.
    paired: bool,
}

impl Replicas {
    /// One server.
    ///
    /// # Errors
    ///
    /// PostgreSQL does not start.
    pub fn alone() -> Result<Self> {
        // Fast, except that commits are durable as on a real cluster.
        let primary = Cluster::start(ClusterOptions { durable: true, ..ClusterOptions::default() })?;
        Ok(Self { primary, standby: None, paired: false })
    }

    /// A primary and a standby; a commit waits until both have it on disk.
    ///
    /// # Errors
    ///
    /// PostgreSQL does not start.
    pub fn pair() -> Result<Self> {
        let settings = [
            ("synchronous_standby_names", STANDBY_NAME),
            // A standby that was away looks for its primary at once, and the primary still has all that it missed.
            ("wal_retrieve_retry_interval", "100ms"),
            ("wal_keep_size", "512MB"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let primary = Cluster::start(ClusterOptions { durable: true, settings, ..ClusterOptions::default() })?;
        let standby = Some(Cluster::start_standby(&primary)?);
        Ok(Self { primary, standby, paired: true })
    }

    /// The primary.
    pub fn primary(&mut self) -> &mut Cluster {
        &mut self.primary
    }

    /// The standby.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn standby(&mut self) -> Result<&mut Cluster> {
        self.standby.as_mut().context("no standby is running")
    }

    /// Makes the standby the primary and returns the old one as it is.
    ///
    /// # Errors
    ///
    /// There is no standby, or PostgreSQL fails.
    pub fn promote(&mut self) -> Result<Cluster> {
        let mut standby = self.standby.take().context("no standby is running")?;
        block_in_place(|| {
            // It may have been stopped; a stopped server cannot be promoted.
            if !standby.is_running() {
                standby.start_again()?;
            }
            standby.promote()
        })?;
        Ok(std::mem::replace(&mut self.primary, standby))
    }

    /// Makes a new standby as a copy of the primary.
    ///
    /// # Errors
    ///
    /// PostgreSQL fails.
    pub fn renew_standby(&mut self) -> Result<()> {
        // The old one ends first.
        block_in_place(|| {
            self.standby = None;
            self.standby = Some(Cluster::start_standby(&self.primary)?);
            Ok(())
        })
    }

    /// Makes the old primary, which was stopped cleanly, the standby.
    ///
    /// # Errors
    ///
    /// PostgreSQL fails.
    pub fn take_back(&mut self, mut old: Cluster) -> Result<()> {
        block_in_place(|| old.follow(&self.primary))?;
        self.standby = Some(old);
        Ok(())
    }

    /// Repairs what an interrupted fault may have left: afterwards the primary answers, and the standby has everything.
    ///
    /// # Errors
    ///
    /// PostgreSQL fails.
    pub async fn repair(&mut self) -> Result<()> {
        block_in_place(|| {
            if !self.primary.is_running() {
                self.primary.start_again()?;
            }
            match &mut self.standby {
                Some(standby) if !standby.is_running() => standby.start_again(),
                Some(_) => Ok(()),
                None if self.paired => self.renew_standby(),
                None => Ok(()),
            }
        })?;
        if self.paired { self.until_in_sync().await } else { Ok(()) }
    }

    /// Waits until the standby has everything that the primary has.
    ///
    /// # Errors
    ///
    /// It does not, within a time limit.
    pub async fn until_in_sync(&self) -> Result<()> {
        self.until("the standby did not have everything", PATIENCE, IN_SYNC).await
    }

    /// Waits until a commit waits for the standby.
    ///
    /// # Errors
    ///
    /// None does, within the time limit.
    pub async fn until_commit_waits(&self, within: Duration) -> Result<()> {
        self.until("no commit waited for the standby", within, WAITING).await
    }

    /// Cancels all commits that wait for the standby and returns their number.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn cancel_commits(&self) -> Result<i64> {
        let mut connection = PgConnection::connect(&self.primary.url()).await?;
        Ok(sqlx::query_scalar(CANCEL).fetch_one(&mut connection).await?)
    }

    async fn until(&self, complaint: &str, within: Duration, count: &'static str) -> Result<()> {
        let mut connection = PgConnection::connect(&self.primary.url()).await.context("cannot reach the primary")?;
        let deadline = Instant::now() + within;
        while sqlx::query_scalar::<_, i64>(count).fetch_one(&mut connection).await? == 0 {
            if Instant::now() > deadline {
                bail!("{complaint} within {within:?}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}
