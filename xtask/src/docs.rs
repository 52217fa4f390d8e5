//! `cargo xtask docs`: the documents as a book.

use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::markdown::link_targets;
use crate::run::{catch_interrupts, target, workspace};
use crate::tool::Tool;

/// The version that `docs/book.toml` is written for.
const MDBOOK: Tool = Tool {
    name: "mdbook",
    version: "0.5.4",
    arguments: &["--no-default-features", "--features", "search"],
    optimised: "1",
};

/// The list of chapters.
pub const SUMMARY: &str = "docs/SUMMARY.md";

/// Makes the book in `target/book`. A warning is an error.
///
/// Chapters lie all over the repository, and link to files that are none. mdbook reads one folder, so it gets a folder
/// with only those files, each in its place.
pub fn docs() -> Result<ExitCode> {
    catch_interrupts()?;
    let mut mdbook = MDBOOK.command()?;
    let (source, book) = (target().join("book-source"), target().join("book"));
    for folder in [&source, &book] {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| folder.display().to_string())?;
        }
    }
    gather(&source)?;
    let made = mdbook.arg("build").arg(&source).arg("--dest-dir").arg(&book).output().context("mdbook")?;
    let said = String::from_utf8_lossy(&made.stderr);
    eprint!("{said}");
    let warned = said.lines().any(|line| ["WARN", "ERROR"].iter().any(|level| line.trim_start().starts_with(level)));
    if !made.status.success() || warned {
        return Ok(ExitCode::FAILURE);
    }
    // Links lead to a page of the chapter's name.
    for chapter in chapters()? {
        let page = book.join(chapter.with_extension("html"));
        if !page.is_file() {
            bail!("mdbook made no page {}", page.display());
        }
    }
    println!("{}", book.join("index.html").display());
    Ok(ExitCode::SUCCESS)
}

/// Copies everything that the book needs: its settings, the chapters, and other files that they link to.
fn gather(source: &Path) -> Result<()> {
    let pages = source.join("pages");
    fs::create_dir_all(&pages)?;
    fs::copy(workspace().join("docs/book.toml"), source.join("book.toml"))?;
    fs::write(pages.join("SUMMARY.md"), summary_from_the_top()?)?;
    for chapter in chapters()? {
        for target in link_targets(&read(&chapter)?) {
            let Some(linked) = linked(&chapter, &target) else { continue };
            if linked.extension().is_none_or(|ending| ending != "md") {
                copy(&linked, &pages)?;
            }
        }
        copy(&chapter, &pages)?;
    }
    Ok(())
}

/// The chapters, in the book's order: files, from the top folder of the repository.
pub fn chapters() -> Result<Vec<PathBuf>> {
    let summary = Path::new(SUMMARY);
    Ok(link_targets(&read(summary)?).iter().filter_map(|target| linked(summary, target)).collect())
}

/// The file or folder that a link in a file leads to, from the top folder of the repository. `None` for other addresses,
/// and for places in the same file.
pub fn linked(file: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split('#').next().unwrap_or_default();
    if path.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let mut from_top = PathBuf::new();
    for component in file.parent()?.join(path).components() {
        match component {
            Component::ParentDir => {
                from_top.pop();
            }
            Component::Normal(name) => from_top.push(name),
            _ => {}
        }
    }
    Some(from_top)
}

/// The list of chapters, with links that count from the top folder instead of `docs`.
fn summary_from_the_top() -> Result<String> {
    let mut text = read(Path::new(SUMMARY))?;
    for target in link_targets(&text) {
        let from_top = linked(Path::new(SUMMARY), &target).with_context(|| format!("{target} is no chapter"))?;
        text = text.replace(&format!("]({target})"), &format!("]({})", from_top.display()));
    }
    Ok(text)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(workspace().join(file)).with_context(|| file.display().to_string())
}

/// Copies a file, or a folder with all that is in it.
fn copy(from_top: &Path, pages: &Path) -> Result<()> {
    let (from, to) = (workspace().join(from_top), pages.join(from_top));
    if from.is_dir() {
        for entry in fs::read_dir(&from)? {
            copy(&from_top.join(entry?.file_name()), pages)?;
        }
        return Ok(());
    }
    if !from.is_file() {
        bail!("{} is linked to, but is not there", from_top.display());
    }
    fs::create_dir_all(to.parent().context("a file has a folder")?)?;
    fs::copy(&from, &to).with_context(|| from_top.display().to_string())?;
    Ok(())
}

#[test]
fn links_count_from_the_file_that_has_them() {
    let found = |target: &str| linked(Path::new("docs/a.md"), target);
    assert_eq!(found("b.md#c"), Some("docs/b.md".into()));
    assert_eq!(found("../d/./e"), Some("d/e".into()));
    assert_eq!((found("#c"), found("https://example.com/b.md")), (None, None));
}
