//! Open files: idle connections never take those that the server needs for itself.

use std::fs::{self, File};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use castellan_srd::wire::Codec;
use serde_json::json;
use tokio_tungstenite::tungstenite::error::Error;

use crate::harness::{Http, Kind, Socket, run_on};
use crate::play::{House, id, paladin};
use crate::starting::{free_address, until_ready};

/// The real program under `ulimit`, with an address for operators.
struct Limited {
    child: Child,
    players: SocketAddr,
    operators: SocketAddr,
}

/// What `sh` runs.
fn program(limit: &str, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    let script = format!("ulimit {limit} && exec \"$0\" \"$@\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_castellan"), "--socket-workers", "2"]);
    command.args(["--auth-argon2-memory", "64KiB", "--auth-argon2-iterations", "1"]);
    command.current_dir(folder).stdin(Stdio::null());
    command
}

impl Limited {
    fn start(limit: &str, house: &House) -> Self {
        let (players, operators) = (free_address(), free_address());
        let mut command = program(limit, house.folder());
        command.args(["--listen", &players.to_string(), "--admin-listen", &operators.to_string()]);
        command.args(["--database-url", house.url(), "--http-header-timeout", "10m"]);
        let log = File::create(house.folder().join("log")).expect("a log");
        let mut child = command.stderr(log).stdout(Stdio::null()).spawn().expect("it starts");
        until_ready(&mut child, operators);
        Self { child, players, operators }
    }

    /// How many files it has open.
    fn open(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs").count()
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn idle_connections_leave_the_database_and_the_operators_their_files() {
    let house = House::new(Kind::Postgres);
    let mut server = Limited::start("-n 256", &house);
    let (http, session) = Http::new(server.players).login("ada", "open sesame");
    let made = http.post("/characters", &paladin("ada"));
    let mut socket = Socket::open(server.players, session["token"].as_str().expect("a token"));
    let log = fs::read_to_string(house.folder().join("log")).expect("a log");
    assert!(log.contains("this process may open 256 files, enough for 106 sockets and 35 HTTP connections"), "{log}");

    let before = server.open();
    // Until the kernel's queue is full too.
    let connect = || TcpStream::connect_timeout(&server.players, Duration::from_millis(500)).ok();
    let idle: Vec<_> = (0..300).map_while(|_| connect()).collect();
    while server.open() < before + 30 {
        std::thread::yield_now();
    }
    // The next write needs a new connection.
    let ended = "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()) AS ended";
    assert!(run_on(house.url(), ended) > 0);
    let action =
        json!({"character": id(&made.json), "after": 0, "ack": "durable", "action": {"modify_currency": {"gp": 1}}});
    let (kind, answer) = socket.call("intent", action);
    assert_eq!((kind.as_str(), &answer["durable"]), ("applied", &json!(2)), "{answer}");
    let operators = Http::new(server.operators);
    assert_eq!(operators.get("/metrics").status, 200);
    // The look at the leases may have met the ended connections.
    until_ready(&mut server.child, server.operators);
    drop(idle);
}

#[test]
fn sockets_that_do_not_fit_are_refused_and_the_others_serve_on() {
    let house = House::new(Kind::Postgres);
    // 16 and 11 more are for players: 6 HTTP connections and 21 sockets.
    let server = Limited::start("-n 142", &house);
    let open = |token: &str| {
        let bearer = format!("Bearer {token}");
        Socket::bare(server.players, &bearer, Codec::Json.subprotocol(), "")
    };
    let mut sockets = Vec::new();
    let refused = loop {
        let (_, session) = Http::new(server.players).login(&format!("player{}", sockets.len()), "open sesame");
        // One each, so that nobody has more than a newcomer.
        match open(session["token"].as_str().expect("a token")) {
            Ok(socket) => sockets.push(socket),
            Err(Error::Http(answer)) => break answer.status(),
            Err(error) => panic!("{error}"),
        }
        assert!(sockets.len() < 100, "nothing is refused");
    };
    assert_eq!((refused.as_u16(), sockets.len()), (503, 21));
    let (kind, _) = sockets[0].next();
    assert_eq!(kind, "welcome");
}

#[test]
fn a_start_raises_the_soft_limit_to_the_hard_one() {
    let house = House::new(Kind::Postgres);
    let server = Limited::start("-Sn 64", &house);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.child.id())).expect("it runs");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("Linux says it");
    let [soft, hard] = [3, 4].map(|index| line.split_whitespace().nth(index));
    assert_eq!(soft, hard, "{line}");
}

#[test]
fn a_limit_that_leaves_nothing_for_players_is_refused_with_words() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut child = program("-n 64", folder.path()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut errors = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut errors).expect("text");
    assert_eq!(child.wait().expect("it is ours").code(), Some(1));
    assert!(errors.contains("this process may open only 64 files, but it needs 131"), "{errors}");
}
