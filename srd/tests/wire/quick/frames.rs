//! Client frames of every kind, with every field anywhere in its bounds.

use std::collections::BTreeMap;

use castellan_srd::wire::limits::INTEGER_MAX;
use castellan_srd::wire::*;
use proptest::collection::btree_map;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// What frames and actions are put together from.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    id: RequestId,
    character: CharacterId,
    user: Option<UserId>,
    ack: Option<Ack>,
    text: String,
    maybe_text: Option<String>,
    numbers: [i64; 5],
    given: [bool; 6],
    slot: Slot,
    hitpoints: HitPointChoice,
    abilities: BTreeMap<Ability, i64>,
}

/// Integers of the wire, small ones and the bounds among them.
fn number() -> impl Strategy<Value = i64> {
    let any_size = (-INTEGER_MAX..=INTEGER_MAX, 0..53_u32).prop_map(|(number, shift)| number >> shift);
    prop_oneof![8 => any_size, 1 => select(vec![-INTEGER_MAX, 0, INTEGER_MAX])]
}

/// Texts with a length of each of MessagePack's forms.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![8 => "\\PC{0,12}", 2 => "\\PC{0,70}", 1 => "[a-z]{300}"]
}

pub(crate) fn parts() -> impl Strategy<Value = Parts> {
    let ids = (number(), any::<u128>(), of(any::<u128>()), of(select(Ack::ALL)));
    let texts = (text(), of(text()));
    let numbers = (prop::array::uniform5(number()), prop::array::uniform6(any::<bool>()));
    let names = (select(Slot::ALL), select(HitPointChoice::ALL), btree_map(select(Ability::ALL), number(), 0..6));
    (ids, texts, numbers, names).prop_map(
        |((id, character, user, ack), (text, maybe_text), (numbers, given), names)| Parts {
            id: RequestId::new(id.unsigned_abs()),
            character: CharacterId::from_uuid(uuid::Uuid::from_u128(character)),
            user: user.map(uuid::Uuid::from_u128).map(UserId::from_uuid),
            ack,
            text,
            maybe_text,
            numbers,
            given,
            slot: names.0,
            hitpoints: names.1,
            abilities: names.2,
        },
    )
}

/// One action of each kind.
pub(crate) fn actions(parts: &Parts) -> Vec<Action> {
    let [number, cp, sp, ep, gp] = parts.numbers;
    let (item, name, condition) = (parts.text.clone(), parts.text.clone(), parts.text.clone());
    let [a, b, c, d, e, f] = parts.given;
    let coins = ModifyCurrency {
        cp: a.then_some(cp),
        sp: b.then_some(sp),
        ep: c.then_some(ep),
        gp: d.then_some(gp),
        pp: e.then_some(number),
    };
    let goods = |has_coins: bool| Goods {
        items: [(parts.text.clone(), number), ("club".to_owned(), cp)].into(),
        currency: if has_coins { [(Coin::Gold, gp), (Coin::Copper, sp)].into() } else { BTreeMap::new() },
    };
    let level_up = LevelUp { hitpoints: parts.hitpoints, abilities: a.then(|| parts.abilities.clone()) };
    vec![
        Action::ModifyHitpoints(ModifyHitpoints { delta: number, critical: f }),
        Action::GrantTemporaryHitpoints(GrantTemporaryHitpoints { amount: number }),
        Action::RollDeathSave(RollDeathSave {}),
        Action::Stabilize(Stabilize {}),
        Action::Revive(Revive { hitpoints: number }),
        Action::EquipItem(EquipItem { item: item.clone(), slot: a.then_some(parts.slot) }),
        Action::UnequipItem(UnequipItem { slot: parts.slot }),
        Action::Attune(Attune { item: item.clone() }),
        Action::EndAttunement(EndAttunement { item: item.clone() }),
        Action::AddItem(AddItem { item: item.clone(), quantity: number }),
        Action::RemoveItem(RemoveItem { item: item.clone(), quantity: number }),
        Action::UseItem(UseItem { item: item.clone() }),
        Action::BuyItem(BuyItem { item: item.clone(), quantity: number }),
        Action::SellItem(SellItem { item, quantity: number }),
        Action::ModifyCurrency(coins),
        Action::GainExperience(GainExperience { amount: number }),
        Action::LevelUp(level_up),
        Action::ShortRest(ShortRest { hit_dice: number }),
        Action::LongRest(LongRest {}),
        Action::AddCondition(AddCondition { condition: condition.clone() }),
        Action::RemoveCondition(RemoveCondition { condition }),
        Action::Rename(Rename { name }),
        Action::Give(Give { to: parts.character, goods: goods(c) }),
        Action::Offer(Offer { to: a.then_some(parts.character), gives: goods(b), wants: goods(d), seconds: number }),
        Action::Accept(Accept { from: parts.character, offer: number, gives: goods(e), gets: goods(f) }),
        Action::Cancel(Cancel { offer: number }),
    ]
}

/// One frame of each kind.
pub(crate) fn frames(parts: &Parts, action: Action) -> Vec<ClientFrame> {
    let (id, character, user) = (parts.id, parts.character, parts.user);
    let [after, expect, ..] = parts.numbers.map(i64::unsigned_abs);
    let intent = Intent {
        id,
        character,
        after: parts.given[0].then_some(RequestId::new(after)),
        expect: parts.given[1].then_some(Version::new(expect)),
        action,
        ack: parts.ack,
        traceparent: parts.maybe_text.clone(),
        user,
    };
    vec![
        ClientFrame::Intent(intent),
        ClientFrame::Watch(Watch { id, character, user }),
        ClientFrame::Unwatch(Unwatch { id, character, user }),
        ClientFrame::Fetch(Fetch { id, character, user }),
        ClientFrame::Refresh(Refresh { id, token: parts.text.clone() }),
        ClientFrame::Ping(Ping { id: parts.given[2].then_some(id) }),
    ]
}

/// Any client frame: mostly intents, with each action as often.
pub(crate) fn client_frame() -> impl Strategy<Value = ClientFrame> {
    let intents = (parts(), any::<Index>())
        .prop_map(|(parts, action)| frames(&parts, action.get(&actions(&parts)).clone()).swap_remove(0));
    let others = (parts(), any::<Index>())
        .prop_map(|(parts, frame)| frame.get(&frames(&parts, Action::LongRest(LongRest {}))).clone());
    prop_oneof![3 => intents, 1 => others]
}
