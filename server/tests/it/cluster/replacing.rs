//! `deploy/two-machines/replace-node.sh` and `replace-gateway.sh`, with the test in the place of another machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Cluster, Players, until_ready};
use crate::harness::run_on;

/// Makes a program for the script.
fn program(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::write(&path, format!("#!/bin/sh\nset -eu\n{text}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("allowed");
}

#[test]
fn the_script_replaces_a_node_while_players_play() {
    let cluster = Cluster::new();
    let mut castor = Some(cluster.node("castor"));
    let _pollux = cluster.node("pollux");
    let gateway = cluster.gateway();
    until_ready(&gateway);
    cluster.until_owned("castor", 128..=128);
    let mut players = Players::enter(&gateway, 8);

    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    program(folder.path(), "castellan", &format!("exec {} \"$@\"", env!("CARGO_BIN_EXE_castellan")));
    program(folder.path(), "scp", "test \"$2\" = 10.0.0.1:castellan.new; cp \"$1\" castellan.new");
    program(folder.path(), "ssh", "test \"$1\" = 10.0.0.1; sh -c \"$2\"");
    program(
        folder.path(),
        "sudo",
        "case $* in\n\
         'install castellan.new /usr/local/bin/castellan') cp castellan.new installed;;\n\
         'systemctl restart castellan-node') : > restart; while [ -e restart ]; do sleep 0.05; done;;\n\
         *) echo \"unexpected: $*\" >&2; exit 1;;\n\
         esac",
    );
    fs::write(at("newer"), "the newer program").expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/two-machines/replace-node.sh");
    let mut command = Command::new("sh");
    command.args(["-c", "PATH=\"$PWD:$PATH\" exec sh \"$@\"", "sh"]).arg(script);
    command.args(["castor", "10.0.0.1", "newer"]).current_dir(folder.path());
    command.env("CASTELLAN_DATABASE_URL", cluster.house.url());
    let mut script = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut has_restarted = false;
    players.play_while(|| {
        if at("restart").exists() {
            assert_eq!(cluster.shards_of("castor"), 0, "drained before it stops");
            assert!(castor.take().expect("running").terminate().success());
            castor = Some(cluster.node("castor"));
            fs::remove_file(at("restart")).expect("the script waits for it");
            has_restarted = true;
        }
        script.try_wait().expect("ours").is_none()
    });
    let output = script.wait_with_output().expect("ended");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(has_restarted);
    assert_eq!(fs::read_to_string(at("installed")).expect("installed"), "the newer program");
    assert_eq!(cluster.shards_of("castor"), 128, "{}", String::from_utf8_lossy(&output.stdout));
    let recovered = "SELECT count(*) FROM shard_leases WHERE recoveries > 0";
    assert_eq!(run_on(cluster.house.url(), recovered), 0, "nobody was disturbed");
}

#[test]
fn the_script_replaces_a_gateway_while_players_play() {
    let cluster = Cluster::new();
    let _node = cluster.node("castor");
    let mut gateway = cluster.replacing_gateway();
    until_ready(&gateway);
    let mut players = Players::enter(&gateway, 8);
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("castellan-gateway@b"), "it runs").expect("written");
    program(folder.path(), "scp", "test \"$2\" = 10.0.0.1:castellan.new; cp \"$1\" castellan.new");
    program(folder.path(), "ssh", "test \"$1\" = 10.0.0.1; sh -c \"$2\"");
    program(folder.path(), "systemctl", "test \"$1 $2\" = '--quiet is-active'; test -e \"$3\"");
    program(
        folder.path(),
        "sudo",
        "case $* in\n\
         'install castellan.new /usr/local/bin/castellan') cp castellan.new installed;;\n\
         'systemctl start castellan-gateway@a') : > castellan-gateway@a; : > start\n\
         while [ -e start ]; do sleep 0.05; done;;\n\
         'systemctl disable --quiet castellan-gateway@b') : > disabled;;\n\
         'systemctl enable --quiet castellan-gateway@a') : > enabled;;\n\
         *) echo \"unexpected: $*\" >&2; exit 1;;\n\
         esac",
    );
    fs::write(at("newer"), "the newer program").expect("written");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/two-machines/replace-gateway.sh");
    let mut command = Command::new("sh");
    command.args(["-c", "PATH=\"$PWD:$PATH\" exec sh \"$@\"", "sh"]).arg(script);
    command.args(["10.0.0.1", "newer"]).current_dir(folder.path());
    let mut script = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    while !at("start").exists() {
        assert!(script.try_wait().expect("ours").is_none(), "it ended before it started the other unit");
        players.play();
    }
    gateway = cluster.replace(gateway, &mut players);
    fs::remove_file(at("castellan-gateway@b")).expect("it ran");
    fs::remove_file(at("start")).expect("the script waits for it");
    players.play_while(|| script.try_wait().expect("ours").is_none());
    let output = script.wait_with_output().expect("ended");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_to_string(at("installed")).expect("installed"), "the newer program");
    assert!(at("disabled").exists() && at("enabled").exists());
    assert!(gateway.terminate().success());
}
