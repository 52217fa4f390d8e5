//! The rules of the house that a compiler does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The arrows of a table in ARCHITECTURE.md: each name in its first column, with the names in its last one.
///
/// `heading` is how the table's first line begins.
fn arrows(heading: &str) -> BTreeMap<String, Vec<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let rows =
        text.lines().skip_while(|line| !line.starts_with(heading)).skip(2).take_while(|line| line.starts_with('|'));
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let arrows: BTreeMap<_, _> = rows
        .flat_map(|row| {
            let cells: Vec<_> = row.split('|').collect();
            let [_, from, _, to, _] = cells[..] else { panic!("three cells: {row}") };
            names(from).into_iter().map(move |name| (name, names(to)))
        })
        .collect();
    assert!(arrows.len() > 5, "no table begins with {heading}");
    arrows
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder above the server's").to_owned()
}

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
fn rooms_name_only_the_rooms_that_architecture_md_allows() {
    let arrows = arrows("| room |");
    let mut wrong = Vec::new();
    let mut drawn = BTreeSet::new();
    for (room, path, text) in sources() {
        if matches!(room.as_str(), "lib" | "main") {
            continue;
        }
        let allowed = arrows.get(&room).unwrap_or_else(|| panic!("the room {room} is not in ARCHITECTURE.md"));
        for named in named_rooms(&text).filter(|named| *named != room && arrows.contains_key(*named)) {
            drawn.insert((room.clone(), named.to_owned()));
            if !allowed.iter().any(|room| room == named) {
                wrong.push(format!("{} names {named}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "arrows that ARCHITECTURE.md does not have:\n{}", wrong.join("\n"));
    let shown = arrows.iter().flat_map(|(from, to)| to.iter().map(|to| (from.clone(), to.clone())));
    assert_eq!(shown.collect::<BTreeSet<_>>(), drawn, "ARCHITECTURE.md shows exactly the arrows that there are");
}

#[test]
fn arrows_lead_nowhere_back() {
    for heading in ["| room |", "| crate |"] {
        let mut left = arrows(heading);
        while !left.is_empty() {
            let before = left.len();
            let open: BTreeSet<_> = left.keys().cloned().collect();
            left.retain(|_, to| to.iter().any(|to| open.contains(to)));
            assert!(left.len() < before, "these lead in a circle: {left:?}");
        }
    }
}

#[test]
fn crates_are_built_on_those_that_architecture_md_allows() {
    let arrows = arrows("| crate |");
    let name_in =
        |text: &str| text.lines().find_map(|line| line.strip_prefix("name = \"")?.split('"').next().map(str::to_owned));
    let manifests = arrows.keys().map(|folder| {
        let text = fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a crate in that folder");
        (folder.clone(), text)
    });
    let manifests: BTreeMap<_, _> = manifests.collect();
    let folders: BTreeMap<_, _> =
        manifests.iter().map(|(folder, text)| (name_in(text).expect("a name"), folder.clone())).collect();
    for (folder, text) in &manifests {
        // What only tests need is no arrow.
        let dependencies = text.split("\n[").find(|part| part.starts_with("dependencies]")).unwrap_or_default();
        let used = dependencies.lines().filter_map(|line| folders.get(line.split(['.', ' ']).next()?));
        assert_eq!(used.collect::<BTreeSet<_>>(), arrows[folder].iter().collect(), "{folder}");
    }
    let workspace = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace");
    let members = workspace.lines().find(|line| line.starts_with("members = ")).expect("its members");
    let members = members.split('"').skip(1).step_by(2).map(str::to_owned);
    assert_eq!(members.collect::<BTreeSet<_>>(), arrows.into_keys().collect());
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
