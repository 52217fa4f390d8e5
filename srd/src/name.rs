//! Names of characters.

use crate::code;
use crate::request::limits::NAME_SCALARS_MAX;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use castellan_game::Violation;

/// Scalars of the category Cf (format), as ranges. They are invisible, so names could look alike or run backwards.
///
/// Source: Unicode 16.0, `DerivedGeneralCategory.txt`.
const FORMAT: &[(u32, u32)] = &[
    (0x00AD, 0x00AD),
    (0x0600, 0x0605),
    (0x061C, 0x061C),
    (0x06DD, 0x06DD),
    (0x070F, 0x070F),
    (0x0890, 0x0891),
    (0x08E2, 0x08E2),
    (0x180E, 0x180E),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x2064),
    (0x2066, 0x206F),
    (0xFEFF, 0xFEFF),
    (0xFFF9, 0xFFFB),
    (0x110BD, 0x110BD),
    (0x110CD, 0x110CD),
    (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0001, 0xE0001),
    (0xE0020, 0xE007F),
];

/// Line and paragraph separator: all of Zl and Zp.
const SEPARATORS: [char; 2] = ['\u{2028}', '\u{2029}'];

/// Letters, signs and marks that are drawn as nothing: fillers, the grapheme joiner, inherent vowels, the empty Braille
/// pattern, the musical null notehead.
///
/// Source: Unicode 16.0, `DerivedCoreProperties.txt`, `Default_Ignorable_Code_Point` without Cf and without variation
/// selectors; the last two by their glyphs.
const BLANK: [char; 9] =
    ['\u{034F}', '\u{115F}', '\u{1160}', '\u{17B4}', '\u{17B5}', '\u{3164}', '\u{FFA0}', '\u{2800}', '\u{1D159}'];

/// Normalises a name: trimmed, NFC, 1 to 40 scalars, none of Cc, Cf, Zl, Zp, none that is drawn as nothing, and at least
/// one that can be seen by itself.
///
/// Names that were stored before are not checked again.
///
/// # Errors
///
/// `invalid_name`.
pub(super) fn clean(name: &str) -> Result<String, Violation> {
    let cleaned: String = name.trim().nfc().take(NAME_SCALARS_MAX + 1).collect();
    let invalid = |message: &'static str| Violation::new(code::INVALID_NAME, message);
    match cleaned.chars().count() {
        0 => return Err(invalid("name: must not be empty")),
        scalars if scalars > NAME_SCALARS_MAX => return Err(invalid("name: must be at most 40 characters")),
        _ => {}
    }
    if cleaned.chars().any(is_forbidden) {
        return Err(invalid("name: must not contain control, format, separator or invisible characters"));
    }
    if !cleaned.chars().any(is_visible) {
        return Err(invalid("name: must have a character that can be seen"));
    }
    Ok(cleaned)
}

fn is_forbidden(scalar: char) -> bool {
    let number = u32::from(scalar);
    scalar.is_control()
        || SEPARATORS.contains(&scalar)
        || BLANK.contains(&scalar)
        || FORMAT.iter().any(|(first, last)| (*first..=*last).contains(&number))
}

/// Returns true for a scalar that can be seen by itself: no space, and no mark on another one. All variation selectors
/// are marks.
fn is_visible(scalar: char) -> bool {
    !scalar.is_whitespace() && !is_combining_mark(scalar)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_are_trimmed_and_composed() {
        let forty = "ä".repeat(40);
        for (given, kept) in [
            ("Brannor", "Brannor"),
            ("  Brannor of the Hill\t\n", "Brannor of the Hill"),
            ("Zoe\u{308}", "Zoë"),
            ("名前", "名前"),
            ("🐉", "🐉"),
            ("\u{2764}\u{FE0F}", "\u{2764}\u{FE0F}"),
            ("김", "김"),
            (forty.as_str(), forty.as_str()),
            // Forty scalars only after composition.
            ("a\u{308}".repeat(40).as_str(), forty.as_str()),
        ] {
            assert_eq!(clean(given).as_deref(), Ok(kept), "{given:?}");
        }
    }

    #[test]
    fn bad_names_are_refused() {
        let long = "a".repeat(41);
        for given in [
            "",
            "   ",
            long.as_str(),
            "a\u{0}b",
            "a\nb",
            "a\u{200B}b",
            "\u{202E}gnorts",
            "a\u{2028}b",
            "a\u{2029}b",
            "\u{FEFF}a",
            "a\u{AD}b",
            "\u{E0041}x",
            "\u{3164}",
            "\u{2800}",
            "\u{115F}",
            "a\u{FFA0}b",
            "\u{FE0F}",
            "\u{301}",
            "\u{E0100}",
        ] {
            let refused = clean(given).expect_err(given);
            assert_eq!(refused.code, code::INVALID_NAME, "{given:?}");
        }
    }
}
