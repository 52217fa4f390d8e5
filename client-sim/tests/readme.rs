//! README's example of `play`, typed as it stands there against a real server.

mod served;

use std::io::Write;
use std::process::{Command, Stdio};

use served::serve;

const README: &str = include_str!("../../README.md");

/// The command that README shows, without cargo's part, and the lines that it lets the reader type.
fn example() -> (Vec<&'static str>, Vec<&'static str>) {
    let command = README.lines().find_map(|line| line.strip_prefix("cargo run --release -p client-sim -- play "));
    let arguments = command.expect("README shows how to play").split_whitespace().collect();
    let (_, rest) = README.split_once("reads commands, one per line").expect("README says what to type");
    let lines = rest.split("```").nth(1).expect("a block of commands").trim().lines().collect();
    (arguments, lines)
}

#[test]
fn every_line_of_readmes_game_is_accepted() {
    let (arguments, lines) = example();
    let acts = lines.iter().filter(|line| **line != "show").count();
    assert!(acts >= 5 && lines.len() > acts, "too short to show the game: {lines:?}");

    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = format!("http://{}", serve(&runtime, folder.path(), &[]));
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
