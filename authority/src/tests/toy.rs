//! The smallest game: a purse of gold. It obeys the laws, and the authority's tests use it.

use std::path::Path;

use castellan_game::{Amounts, Corrupt, Deal, Dice, Game, Goods, RuleFiles, RuleOptions, Touched, Violation};
use castellan_protocol::wire::{Cursor, Wire};
use castellan_protocol::{CharacterId, GameTypes, RejectionCode, actions, wire_map};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const INSUFFICIENT_FUNDS: RejectionCode = RejectionCode::new("insufficient_funds");

actions! {
    /// The actions on a purse.
    Action {
        /// Adds gold; a negative number takes it.
        "pay" => Pay(Pay),
        /// Gives gold away.
        "give" => Give(Give),
        /// Offers gold for gold.
        "offer" => Offer(Offer),
        /// Accepts an offer.
        "accept" => Accept(Accept),
        /// Ends an own offer.
        "cancel" => Cancel(Cancel),
    }
}

wire_map! {
    /// Fields of `pay`.
    action Pay {
        /// Pieces of gold, not 0.
        gold: i64,
    }
}

wire_map! {
    /// Fields of `give`.
    action Give {
        /// The receiver.
        to: CharacterId,
        /// The goods.
        goods: Gold,
    }
}

wire_map! {
    /// Fields of `offer`, which is open for ten seconds.
    action Offer {
        /// The only one who may accept.
        to: Option<CharacterId>,
        /// What it holds.
        gives: Gold,
        /// What it wants.
        wants: Gold,
    }
}

wire_map! {
    /// Fields of `accept`.
    action Accept {
        /// The owner of the offer.
        from: CharacterId,
        /// Its number.
        offer: i64,
        /// What it wants.
        gives: Gold,
        /// What it holds.
        gets: Gold,
    }
}

wire_map! {
    /// Fields of `cancel`.
    action Cancel {
        /// The offer's number.
        offer: i64,
    }
}

/// Pieces of gold that leave a purse and enter another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Gold(pub(crate) i64);

impl Goods for Gold {
    fn amounts(&self) -> Amounts {
        [("gold".to_owned(), self.0.unsigned_abs())].into()
    }
}

impl<'de> Wire<'de> for Gold {
    fn read<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::read(deserializer).map(Self)
    }

    fn quick(cursor: &mut Cursor<'de>) -> Option<Self> {
        i64::quick(cursor).map(Self)
    }
}

wire_map! {
    /// A new purse.
    action NewPurse {
        /// Its name.
        name: String,
    }
}

#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Purse {
    name: String,
    pub(crate) gold: i64,
}

castellan_game::fields! {
    /// A purse.
    pub struct Sheet, of Purse, derived ();
    struct Row, restored into Purse;
    kept {
        /// Its name.
        name: String = name,
    }
    fresh {
        /// Pieces of gold.
        gold: i64 = gold [0..=GOLD_MAX],
    }
    ;
    shown {}
    stored {}
}

const GOLD_MAX: i64 = 1_000_000;

/// Amounts at which a rule panics.
pub(crate) const NEVER_GIVEN: i64 = 12_345;
pub(crate) const NEVER_TAKEN: i64 = 54_321;

/// Most gold in schema 1, which called it coins.
pub(crate) const COINS_MAX: i64 = 1_000;

#[derive(Debug)]
pub(crate) struct Toy;

impl GameTypes for Toy {
    type Action = Action;
    type Creation = NewPurse;
    type Sheet = Sheet;
}

impl Game for Toy {
    type State = Purse;
    type Derived = ();
    type Rules = ();
    type Goods = Gold;

