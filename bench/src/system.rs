//! The systems that are measured: programs of their own, each kept on the server's core.

#![expect(clippy::disallowed_methods, reason = "a process that ends tells nobody but who asks")]

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

/// How long a program may take to end.
const END_PATIENCE: Duration = Duration::from_secs(60);

/// A running program that listens; it is ended when dropped.
pub struct Program {
    child: Child,
    address: SocketAddr,
    started_in: Duration,
}

impl Program {
    /// Starts a program on a core and waits until it prints where it listens.
    ///
    /// # Errors
    ///
    /// Where it ends instead.
    pub fn start(mut command: Command, core: usize) -> Result<Self> {
        let begin = Instant::now();
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // A program inherits the core of the thread that starts it.
        let child = std::thread::spawn(move || {
            pin_this_thread(core)?;
            command.spawn().with_context(|| format!("{} cannot be started", command.get_program().display()))
        });
        let mut child = child.join().expect("the thread does not panic")?;
        let output = child.stdout.take().context("the output is piped")?;
        let mut lines = BufReader::new(output).lines();
        let address = lines.by_ref().find_map(|line| listening_on(&line.ok()?));
        let Some(address) = address else {
            let status = child.wait()?;
            bail!("a program ended before it listened: {status}");
        };
        // What it says further has to go somewhere, lest it wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address, started_in: begin.elapsed() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// How long it took until it listened.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// Asks it to end and waits for that.
    ///
    /// # Errors
    ///
    /// Where it does not end, or not in success.
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
        bail!("a program does not end");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // It is ours and has to go; should it be gone already there is nothing to do.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The address at the end of a line such as `castellan is listening on http://127.0.0.1:8080`.
fn listening_on(line: &str) -> Option<SocketAddr> {
    let (_, place) = line.split_once("listening on ")?;
    place.trim_start_matches("http://").split_whitespace().next()?.parse().ok()
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

/// Where a server keeps its characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// In a file in its own folder.
    Sqlite,
    /// In a PostgreSQL that runs already.
    Postgres(String),
}

/// A server's folder and how it is started.
pub struct Castellan {
    program: PathBuf,
    database: Database,
    folder: TempDir,
    core: usize,
}

impl Castellan {
    /// A server that has not been started, with an empty folder in `place`.
    pub fn new(program: &Path, database: Database, place: &Path, core: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("castellan-").tempdir_in(place)?;
        Ok(Self { program: program.to_owned(), database, folder, core })
    }

    /// Starts it as it is delivered, but for the port.
    pub fn start_as_delivered(&self) -> Result<Program> {
        Program::start(self.command()?, self.core)
    }

    /// Starts it with passwords that hash fast and tokens that last, so that thousands of players can be made.
    pub fn start(&self) -> Result<Program> {
        self.start_with(&[])
    }

    /// The same with further settings.
    pub fn start_with(&self, settings: &[&str]) -> Result<Program> {
        let mut command = self.command()?;
        command.args(settings);
        command.args(["--auth-argon2-memory", "64KiB", "--auth-argon2-iterations", "1", "--auth-access-ttl", "1d"]);
        Program::start(command, self.core)
    }

    /// The file in which it keeps its characters where that is SQLite's.
    pub fn database_file(&self) -> PathBuf {
        self.folder.path().join("data/castellan.db")
    }

    fn command(&self) -> Result<Command> {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"))?;
        let mut command = Command::new(&self.program);
        command.current_dir(self.folder.path()).stderr(log).args(["--listen", "127.0.0.1:0"]);
        if let Database::Postgres(url) = &self.database {
            // In the variable, not in the list of processes: it holds a password.
            command.env("CASTELLAN_DATABASE_URL", url);
        }
        Ok(command)
    }

    /// Makes the account of a game server.
    ///
    /// # Errors
    ///
    /// Where the program refuses to.
    pub fn make_game_account(&self, name: &str, password: &str) -> Result<()> {
        let mut command = self.command()?;
        command.args(["account", "create", name, "--role", "game", "--password-stdin"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        child.stdin.take().context("the input is piped")?.write_all(format!("{password}\n").as_bytes())?;
        let status = child.wait()?;
        anyhow::ensure!(status.success(), "an account is not made: {status}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_address_in_what_a_program_prints() {
        let address = Some(SocketAddr::from(([127, 0, 0, 1], 8080)));
        assert_eq!(listening_on("castellan is listening on http://127.0.0.1:8080"), address);
        assert_eq!(listening_on("listening on 127.0.0.1:8080"), address);
        assert_eq!(listening_on("play from another terminal: http://127.0.0.1:8080"), None);
    }
}
