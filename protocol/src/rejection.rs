//! Why an intent or a request was refused.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! rejection_codes {
    ($( $(#[$doc:meta])* $text:literal => $variant:ident ),* $(,)?) => {
        /// Why an intent or a request was refused: the stable code beside the sentence for a person.
        ///
        #[doc = include_str!("../REJECTIONS.md")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum RejectionCode {
            $( $(#[$doc])* #[serde(rename = $text)] $variant, )*
            /// A code that this program does not know yet.
            #[serde(other, rename = "unknown")]
            Unknown,
        }

        impl RejectionCode {
            /// All that this version of the wire knows.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $text, )* Self::Unknown => "unknown" }
            }
        }
    };
}

rejection_codes! {
    /// A field is missing, unknown, of a wrong type or out of its bounds; the sentence names it.
    "malformed" => Malformed,
    /// No such action.
    "unknown_action" => UnknownAction,
    /// The session's role may not send this action.
    "not_permitted" => NotPermitted,
    /// No such character, or somebody else's.
    "no_such_character" => NoSuchCharacter,
    /// The intent does not say what it was made on.
    "version_required" => VersionRequired,
    /// Too many in too short a time.
    "rate_limited" => RateLimited,
    /// A bound of the server is reached; what was accepted stays.
    "overloaded" => Overloaded,
    /// The character, its shard or the database cannot be used right now.
    "unavailable" => Unavailable,
    /// An error in the server.
    "internal" => Internal,
    /// Too few coins.
    "insufficient_funds" => InsufficientFunds,
    /// No such item in the catalogue.
    "unknown_item" => UnknownItem,
    /// The character does not carry that item, or too few of it.
    "not_in_inventory" => NotInInventory,
    /// The units are worn.
    "item_equipped" => ItemEquipped,
    /// The item does not go there.
    "cannot_equip" => CannotEquip,
    /// The item is no consumable, or cannot be used now.
    "cannot_use" => CannotUse,
    /// The item has no price.
    "not_for_sale" => NotForSale,
    /// A fourth item, a second copy, or an item that takes no attunement.
    "attunement_refused" => AttunementRefused,
    /// Too few experience points for the next level.
    "not_enough_experience" => NotEnoughExperience,
    /// Too few hit dice left.
    "no_hit_dice" => NoHitDice,
    /// Only the dying roll death saves or are stabilized.
    "not_dying" => NotDying,
    /// The dead can only be revived or renamed.
    "dead" => Dead,
    /// The rules do not offer that choice.
    "invalid_choice" => InvalidChoice,
    /// The name is empty, too long or has control characters.
    "invalid_name" => InvalidName,
    /// A number would pass its limit.
    "limit_exceeded" => LimitExceeded,
    /// On the socket: no such kind of frame.
    "unknown_frame" => UnknownFrame,
    /// On the socket: too many intents unanswered.
    "too_many_in_flight" => TooManyInFlight,
    /// On the socket: the token is of another session.
    "wrong_session" => WrongSession,
    /// No valid token.
    "unauthenticated" => Unauthenticated,
    /// Over HTTP: wrong name or password.
    "bad_credentials" => BadCredentials,
    /// Over HTTP: this server makes no accounts for who asks.
    "registration_closed" => RegistrationClosed,
    /// Over HTTP: too many failed logins.
    "too_many_attempts" => TooManyAttempts,
    /// Over HTTP: the session was ended.
    "session_revoked" => SessionRevoked,
    /// Over HTTP: the state has moved on; the latest comes along.
    "version_conflict" => VersionConflict,
    /// Over HTTP: the path does not exist.
    "no_such_route" => NoSuchRoute,
    /// Over HTTP: the path has no such method.
    "method_not_allowed" => MethodNotAllowed,
    /// Over HTTP: the body is not JSON by its `Content-Type`.
    "unsupported_media_type" => UnsupportedMediaType,
    /// Over HTTP: the body is above 64 KiB.
    "body_too_large" => BodyTooLarge,
}

impl fmt::Display for RejectionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_code() {
        let table = include_str!("../REJECTIONS.md");
        let rows: Vec<_> = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        for code in RejectionCode::ALL {
            assert!(rows.contains(&code.as_str()), "the table has no {code}");
        }
        for row in &rows {
            assert!(RejectionCode::ALL.iter().any(|code| code.as_str() == *row), "there is no code {row}");
        }
    }
}
