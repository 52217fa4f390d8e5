//! Slots, hands, attunement.

use crate::code;
use crate::wire::{RejectionCode, Slot};

use super::book::equipped;
use super::{play, refusal, veteran};
use crate::Character;

fn equip(item: &str) -> String {
    format!(r#"{{"equip_item": {{"item": "{item}"}}}}"#)
}

fn equip_to(item: &str, slot: &str) -> String {
    format!(r#"{{"equip_item": {{"item": "{item}", "slot": "{slot}"}}}}"#)
}

/// The worn items, as `main_hand=longsword shield=shield`.
fn worn(character: &Character) -> String {
    let worn = Slot::ALL.iter().filter_map(|slot| Some(format!("{slot}={}", character.worn(*slot)?)));
    worn.collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check(kit: &str, actions: &[String], expected: &str) {
    let start = equipped("human fighter", 1, [10; 6], kit);
    let actions: Vec<_> = actions.iter().map(String::as_str).collect();
    let after = play(&start, &actions);
    assert_eq!(worn(&after), expected, "`{kit}`, then {actions:?}");
    assert_eq!(after.inventory(), start.inventory(), "worn items stay in the inventory");
}

#[track_caller]
fn check_refused(kit: &str, action: &str, code: RejectionCode) {
    assert_eq!(refusal(&equipped("human fighter", 1, [10; 6], kit), action), code, "`{kit}`, then {action}");
}

#[test]
fn every_item_goes_into_its_slot() {
    check("chain-mail shield longsword", &[], "armor=chain-mail shield=shield main_hand=longsword");
    check("headband-of-intellect amulet-of-health", &[], "head=headband-of-intellect neck=amulet-of-health");
    check("cloak-of-protection belt-of-dwarvenkind", &[], "cloak=cloak-of-protection waist=belt-of-dwarvenkind");
    check("gauntlets-of-ogre-power bracers-of-defense", &[], "hands=gauntlets-of-ogre-power wrists=bracers-of-defense");
    check("boots-of-striding-and-springing", &[], "feet=boots-of-striding-and-springing");
    check("ring-of-protection ring-of-protection", &[], "ring_1=ring-of-protection ring_2=ring-of-protection");
    check("~longsword", &[equip_to("longsword", "off_hand")], "off_hand=longsword");
}

#[test]
fn an_item_goes_into_the_first_free_slot_or_else_the_first() {
    check("dagger dagger", &[], "main_hand=dagger off_hand=dagger");
    check("dagger dagger club", &[], "main_hand=club off_hand=dagger");
    // The shield's hand is not free.
    check("longsword shield dagger", &[], "shield=shield main_hand=dagger");
    // Neither hand is free beside a two-handed weapon.
    check("greatsword dagger", &[], "main_hand=dagger");
}

#[test]
fn an_item_in_the_way_is_taken_off() {
    check("chain-mail plate-armor", &[], "armor=plate-armor");
    check("longsword shield greatsword", &[], "main_hand=greatsword");
    check("dagger dagger greatsword", &[], "main_hand=greatsword");
    check("greatsword shield", &[], "shield=shield");
    check("dagger dagger shield", &[], "shield=shield main_hand=dagger");
    check("longsword shield ~dagger", &[equip_to("dagger", "off_hand")], "main_hand=longsword off_hand=dagger");
    check("greatsword ~dagger", &[equip_to("dagger", "off_hand")], "off_hand=dagger");
    check("shield shield+shield-1", &[], "shield=shield+shield-1");
}

#[test]
fn each_slot_needs_its_own_unit() {
    check_refused("dagger", &equip("dagger"), code::ITEM_EQUIPPED);
    check_refused("dagger", &equip_to("dagger", "off_hand"), code::ITEM_EQUIPPED);
    check("dagger", &[equip_to("dagger", "main_hand")], "main_hand=dagger");
    check_refused("longbow", &equip_to("longbow", "off_hand"), code::CANNOT_EQUIP);
}

#[test]
fn an_item_that_does_not_fit_a_slot_is_refused() {
    for (kit, item) in [
        ("~torch", "torch"),
        ("~arrow:20", "arrow"),
        ("~potion-of-healing", "potion-of-healing"),
        ("~stone-of-good-luck-luckstone", "stone-of-good-luck-luckstone"),
        ("~explorers-pack", "explorers-pack"),
    ] {
        check_refused(kit, &equip(item), code::CANNOT_EQUIP);
    }
    check_refused("~longsword", &equip_to("longsword", "shield"), code::CANNOT_EQUIP);
    check_refused("~shield", &equip_to("shield", "off_hand"), code::CANNOT_EQUIP);
    check_refused("", &equip("longsword"), code::NOT_IN_INVENTORY);
    check_refused("", &equip("vorpal-spoon"), code::UNKNOWN_ITEM);
    check_refused("", r#"{"unequip_item": {"slot": "head"}}"#, code::CANNOT_EQUIP);
    check("longsword", &[r#"{"unequip_item": {"slot": "main_hand"}}"#.to_owned()], "");
}

fn attune(item: &str) -> String {
    format!(r#"{{"attune": {{"item": "{item}"}}}}"#)
}

#[test]
fn attunement_follows_the_book() {
    let kit = "~@amulet-of-health ~@ring-of-protection ~@cloak-of-protection ~bracers-of-defense";
    let full = equipped("human fighter", 1, [10; 6], kit);
    assert_eq!(full.attuned().len(), 3);
    assert_eq!(refusal(&full, &attune("bracers-of-defense")), code::ATTUNEMENT_REFUSED);
    let end = |item: &str| format!(r#"{{"end_attunement": {{"item": "{item}"}}}}"#);
    let freed = play(&full, &[&end("ring-of-protection"), &attune("bracers-of-defense")]);
    let attuned: Vec<_> = freed.attuned().iter().map(|item| item.as_str()).collect();
    assert_eq!(attuned, ["amulet-of-health", "cloak-of-protection", "bracers-of-defense"]);
    check_refused("~@ring-of-protection ~ring-of-protection", &attune("ring-of-protection"), code::ATTUNEMENT_REFUSED);
    check_refused("~longsword+weapon-1", &attune("longsword+weapon-1"), code::ATTUNEMENT_REFUSED);
    check_refused("~club", &attune("club"), code::ATTUNEMENT_REFUSED);
    check_refused("", &attune("ring-of-protection"), code::NOT_IN_INVENTORY);
    check_refused("", &attune("vorpal-spoon"), code::UNKNOWN_ITEM);
    check_refused("~ring-of-protection", &end("ring-of-protection"), code::ATTUNEMENT_REFUSED);
    check_refused("", &end("vorpal-spoon"), code::UNKNOWN_ITEM);
}

#[test]
fn attunement_ends_with_the_last_unit() {
    let two = equipped("human fighter", 1, [10; 6], "~@ring-of-protection ~ring-of-protection");
    let drop = r#"{"remove_item": {"item": "ring-of-protection", "quantity": 1}}"#;
    let one = play(&two, &[drop]);
    assert_eq!(one.attuned().len(), 1);
    assert_eq!(play(&one, &[drop]).attuned().len(), 0);
    assert_eq!(veteran("human fighter", 1, [10; 6]).attuned().len(), 0);
}
