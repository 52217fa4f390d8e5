//! The duel obeys the laws, and its server loses nothing when it is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use castellan_client::{Client, Credentials, Options, Outcome};
use castellan_duel::{Action, Cards, Challenge, Duel, NewDuellist, Play};
use proptest::prelude::*;

#[test]
fn the_duel_obeys_the_laws() {
    let creations = "[a-z🐉]{0,60}".prop_map(|name| NewDuellist { name });
    let card = prop_oneof![9 => 0i64..4, 1 => any::<i64>()].prop_map(|card| Action::Play(Play { card }));
    let actions = prop_oneof![9 => card, 1 => Just(Action::Challenge(Challenge {}))];
    let stored = r#"{"name": "Ana", "hand": [1, 10], "life": 3, "foe": -2, "wins": 7, "dice_rolled": 40}"#;
    castellan_game::laws::hold::<Duel>(&(), creations, actions, &[(1, stored)]);
}

#[test]
fn cards_are_conserved() {
    let creations = Just(NewDuellist { name: "Ana".to_owned() });
    let actions = Just(Action::Play(Play { card: 0 }));
    let value = prop_oneof![9 => (1u8..=10).prop_map(|value| value.to_string()), 1 => "[0-9a-z]{0,4}"];
    let count = -1i64..=11;
    let cards = prop::collection::btree_map(value, count, 0..3).prop_map(Cards);
    castellan_game::laws::conserve::<Duel>(&(), creations, actions, cards);
}

/// Starts the server on a free port; returns it and its address.
fn start(folder: &Path) -> (Child, String) {
    let database = format!("sqlite://{}", folder.join("duel.db").display());
    let mut server = Command::new(env!("CARGO_BIN_EXE_duel"))
        .args(["--listen", "127.0.0.1:0", "--database-url", &database, "--log-filter", "error"])
        .args(["--flush-spool", &folder.display().to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut lines = BufReader::new(server.stdout.take().expect("its output")).lines();
    let line = lines.find_map(|line| line.ok()?.strip_prefix("castellan is listening on ").map(str::to_owned));
    (server, line.expect("the server says where it listens"))
}

async fn log_in(address: &str) -> Client<Duel> {
    let credentials = Credentials { username: "ana".to_owned(), password: "correct horse".to_owned(), create: true };
    Client::start(Options::new(address.parse().expect("an address"), credentials)).await.expect("a login")
}

#[tokio::test]
async fn what_is_played_is_there_once_after_the_server_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut server, address) = start(folder.path());
    let client = log_in(&address).await;
    let duellist = client.create_character(&NewDuellist { name: "Ana".to_owned() }).await.expect("a duellist");
    let play = client.send(duellist.id, Action::Play(Play { card: 0 })).expect("room").settled().await;
    assert!(matches!(play, Outcome::Durable(_)), "{play:?}");
    server.kill().expect("kill -9");
    server.wait().expect("it ends");

    let (mut server, address) = start(folder.path());
    let found = log_in(&address).await.characters().await.expect("the characters");
    server.kill().expect("kill -9");
    server.wait().expect("it ends");
    let [found] = &found[..] else { panic!("one duellist, not {found:?}") };
    assert_eq!((found.name.as_str(), found.foe), ("Ana", 17), "the first card, of 3, was played once");
    assert!((14..20).contains(&found.life), "the foe struck back");
}
