//! The database of a run, and its faults.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Signal, kill_process};
use tokio::task::block_in_place;
use xtask::postgres::{Cluster, Stop};

use crate::database_proxy::DatabaseProxy;
use crate::disk::SmallDisk;

/// The database of a run.
pub(crate) enum Database<'a> {
    /// PostgreSQL, reached through a proxy.
    Postgres(Postgres<'a>),
    /// A SQLite file, on its own disk if one could be mounted.
    Sqlite(Option<SmallDisk>),
}

/// The run's own PostgreSQL.
pub(crate) struct Postgres<'a> {
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) proxy: DatabaseProxy,
}

impl<'a> Database<'a> {
    pub(crate) fn postgres(&mut self) -> Result<&mut Postgres<'a>> {
        match self {
            Self::Postgres(postgres) => Ok(postgres),
            Self::Sqlite(_) => anyhow::bail!("this is for PostgreSQL only"),
        }
    }

    /// Stops or resumes accepting writes. Returns true if that is certain: a full disk may have a spare page.
    pub(crate) fn set_away(&self, away: bool) -> Result<bool> {
        match self {
            Self::Postgres(postgres) => {
                postgres.proxy.close(away);
                Ok(true)
            }
            Self::Sqlite(disk) => {
                let disk = disk.as_ref().context("there is no disk to fill")?;
                if away {
                    disk.fill()?
                } else {
                    disk.clear()?
                }
                Ok(false)
            }
        }
    }

    /// Repairs the state that an interrupted fault may have left.
    pub(crate) fn repair(&mut self) -> Result<()> {
        if let Self::Postgres(Postgres { cluster, .. }) = self {
            signal(cluster, Signal::CONT)?;
            if cluster.pids()?.is_empty() {
                cluster.start_again()?;
            }
        }
        Ok(())
    }
}

impl Postgres<'_> {
    pub(crate) async fn crash(&mut self, pause: Duration) -> Result<()> {
        block_in_place(|| self.cluster.stop(Stop::Immediate))?;
        tokio::time::sleep(pause).await;
        block_in_place(|| self.cluster.start_again())
    }

    pub(crate) async fn freeze(&mut self, pause: Duration) -> Result<()> {
        block_in_place(|| signal(self.cluster, Signal::STOP))?;
        tokio::time::sleep(pause).await;
        block_in_place(|| signal(self.cluster, Signal::CONT))
    }
}

/// Sends a signal to all processes of a cluster.
fn signal(cluster: &Cluster, signal: Signal) -> Result<()> {
    for process in cluster.pids()? {
        // A connection's process may just have ended.
        let _ = kill_process(process, signal);
    }
    Ok(())
}
