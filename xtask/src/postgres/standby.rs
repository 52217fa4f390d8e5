//! A standby: made from its primary, follows it, and can take its place.

use std::fs::File;

use anyhow::{Result, bail};

use super::Cluster;
use crate::run::quietly;

/// The name by which a primary knows its standby, for `synchronous_standby_names`: PostgreSQL's default.
///
/// Not `*`, because that also counts a running `pg_basebackup`.
pub const STANDBY_NAME: &str = "walreceiver";

impl Cluster {
    /// Copies a running server with `pg_basebackup` and starts the copy as its standby, with the same users and settings.
    pub fn start_standby(primary: &Self) -> Result<Self> {
        let mut cluster = Self::prepare(primary.options.clone(), primary.password.clone())?;
        let mut backup = cluster.program("pg_basebackup");
        backup.arg("-D").arg(cluster.data()).arg("-d").arg(primary.url());
        // The disk need not have it: after a crash of the machine nobody needs it.
        backup.args(["-R", "-X", "stream", "-c", "fast", "--no-sync"]);
        quietly(&mut backup)?;
        cluster.follows = Some(primary.url());
        cluster.watch()?;
        cluster.start_again()?;
        Ok(cluster)
    }

    /// Starts a stopped server as a standby of `primary`. It must not have anything that `primary` lacks: it was the
    /// primary and stopped with [`Stop::Fast`](super::Stop::Fast) before the other was promoted.
    pub fn follow(&mut self, primary: &Self) -> Result<()> {
        if self.is_running() {
            bail!("a server must be stopped before it can follow another one");
        }
        let signal = self.data().join("standby.signal");
        File::create(&signal)?;
        self.give_to_user(&signal)?;
        self.follows = Some(primary.url());
        self.start_again()
    }

    /// Makes a running standby a primary, and waits until it is one.
    pub fn promote(&mut self) -> Result<()> {
        let mut promote = self.program("pg_ctl");
        promote.arg("promote").arg("-D").arg(self.data());
        quietly(&mut promote)?;
        self.follows = None;
        Ok(())
    }
}
