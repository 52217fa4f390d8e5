//! The rejection codes of this game.
//!
#![doc = include_str!("../REJECTIONS.md")]

castellan_protocol::rejection_codes! {
    /// Too few coins.
    "insufficient_funds" => INSUFFICIENT_FUNDS,
    /// No such item in the catalogue.
    "unknown_item" => UNKNOWN_ITEM,
    /// The character does not carry that item, or not enough units of it.
    "not_in_inventory" => NOT_IN_INVENTORY,
    /// The units are worn.
    "item_equipped" => ITEM_EQUIPPED,
    /// The item does not go there.
    "cannot_equip" => CANNOT_EQUIP,
    /// The item is not a consumable.
    "cannot_use" => CANNOT_USE,
    /// The item has no price.
    "not_for_sale" => NOT_FOR_SALE,
    /// The item cannot be given away or traded.
    "item_bound" => ITEM_BOUND,
    /// A fourth item, a second copy, or an item that takes no attunement.
    "attunement_refused" => ATTUNEMENT_REFUSED,
    /// Too few experience points for the next level.
    "not_enough_experience" => NOT_ENOUGH_EXPERIENCE,
    /// Too few hit dice left.
    "no_hit_dice" => NO_HIT_DICE,
    /// Only the dying roll death saves or are stabilized.
    "not_dying" => NOT_DYING,
    /// The dead can only be revived or renamed.
    "dead" => DEAD,
    /// The rules do not offer that choice.
    "invalid_choice" => INVALID_CHOICE,
    /// The name is empty, too long or has control characters.
    "invalid_name" => INVALID_NAME,
}

/// The rules do not offer this choice.
pub(crate) fn invalid_choice(message: impl Into<std::borrow::Cow<'static, str>>) -> castellan_game::Violation {
    castellan_game::Violation::new(INVALID_CHOICE, message)
}

#[cfg(test)]
mod tests {
    use castellan_protocol::RejectionCode;

    #[test]
    fn the_table_has_every_code() {
        let table = include_str!("../REJECTIONS.md");
        let rows: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        for code in super::ALL {
            assert!(rows.contains(&code.as_str()), "the table has no {code}");
        }
        for row in &rows {
            let known = |code: &&RejectionCode| code.as_str() == *row;
            assert!(super::ALL.iter().chain(RejectionCode::ALL).any(|code| known(&code)), "there is no code {row}");
        }
    }
}