    const STRICT: &'static [&'static str] = &["pay"];
    const SCHEMA_VERSION: i32 = 2;
    const OLDEST_STORED_SCHEMA: i32 = 1;

    fn rule_files(_: Option<&Path>) -> Result<RuleFiles, String> {
        Ok(RuleFiles::new())
    }

    fn read_rules(_: &RuleFiles, _: &RuleOptions) -> Result<(), String> {
        Ok(())
    }

    fn catalogue((): &()) -> Vec<u8> {
        b"{}".to_vec()
    }

    fn revision((): &()) -> &str {
        "1"
    }

    fn create((): &(), wanted: &NewPurse) -> Result<Purse, Violation> {
        if wanted.name.is_empty() {
            return Err(Violation::malformed("name: must not be empty"));
        }
        Ok(Purse { name: wanted.name.clone(), gold: 0 })
    }

    fn apply((): &(), state: &mut Purse, action: &Action, _: &mut Dice<'_>) -> Result<Touched, Violation> {
        let Action::Pay(Pay { gold }) = action else { return Err(Violation::malformed("no rule of the game")) };
        if *gold == 0 {
            return Err(Violation::malformed("gold: must not be 0"));
        }
        Self::pay(state, *gold)
    }

    fn deal(action: &Action) -> Option<Deal<'_, Gold>> {
        Some(match action {
            Action::Pay(_) => return None,
            Action::Give(Give { to, goods }) => Deal::Give { to: *to, goods },
            Action::Offer(Offer { to, gives, wants }) => Deal::Offer { to: *to, gives, wants, seconds: 10 },
            Action::Accept(Accept { from, offer, gives, gets }) => {
                Deal::Accept { from: *from, offer: offer.unsigned_abs(), gives, gets }
            }
            Action::Cancel(Cancel { offer }) => Deal::Cancel { offer: offer.unsigned_abs() },
        })
    }

    fn holdings(state: &Purse) -> Amounts {
        [("gold".to_owned(), state.gold.unsigned_abs())].into_iter().filter(|(_, gold)| *gold > 0).collect()
    }

    fn take_out((): &(), state: &mut Purse, gold: &Gold) -> Result<Touched, Violation> {
        assert_ne!(gold.0, NEVER_GIVEN, "a mistake in a rule");
        if gold.0 < 1 {
            return Err(Violation::malformed("goods: at least one piece of gold"));
        }
        Self::pay(state, -gold.0)
    }

    fn put_in((): &(), state: &mut Purse, gold: &Gold) -> Result<Touched, Violation> {
        assert_ne!(gold.0, NEVER_TAKEN, "a mistake in a rule");
        if gold.0 < 1 {
            return Err(Violation::malformed("goods: at least one piece of gold"));
        }
        Self::pay(state, gold.0)
    }

    fn dice_rolled(_: &Purse) -> u64 {
        0
    }

    fn derive((): &(), _: &Purse, (): &mut ()) {}

    fn name(state: &Purse) -> &str {
        &state.name
    }

    fn fits(_: i32, state: &Purse) -> bool {
        state.gold <= COINS_MAX
    }

    fn downgrade(_: i32, stored: String) -> String {
        stored.replace(r#""gold":"#, r#""coins":"#)
    }

    fn restore(schema_version: i32, stored: &str) -> Result<Purse, Corrupt> {
        let mut fields: Map<String, Value> = serde_json::from_str(stored)?;
        if schema_version == 1 {
            let coins = fields.remove("coins").unwrap_or_default();
            fields.insert("gold".to_owned(), coins);
        }
        serde_json::from_value::<Row>(Value::Object(fields))?.restore()
    }
}

impl Toy {
    fn pay(state: &mut Purse, gold: i64) -> Result<Touched, Violation> {
        let sum = state.gold.checked_add(gold).filter(|sum| *sum <= GOLD_MAX);
        let sum = sum.ok_or_else(|| Violation::limit("gold: too much"))?;
        if sum < 0 {
            return Err(Violation::new(INSUFFICIENT_FUNDS, "too little gold"));
        }
        state.gold = sum;
        Ok(Touched::Fresh)
    }
}

#[test]
fn the_toy_conserves_gold() {
    use proptest::prelude::*;
    let gold = || prop_oneof![-2i64..60, any::<i64>(), Just(GOLD_MAX)];
    let creations = Just(NewPurse { name: "purse".to_owned() });
    let actions = gold().prop_map(|gold| Action::Pay(Pay { gold }));
    castellan_game::laws::conserve::<Toy>(&(), creations, actions, gold().prop_map(Gold));
}

#[test]
fn the_toy_obeys_the_laws() {
    use proptest::prelude::*;
    let creations = "[a-zß🐉]{0,60}".prop_map(|name| NewPurse { name });
    let gold = prop_oneof![-20i64..60, any::<i64>(), Just(GOLD_MAX), Just(i64::MIN)];
    let actions = gold.prop_map(|gold| Action::Pay(Pay { gold }));
    castellan_game::laws::hold::<Toy>(
        &(),
        creations,
        actions,
        &[(1, r#"{"name": "purse", "coins": 3}"#), (2, r#"{"name": "purse", "gold": 3}"#)],
    );
}
