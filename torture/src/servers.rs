//! The servers of a run, or its nodes and gateways: their start, their end, and their lifetimes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::Signal;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::children::{Children, Process};
use crate::clock::FakeClock;
use crate::evidence::Lifetime;
use crate::history::SERVER_SETTING;

/// Time limit for a server to start, including retries: PostgreSQL may still be recovering.
const START_PATIENCE: Duration = Duration::from_secs(40);

/// Whoever serves prints this before its address. A node's process follows in brackets.
const ANNOUNCEMENT: &str = " is listening on http://";

/// Directives for the logs. They tell each move of a shard, and why a gateway closes sockets.
const LOGGED: &str = "info,castellan::gateway::hub=debug,castellan::node::moves=debug";

/// Time limit for the answer to `GET /health/ready`.
const READINESS_TIMEOUT: Duration = Duration::from_secs(2);

/// The part of a process in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Has players and all shards.
    Server,
    /// Has shards.
    Node {
        /// Its name.
        name: &'static str,
        /// The address of its links, as gateways see it.
        advertise: SocketAddr,
    },
    /// Has players.
    Gateway {
        /// Its place. A later one there takes over from it, if it still runs.
        place: usize,
    },
}

/// The choices for the start of one process.
#[derive(Clone, Copy)]
pub struct Launch<'a> {
    /// Its part.
    pub role: &'a Role,
    /// The URL of its database.
    pub database_url: &'a str,
    /// The clock that it sees.
    pub clock: Option<&'a FakeClock>,
    /// A point of the flush, and the number of the pass on which the process dies.
    pub crash_at: Option<(&'a str, u32)>,
}

/// The settings of all servers of a run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The server's executable.
    pub program: PathBuf,
    /// The URL of a server's database.
    pub database_url: String,
    /// The folder of the spool.
    pub spool: PathBuf,
    /// The folder for logs.
    pub folder: PathBuf,
    /// Time limit for one statement; half of it for an idle transaction.
    pub database_timeout: Duration,
    /// Time limit for a clean stop.
    pub shutdown_timeout: Duration,
    /// Time between two pings to a player. One that says nothing for twice as long is closed.
    pub ping_interval: Duration,
    /// Characters and users in memory: fewer than exist, so that they are loaded and evicted.
    pub characters_max: u32,
    /// A bug to plant.
    pub planted: Option<&'static str>,
}

/// A server, running or ended.
pub struct Server {
    process: Process,
    /// Its number in the run.
    pub number: u32,
    /// Its address.
    pub address: SocketAddr,
    /// The id under which a node is registered.
    pub registered: Option<Uuid>,
    log: PathBuf,
}

/// All servers of a run.
pub struct Servers {
    setup: Setup,
    lifetimes: Vec<Lifetime>,
    began: Instant,
}

impl Servers {
    /// No servers yet.
    pub fn new(setup: Setup) -> Self {
        Self { setup, lifetimes: Vec::new(), began: Instant::now() }
    }

    /// The lifetimes of all servers so far.
    pub fn lifetimes(&self) -> Vec<Lifetime> {
        self.lifetimes.clone()
    }

    /// Starts a server and waits until it serves. Retries for a while if it ends at once.
    ///
    /// `crash_at` names a point of the flush, and the number of the pass on which the server dies.
    ///
    /// # Errors
    ///
    /// Fails with the end of the log if no server starts.
    pub async fn start(
        &mut self,
        children: &Children,
        clock: Option<&FakeClock>,
        crash_at: Option<(&str, u32)>,
    ) -> Result<Server> {
        match self.start_within(START_PATIENCE, children, clock, crash_at).await? {
            Ok(server) => Ok(server),
            Err(last_words) => anyhow::bail!("no server started within {START_PATIENCE:?}:\n{last_words}"),
        }
    }

