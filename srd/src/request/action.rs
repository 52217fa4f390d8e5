//! Actions: an intent asks for one action on one character.

use std::collections::BTreeMap;

use castellan_protocol::{CharacterId, actions, wire_map, wire_names};

use super::Goods;

wire_names! {
    /// One of the six abilities.
    Ability("an ability: str, dex, con, int, wis or cha") {
        /// Strength.
        "str" => Strength,
        /// Dexterity.
        "dex" => Dexterity,
        /// Constitution.
        "con" => Constitution,
        /// Intelligence.
        "int" => Intelligence,
        /// Wisdom.
        "wis" => Wisdom,
        /// Charisma.
        "cha" => Charisma,
    }
}

wire_names! {
    /// A place on the body where an item is worn or wielded.
    Slot("a slot") {
        /// Body armour.
        "armor" => Armor,
        /// The shield.
        "shield" => Shield,
        /// The main hand.
        "main_hand" => MainHand,
        /// The other hand.
        "off_hand" => OffHand,
        /// Hats, helms, headbands.
        "head" => Head,
        /// Amulets.
        "neck" => Neck,
        /// Cloaks.
        "cloak" => Cloak,
        /// Belts.
        "waist" => Waist,
        /// Gloves and gauntlets.
        "hands" => Hands,
        /// Bracers.
        "wrists" => Wrists,
        /// Boots.
        "feet" => Feet,
        /// The first ring.
        "ring_1" => Ring1,
        /// The second ring.
        "ring_2" => Ring2,
    }
}

wire_names! {
    /// How to determine a new level's hit points.
    HitPointChoice("`average` or `roll`") {
        /// The die's average, rounded up.
        "average" => Average,
        /// The server rolls.
        "roll" => Roll,
    }
}

actions! {
    /// An action: a map with one entry, its kind and that kind's fields.
    Action {
        /// Damage (below 0) or healing (above 0).
        "modify_hitpoints" => ModifyHitpoints(ModifyHitpoints),
        /// Temporary hit points; the higher of old and new is kept.
        "grant_temporary_hitpoints" => GrantTemporaryHitpoints(GrantTemporaryHitpoints),
        /// The server rolls a death save.
        "roll_death_save" => RollDeathSave(RollDeathSave),
        /// Ends dying without healing.
        "stabilize" => Stabilize(Stabilize),
        /// Brings the dead back.
        "revive" => Revive(Revive),
        /// Wears or wields an item of the inventory.
        "equip_item" => EquipItem(EquipItem),
        /// Takes off the item in a slot.
        "unequip_item" => UnequipItem(UnequipItem),
        /// Bonds with a magic item.
        "attune" => Attune(Attune),
        /// Ends the bond with a magic item.
        "end_attunement" => EndAttunement(EndAttunement),
        /// Puts units of an item into the inventory.
        "add_item" => AddItem(AddItem),
        /// Takes units of an item out of the inventory.
        "remove_item" => RemoveItem(RemoveItem),
        /// Uses up a consumable.
        "use_item" => UseItem(UseItem),
        /// Buys at the catalogue's price.
        "buy_item" => BuyItem(BuyItem),
        /// Sells at half the catalogue's price.
        "sell_item" => SellItem(SellItem),
        /// Adds or takes coins.
        "modify_currency" => ModifyCurrency(ModifyCurrency),
        /// Adds experience points.
        "gain_experience" => GainExperience(GainExperience),
        /// Goes up one level.
        "level_up" => LevelUp(LevelUp),
        /// A short rest, spending hit dice.
        "short_rest" => ShortRest(ShortRest),
        /// A long rest.
        "long_rest" => LongRest(LongRest),
        /// Adds a condition, or one level of exhaustion.
        "add_condition" => AddCondition(AddCondition),
        /// Removes a condition, or one level of exhaustion.
        "remove_condition" => RemoveCondition(RemoveCondition),
        /// Gives the character another name.
        "rename" => Rename(Rename),
        /// Gives goods to another character.
        "give" => Give(Give),
        /// Offers goods for others.
        "offer" => Offer(Offer),
        /// Accepts an offer.
        "accept" => Accept(Accept),
        /// Ends an own offer.
        "cancel" => Cancel(Cancel),
    }
}

