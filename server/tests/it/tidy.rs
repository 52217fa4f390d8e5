//! The rules of the house that a compiler does not know.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms a room may name. The table is the picture of the server's inside: arrows point from left to right.
const ARROWS: &[(&str, &[&str])] = &[
    (
        "app",
        &["auth", "clock", "config", "flush", "http", "planted", "rules", "shard", "socket", "storage", "telemetry"],
    ),
    ("command", &["auth", "clock", "config", "storage"]),
    ("http", &["auth", "clock", "config", "flush", "rate", "rules", "shard", "socket", "storage", "telemetry"]),
    ("socket", &["auth", "clock", "flush", "priority", "rate", "shard", "telemetry"]),
    ("auth", &["clock", "config", "storage", "priority"]),
    ("shard", &["clock", "flush", "planted", "rules", "storage", "telemetry"]),
    ("flush", &["clock", "crash", "planted", "storage", "telemetry"]),
    ("rules", &[]),
    ("storage", &["crash", "planted"]),
    ("telemetry", &["config"]),
    ("config", &["auth", "storage"]),
    ("clock", &[]),
    ("priority", &[]),
    ("rate", &[]),
    // What tests do to the server; empty in a server that is shipped.
    ("crash", &[]),
    ("planted", &[]),
];

/// The only rooms that may name these crates.
const KEEPERS: &[(&str, &[&str])] = &[
    ("axum", &["http"]),
    ("hyper", &["http"]),
    ("sqlx", &["storage"]),
    ("jsonwebtoken", &["auth"]),
    ("argon2", &["auth"]),
    ("tokio_tungstenite", &["socket"]),
];

const FILE_LINES_MAX: usize = 500;

/// Every source file of the server with the room that it stands in.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("a source folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let inside = path.strip_prefix(&root).expect("below the root");
                let first = inside.components().next().expect("a name").as_os_str().to_string_lossy().into_owned();
                let room = first.trim_end_matches(".rs").to_owned();
                let text = fs::read_to_string(&path).expect("a text");
                found.push((room, path, text));
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// The names behind `crate::` in a source, comments left out.
fn named_rooms(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default())
}

#[test]
fn rooms_name_only_the_rooms_below_them() {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut wrong = Vec::new();
    for (room, path, text) in sources() {
        if matches!(room.as_str(), "lib" | "main") {
            continue;
        }
        let allowed = arrows.get(room.as_str()).unwrap_or_else(|| panic!("the room {room} is not in the table"));
        for named in named_rooms(&text) {
            if named != room && arrows.contains_key(named) && !allowed.contains(&named) {
                wrong.push(format!("{} names {named}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that the table does not have:\n{}", wrong.join("\n"));
}

#[test]
fn every_crate_stays_in_the_room_that_keeps_it() {
    let mut wrong = Vec::new();
    for (room, path, text) in sources() {
        for (name, keepers) in KEEPERS {
            let named = text.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
                line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == *name)
                    && line.contains(&format!("{name}::"))
            });
            if named && !keepers.contains(&room.as_str()) {
                wrong.push(format!("{} names {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "crates outside of the room that keeps them:\n{}", wrong.join("\n"));
}

#[test]
fn files_can_be_read_in_one_go() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(_, _, text)| text.lines().count() > FILE_LINES_MAX)
        .map(|(_, path, text)| format!("{}: {} lines", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "files above {FILE_LINES_MAX} lines:\n{}", long.join("\n"));
}
