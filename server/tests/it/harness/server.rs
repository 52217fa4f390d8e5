//! The real server as a process of its own.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to say where it listens.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a server may take to end once it is told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// What the server prints before its address.
const LISTENING: &str = "listening on http";

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    /// The lines that it has printed.
    said: Arc<Mutex<Vec<String>>>,
    log: PathBuf,
}

impl Server {
    /// Starts a server in `folder`, where its `./data` will be, on a free port and waits until it listens.
    ///
    /// `database` is what `--database-url` gets; without it the server has its own SQLite file. `arguments` may name
    /// another address to listen on.
    pub(crate) fn start(folder: &Path, database: Option<&str>, arguments: &[&str]) -> Self {
        let log = folder.join("server.log");
        let errors = File::options().create(true).append(true).open(&log).expect("the log opens");
        let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
        command.current_dir(folder).args(arguments);
        if !arguments.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if let Some(url) = database {
            command.args(["--database-url", url]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        let mut child = command.spawn().expect("the server starts");
        let lines = BufReader::new(child.stdout.take().expect("its output is a pipe")).lines();
        let (found, addresses) = mpsc::sync_channel(1);
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        // Reads on to the end, so that the server never stands before a full pipe.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let address = address(&line);
                heard.lock().expect("nobody panics with it").push(line);
                if let Some(address) = address {
                    // Nobody listens after the first one.
                    let _ = found.try_send(address);
                }
            }
        });
        match addresses.recv_timeout(START_TIMEOUT) {
            Ok(address) => Self { child, address, said, log },
            Err(_) => {
                // Dead already or about to be: either way it does not listen.
                let _ = child.kill();
                let _ = child.wait();
                panic!("the server does not listen:\n{}", std::fs::read_to_string(&log).unwrap_or_default());
            }
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The first line that it prints and that begins so.
    pub(crate) fn said(&self, beginning: &str) -> String {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let said = self.said.lock().expect("nobody panics with it").clone();
            if let Some(line) = said.iter().find(|line| line.starts_with(beginning)) {
                return line.clone();
            }
            assert!(Instant::now() < deadline, "no line begins with {beginning}: {said:#?}");
            std::thread::yield_now();
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the server still runs");
    }

    /// Waits until it has logged this.
    pub(crate) fn logged(&self, text: &str) {
        let deadline = Instant::now() + START_TIMEOUT;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "not logged: {text}:\n{}", self.log());
            std::thread::yield_now();
        }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("the log is there")
    }

    /// Asks it to end (SIGTERM), kills it if it does not, and returns how it ended.
    pub(crate) fn terminate(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits until it ends by itself, kills it if it does not, and returns how it ended.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let pid = self.pid();
        let (ended, end) = mpsc::channel::<()>();
        let killer = std::thread::spawn(move || {
            if end.recv_timeout(STOP_TIMEOUT) == Err(mpsc::RecvTimeoutError::Timeout) {
                kill_process(pid, Signal::KILL).expect("nobody has waited for the server yet");
            }
        });
        let status = self.child.wait().expect("the server is ours");
        drop(ended);
        killer.join().expect("it only waits");
        status
    }

    /// Ends it as a power cut would (SIGKILL).
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the server still runs");
        self.child.wait().expect("the server is ours");
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a line such as `listening on http://127.0.0.1:8080`.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(LISTENING)?;
    let (_, rest) = rest.split_once("://")?;
    rest.split(|character: char| character.is_whitespace() || character == '/').next()?.parse().ok()
}

#[test]
fn the_address_is_found_in_what_the_server_prints() {
    let expected = Some("127.0.0.1:8080".parse().expect("an address"));
    for line in [
        "listening on http://127.0.0.1:8080",
        "listening on https://127.0.0.1:8080",
        "Castellan 0.1.0, listening on http://127.0.0.1:8080/ now",
    ] {
        assert_eq!(address(line), expected, "{line}");
    }
    assert_eq!(address("listening on nothing"), None);
}
