//! As much Markdown as the documents of this repository use.

use std::collections::BTreeSet;

use xtask::markdown::prose;

/// The heading of a line, if it is one.
fn heading(line: &str) -> Option<&str> {
    let text = line.trim_start_matches('#');
    (text.len() < line.len()).then(|| text.strip_prefix(' ')).flatten().map(str::trim)
}

/// What a heading is linked by, as GitHub makes it: lower case, spaces to hyphens, without other punctuation.
fn slug(heading: &str) -> String {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c),
        _ => None,
    };
    heading.to_lowercase().chars().filter_map(kept).collect()
}

/// All anchors of a document. A heading that repeats is numbered.
pub(super) fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for slug in prose(text).filter_map(heading).map(slug) {
        let numbered = (1..).map(|number| format!("{slug}-{number}"));
        let free = std::iter::once(slug.clone()).chain(numbered).find(|anchor| !anchors.contains(anchor));
        anchors.extend(free);
    }
    anchors
}

/// The rows of the one table that has these columns, without its head.
pub(super) fn table(text: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let mut tables = Vec::new();
    let mut lines = prose(text).peekable();
    while let Some(line) = lines.next() {
        if cells(line).is_some_and(|head| head == columns) {
            let rows: Vec<_> = std::iter::from_fn(|| lines.next_if(|line| line.starts_with('|'))).collect();
            tables.push(rows.into_iter().skip(1).filter_map(cells).collect::<Vec<_>>());
        }
    }
    assert_eq!(tables.len(), 1, "tables with the columns {columns:?}");
    let rows = tables.remove(0);
    assert!(rows.iter().all(|row| row.len() == columns.len()), "every row has the columns {columns:?}");
    rows
}

fn cells(line: &str) -> Option<Vec<String>> {
    let inner = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(inner.split('|').map(|cell| cell.trim().to_owned()).collect())
}

/// The names between backticks in a cell, each with whether a `?` follows it.
pub(super) fn names(cell: &str) -> Vec<(String, bool)> {
    let parts: Vec<_> = cell.split('`').collect();
    let pairs = parts.chunks(2).map(|pair| (pair.get(1), pair));
    let named = pairs.filter_map(|(name, _)| name.map(|name| (*name).to_owned()));
    let optional = parts.iter().skip(2).step_by(2).map(|after| after.starts_with('?'));
    named.zip(optional).collect()
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# Versions, ids, recovery\n```\n# no heading\n```\n## `a_b`: 5e!\n## Twice\n## Twice\n#no";
    let expected = ["5e", "twice", "twice-1", "versions-ids-recovery"].map(str::to_owned);
    let mut found = anchors(text);
    assert!(found.remove("a_b-5e"));
    assert_eq!(found, expected[1..].iter().cloned().collect());
}

#[test]
fn tables_are_found_by_their_columns() {
    let text = "| a | b |\n| --- | --- |\n| `x`?, `y` | 1 |\n\n| a |\n| --- |\n| 2 |";
    let rows = table(text, &["a", "b"]);
    assert_eq!(rows, [["`x`?, `y`", "1"]]);
    assert_eq!(names(&rows[0][0]), [("x".to_owned(), true), ("y".to_owned(), false)]);
    assert_eq!(table(text, &["a"]), [["2"]]);
}
