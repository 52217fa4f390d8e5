//! One sample of every frame and of every action.

pub(crate) mod reply;

use std::collections::BTreeMap;
use std::str::FromStr;

use castellan_srd::wire::*;

/// Parses an id that a sample names.
fn id<T: FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("samples hold good ids")
}

/// The character of all samples.
pub(crate) fn character_id() -> CharacterId {
    id("f81d4fae-7dec-11d0-a765-00a0c91e6bf6")
}

fn user_id() -> UserId {
    id("019ab000-0000-7000-8000-000000000001")
}

fn session_id() -> SessionId {
    id("019ab000-0000-7000-8000-0000000000ff")
}

/// An intent after request 1830 that asks for `action`.
pub(crate) fn intent(action: Action) -> Intent {
    Intent {
        id: RequestId::new(1831),
        character: character_id(),
        after: Some(RequestId::new(1830)),
        expect: None,
        action,
        ack: None,
        traceparent: None,
        user: None,
    }
}

fn actions() -> Vec<(&'static str, Action)> {
    let item = || "longsword+weapon-1".to_owned();
    let coins = ModifyCurrency { cp: None, sp: Some(5), ep: None, gp: Some(-2), pp: None };
    let to = id("019ab000-0000-7000-8000-0000000000c2");
    let coins_only = || Goods { items: BTreeMap::new(), currency: [(Coin::Gold, 3), (Coin::Platinum, 1)].into() };
    let some = Goods { items: [("arrow".to_owned(), 20), (item(), 1)].into(), ..coins_only() };
    let abilities = BTreeMap::from([(Ability::Strength, 1), (Ability::Charisma, 1)]);
    vec![
        ("intent_modify_hitpoints", Action::ModifyHitpoints(ModifyHitpoints { delta: -10, critical: true })),
        ("intent_grant_temporary_hitpoints", Action::GrantTemporaryHitpoints(GrantTemporaryHitpoints { amount: 7 })),
        ("intent_roll_death_save", Action::RollDeathSave(RollDeathSave {})),
        ("intent_stabilize", Action::Stabilize(Stabilize {})),
        ("intent_revive", Action::Revive(Revive { hitpoints: 1 })),
        ("intent_equip_item", Action::EquipItem(EquipItem { item: item(), slot: Some(Slot::MainHand) })),
        ("intent_equip_item_anywhere", Action::EquipItem(EquipItem { item: item(), slot: None })),
        ("intent_unequip_item", Action::UnequipItem(UnequipItem { slot: Slot::Ring2 })),
        ("intent_attune", Action::Attune(Attune { item: item() })),
        ("intent_end_attunement", Action::EndAttunement(EndAttunement { item: item() })),
        ("intent_add_item", Action::AddItem(AddItem { item: "arrow".to_owned(), quantity: 20 })),
        ("intent_remove_item", Action::RemoveItem(RemoveItem { item: "arrow".to_owned(), quantity: 1 })),
        ("intent_use_item", Action::UseItem(UseItem { item: "potion-of-healing".to_owned() })),
        ("intent_buy_item", Action::BuyItem(BuyItem { item: "arrow".to_owned(), quantity: 1_000_000 })),
        ("intent_sell_item", Action::SellItem(SellItem { item: item(), quantity: 1 })),
        ("intent_modify_currency", Action::ModifyCurrency(coins)),
        ("intent_gain_experience", Action::GainExperience(GainExperience { amount: 300 })),
        ("intent_level_up", Action::LevelUp(LevelUp { hitpoints: HitPointChoice::Roll, abilities: Some(abilities) })),
        ("intent_level_up_average", Action::LevelUp(LevelUp { hitpoints: HitPointChoice::Average, abilities: None })),
        ("intent_short_rest", Action::ShortRest(ShortRest { hit_dice: 2 })),
        ("intent_long_rest", Action::LongRest(LongRest {})),
        ("intent_add_condition", Action::AddCondition(AddCondition { condition: "poisoned".to_owned() })),
        ("intent_remove_condition", Action::RemoveCondition(RemoveCondition { condition: "exhaustion".to_owned() })),
        ("intent_give", Action::Give(Give { to, goods: some.clone() })),
        (
            "intent_offer",
            Action::Offer(Offer { to: Some(to), gives: some.clone(), wants: coins_only(), seconds: 3_600 }),
        ),
        (
            "intent_offer_to_all",
            Action::Offer(Offer { to: None, gives: coins_only(), wants: some.clone(), seconds: 1 }),
        ),
        ("intent_accept", Action::Accept(Accept { from: to, offer: 7, gives: coins_only(), gets: some })),
        ("intent_cancel", Action::Cancel(Cancel { offer: 7 })),
        ("intent_rename", Action::Rename(Rename { name: "Brannör 🪓".to_owned() })),
    ]
}

