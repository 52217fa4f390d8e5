//! README's example of `play`, typed as it stands there against a real server.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use castellan::app;
use castellan::config::{self, Config};

const README: &str = include_str!("../../README.md");

/// How long the server may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The command that README shows, without cargo's part, and the lines that it lets the reader type.
fn example() -> (Vec<&'static str>, Vec<&'static str>) {
    let command = README.lines().find_map(|line| line.strip_prefix("cargo run --release -p client-sim -- play "));
    let arguments = command.expect("README shows how to play").split_whitespace().collect();
    let (_, rest) = README.split_once("reads commands, one per line").expect("README says what to type");
    let lines = rest.split("```").nth(1).expect("a block of commands").trim().lines().collect();
    (arguments, lines)
}

/// Starts a server in this process, on a free port, and waits until it listens.
fn serve(runtime: &tokio::runtime::Runtime, folder: &Path) -> SocketAddr {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let database = format!("sqlite://{}/castellan.db", folder.display());
    let arguments = ["castellan", "--listen", &address.to_string(), "--database-url", &database].map(Into::into);
    let config = match Config::from_args(arguments, &Default::default(), &[]) {
        Ok(config::Command::Run(config, _)) => *config,
        other => panic!("flags that cannot be used: {other:?}"),
    };
    let server = runtime.spawn(app::serve::<castellan_srd::Srd>(config));
    let deadline = Instant::now() + START_TIMEOUT;
    while TcpStream::connect(address).is_err() {
        assert!(!server.is_finished(), "{:?}", runtime.block_on(server));
        assert!(Instant::now() < deadline, "the server does not listen");
        std::thread::yield_now();
    }
    address
}

#[test]
fn every_line_of_readmes_game_is_accepted() {
    let (arguments, lines) = example();
    let acts = lines.iter().filter(|line| **line != "show").count();
    assert!(acts >= 5 && lines.len() > acts, "too short to show the game: {lines:?}");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = format!("http://{}", serve(&runtime, folder.path()));
    let mut player = Command::new(env!("CARGO_BIN_EXE_client-sim"))
        .args(["play", "--server", &server])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("client-sim starts");
    player.stdin.take().expect("a pipe").write_all(lines.join("\n").as_bytes()).expect("it reads");
    let output = player.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().filter(|line| line.starts_with("applied ")).count(), acts, "{said}");
    assert!(said.contains("main_hand: longsword"), "the sheet at the end shows what was bought:\n{said}");
}
