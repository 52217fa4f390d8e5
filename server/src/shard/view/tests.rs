use castellan_protocol::limits::SERVER_FRAME_BYTES_MAX;
use castellan_protocol::{self as protocol, Action, Applied, Codec, Conflict, NewCharacter, ServerFrame, State};
use proptest::prelude::*;

use super::*;
use castellan_srd::stored::{self, SCHEMA_VERSION};
use castellan_srd::testing::CATALOGUE;
use castellan_srd::testing::{any_character, any_life};
use castellan_srd::{Catalogue, Dice, INVENTORY_ENTRIES_MAX, Touched, applied, apply, create, derive};

fn header() -> Header {
    Header {
        id: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("a UUID"),
        user: "0d6c6f1e-7dec-41d0-a765-00a0c91e6bf6".parse().expect("a UUID"),
        version: Version::new(6),
        last: RequestId::new(1831),
        created_at_ms: 1_795_348_800_000,
        updated_at_ms: 1_795_348_801_500,
    }
}

fn brannor(catalogue: &Catalogue) -> Character {
    let new: NewCharacter = serde_json::from_str(
        r#"{"name": "Brannor", "race": "dwarf", "subrace": "hill-dwarf", "class": "fighter",
            "abilities": {"str": 16, "dex": 12, "con": 13, "int": 8, "wis": 12, "cha": 10},
            "skills": ["athletics", "perception"]}"#,
    )
    .expect("a new character");
    let mut brannor = create(&new, catalogue).expect("by the rules");
    for action in [
        r#"{"gain_experience": {"amount": 1200}}"#,
        r#"{"level_up": {"hitpoints": "average"}}"#,
        r#"{"level_up": {"hitpoints": "average"}}"#,
        r#"{"add_item": {"item": "chain-mail", "quantity": 1}}"#,
        r#"{"add_item": {"item": "shield", "quantity": 1}}"#,
        r#"{"add_item": {"item": "longsword+weapon-1", "quantity": 1}}"#,
        r#"{"add_item": {"item": "arrow", "quantity": 20}}"#,
        r#"{"equip_item": {"item": "chain-mail"}}"#,
        r#"{"equip_item": {"item": "shield"}}"#,
        r#"{"equip_item": {"item": "longsword+weapon-1"}}"#,
        r#"{"modify_currency": {"sp": 5, "gp": 42}}"#,
        r#"{"add_condition": {"condition": "poisoned"}}"#,
    ] {
        let action: Action = serde_json::from_str(action).expect("an action");
        let mut dice = Dice::new(b"secret", header().id, RequestId::new(1), brannor.dice_rolled());
        apply(&mut brannor, &action, catalogue, &mut dice).expect("by the rules");
    }
    brannor
}

/// The wire's own example, but for what its weight leaves to the imagination.
const EXAMPLE: &str = r#"{"id": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "user_id": "0d6c6f1e-7dec-41d0-a765-00a0c91e6bf6",
    "name": "Brannor", "race": "dwarf", "subrace": "hill-dwarf", "class": "fighter", "level": 3, "experience": 1200,
    "abilities": {"str": 16, "dex": 12, "con": 15, "int": 8, "wis": 13, "cha": 10}, "skills": ["athletics", "perception"],
    "hitpoints": 13, "max_hitpoints": 31, "temporary_hitpoints": 0, "hit_dice": 3, "death_saves": {"successes": 0, "failures": 0},
    "life": "conscious", "conditions": ["poisoned"], "exhaustion": 0,
    "currency": {"cp": 0, "sp": 5, "ep": 0, "gp": 42, "pp": 0},
    "equipment": {"armor": "chain-mail", "shield": "shield", "main_hand": "longsword+weapon-1"}, "attuned": [],
    "inventory": [{"item": "chain-mail", "quantity": 1}, {"item": "shield", "quantity": 1}, {"item": "longsword+weapon-1", "quantity": 1}, {"item": "arrow", "quantity": 20}],
    "derived": {"armor_class": 18, "speed": 25, "initiative": 1, "proficiency_bonus": 2, "passive_perception": 13,
        "abilities": {"str": 16, "dex": 12, "con": 15, "int": 8, "wis": 13, "cha": 10},
        "modifiers": {"str": 3, "dex": 1, "con": 2, "int": -1, "wis": 1, "cha": 0},
        "saving_throws": {"str": 5, "dex": 1, "con": 4, "int": -1, "wis": 1, "cha": 0},
        "skills": {"acrobatics": 1, "animal-handling": 1, "arcana": -1, "athletics": 5, "deception": 0, "history": -1,
            "insight": 1, "intimidation": 0, "investigation": -1, "medicine": 1, "nature": -1, "perception": 3,
            "performance": 0, "persuasion": 0, "religion": -1, "sleight-of-hand": 1, "stealth": 1, "survival": 1},
        "carrying_capacity": 240, "carried_weight": 65.94,
        "attacks": [{"item": "longsword+weapon-1", "attack_bonus": 6, "damage": "1d8+4", "damage_type": "slashing"}],
        "flags": ["stealth_disadvantage"]},
    "version": 6, "last": 1831, "created_at": "2026-11-22T12:00:00Z", "updated_at": "2026-11-22T12:00:01Z"}"#;

