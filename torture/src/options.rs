//! The options of a run.

use std::path::PathBuf;
use std::time::Duration;

use crate::planted::Bug;
use crate::schedule::Fault;

/// The servers' time limit for a statement.
pub(crate) const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

/// The options of a run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The server's executable, built with the features `faults` and `planted`.
    pub server: PathBuf,
    /// Duration of the faults.
    pub duration: Duration,
    /// Seed of the schedule and of the players' actions.
    pub seed: u64,
    /// The faults to choose from.
    pub faults: Vec<Fault>,
    /// Three nodes and two gateways instead of one server.
    pub cluster: bool,
    /// Almost only players who trade with each other.
    pub bazaar: bool,
    /// The bug to plant.
    pub bug: Option<Bug>,
    /// Folder to keep records and logs in; `None` removes them after a clean run.
    pub keep: Option<PathBuf>,
}