    /// The same with another time limit. Returns the end of the log if no server starts.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub async fn start_within(
        &mut self,
        patience: Duration,
        children: &Children,
        clock: Option<&FakeClock>,
        crash_at: Option<(&str, u32)>,
    ) -> Result<Result<Server, String>> {
        let database_url = self.setup.database_url.clone();
        let launch = Launch { role: &Role::Server, database_url: &database_url, clock, crash_at };
        self.launch_within(patience, children, launch).await
    }

    /// Starts a process of any part and waits until it serves. Retries for a while if it ends at once.
    ///
    /// # Errors
    ///
    /// Fails with the end of the log if none starts.
    pub async fn launch(&mut self, children: &Children, launch: Launch<'_>) -> Result<Server> {
        match self.launch_within(START_PATIENCE, children, launch).await? {
            Ok(server) => Ok(server),
            Err(last_words) => {
                anyhow::bail!("{:?} did not start within {START_PATIENCE:?}:\n{last_words}", launch.role)
            }
        }
    }

    async fn launch_within(
        &mut self,
        patience: Duration,
        children: &Children,
        launch: Launch<'_>,
    ) -> Result<Result<Server, String>> {
        let deadline = Instant::now() + patience;
        loop {
            let last_words = match self.try_start(children, launch, deadline).await? {
                Ok(server) => return Ok(Ok(server)),
                Err(last_words) => last_words,
            };
            if Instant::now() > deadline {
                return Ok(Err(last_words));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// One try. Returns the last lines of its log if it ended.
    async fn try_start(
        &mut self,
        children: &Children,
        launch: Launch<'_>,
        deadline: Instant,
    ) -> Result<Result<Server, String>> {
        let number = u32::try_from(self.lifetimes.len())? + 1;
        let log = self.setup.folder.join(match launch.role {
            Role::Server => format!("server-{number}"),
            Role::Node { name, .. } => format!("{name}-{number}"),
            Role::Gateway { .. } => format!("gateway-{number}"),
        });
        let mut command = self.command(number, launch);
        if let Some((point, time)) = launch.crash_at {
            command.env("CASTELLAN_CRASH_AT", format!("{point}:{time}"));
        }
        if let Some(clock) = launch.clock {
            clock.apply(&mut command);
        }
        let began_ms = self.now_ms();
        let mut process = children.start(&mut command, &log)?;
        self.lifetimes.push(Lifetime { number, process: process.id(), registered: None, began_ms, ended_ms: None });
        let place = self.lifetimes.len() - 1;
        loop {
            let said = std::fs::read_to_string(log.with_extension("out"))?;
            if let Some((address, registered)) = said.lines().find_map(announced) {
                self.lifetimes[place].registered = registered;
                return Ok(Ok(Server { process, number, address, registered, log }));
            }
            let ended = process.ended()?;
            if ended.is_some() || Instant::now() > deadline {
                process.kill().await.ok();
                self.note_end(number);
                return Ok(Err(last_lines(&log.with_extension("err"))));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn command(&self, number: u32, launch: Launch<'_>) -> Command {
        let setup = &self.setup;
        let mut command = Command::new(&setup.program);
        let timeout_ms = setup.database_timeout.as_millis();
        let (shutdown_ms, ping_ms) = (setup.shutdown_timeout.as_millis(), setup.ping_interval.as_millis());
        match launch.role {
            Role::Server => {}
            Role::Node { name, advertise } => {
                command.args(["node", "--name", name, "--advertise", &advertise.to_string()]);
                // Nodes are never open to strangers here, but they cannot know.
                command.args(["--policy", "permissive"]);
            }
            Role::Gateway { place } => {
                command.args(["gateway", "--replace", &format!("gateway-{place}.sock")]);
            }
        }
        let mut database_url = launch.database_url.to_owned();
        if database_url.starts_with("postgres") {
            database_url.push_str(&format!("?options[{SERVER_SETTING}]={number}"));
        }
        command
            .current_dir(&setup.folder)
            .env("CASTELLAN_DATABASE_URL", database_url)
            .args(["--listen", "127.0.0.1:0", "--registration", "open", "--log-filter", LOGGED])
            .args(["--flush-interval", "250ms", "--durable-timeout", "3s"])
            .args(["--shutdown-timeout", &format!("{shutdown_ms}ms")])
            .args(["--auth-argon2-memory", "64KiB", "--auth-argon2-iterations", "1"])
            .args(["--socket-ping-interval", &format!("{ping_ms}ms"), "--socket-workers", "2"])
            // All players come from one address, and come back often.
            .args(["--socket-handshakes-burst", "1000000", "--http-anonymous-burst", "1000000"])
            .args(["--http-creations-per-day", "1000000"])
            .args(["--database-timeout", &format!("{timeout_ms}ms")])
            .args(["--deals-per-minute", "100000"])
            .args(["--cache-characters-max", &setup.characters_max.to_string()])
            .arg("--flush-spool")
            .arg(&setup.spool);
        if let Some(bug) = setup.planted {
            command.env("CASTELLAN_PLANTED", bug);
        }
        command
    }

    /// Runs another command of the server's program.
    ///
    /// # Errors
    ///
    /// Fails with the command's error output.
    pub async fn command_line(&self, database_url: &str, arguments: &[&str]) -> Result<()> {
        self.command_of(database_url, arguments).await
    }

    /// The same, for a task of its own. The command ends with it.
    pub fn command_of(
        &self,
        database_url: &str,
        arguments: &[&str],
    ) -> impl Future<Output = Result<()>> + Send + use<> {
        let mut command = Command::new(&self.setup.program);
        command.current_dir(&self.setup.folder).env("CASTELLAN_DATABASE_URL", database_url).args(arguments);
        command.kill_on_drop(true);
        let typed = arguments.join(" ");
        async move {
            let output = command.output().await?;
            if !output.status.success() {
                anyhow::bail!("castellan {typed} failed: {}", String::from_utf8_lossy(&output.stderr));
            }
            Ok(())
        }
    }

    /// `kill -9`.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub async fn kill(&mut self, mut server: Server) -> Result<()> {
        server.process.kill().await?;
        self.note_end(server.number);
        Ok(())
    }

    /// Asks a server to stop (SIGTERM) and waits; `None` if it did not stop and was killed.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub async fn stop(&mut self, server: Server, within: Duration) -> Result<Option<ExitStatus>> {
        server.signal(Signal::TERM);
        self.wait(server, within).await
    }

    /// Waits for a server to end by itself; `None` if it did not and was killed.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub async fn wait(&mut self, mut server: Server, within: Duration) -> Result<Option<ExitStatus>> {
        let status = server.process.wait(within).await?;
        if status.is_none() {
            server.process.kill().await?;
        }
        self.note_end(server.number);
        Ok(status)
    }

    fn note_end(&mut self, number: u32) {
        let now_ms = self.now_ms();
        let lifetime = self.lifetimes.iter_mut().find(|lifetime| lifetime.number == number);
        lifetime.expect("each started server has a lifetime").ended_ms.get_or_insert(now_ms);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Server {
    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Its exit status, if it has ended by itself.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.ended()
    }

    /// Its process id.
    pub const fn process(&self) -> u32 {
        self.process.id()
    }

    /// Its answer to `GET /health/ready`, for people.
    pub async fn readiness(&self) -> String {
        let url = format!("http://{}/health/ready", self.address);
        match spawn_blocking(move || page(&url)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => format!("no answer: {error}"),
            Err(error) => format!("no answer: {error}"),
        }
    }

    /// The last lines of its log.
    pub fn last_words(&self) -> String {
        last_lines(&self.log())
    }

    /// The file of its log.
    pub fn log(&self) -> PathBuf {
        self.log.with_extension("err")
    }
}

/// The address in an announcement, and the process if it is a node's.
fn announced(line: &str) -> Option<(SocketAddr, Option<Uuid>)> {
    let (_, rest) = line.strip_prefix("castellan").and_then(|rest| rest.split_once(ANNOUNCEMENT))?;
    let (address, process) =
        rest.split_once(" (process ").map_or((rest, None), |(address, rest)| (address, Some(rest)));
    Some((address.parse().ok()?, process.and_then(|rest| rest.strip_suffix(')')?.parse().ok())))
}

/// Status and body of a page.
fn page(url: &str) -> Result<String, ureq::Error> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(READINESS_TIMEOUT));
    let mut answer = config.build().new_agent().get(url).call()?;
    let body = answer.body_mut().read_to_string()?;
    Ok(format!("{} {body}", answer.status()))
}

/// The last lines of a log.
pub(crate) fn last_lines(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_announces_its_address() {
        let address = "127.0.0.1:4711".parse().expect("an address");
        assert_eq!(announced("castellan is listening on http://127.0.0.1:4711"), Some((address, None)));
        assert_eq!(announced("castellan gateway is listening on http://127.0.0.1:4711"), Some((address, None)));
        let process = Uuid::from_u128(7);
        let node = format!("castellan node b is listening on http://127.0.0.1:4711 (process {process})");
        assert_eq!(announced(&node), Some((address, Some(process))));
        assert_eq!(announced("its metrics are open"), None);
    }
}
