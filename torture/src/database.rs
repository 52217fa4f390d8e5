//! The database of a run, and its faults.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Signal, kill_process};
use sqlx::{Connection, PgConnection};
use tokio::task::block_in_place;
use xtask::postgres::{Cluster, Stop};

use crate::database_proxy::DatabaseProxy;
use crate::disk::SmallDisk;
use crate::replicas::Replicas;

/// The database of a run.
pub(crate) enum Database<'a> {
    /// PostgreSQL, reached through a proxy.
    Postgres(Postgres<'a>),
    /// A SQLite file, on its own disk if one could be mounted.
    Sqlite(Option<SmallDisk>),
}

/// The run's own PostgreSQL.
pub(crate) struct Postgres<'a> {
    pub(crate) replicas: &'a mut Replicas,
    pub(crate) proxy: DatabaseProxy,
    /// The name of the run's database.
    name: String,
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
    pub(crate) async fn repair(&mut self) -> Result<()> {
        let Self::Postgres(Postgres { replicas, .. }) = self else { return Ok(()) };
        block_in_place(|| signal(replicas.primary(), Signal::CONT))?;
        if let Ok(standby) = replicas.standby() {
            block_in_place(|| signal(standby, Signal::CONT))?;
        }
        replicas.repair().await
    }
}

impl<'a> Postgres<'a> {
    /// Creates a database for a run, and a proxy that leads to it.
    pub(crate) async fn begin(replicas: &'a mut Replicas, seed: u64) -> Result<Self> {
        let name = format!("torture_{seed}_{}", uuid::Uuid::new_v4().simple());
        let create = format!("CREATE DATABASE {name}");
        let mut connection = PgConnection::connect(&replicas.primary().url()).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await?;
        let proxy = DatabaseProxy::start(address_of(replicas.primary())?).await?;
        Ok(Self { replicas, proxy, name })
    }

    /// The database's URL, without the proxy. Another one after a promotion.
    pub(crate) fn url(&mut self) -> Result<String> {
        let url = self.replicas.primary().url();
        let (server, _) = url.rsplit_once('/').context("the cluster's URL has no database")?;
        Ok(format!("{server}/{}", self.name))
    }

    /// The database's URL through the proxy: the same for every primary.
    pub(crate) fn url_through_proxy(&mut self) -> Result<String> {
        let proxy = self.proxy.address();
        self.url_through(proxy)
    }

    /// The database's URL through another proxy.
    pub(crate) fn url_through(&mut self, proxy: SocketAddr) -> Result<String> {
        let address = address_of(self.replicas.primary())?;
        Ok(self.url()?.replacen(&address.to_string(), &proxy.to_string(), 1))
    }

    /// Leads servers to the primary.
    pub(crate) fn lead_to_primary(&mut self) -> Result<()> {
        self.proxy.lead_to(address_of(self.replicas.primary())?);
        Ok(())
    }

    pub(crate) async fn crash(&mut self, pause: Duration) -> Result<()> {
        block_in_place(|| self.replicas.primary().stop(Stop::Immediate))?;
        tokio::time::sleep(pause).await;
        block_in_place(|| self.replicas.primary().start_again())
    }

    pub(crate) async fn freeze(&mut self, pause: Duration) -> Result<()> {
        block_in_place(|| signal(self.replicas.primary(), Signal::STOP))?;
        tokio::time::sleep(pause).await;
        block_in_place(|| signal(self.replicas.primary(), Signal::CONT))
    }

    /// Suspends or continues the standby.
    pub(crate) fn suspend_standby(&mut self, suspended: bool) -> Result<()> {
        let standby = self.replicas.standby()?;
        block_in_place(|| signal(standby, if suspended { Signal::STOP } else { Signal::CONT }))
    }
}

/// Host and port of a server.
pub(crate) fn address_of(cluster: &Cluster) -> Result<SocketAddr> {
    let url = cluster.url();
    let host = url.rsplit_once('@').and_then(|(_, place)| place.split('/').next());
    let port = host.and_then(|host| host.rsplit_once(':')).and_then(|(_, port)| port.parse().ok());
    Ok((Ipv4Addr::LOCALHOST, port.context("the cluster's URL has no port")?).into())
}

/// Sends a signal to all processes of a cluster.
fn signal(cluster: &Cluster, signal: Signal) -> Result<()> {
    for process in cluster.pids()? {
        // A connection's process may just have ended.
        let _ = kill_process(process, signal);
    }
    Ok(())
}
