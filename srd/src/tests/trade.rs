//! Gaining, losing and trading items and coins.

use crate::code;
use crate::wire::RejectionCode;

use super::book::equipped;
use super::{CATALOGUE, play, play_with, refusal};
use crate::{Character, Coin, Goods};

fn start(kit: &str) -> Character {
    equipped("human fighter", 1, [10, 10, 14, 10, 10, 10], kit)
}

fn deal(kind: &str, item: &str, quantity: i64) -> String {
    format!(r#"{{"{kind}": {{"item": "{item}", "quantity": {quantity}}}}}"#)
}

/// Coins as `cp sp ep gp pp`.
fn coins(character: &Character) -> String {
    Coin::ALL.iter().map(|coin| character.purse().coins(*coin).to_string()).collect::<Vec<_>>().join(" ")
}

fn pack(character: &Character) -> String {
    let entries = character.inventory().stacks().iter();
    entries.map(|entry| format!("{}:{}", entry.item(), entry.quantity())).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check(kit: &str, action: &str, expected_coins: &str, expected_pack: &str) {
    let after = play(&start(kit), &[action]);
    assert_eq!((coins(&after).as_str(), pack(&after).as_str()), (expected_coins, expected_pack), "`{kit}`, {action}");
}

#[track_caller]
fn check_refused(kit: &str, action: &str, code: RejectionCode) {
    assert_eq!(refusal(&start(kit), action), code, "`{kit}`, {action}");
}

#[test]
fn buying_costs_the_price_of_the_catalogue() {
    check("$gp:20", &deal("buy_item", "longsword", 1), "0 0 0 5 0", "longsword:1");
    check("$gp:1", &deal("buy_item", "arrow", 20), "0 0 0 0 0", "arrow:20");
    // Part of a bundle costs its share: 5 copper per arrow.
    check("$sp:1", &deal("buy_item", "arrow", 2), "0 0 0 0 0", "arrow:2");
    // A bullet costs a fifth of a copper; the total is rounded up.
    check("$cp:5", &deal("buy_item", "sling-bullet", 1), "4 0 0 0 0", "sling-bullet:1");
    check("$cp:5", &deal("buy_item", "sling-bullet", 6), "3 0 0 0 0", "sling-bullet:6");
    // Smallest coins first, change in gold, silver and copper.
    check("$pp:1", &deal("buy_item", "candle", 1), "9 9 0 9 0", "candle:1");
    check("$cp:3 $sp:2 $ep:1 $gp:1", &deal("buy_item", "bell", 1), "3 7 0 0 0", "bell:1");
    check_refused("$gp:14 $sp:9 $cp:9", &deal("buy_item", "longsword", 1), code::INSUFFICIENT_FUNDS);
    check_refused("", &deal("buy_item", "galley", 1_000_000), code::INSUFFICIENT_FUNDS);
    for item in ["potion-of-healing", "longsword+weapon-1", "alms-box", "ring-of-protection"] {
        check_refused("$gp:1000000", &deal("buy_item", item, 1), code::NOT_FOR_SALE);
    }
    check_refused("$gp:1", &deal("buy_item", "vorpal-spoon", 1), code::UNKNOWN_ITEM);
    check_refused("$gp:1", &deal("buy_item", "weapon-1", 1), code::UNKNOWN_ITEM);
}

#[test]
fn selling_brings_half_the_price_of_the_catalogue() {
    check("~longsword", &deal("sell_item", "longsword", 1), "0 5 0 7 0", "");
    check("~arrow:20", &deal("sell_item", "arrow", 20), "0 5 0 0 0", "");
    // 2.5 copper; the total is rounded down.
    check("~arrow:20", &deal("sell_item", "arrow", 1), "2 0 0 0 0", "arrow:19");
    check("~candle:3", &deal("sell_item", "candle", 3), "1 0 0 0 0", "");
    check("~candle:3", &deal("sell_item", "candle", 1), "0 0 0 0 0", "candle:2");
    check("~warship", &deal("sell_item", "warship", 1), "0 0 0 12500 0", "");
    check_refused("~ring-of-protection", &deal("sell_item", "ring-of-protection", 1), code::NOT_FOR_SALE);
    check_refused("~vestments", &deal("sell_item", "vestments", 1), code::NOT_FOR_SALE);
    check_refused("longsword", &deal("sell_item", "longsword", 1), code::ITEM_EQUIPPED);
    check_refused("dagger dagger ~dagger", &deal("sell_item", "dagger", 2), code::ITEM_EQUIPPED);
    check_refused("~dagger", &deal("sell_item", "dagger", 2), code::NOT_IN_INVENTORY);
    check_refused("", &deal("sell_item", "dagger", 1), code::NOT_IN_INVENTORY);
    check_refused("", &deal("sell_item", "vorpal-spoon", 1), code::UNKNOWN_ITEM);
    check_refused("$gp:2000000000 ~longsword", &deal("sell_item", "longsword", 1), RejectionCode::LIMIT_EXCEEDED);
}

#[test]
fn items_are_added_and_removed() {
    check("~torch:2", &deal("add_item", "torch", 3), "0 0 0 0 0", "torch:5");
    check("~torch:5", &deal("remove_item", "torch", 2), "0 0 0 0 0", "torch:3");
    check("dagger ~dagger:2", &deal("remove_item", "dagger", 2), "0 0 0 0 0", "dagger:1");
    check_refused("dagger ~dagger:2", &deal("remove_item", "dagger", 3), code::ITEM_EQUIPPED);
    check_refused("~torch:5", &deal("remove_item", "torch", 6), code::NOT_IN_INVENTORY);
    check_refused("~torch:999999", &deal("add_item", "torch", 2), RejectionCode::LIMIT_EXCEEDED);
    check("~torch:999999", &deal("add_item", "torch", 1), "0 0 0 0 0", "torch:1000000");
    for kind in ["add_item", "remove_item", "buy_item", "sell_item"] {
        for (quantity, code) in [
            (0, RejectionCode::MALFORMED),
            (-1, RejectionCode::MALFORMED),
            (-9_007_199_254_740_991, RejectionCode::MALFORMED),
            (1_000_001, RejectionCode::LIMIT_EXCEEDED),
            (9_007_199_254_740_991, RejectionCode::LIMIT_EXCEEDED),
        ] {
            check_refused("~torch:5", &deal(kind, "torch", quantity), code);
        }
    }
    for nothing in
        ["vorpal-spoon", "", "armor-1", "longsword+armor-1", "hide-armor+mithral-armor", "shield+weapon-1", "club+"]
    {
        check_refused("", &deal("add_item", nothing, 1), code::UNKNOWN_ITEM);
    }
    for variant in
        ["longsword+weapon-3", "plate-armor+mithral-armor", "chain-shirt+armor-2", "shield+shield-3", "net+weapon-1"]
    {
        check("", &deal("add_item", variant, 1), "0 0 0 0 0", &format!("{variant}:1"));
    }
}

#[test]
fn an_inventory_is_bounded() {
    let mut hoarder = start("");
    let mut added = 0;
    for item in super::CATALOGUE.items() {
        let action = deal("add_item", item.id().as_str(), 1_000_000);
        if added < crate::INVENTORY_ENTRIES_MAX {
            hoarder = play(&hoarder, &[&action]);
            added += 1;
        } else {
            assert_eq!(refusal(&hoarder, &action), RejectionCode::LIMIT_EXCEEDED);
        }
    }
    assert_eq!(hoarder.inventory().stacks().len(), crate::INVENTORY_ENTRIES_MAX);
    let derived = crate::derive(&hoarder, &super::CATALOGUE);
    assert!(derived.carried_weight() > 1e9);
}

#[test]
fn coins_are_changed_kind_by_kind() {
    let change = |fields: &str| format!(r#"{{"modify_currency": {fields}}}"#);
    check("$gp:5", &change(r#"{"gp": -5, "sp": 50}"#), "0 50 0 0 0", "");
    check("", &change(r#"{"cp": 2000000000, "pp": 1}"#), "2000000000 0 0 0 1", "");
    check("$gp:5", &change(r#"{"gp": 0, "ep": 1}"#), "0 0 1 5 0", "");
    // Coins of one kind do not replace another kind.
    check_refused("$gp:5", &change(r#"{"sp": -1}"#), code::INSUFFICIENT_FUNDS);
    check_refused("$gp:5", &change(r#"{"gp": -6, "pp": 1}"#), code::INSUFFICIENT_FUNDS);
    check_refused("$gp:5", &change(r#"{"gp": -9007199254740991}"#), code::INSUFFICIENT_FUNDS);
    check_refused("$gp:5", &change(r#"{"gp": 1999999996}"#), RejectionCode::LIMIT_EXCEEDED);
    check_refused("", &change(r#"{"gp": 9007199254740991}"#), RejectionCode::LIMIT_EXCEEDED);
    check_refused("", &change("{}"), RejectionCode::MALFORMED);
    check_refused("", &change(r#"{"gp": 0}"#), RejectionCode::MALFORMED);
}

#[test]
fn a_potion_heals_and_is_used_up() {
    let hurt = play(&start("~potion-of-healing:2"), &[r#"{"modify_hitpoints": {"delta": -11}}"#]);
    let drink = r#"{"use_item": {"item": "potion-of-healing"}}"#;
    let better = play_with(&hurt, &[drink], &[3, 4]);
    assert_eq!((better.hitpoints(), pack(&better).as_str(), better.dice_rolled()), (10, "potion-of-healing:1", 2));
    let down = play(&start("~potion-of-healing-supreme"), &[r#"{"modify_hitpoints": {"delta": -12}}"#]);
    let awake = play_with(&down, &[r#"{"use_item": {"item": "potion-of-healing-supreme"}}"#], &[1; 10]);
    assert_eq!((awake.hitpoints(), awake.life().as_str(), pack(&awake).as_str()), (12, "conscious", ""));
    check_refused("~torch", r#"{"use_item": {"item": "torch"}}"#, code::CANNOT_USE);
    check_refused("", drink, code::NOT_IN_INVENTORY);
    check_refused("", r#"{"use_item": {"item": "vorpal-spoon"}}"#, code::UNKNOWN_ITEM);
}

fn goods(json: &str) -> Goods {
    serde_json::from_str(json).expect("goods")
}

#[track_caller]
fn check_kept(character: &Character, json: &str, code: RejectionCode) {
    let mut after = character.clone();
    let refused = goods(json).take_out(&mut after, &CATALOGUE).expect_err("refused");
    assert_eq!((refused.code, &after), (code, character), "{json}");
}

#[test]
fn goods_leave_one_character_and_enter_another() {
    let (mut giver, mut receiver) = (start("~arrow:20 $gp:5"), start("~arrow:1"));
    let goods = goods(r#"{"items": {"arrow": 15}, "currency": {"gp": 2}}"#);
    goods.take_out(&mut giver, &CATALOGUE).expect("it has them");
    goods.put_in(&mut receiver).expect("they fit");
    assert_eq!((coins(&giver).as_str(), pack(&giver).as_str()), ("0 0 0 3 0", "arrow:5"));
    assert_eq!((coins(&receiver).as_str(), pack(&receiver).as_str()), ("0 0 0 2 0", "arrow:16"));
}

#[test]
fn bound_items_stay_and_nobody_can_want_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let catalogue = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../catalogue");
    for file in std::fs::read_dir(catalogue).expect("the catalogue") {
        let path = file.expect("a file").path();
        let text =
            std::fs::read_to_string(&path).expect("text").replace("id = \"bell\"", "id = \"bell\"\nbound = true");
        std::fs::write(folder.path().join(path.file_name().expect("a name")), text).expect("a copy");
    }
    let bound = crate::Catalogue::load(folder.path()).expect("a catalogue");
    let (mut character, bell) = (start("~bell:2 ~candle:1"), goods(r#"{"items": {"bell": 1}}"#));
    let before = character.clone();
    let both = goods(r#"{"items": {"bell": 1, "candle": 1}}"#);
    for goods in [&bell, &both] {
        let refused = goods.take_out(&mut character, &bound).expect_err("it is bound");
        assert_eq!((refused.code, &character), (code::ITEM_BOUND, &before));
        assert_eq!(goods.check_wanted(&bound).expect_err("it is bound").code, code::ITEM_BOUND);
    }
    bell.put_in(&mut character).expect("it was on its way before it became bound");
    bell.take_out(&mut character, &CATALOGUE).expect("it is not bound there");
}

#[test]
fn what_is_worn_attuned_or_not_there_stays() {
    check_kept(&start("longsword"), r#"{"items": {"longsword": 1}}"#, code::ITEM_EQUIPPED);
    check_kept(&start("~longsword"), r#"{"items": {"longsword": 2}}"#, code::NOT_IN_INVENTORY);
    check_kept(&start("$gp:1"), r#"{"currency": {"gp": 2}}"#, code::INSUFFICIENT_FUNDS);
    check_kept(&start("~dagger"), r#"{"items": {"dagger": 1, "vorpal-spoon": 1}}"#, code::UNKNOWN_ITEM);
    for nothing in ["{}", r#"{"items": {"dagger": 0}}"#, r#"{"currency": {"gp": 0}}"#] {
        check_kept(&start("~dagger"), nothing, RejectionCode::MALFORMED);
    }
    let attune = r#"{"attune": {"item": "cloak-of-protection"}}"#;
    let attuned = play(&start("~cloak-of-protection"), &[attune]);
    check_kept(&attuned, r#"{"items": {"cloak-of-protection": 1}}"#, code::ITEM_EQUIPPED);
    let with_another = play(&start("~cloak-of-protection:2"), &[attune]);
    let mut after = with_another.clone();
    goods(r#"{"items": {"cloak-of-protection": 1}}"#).take_out(&mut after, &CATALOGUE).expect("the other one");
    assert_eq!(after.attuned(), with_another.attuned());
}
