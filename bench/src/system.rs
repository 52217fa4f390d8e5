//! The measured systems: separate programs, each pinned to the server's core.

#![expect(clippy::disallowed_methods, reason = "the end of a process can only be polled")]

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::echo::Mode;
use crate::machine::{pin_this_thread, terminate};

/// Time limit for a program to end.
const END_PATIENCE: Duration = Duration::from_secs(60);

/// Limits of an address. In most parts of a run all players come from one.
const BY_ADDRESS: [&str; 5] = [
    "HTTP_CONNECTIONS_PER_ADDRESS",
    "SOCKET_CONNECTIONS_PER_ADDRESS",
    "SOCKET_HANDSHAKES_BURST",
    "HTTP_ANONYMOUS_BURST",
    "AUTH_LOGINS_PER_ADDRESS",
];

/// A running program that listens. Killed when dropped.
pub struct Program {
    child: Child,
    address: SocketAddr,
    started_in: Duration,
}

impl Program {
    /// Starts a program on a core and waits until it prints its address.
    ///
    /// # Errors
    ///
    /// Fails if the program ends first.
    pub fn start(mut command: Command, core: usize) -> Result<Self> {
        let begin = Instant::now();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // A program inherits the core of the thread that started it.
        let child = std::thread::spawn(move || {
            pin_this_thread(core)?;
            command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))
        });
        let mut child = child.join().expect("the thread does not panic")?;
        let output = child.stdout.take().context("the output of the program is not piped")?;
        let mut lines = BufReader::new(output).lines();
        let address = lines.by_ref().find_map(|line| listening_on(&line.ok()?));
        let Some(address) = address else {
            let status = child.wait()?;
            bail!("a program ended with {status} before it listened; see its log");
        };
        // Drains the rest of its output, so that it never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address, started_in: begin.elapsed() })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Time from its start until it listened.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Asks it to end and waits for it.
    ///
    /// # Errors
    ///
    /// Fails if it does not end in time, or ends with an error.
    pub fn end(&mut self) -> Result<()> {
        terminate(self.process())?;
        let deadline = Instant::now() + END_PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                if !status.success() {
                    bail!("a program ended with {status}");
                }
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("a program did not end within {END_PATIENCE:?}");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // Errors mean that it has already ended.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The address at the end of a line such as `castellan is listening on http://127.0.0.1:8080`.
fn listening_on(line: &str) -> Option<SocketAddr> {
    let (_, place) = line.split_once("listening on ")?;
    place.trim_start_matches("http://").trim_start_matches("https://").split_whitespace().next()?.parse().ok()
}

/// Starts an echo.
pub fn start_echo(mode: Mode, answer_bytes: usize, core: usize) -> Result<Program> {
    let mut command = Command::new(std::env::current_exe()?);
    let mode = match mode {
        Mode::Plain => "plain",
        Mode::Gathered => "gathered",
    };
    command.args(["echo", "--mode", mode, "--answer-bytes", &answer_bytes.to_string()]);
    Program::start(command, core)
}

/// The database of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A file in the server's folder.
    Sqlite,
    /// A running PostgreSQL.
    Postgres(String),
}

/// A server that can be started: its executable, folder and database.
pub struct Castellan {
    program: PathBuf,
    database: Database,
    folder: TempDir,
    core: usize,
}

impl Castellan {
    /// A server that is not started yet, with an empty folder in `place`.
    pub fn new(program: &Path, database: Database, place: &Path, core: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("castellan-").tempdir_in(place)?;
        Ok(Self { program: program.to_owned(), database, folder, core })
    }

    /// Starts it with default settings, except the port.
    pub fn start_as_delivered(&self) -> Result<Program> {
        self.start_guarded(&[])
    }

    /// Starts it with these settings and default limits.
    pub fn start_guarded(&self, settings: &[&str]) -> Result<Program> {
        let mut command = self.command()?;
        command.args(settings);
        Program::start(command, self.core)
    }

    /// Starts it with these settings, and with limits that a load from few addresses does not reach.
    pub fn start_open(&self, settings: &[&str]) -> Result<Program> {
        let mut command = self.command()?;
        // Variables, because a build before these settings ignores them.
        for limit in BY_ADDRESS {
            command.env(format!("CASTELLAN_{limit}"), "1000000");
        }
        command.args(settings);
        Program::start(command, self.core)
    }

    /// Starts it with fast password hashes and long-lived tokens, so that thousands of players can be created.
    pub fn start(&self) -> Result<Program> {
        self.start_with(&[])
    }

    /// The same with additional settings.
    pub fn start_with(&self, settings: &[&str]) -> Result<Program> {
        let fast = ["--auth-argon2-memory", "64KiB", "--auth-argon2-iterations", "1", "--auth-access-ttl", "1d"];
        self.start_open(&[settings, &fast].concat())
    }

    /// Its folder, where it also looks for files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its SQLite file, if it uses SQLite.
    pub fn database_file(&self) -> PathBuf {
        self.folder.path().join("data/castellan.db")
    }

    fn command(&self) -> Result<Command> {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"))?;
        let mut command = Command::new(&self.program);
        command.current_dir(self.folder.path()).stderr(log).args(["--listen", "127.0.0.1:0"]);
        if let Database::Postgres(url) = &self.database {
            // A variable, because the list of processes would show the password.
            command.env("CASTELLAN_DATABASE_URL", url);
        }
        Ok(command)
    }

    /// Creates the account of a game server.
    ///
    /// # Errors
    ///
    /// Fails if the command fails.
    pub fn make_game_account(&self, name: &str, password: &str) -> Result<()> {
        let mut command = self.command()?;
        command.args(["account", "create", name, "--role", "game", "--password-stdin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        child
            .stdin
            .take()
            .context("the input of the program is not piped")?
            .write_all(format!("{password}\n").as_bytes())?;
        let status = child.wait()?;
        anyhow::ensure!(status.success(), "cannot create the game server's account: {status}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_a_programs_output() {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 8080)));
        assert_eq!(listening_on("castellan is listening on http://127.0.0.1:8080"), address);
        assert_eq!(listening_on("castellan is listening on https://127.0.0.1:8080"), address);
        assert_eq!(listening_on("listening on 127.0.0.1:8080"), address);
        assert_eq!(listening_on("play from another terminal: http://127.0.0.1:8080"), None);
    }
}
