//! The program's reports on its settings, on this machine and on a running server: to people, load balancers and systemd.

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use std::os::unix::net::UnixDatagram;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::cluster::{Cluster, until_ready};
use crate::harness::{Http, Kind, Server, Socket};
use crate::play::{House, enter, id};

/// Runs the program in a house until it ends. Returns its exit code, and what it printed.
fn castellan(house: &House, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(house.folder()).args(arguments);
    // Those of the tests are no settings.
    let ours = std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CASTELLAN_"));
    for (name, _) in ours {
        command.env_remove(name);
    }
    if let Some(url) = house.database() {
        command.args(["--database-url", url]);
    }
    let Output { status, stdout, stderr } = command.envs(variables.iter().copied()).output().expect("it starts");
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.code().expect("it ended by itself"), text)
}

#[test]
fn in_json_everything_that_is_printed_is_a_line_of_the_log() {
    let house = House::new(Kind::Sqlite);
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(house.folder()).args(["--listen", "127.0.0.1:0", "--log-format", "json"]);
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(server.stderr.take().expect("a pipe")).lines().map(|line| line.expect("UTF-8"));
    let mut messages = Vec::new();
    while !messages.iter().any(|message: &String| message.starts_with("castellan is listening on http://127.0.0.1:")) {
        let line = lines.next().expect("another line");
        let read: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        messages.push(read["fields"]["message"].as_str().expect("a message").to_owned());
    }
    kill_process(Pid::from_child(&server), Signal::TERM).expect("it runs");
    for line in lines {
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
    }
    let ended = server.wait_with_output().expect("it ends");
    assert!(ended.status.success() && ended.stdout.is_empty(), "{ended:?}");

    let (code, said) =
        castellan(&house, &["serve", "--log-format", "json", "--database-url", "sqlite:///proc/none"], &[]);
    let last: Value = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
    assert_eq!((code, &last["level"]), (1, &json!("ERROR")), "{said}");
}

#[test]
fn settings_are_checked_with_the_files_that_they_name() {
    let house = House::new(Kind::Sqlite);
    let (code, said) = castellan(&house, &["check-config"], &[("CASTELLAN_FLUSH_INTERVALL", "1s")]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("the settings and the files that they name are good"), "{said}");
    assert!(said.contains("CASTELLAN_FLUSH_INTERVALL is set, but there is no such setting; did you mean"), "{said}");
    assert!(!house.folder().join("data").exists(), "it opens no database");

    std::fs::create_dir(house.folder().join("catalogue")).expect("a folder");
    std::fs::write(house.folder().join("catalogue/gear.toml"), "[[item]]\nid = \"bell\"\ncolour = 3\n")
        .expect("a file");
    std::fs::write(house.folder().join("policy.toml"), "[player]\nallow = [\"dance\"]\n").expect("a file");
    let wrong = [
        ("--listen", "nowhere"),
        ("--catalogue", "catalogue"),
        ("--policy", "policy.toml"),
        ("--tls-cert", "none.pem"),
        ("--tls-key", "none.key"),
        ("--link-ca", "none.ca"),
        ("--master-key-file", "none.master"),
    ];
    let flags: Vec<&str> = wrong.iter().flat_map(|(flag, value)| [*flag, *value]).collect();
    for command in ["check-config", "serve"] {
        let (code, said) = castellan(&house, &[&[command], &flags[..]].concat(), &[]);
        assert_eq!(code, 2, "{command}: {said}");
        for part in ["--listen", "gear.toml", "policy.toml", "none.pem", "none.ca", "none.master"] {
            assert!(said.contains(part), "{command} says nothing of {part}:\n{said}");
        }
    }
}

fn doctor_says(kind: Kind, product: &str) {
    let house = House::new(kind);
    let arguments = ["doctor", "--listen", "127.0.0.1:0"];
    assert_eq!(castellan(&house, &arguments, &[]).0, 0, "before the first start");
    let server = house.server(&[]);
    let (code, said) = castellan(&house, &["doctor", "--listen", &server.address().to_string()], &[]);
    assert_eq!(code, 0, "{said}");
    for part in [product, "good schema: up to date", "in use; good if that is this server", "spool folder"] {
        assert!(said.contains(part), "nothing of {part}:\n{said}");
    }
    assert!(server.terminate().success());
}

