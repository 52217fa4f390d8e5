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
    ("httparse", &["link"]),
    ("hyper", &["fetch", "http"]),
    ("sqlx", &["storage"]),
    ("jsonwebtoken", &["auth"]),
    ("argon2", &["auth"]),
    ("tokio_rustls", &["fetch", "http", "link", "socket"]),
    ("tokio_tungstenite", &["socket"]),
];

const FILE_LINES_MAX: usize = 500;

/// Every source file of the server with the room that it stands in.
fn sources() -> Vec<(String, PathBuf, String)> {
    let found = sources_of("server");
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// Every source file of a crate with the module directly in `src` that it belongs to.
fn sources_of(folder: &str) -> Vec<(String, PathBuf, String)> {
    let root = root().join(folder).join("src");
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
    found
}

/// The names behind `crate::` in a source, comments left out.
fn named_rooms(text: &str) -> Vec<String> {
    named_behind("crate::", text)
}

/// The names behind a path in a source, such as `a` and `b` in `crate::{a::c, b}`. Comments are left out.
fn named_behind(path: &str, text: &str) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    let name = |rest: &str| {
        rest.trim_start().split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().map(str::to_owned)
    };
    let mut names = Vec::new();
    for rest in code.split(path).skip(1) {
        names.extend(name(rest));
        let mut depth = 0;
        for (at, c) in rest.char_indices() {
            depth += i32::from(c == '{') - i32::from(c == '}');
            if depth == 0 {
                // Not in braces, or behind them.
                break;
            }
            if depth == 1 && matches!(c, '{' | ',') {
                names.extend(name(&rest[at + 1..]));
            }
        }
    }
    names
}

/// The arrows that are part of a circle, or lead from one circle to another.
fn circles<T: Ord + Clone>(mut arrows: BTreeMap<T, BTreeSet<T>>) -> BTreeMap<T, BTreeSet<T>> {
    loop {
        let from: BTreeSet<_> = arrows.keys().cloned().collect();
        let to: BTreeSet<_> = arrows.values().flatten().cloned().collect();
        let before = arrows.len();
        arrows.values_mut().for_each(|to| to.retain(|to| from.contains(to)));
        arrows.retain(|from, to_others| !to_others.is_empty() && to.contains(from));
        if arrows.len() == before {
            return arrows;
        }
    }
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
        for named in named_rooms(&text).into_iter().filter(|named| *named != room && arrows.contains_key(named)) {
            drawn.insert((room.clone(), named.clone()));
            if !allowed.contains(&named) {
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
        let arrows = arrows(heading).into_iter().map(|(from, to)| (from, to.into_iter().collect()));
        let circles = circles(arrows.collect());
        assert!(circles.is_empty(), "these lead in a circle: {circles:?}");
    }
}

#[test]
fn modules_of_a_folder_use_one_another_in_no_circle() {
    let mut found = Vec::new();
    for crate_folder in arrows("| crate |").into_keys() {
        let src = root().join(&crate_folder).join("src");
        let sources = sources_of(&crate_folder);
        let folders: BTreeSet<_> = sources.iter().filter_map(|(_, path, _)| path.parent()).collect();
        for folder in folders {
            for (module, others) in circles(arrows_in(&src, folder, &sources)) {
                let shown = folder.strip_prefix(root()).expect("below the root").display();
                found.extend(others.iter().map(|other| format!("{shown}: {module} uses {other}")));
            }
        }
    }
    assert!(
        found.is_empty(),
        "{found:#?}: modules use one another in a circle; move what both need to a module below them"
    );
}

/// Which modules of a folder use which others of it, whatever lies in folders below. Tests are left out.
fn arrows_in(src: &Path, folder: &Path, sources: &[(String, PathBuf, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let room = folder.strip_prefix(src).expect("below src").iter().map(|part| format!("{}::", part.display()));
    let from_root = format!("crate::{}", room.collect::<String>());
    let modules: BTreeMap<_, Vec<_>> = sources
        .iter()
        .filter_map(|(_, path, text)| {
            let inside = path.strip_prefix(folder).ok()?.with_extension("");
            let parts: Vec<_> = inside.iter().filter_map(|part| part.to_str()).filter(|part| *part != "mod").collect();
            // A folder's own file and the roots of the library and of the program are above all others.
            let module = parts.first().filter(|first| !matches!(**first, "lib" | "main"))?;
            let text = text.split("#[cfg(test)]\nmod tests {").next()?;
            let is_test = parts.contains(&"tests");
            (!is_test).then(|| ((*module).to_owned(), (parts.len(), text.to_owned())))
        })
        .fold(BTreeMap::new(), |mut modules, (module, file)| {
            modules.entry(module).or_default().push(file);
            modules
        });
    let used = |module: &String, files: &Vec<(usize, String)>| {
        let named = files.iter().flat_map(|(depth, text)| {
            // A longer path of this kind leads out of the folder.
            let text = text.replace(&"super::".repeat(depth + 1), "");
            [named_behind(&from_root, &text), named_behind(&"super::".repeat(*depth), &text)].concat()
        });
        named.filter(|named| named != module && modules.contains_key(named)).collect()
    };
    modules.iter().map(|(module, files)| (module.clone(), used(module, files))).collect()
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
