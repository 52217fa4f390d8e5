//! Every relative link of a document, and every document that a comment names, is there.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::markdown::link_targets;

use super::markdown::anchors;
use super::root;

/// The files of the repository with this ending, below its top folder.
fn tracked(ending: &str) -> Vec<PathBuf> {
    let mut git = Command::new("git");
    // Whoever owns the folder: in a container that is often another user.
    git.args(["-c", "safe.directory=*", "-C"]).arg(root()).args(["ls-files", "-z", "--", &format!("*.{ending}")]);
    let output = git.output().expect("git lists the files of the repository");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).expect("names are UTF-8");
    list.split_terminator('\0').map(PathBuf::from).collect()
}

fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Answers for files whether they are there and have an anchor. Each file is read once.
#[derive(Default)]
struct Documents(BTreeMap<PathBuf, Option<String>>);

impl Documents {
    fn has(&mut self, folder: &Path, target: &str) -> bool {
        let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
        let path = root().join(folder).join(path);
        let Some(anchor) = anchor else { return path.exists() };
        let text = self.0.entry(path).or_insert_with_key(|path| fs::read_to_string(path).ok());
        text.as_ref().is_some_and(|text| anchors(text).contains(anchor))
    }
}

#[test]
fn relative_links_of_documents_lead_somewhere() {
    let (mut documents, mut broken, mut checked) = (Documents::default(), Vec::new(), 0);
    for file in tracked("md") {
        let folder = file.parent().expect("a file has a folder");
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
        for target in link_targets(&read(&file)) {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let full = if target.starts_with('#') { format!("{name}{target}") } else { target.clone() };
            if !documents.has(folder, &full) {
                broken.push(format!("{}: {target}", file.display()));
            }
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} links were found");
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

/// The Markdown files that a comment names, with an anchor where it has one.
fn named_documents(comment: &str) -> impl Iterator<Item = &str> {
    comment
        .split(|c: char| !c.is_ascii_alphanumeric() && !"_-./#".contains(c))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.ends_with(".md") && word.len() > 3 || word.contains(".md#"))
}

/// The folders that a comment may count from: the top one, the crate's, and the file's own.
fn bases(file: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let components: Vec<_> = file.iter().map(PathBuf::from).collect();
    let own = file.parent().map(Path::to_owned);
    [Some(PathBuf::new()), components.first().cloned(), own].into_iter().flatten()
}

#[test]
fn documents_that_comments_name_are_there() {
    let (mut documents, mut broken, mut checked) = (Documents::default(), Vec::new(), 0);
    for file in tracked("rs") {
        let text = read(&file);
        let comments = text.lines().map(str::trim_start).filter(|line| line.starts_with("//"));
        for name in comments.flat_map(named_documents) {
            checked += 1;
            if !bases(&file).any(|folder| documents.has(&folder, name)) {
                broken.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(checked > 15, "only {checked} names were found");
    assert!(broken.is_empty(), "documents that are not there:\n{}", broken.join("\n"));
}

#[test]
fn names_of_documents_are_found_in_comments() {
    let found: Vec<_> = named_documents("/// See `docs/a.md#b-c`, [x](../d.md) or E.md. Not .md or f.mdx.").collect();
    assert_eq!(found, ["docs/a.md#b-c", "../d.md", "E.md"]);
}
