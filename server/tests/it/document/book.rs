//! The book has every document as a chapter, and no chapter links to a document that is none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use xtask::docs::{SUMMARY, chapters, linked};
use xtask::markdown::link_targets;

use super::root;

fn book() -> (Vec<PathBuf>, BTreeSet<PathBuf>) {
    let list = chapters().expect("the list of chapters");
    let set: BTreeSet<_> = list.iter().cloned().collect();
    assert_eq!(list.len(), set.len(), "a chapter is listed twice");
    (list, set)
}

#[test]
fn every_document_is_a_chapter_of_the_book() {
    let (_, chapters) = book();
    let documents = fs::read_dir(root().join("docs")).expect("the folder");
    let documents = documents.map(|entry| Path::new("docs").join(entry.expect("an entry").file_name()));
    let documents = documents.filter(|file| file.extension().is_some_and(|ending| ending == "md"));
    let missing: Vec<_> = documents.filter(|file| file != Path::new(SUMMARY) && !chapters.contains(file)).collect();
    assert!(missing.is_empty(), "{SUMMARY} does not list {missing:?}");
}

#[test]
fn chapters_link_only_to_chapters_and_to_files_that_are_no_documents() {
    let (list, chapters) = book();
    let mut broken = Vec::new();
    for chapter in list {
        let text = fs::read_to_string(root().join(&chapter)).unwrap_or_else(|error| panic!("{chapter:?}: {error}"));
        let links = link_targets(&text).into_iter().filter_map(|target| linked(&chapter, &target));
        let documents = links.filter(|file| file.extension().is_some_and(|ending| ending == "md"));
        broken.extend(documents.filter(|file| !chapters.contains(file)).map(|file| (chapter.clone(), file)));
    }
    assert!(broken.is_empty(), "links that lead out of the book; add the document to {SUMMARY}: {broken:#?}");
}