#[test]
fn the_doctor_looks_at_an_sqlite_database() {
    doctor_says(Kind::Sqlite, "good SQLite 3.");
}

#[test]
fn the_doctor_looks_at_a_postgresql_database() {
    doctor_says(Kind::Postgres, "clock: the same as the database's");
}

#[test]
fn the_doctor_says_what_to_mend() {
    let house = House::new(Kind::Sqlite);
    let nowhere = ["doctor", "--listen", "127.0.0.1:0", "--flush-spool", "/proc/spool"];
    let (code, said) = castellan(&house, &nowhere, &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("MEND spool folder /proc/spool: cannot write in /proc"), "{said}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    let away =
        command.args(["doctor", "--listen", "127.0.0.1:0", "--database-url", "postgres://castellan@127.0.0.1:1/none"]);
    let away = away.current_dir(house.folder()).output().expect("it starts");
    assert_eq!(away.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&away.stdout).contains("MEND postgres://"), "{away:?}");
}

#[test]
fn health_is_asked_for_on_the_command_line() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let listen = server.address().to_string();
    assert_eq!(castellan(&house, &["health", "--listen", &listen], &[]), (0, "ready\n".to_owned()));
    assert!(server.terminate().success());
    let (code, said) = castellan(&house, &["health", "--listen", &listen], &[]);
    assert!(code == 1 && said.contains("/health/ready"), "{said}");
}

/// A process that was told to stop serves on for a while, but is not ready. `front` is what players reach.
fn serves_on_while_it_stops(name: &str, stopping: &Server, front: &Server) {
    let (http, token, made) = enter(front, name);
    let mut socket = Socket::open(front.address(), &token);
    stopping.signal(Signal::TERM);
    while Http::new(stopping.address()).get("/health/ready").status != 503 {
        std::thread::yield_now();
    }
    assert_eq!(Http::new(stopping.address()).get("/health/live").status, 200);
    let (kind, answer) = socket.act(&id(&made), json!({"modify_currency": {"gp": 1}}));
    assert_eq!(kind, "applied", "{answer}");
    assert_eq!(http.get("/characters").status, 200);
    Http::new(front.address()).login(name, "open sesame");
}

#[test]
fn a_server_that_was_told_to_stop_serves_on_for_a_while_but_is_not_ready() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--shutdown-delay", "5m"]);
    serves_on_while_it_stops("ada", &server, &server);
    assert!(server.terminate().success(), "a second signal ends the wait");
}

#[test]
fn nodes_and_gateways_that_were_told_to_stop_serve_on_for_a_while_but_are_not_ready() {
    let cluster = Cluster::new();
    let node =
        cluster.house().server(&["node", "--name", "castor", "--policy", "permissive", "--shutdown-delay", "5m"]);
    let gateway = cluster.house().server(&["gateway", "--socket-workers", "1", "--shutdown-delay", "5m"]);
    until_ready(&gateway);
    serves_on_while_it_stops("ada", &node, &gateway);
    serves_on_while_it_stops("bob", &gateway, &gateway);
    assert!(gateway.terminate().success() && node.terminate().success(), "a second signal ends the wait");
}

#[test]
fn systemd_hears_that_a_server_is_ready_alive_and_stopping() {
    let house = House::new(Kind::Sqlite);
    let path = house.folder().join("notify");
    let systemd = UnixDatagram::bind(&path).expect("a socket");
    systemd.set_read_timeout(Some(Duration::from_secs(60))).expect("an option");
    let hears = |state: &str| loop {
        let mut message = [0; 256];
        let length = systemd.recv(&mut message).expect("a message");
        if message[..length].trim_ascii_end() == state.as_bytes() {
            return;
        }
    };
    let mut server = Command::new(env!("CARGO_BIN_EXE_castellan"));
    server.current_dir(house.folder()).args(["--listen", "127.0.0.1:0"]);
    let mut server = server.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").spawn().expect("it starts");
    hears("READY=1");
    hears("WATCHDOG=1");
    hears("WATCHDOG=1");
    kill_process(Pid::from_child(&server), Signal::TERM).expect("it runs");
    hears("STOPPING=1");
    assert!(server.wait().expect("it is ours").success());
}
