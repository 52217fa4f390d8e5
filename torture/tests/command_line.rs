//! The program's command line.

use std::process::Command;

/// Runs the program and returns its exit code and its error output.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_castellan-torture")).args(arguments).output().expect("it starts");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn an_unknown_fault_is_refused_with_a_list_of_all_faults() {
    let (code, said) = run(&["run", "--server", "castellan", "--fault", "earthquake"]);
    assert_eq!(code, Some(2), "{said}");
    for expected in ["earthquake", "kill", "commit-answer-lost", "zombie", "spool-disk-full", "clock-moved"] {
        assert!(said.contains(expected), "{expected} is not in: {said}");
    }
}

#[test]
fn the_option_bug_requires_the_option_planted() {
    let (code, said) = run(&["run", "--server", "castellan", "--bug", "no-jump"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--planted"), "{said}");
}