#[test]
fn a_view_is_the_wires_character() {
    let catalogue = Catalogue::embedded();
    let (header, brannor) = (header(), brannor(&catalogue));
    let derived = derive(&brannor, &catalogue);
    let view = CharacterView::new(&header, &brannor, &derived);
    let expected: protocol::Character = serde_json::from_str(EXAMPLE).expect("the wire's example");
    for codec in [Codec::MessagePack, Codec::Json] {
        let mut bytes = Vec::new();
        codec.encode(&view, &mut bytes);
        let decoded: protocol::Character = codec.decode(&bytes).expect("a character of the wire");
        assert_eq!(decoded, expected);
        // Field by field in the same order, and no length that lies.
        let mut again = Vec::new();
        codec.encode(&decoded, &mut again);
        assert_eq!(again.len(), bytes.len());
    }
}

#[test]
fn fields_stand_in_the_wires_order() {
    let catalogue = Catalogue::embedded();
    let (header, brannor) = (header(), brannor(&catalogue));
    let derived = derive(&brannor, &catalogue);
    let view = CharacterView::new(&header, &brannor, &derived);
    let json = serde_json::to_string(&view).expect("JSON");
    let compact = EXAMPLE.lines().map(str::trim_start).collect::<String>().replace(", ", ",").replace(": ", ":");
    assert_eq!(json, compact);
}

#[test]
fn what_is_stored_is_read_back() {
    let catalogue = Catalogue::embedded();
    let brannor = brannor(&catalogue);
    let json = serde_json::to_string(&StoredView::new(&header(), &brannor)).expect("JSON");
    assert_eq!(stored::decode(SCHEMA_VERSION, &json).expect("readable"), brannor);
    let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let missing = |field: &&str| value.get(*field).is_none();
    let fields = ["id", "user_id", "version", "last", "created_at", "updated_at", "hit_point_dice", "dice_rolled"];
    assert_eq!(fields.iter().find(|field| missing(field)), None);
    assert!(value.get("derived").is_none());
}