/// Every client frame, every action, and every optional field once.
pub(crate) fn client_frames() -> Vec<(&'static str, ClientFrame)> {
    let mut frames: Vec<_> =
        actions().into_iter().map(|(name, action)| (name, ClientFrame::Intent(intent(action)))).collect();
    let every_field = Intent {
        id: RequestId::new(9_007_199_254_740_991),
        character: character_id(),
        after: None,
        expect: Some(Version::new(0)),
        action: Action::ModifyHitpoints(ModifyHitpoints { delta: 3, critical: false }),
        ack: Some(Ack::Durable),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
        user: Some(user_id()),
    };
    let (number, character) = (RequestId::new(7), character_id());
    frames.extend([
        ("intent_every_field", ClientFrame::Intent(every_field)),
        ("watch", ClientFrame::Watch(Watch { id: number, character, user: None })),
        ("watch_of_user", ClientFrame::Watch(Watch { id: number, character, user: Some(user_id()) })),
        ("unwatch", ClientFrame::Unwatch(Unwatch { id: number, character, user: None })),
        ("fetch", ClientFrame::Fetch(Fetch { id: number, character, user: None })),
        ("refresh", ClientFrame::Refresh(Refresh { id: number, token: "abc.DEF-_1".to_owned() })),
        ("ping", ClientFrame::Ping(Ping { id: Some(number) })),
        ("ping_bare", ClientFrame::Ping(Ping { id: None })),
    ]);
    frames
}

