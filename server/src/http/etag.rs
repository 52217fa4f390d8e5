//! Entity tags: opaque to clients. They combine the version and the catalogue's revision, because a sheet derives from
//! both.

use castellan_protocol::Version;
use castellan_protocol::limits::INTEGER_MAX;

use super::problem::Problem;

/// The tag of a character's state.
pub(super) fn of(version: Version, revision: &str) -> String {
    format!("\"{version}-{revision}\"")
}

/// The version that an `If-Match` expects: 0 for `*`, and a version that no state has for a foreign tag.
///
/// Ignores the catalogue's revision: the same version is the same state under any catalogue.
pub(super) fn expected(if_match: &str) -> Result<Version, Problem> {
    let tag = if_match.trim();
    if tag == "*" {
        return Ok(Version::new(0));
    }
    let opaque = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|opaque| !opaque.contains('"'));
    let opaque = opaque.ok_or_else(|| Problem::malformed("If-Match: must be one quoted ETag, or *"))?;
    let version = opaque.split_once('-').and_then(|(version, _)| version.parse::<u64>().ok());
    Ok(Version::new(version.filter(|version| *version > 0).unwrap_or(INTEGER_MAX.unsigned_abs())))
}

/// Returns true if an `If-None-Match` names this tag. Understands lists, `*` and weak tags.
pub(super) fn names(if_none_match: &str, tag: &str) -> bool {
    if_none_match.split(',').map(str::trim).any(|item| item == "*" || item.strip_prefix("W/").unwrap_or(item) == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_keeps_its_version() {
        let tag = of(Version::new(6), "abc");
        assert_eq!(expected(&tag).expect("a tag").get(), 6);
        assert_eq!(expected("*").expect("any").get(), 0);
        for foreign in ["\"\"", "\"6\"", "\"0-abc\"", "\"x-abc\"", "\"-1-abc\""] {
            assert_eq!(expected(foreign).expect("no state has it").get(), INTEGER_MAX.unsigned_abs(), "{foreign}");
        }
        for bad in ["", "6", "\"6-abc", "W/\"6-abc\"", "\"6-abc\", \"7-abc\""] {
            assert!(expected(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn if_none_match_finds_a_tag_in_a_list() {
        let tag = of(Version::new(6), "abc");
        for (list, expected) in [
            ("\"6-abc\"", true),
            ("W/\"6-abc\"", true),
            ("\"5-abc\", \"6-abc\"", true),
            ("*", true),
            ("\"6-abd\"", false),
            ("", false),
        ] {
            assert_eq!(names(list, &tag), expected, "{list}");
        }
    }
}