proptest! {
    #[test]
    fn any_character_is_written_and_read_back(character in any_character()) {
        let header = header();
        let json = serde_json::to_string(&StoredView::new(&header, &character)).expect("JSON");
        prop_assert_eq!(&stored::decode(SCHEMA_VERSION, &json).expect("readable"), &character);
        let derived = derive(&character, &CATALOGUE);
        let view = CharacterView::new(&header, &character, &derived);
        let wire = |codec: Codec| {
            let mut bytes = Vec::new();
            codec.encode(&view, &mut bytes);
            codec.decode::<protocol::Character>(&bytes).expect("a character of the wire")
        };
        let decoded = wire(Codec::MessagePack);
        prop_assert_eq!(&decoded, &wire(Codec::Json));
        prop_assert_eq!(decoded.inventory.len(), character.inventory().entries().len());
        prop_assert_eq!(decoded.equipment.len(), derived_slots(&character));
    }

    #[test]
    fn what_is_written_by_hand_is_what_serde_writes(
        character in any_character(),
        name in "[a-zß-ž山-岳🐉]{1,40}",
        ids in any::<[u128; 2]>(),
        times in prop::array::uniform2(0i64..5_000_000_000_000),
        numbers in prop::array::uniform3(prop_oneof![0u64..300, 0u64..70_000, any::<u64>()]),
        duplicate in any::<bool>(),
        asked in any::<bool>(),
    ) {
        let [version, last, durable] = numbers;
        let header = Header {
            id: CharacterId::from_uuid(uuid::Uuid::from_u128(ids[0])),
            user: UserId::from_uuid(uuid::Uuid::from_u128(ids[1])),
            version: Version::new(version),
            last: RequestId::new(last),
            created_at_ms: times[0],
            updated_at_ms: times[1],
        };
        let character = renamed(&character, name);
        let derived = derive(&character, &CATALOGUE);
        let view = CharacterView::new(&header, &character, &derived);
        let (id, durable) = (RequestId::new(last), Version::new(durable));
        let mut sheet = Sheet::default();
        sheet.pack(&view);
        let packed = SheetView { header: &header, character: &character, sheet: &sheet };
        let check = |by_hand: ServerFrame<SheetView<'_>>, by_serde: ServerFrame<CharacterView<'_>>| {
            let (mut one, mut other) = (b"before".to_vec(), b"before".to_vec());
            encode_sheet(&by_hand, &mut one);
            Codec::MessagePack.encode(&by_serde, &mut other);
            assert_eq!(one, other);
        };
        check(
            ServerFrame::Applied(Applied { id, character: packed, durable, duplicate }),
            ServerFrame::Applied(Applied { id, character: view, durable, duplicate }),
        );
        check(
            ServerFrame::Conflict(Conflict { id, character: packed, durable }),
            ServerFrame::Conflict(Conflict { id, character: view, durable }),
        );
        let id = asked.then_some(id);
        check(
            ServerFrame::State(State { character: packed, durable, id }),
            ServerFrame::State(State { character: view, durable, id }),
        );
        let mut whole = Vec::new();
        view.pack(&mut whole);
        let mut by_parts = Vec::new();
        packed.pack(&mut by_parts);
        prop_assert_eq!(whole, by_parts);
    }

    #[test]
    fn a_sheet_holds_while_the_rules_say_so((mut character, actions) in any_life(), at_ms in 0i64..9_000_000) {
        let mut header = header();
        let mut sheet = Sheet::default();
        for (index, action) in actions.iter().enumerate() {
            if sheet.is_empty() {
                sheet.pack(&CharacterView::new(&header, &character, &derive(&character, &CATALOGUE)));
            }
            let mut dice = Dice::new(b"secret", header.id, RequestId::new(1), index as u64);
            match apply(&mut character, action, &CATALOGUE, &mut dice) {
                Ok(Touched::Vitals) => {}
                Ok(Touched::Sheet) => sheet.clear(),
                Err(_) => continue,
            }
            header.version = header.version.next();
            header.updated_at_ms += at_ms;
            let derived = derive(&character, &CATALOGUE);
            let view = CharacterView::new(&header, &character, &derived);
            if !sheet.is_empty() {
                let (mut whole, mut by_parts) = (Vec::new(), Vec::new());
                view.pack(&mut whole);
                SheetView { header: &header, character: &character, sheet: &sheet }.pack(&mut by_parts);
                prop_assert_eq!(whole, by_parts, "{:?}", action);
            }
        }
    }
}

fn renamed(character: &Character, name: String) -> Character {
    let rename = Action::Rename(protocol::Rename { name });
    let mut dice = Dice::new(b"secret", header().id, RequestId::new(1), 0);
    applied(character, &rename, &CATALOGUE, &mut dice).expect("a good name")
}

fn derived_slots(character: &Character) -> usize {
    protocol::Slot::ALL.iter().filter(|slot| character.worn(**slot).is_some()).count()
}

#[test]
fn the_fullest_character_fits_a_server_frame() {
    let catalogue = Catalogue::embedded();
    let mut hoarder = brannor(&catalogue);
    // The longest ids first; those of another catalogue may be longer still, up to 81 bytes.
    let mut items: Vec<_> = catalogue.items().iter().map(|item| item.id().as_str()).collect();
    items.sort_by_key(|id| std::cmp::Reverse(id.len()));
    for item in items {
        let quantity = 999_999 - hoarder.inventory().quantity(catalogue.item_named(item).expect("an item").id());
        let action = serde_json::json!({"add_item": {"item": item, "quantity": quantity}});
        let action: Action = serde_json::from_value(action).expect("an action");
        let mut dice = Dice::new(b"secret", header().id, RequestId::new(1), 0);
        if hoarder.inventory().entries().len() < INVENTORY_ENTRIES_MAX {
            apply(&mut hoarder, &action, &catalogue, &mut dice).expect("room");
        }
    }
    assert_eq!(hoarder.inventory().entries().len(), INVENTORY_ENTRIES_MAX);
    let derived = derive(&hoarder, &catalogue);
    let json = serde_json::to_string(&CharacterView::new(&header(), &hoarder, &derived)).expect("JSON");
    let longest: usize = hoarder.inventory().entries().iter().map(|entry| 81 - entry.item().as_str().len()).sum();
    // 64 skills, conditions and expertises of 40 bytes instead of the few that there are.
    let others = 12_000;
    assert!(json.len() + longest + others < SERVER_FRAME_BYTES_MAX, "{} bytes, and {longest}", json.len());
}
