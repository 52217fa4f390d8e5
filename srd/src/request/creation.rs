//! A client's request for a new character.

use std::collections::BTreeMap;

use castellan_protocol::wire_map;

use super::Ability;

wire_map! {
    /// The character that `POST /characters` asks for.
    action NewCharacter {
        /// 1 to 40 Unicode scalars after trimming and NFC.
        name: String,
        /// A race of the catalogue.
        race: String,
        /// One of the race's subraces, if it has any.
        #[serde(skip_serializing_if = "Option::is_none")]
        subrace: Option<String>,
        /// A class of the catalogue.
        class: String,
        /// All six scores before race, 3 to 18.
        abilities: BTreeMap<Ability, i64>,
        /// As many skills as the class allows, from its list.
        #[serde(skip_serializing_if = "Option::is_none")]
        skills: Option<Vec<String>>,
    }
}