fn scores(scores: [i64; 6]) -> Scores {
    let [str, dex, con, int, wis, cha] = scores;
    Scores { str, dex, con, int, wis, cha }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn derived() -> Derived {
    Derived {
        armor_class: 18,
        speed: 25,
        initiative: 1,
        proficiency_bonus: 2,
        passive_perception: 13,
        abilities: scores([16, 12, 15, 8, 13, 10]),
        modifiers: scores([3, 1, 2, -1, 1, 0]),
        saving_throws: scores([5, 1, 4, -1, 1, 0]),
        skills: BTreeMap::from([("athletics".to_owned(), 5), ("perception".to_owned(), 3)]),
        carrying_capacity: 240,
        carried_weight: 86.5,
        attacks: vec![Attack {
            item: "longsword+weapon-1".to_owned(),
            attack_bonus: 6,
            damage: "1d8+4".to_owned(),
            damage_type: "slashing".to_owned(),
        }],
        flags: texts(&["stealth_disadvantage"]),
    }
}

/// The character that `docs/protocol.md` shows.
pub(crate) fn character() -> Character {
    let worn = [("armor", "chain-mail"), ("main_hand", "longsword+weapon-1"), ("shield", "shield")];
    let carried = [("chain-mail", 1), ("shield", 1), ("longsword+weapon-1", 1), ("arrow", 20)];
    Character {
        id: character_id(),
        user_id: user_id(),
        sheet: Sheet {
            name: "Brannor".to_owned(),
            race: "dwarf".to_owned(),
            subrace: Some("hill-dwarf".to_owned()),
            class: "fighter".to_owned(),
            level: 3,
            experience: 1200,
            abilities: scores([16, 12, 15, 8, 13, 10]),
            skills: texts(&["athletics", "perception"]),
            hitpoints: 20,
            max_hitpoints: 31,
            temporary_hitpoints: 0,
            hit_dice: 3,
            death_saves: DeathSaves { successes: 0, failures: 0 },
            life: "conscious".to_owned(),
            conditions: texts(&["poisoned"]),
            exhaustion: 0,
            currency: Currency { cp: 0, sp: 5, ep: 0, gp: 42, pp: 0 },
            equipment: worn.iter().map(|(slot, item)| ((*slot).to_owned(), (*item).to_owned())).collect(),
            attuned: Vec::new(),
            inventory: carried
                .iter()
                .map(|(item, quantity)| InventoryEntry { item: (*item).to_owned(), quantity: *quantity })
                .collect(),
            derived: derived(),
        },
        parcels: Vec::new(),
        offers: Vec::new(),
        waiting: Vec::new(),
        version: Version::new(6),
        last: RequestId::new(1831),
        created_at: "2026-11-22T12:00:00Z".to_owned(),
        updated_at: "2026-11-22T12:00:05Z".to_owned(),
    }
}

fn welcome() -> Welcome {
    Welcome {
        protocol: limits::PROTOCOL_VERSION,
        server: "castellan/0.1.0".to_owned(),
        session: session_id(),
        user: user_id(),
        expires_in: 900,
        ping_seconds: 20,
        in_flight_max: 64,
        watch_max: 64,
        frame_bytes_max: 16_384,
        characters: vec![CharacterSummary { id: character_id(), name: "Brannor".to_owned(), version: Version::new(6) }],
    }
}

/// Every server frame, with and without its optional fields.
pub(crate) fn server_frames() -> Vec<(&'static str, ServerFrame)> {
    let (id, durable) = (RequestId::new(1831), Version::new(5));
    let rejected = |id, code, message: &str, retry_after_ms| {
        ServerFrame::Rejected(Rejected { id, code, message: message.to_owned(), retry_after_ms })
    };
    let mut naked = Character { last: RequestId::new(0), ..character() };
    naked.subrace = None;
    vec![
        ("welcome", ServerFrame::Welcome(welcome())),
        ("applied", ServerFrame::Applied(Applied { id, character: character(), durable, duplicate: false })),
        ("applied_duplicate", ServerFrame::Applied(Applied { id, character: character(), durable, duplicate: true })),
        ("conflict", ServerFrame::Conflict(Conflict { id, character: character(), durable })),
        ("rejected", rejected(Some(id), castellan_srd::code::INSUFFICIENT_FUNDS, "Two gold pieces are missing.", None)),
        ("rejected_later", rejected(Some(id), RejectionCode::OVERLOADED, "Too much at once.", Some(250))),
        ("rejected_without_id", rejected(None, RejectionCode::MALFORMED, "id: an integer from 1 on", None)),
        ("state", ServerFrame::State(State { character: naked, durable, id: None })),
        ("state_answer", ServerFrame::State(State { character: character(), durable, id: Some(id) })),
        (
            "durable",
            ServerFrame::Durable(Durable { versions: BTreeMap::from([(character_id(), Version::new(1 << 52))]) }),
        ),
        ("accepted", ServerFrame::Accepted(Accepted { id, expires_in: None })),
        ("accepted_refresh", ServerFrame::Accepted(Accepted { id, expires_in: Some(900) })),
        ("pong", ServerFrame::Pong(Pong { id: Some(id) })),
        ("pong_bare", ServerFrame::Pong(Pong { id: None })),
        (
            "closing",
            ServerFrame::Closing(Closing {
                code: CloseCode::GoingAway.number(),
                reason: "the server stops".to_owned(),
                retry_after_ms: 1500,
            }),
        ),
    ]
}
