//! This game, as the authority sees it.

use std::path::Path;

use castellan_game::{
    ActionRoute, Amounts, Corrupt, Deal, Dice, Game, Right, RuleFiles, RuleOption, RuleOptions, Touched, Violation,
};
use castellan_protocol::GameTypes;

use crate::character::fields::Sheet;
use crate::request::{Accept, Action, Cancel, Give, ModifyCurrency, NewCharacter, Offer};
use crate::{Catalogue, Character, Derived, Goods, Options, actions, creation, derive, goods, stored};

/// The game of the System Reference Document 5.1.
#[derive(Debug)]
pub struct Srd;

impl GameTypes for Srd {
    type Action = Action;
    type Creation = NewCharacter;
    type Sheet = Sheet;
}

/// The two rights of each kind of action that can both give and take.
const HALVES: [&str; 4] =
    ["modify_hitpoints:damage", "modify_hitpoints:healing", "modify_currency:loss", "modify_currency:gain"];

impl Game for Srd {
    type State = Character;
    type Derived = Derived;
    type Rules = Catalogue;
    type Goods = Goods;

    const OPTIONS: &'static [RuleOption] = &[RuleOption {
        name: "encumbrance",
        choices: "off|variant",
        doc: "Slow down characters that carry heavy loads: off, or variant (the SRD's variant rule).",
    }];

    /// Rights that create something from nothing.
    const STRICT: &'static [&'static str] = &[
        "add_item",
        "modify_currency:gain",
        "gain_experience",
        "modify_hitpoints:healing",
        "grant_temporary_hitpoints",
        "revive",
        "stabilize",
        "short_rest",
        "long_rest",
        "remove_condition",
    ];

    const ROUTES: &'static [ActionRoute] = &[
        ActionRoute { method: "PATCH", path: "/stats/hitpoints", kind: "modify_hitpoints" },
        ActionRoute { method: "PATCH", path: "/currency/modify", kind: "modify_currency" },
        ActionRoute { method: "POST", path: "/equipment/equip", kind: "equip_item" },
        ActionRoute { method: "POST", path: "/equipment/unequip", kind: "unequip_item" },
        ActionRoute { method: "POST", path: "/equipment/add", kind: "add_item" },
        ActionRoute { method: "POST", path: "/equipment/remove", kind: "remove_item" },
    ];

    const SCHEMA_VERSION: i32 = stored::SCHEMA_VERSION;
    const OLDEST_STORED_SCHEMA: i32 = stored::OLDEST_STORED_SCHEMA;

    fn rule_files(folder: Option<&Path>) -> Result<RuleFiles, String> {
        match folder {
            Some(folder) => Catalogue::files(folder).map_err(|errors| errors.to_string()),
            None => Ok(Catalogue::embedded_files()),
        }
    }

    fn read_rules(files: &RuleFiles, options: &RuleOptions) -> Result<Catalogue, String> {
        let catalogue = Catalogue::from_files(files).map_err(|errors| errors.to_string())?;
        let variant_encumbrance = options.get("encumbrance").is_some_and(|value| value == "variant");
        Ok(catalogue.with_options(Options { variant_encumbrance }))
    }

    fn catalogue(rules: &Catalogue) -> Vec<u8> {
        rules.to_json().into()
    }

    fn revision(rules: &Catalogue) -> &str {
        rules.revision()
    }

    fn create(rules: &Catalogue, wanted: &NewCharacter) -> Result<Character, Violation> {
        creation::create(wanted, rules)
    }

    fn apply(
        rules: &Catalogue,
        state: &mut Character,
        action: &Action,
        dice: &mut Dice<'_>,
    ) -> Result<Touched, Violation> {
        actions::apply(state, action, rules, dice)
    }

    fn deal(action: &Action) -> Option<Deal<'_, Goods>> {
        let number = |offer: i64| u64::try_from(offer).unwrap_or_default();
        match action {
            Action::Give(Give { to, goods }) => Some(Deal::Give { to: *to, goods }),
            Action::Offer(Offer { to, gives, wants, seconds }) => {
                Some(Deal::Offer { to: *to, gives, wants, seconds: *seconds })
            }
            Action::Accept(Accept { from, offer, gives, gets }) => {
                Some(Deal::Accept { from: *from, offer: number(*offer), gives, gets })
            }
            Action::Cancel(Cancel { offer }) => Some(Deal::Cancel { offer: number(*offer) }),
            _ => None,
        }
    }

    fn check_wanted(rules: &Catalogue, goods: &Goods) -> Result<(), Violation> {
        goods.check_wanted(rules)
    }

    fn holdings(state: &Character) -> Amounts {
        goods::holdings(state)
    }

    fn take_out(rules: &Catalogue, state: &mut Character, goods: &Goods) -> Result<Touched, Violation> {
        goods.take_out(state, rules)
    }

    fn put_in(_: &Catalogue, state: &mut Character, goods: &Goods) -> Result<Touched, Violation> {
        goods.put_in(state)
    }

    fn dice_rolled(state: &Character) -> u64 {
        state.dice_rolled()
    }

    fn derive(rules: &Catalogue, state: &Character, derived: &mut Derived) {
        derive::derive_into(state, rules, derived);
    }

    fn name(state: &Character) -> &str {
        state.name()
    }

    fn rights() -> Vec<&'static str> {
        Action::KINDS.iter().chain(&HALVES).copied().collect()
    }

    fn right(action: &Action) -> Right {
        Right(match action {
            Action::ModifyHitpoints(fields) => Action::KINDS.len() + usize::from(fields.delta > 0),
            Action::ModifyCurrency(fields) => Action::KINDS.len() + 2 + usize::from(gains(fields)),
            _ => action.index(),
        })
    }

    fn fits(schema_version: i32, state: &Character) -> bool {
        stored::fits(schema_version, state)
    }

    fn downgrade(schema_version: i32, stored: String) -> String {
        stored::downgrade(schema_version, stored)
    }

    fn restore(schema_version: i32, stored: &str) -> Result<Character, Corrupt> {
        stored::decode(schema_version, stored)
    }
}

/// Returns true if any coin is added, even if others are taken.
fn gains(fields: &ModifyCurrency) -> bool {
    let ModifyCurrency { cp, sp, ep, gp, pp } = fields;
    [cp, sp, ep, gp, pp].into_iter().flatten().any(|delta| *delta > 0)
}
