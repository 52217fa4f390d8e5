//! What operators install, made of the tests' own program: the Debian package, the container image, the manifests.
//!
//! `cargo xtask dist --check` does the same with the programs of a release. The first run fetches a small Debian, podman
//! and others into `target/`.

use std::path::Path;

use xtask::machine::is_root;
use xtask::packages::{check_image, check_manifests, check_package, package_of, stage_image};

/// The server as the tests have it.
const PROGRAM: &str = env!("CARGO_BIN_EXE_castellan");

/// Without root, only a machine of a continuous integration insists.
fn is_left_out() -> bool {
    let must = std::env::var_os("CI").is_some();
    let is_left_out = !must && !is_root();
    if is_left_out {
        eprintln!("left out, because it needs root");
    }
    is_left_out
}

#[test]
fn the_debian_package_installs_serves_and_leaves_nothing_but_the_players_data() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let package = package_of(Path::new(PROGRAM), folder.path()).unwrap_or_else(|error| panic!("{error:#}"));
    check_package(&package).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn the_image_serves_without_root_and_writes_only_to_its_volume() {
    if is_left_out() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    stage_image(Path::new(PROGRAM), folder.path()).unwrap_or_else(|error| panic!("{error:#}"));
    check_image(folder.path()).unwrap_or_else(|error| panic!("{error:#}"));
}

#[test]
fn the_manifests_are_valid() {
    check_manifests().unwrap_or_else(|error| panic!("{error:#}"));
}
