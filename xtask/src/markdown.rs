//! As much Markdown as the book and the tests of the documents need.

/// The lines outside of fenced code.
pub fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// The targets of all links in a document, those of images and references too.
pub fn link_targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(text) {
        // Text between backticks is code, even if it looks like a link.
        let plain: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let inline = plain.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()));
        targets.extend(inline);
        let reference = plain.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        targets.extend(reference.map(|(_, target)| target.trim().to_owned()));
    }
    targets
}

#[test]
fn links_are_found_outside_of_code() {
    let text = "a [b](c.md#d) ![e](f.png) `[g](h.md)`\n```\n[i](j.md)\n```\n[k]: l.md";
    assert_eq!(link_targets(text), ["c.md#d", "f.png", "l.md"]);
}