wire_map! {
    /// Fields of `modify_hitpoints`.
    action ModifyHitpoints {
        /// Below 0 damage, above 0 healing, in hit points; never 0.
        delta: i64,
        /// A critical hit counts as two failed death saves at 0 hit points.
        #[serde(skip_serializing_if = "is_false")]
        critical: bool,
    }
}
wire_map! {
    /// Fields of `grant_temporary_hitpoints`.
    action GrantTemporaryHitpoints {
        /// Temporary hit points, at least 1.
        amount: i64,
    }
}
wire_map! {
    /// `roll_death_save` has no fields.
    action RollDeathSave {}
}
wire_map! {
    /// `stabilize` has no fields.
    action Stabilize {}
}
wire_map! {
    /// Fields of `revive`.
    action Revive {
        /// Hit points that the character comes back with, at least 1.
        hitpoints: i64,
    }
}
wire_map! {
    /// Fields of `equip_item`.
    action EquipItem {
        /// An item of the inventory.
        item: String,
        /// The slot. If it is missing: the first free slot that fits, else the first that fits.
        #[serde(skip_serializing_if = "Option::is_none")]
        slot: Option<Slot>,
    }
}
wire_map! {
    /// Fields of `unequip_item`.
    action UnequipItem {
        /// The slot to empty.
        slot: Slot,
    }
}
wire_map! {
    /// Fields of `attune`.
    action Attune {
        /// An item of the inventory that needs attunement.
        item: String,
    }
}
wire_map! {
    /// Fields of `end_attunement`.
    action EndAttunement {
        /// An attuned item.
        item: String,
    }
}
wire_map! {
    /// Fields of `add_item`.
    action AddItem {
        /// An item of the catalogue.
        item: String,
        /// Units, 1 to 1,000,000.
        quantity: i64,
    }
}
wire_map! {
    /// Fields of `remove_item`.
    action RemoveItem {
        /// An item of the inventory.
        item: String,
        /// Units, 1 to 1,000,000.
        quantity: i64,
    }
}
wire_map! {
    /// Fields of `use_item`.
    action UseItem {
        /// A consumable of the inventory.
        item: String,
    }
}
wire_map! {
    /// Fields of `buy_item`.
    action BuyItem {
        /// An item of the catalogue.
        item: String,
        /// Units, 1 to 1,000,000.
        quantity: i64,
    }
}
wire_map! {
    /// Fields of `sell_item`.
    action SellItem {
        /// An item of the inventory.
        item: String,
        /// Units, 1 to 1,000,000.
        quantity: i64,
    }
}
wire_map! {
    /// Fields of `modify_currency`: how many coins of each kind to add, or below 0 to take.
    action ModifyCurrency {
        /// Copper.
        #[serde(skip_serializing_if = "Option::is_none")]
        cp: Option<i64>,
        /// Silver.
        #[serde(skip_serializing_if = "Option::is_none")]
        sp: Option<i64>,
        /// Electrum.
        #[serde(skip_serializing_if = "Option::is_none")]
        ep: Option<i64>,
        /// Gold.
        #[serde(skip_serializing_if = "Option::is_none")]
        gp: Option<i64>,
        /// Platinum.
        #[serde(skip_serializing_if = "Option::is_none")]
        pp: Option<i64>,
    }
}
wire_map! {
    /// Fields of `gain_experience`.
    action GainExperience {
        /// Experience points, at least 1.
        amount: i64,
    }
}
wire_map! {
    /// Fields of `level_up`.
    action LevelUp {
        /// How to determine the new level's hit points.
        hitpoints: HitPointChoice,
        /// Ability score increments, exactly at the class's improvement levels: two in all.
        #[serde(skip_serializing_if = "Option::is_none")]
        abilities: Option<BTreeMap<Ability, i64>>,
    }
}
wire_map! {
    /// Fields of `short_rest`.
    action ShortRest {
        /// Hit dice to spend, 0 or more.
        hit_dice: i64,
    }
}
wire_map! {
    /// `long_rest` has no fields.
    action LongRest {}
}
wire_map! {
    /// Fields of `add_condition`.
    action AddCondition {
        /// A condition of the catalogue.
        condition: String,
    }
}
wire_map! {
    /// Fields of `remove_condition`.
    action RemoveCondition {
        /// A condition that the character has.
        condition: String,
    }
}
wire_map! {
    /// Fields of `rename`.
    action Rename {
        /// The new name: 1 to 40 Unicode scalars after trimming and NFC.
        name: String,
    }
}
wire_map! {
    /// Fields of `give`.
    action Give {
        /// The character that gets the goods.
        to: CharacterId,
        /// The goods.
        goods: Goods,
    }
}
wire_map! {
    /// Fields of `offer`.
    action Offer {
        /// The only character that may accept. If it is missing, everybody may.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<CharacterId>,
        /// The goods that it holds.
        gives: Goods,
        /// The goods that it wants.
        wants: Goods,
        /// How long it is open, in seconds: 1 to 2,592,000 (30 days).
        seconds: i64,
    }
}
wire_map! {
    /// Fields of `accept`.
    action Accept {
        /// The character that has made the offer.
        from: CharacterId,
        /// The number of the offer.
        offer: i64,
        /// The goods that it wants.
        gives: Goods,
        /// The goods that it holds. If it holds others, nothing happens.
        gets: Goods,
    }
}
wire_map! {
    /// Fields of `cancel`.
    action Cancel {
        /// The number of the offer.
        offer: i64,
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}
