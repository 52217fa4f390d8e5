//! The authority's requirements on a game.
//!
//! The authority knows ids, users, versions, leases and durability. To it a character is an envelope around a state
//! that only the game understands. A [`Game`] knows states, actions and rules; it knows no clock, socket, version, user
//! or database. `docs/your-own-game.md` walks through writing one; `laws` (with the feature `testing`) tests the rules
//! that the authority relies on.

mod deal;
mod dice;
mod field;
mod fields;
mod goods;
mod kept;
#[cfg(feature = "testing")]
pub mod laws;
#[doc(hidden)]
pub mod schema;
mod stored;
mod violation;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;

pub use castellan_protocol as protocol;
use castellan_protocol::{Action, GameTypes};

pub use deal::{Deal, OFFER_SECONDS_MAX};
pub use dice::Dice;
pub use field::{Field, Restore};
pub use fields::Fields;
pub use goods::{Amounts, Goods, NoGoods};
pub use kept::{Kept, RUNS_MAX, Runs};
pub use stored::Corrupt;
pub use violation::{Violation, quote};

/// The kind of fields that an action has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// Only fresh fields, which are written into each answer again. The kept, packed fields are unchanged.
    Fresh,
    /// Kept fields too.
    Kept,
}

/// The right that an action needs: its place in [`Game::rights`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right(pub usize);

/// An HTTP route for one kind of action: the body holds the action's fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionRoute {
    /// The method, such as `PATCH`.
    pub method: &'static str,
    /// The path below `/characters/{id}`, such as `/currency/modify`.
    pub path: &'static str,
    /// The kind of action.
    pub kind: &'static str,
}

/// An option of the rules that the operator sets: a flag, a variable and a key of the configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleOption {
    /// Its name, such as `encumbrance`.
    pub name: &'static str,
    /// Its values, such as `off|variant`; the first one is the default.
    pub choices: &'static str,
    /// Its effect, in one sentence.
    pub doc: &'static str,
}

/// The chosen value of each [`RuleOption`].
pub type RuleOptions = BTreeMap<String, String>;

/// The text files that rules are read from, by name.
pub type RuleFiles = BTreeMap<String, String>;

/// A game, as the authority sees it.
///
/// Everything here is deterministic, and nothing here panics for any input. `laws` lists the rules in full.
pub trait Game: GameTypes + Debug + Send + Sync {
    /// The game's part of a character. A clone must be cheap: share the parts that rarely change.
    type State: Fields<Derived = Self::Derived, Sheet = Self::Sheet> + Clone + Debug + PartialEq + Send + Sync;
    /// The values that the rules compute from a state. Computed for answers, never stored; `()` if there are none.
    type Derived: Default + Debug + Send;
    /// Catalogue and options. A reload replaces them while the server runs.
    type Rules: Debug + Send + Sync;
    /// The goods that can leave a character and enter another; [`NoGoods`] if there are none.
    type Goods: Goods;

    /// The options of the rules.
    const OPTIONS: &'static [RuleOption] = &[];
    /// Names of the rights that only game servers have under the policy `strict`.
    ///
    /// A name also stands for all rights that begin with it and a colon.
    const STRICT: &'static [&'static str] = &[];
    /// Routes for single kinds of actions.
    const ROUTES: &'static [ActionRoute] = &[];
    /// The schema version of newly stored states.
    const SCHEMA_VERSION: i32;
    /// The oldest schema version in which states can still be stored.
    ///
    /// While nodes are updated one by one, all store states in the schema of the older release. A game that can store
    /// only the present schema is updated by stopping all nodes first.
    const OLDEST_STORED_SCHEMA: i32 = Self::SCHEMA_VERSION;

    /// The files of the rules: those in a folder, or the built-in ones. Several servers that share the work all use the
    /// files that one of them has read.
    ///
    /// # Errors
    ///
    /// All mistakes, one per line, each with its file.
    fn rule_files(folder: Option<&Path>) -> Result<RuleFiles, String>;

    /// Reads the rules.
    ///
    /// # Errors
    ///
    /// All mistakes, one per line, each with its file and field.
    fn read_rules(files: &RuleFiles, options: &RuleOptions) -> Result<Self::Rules, String>;

    /// The rules as clients see them at `GET /catalogue`, in JSON.
    fn catalogue(rules: &Self::Rules) -> Vec<u8>;

    /// A name that changes whenever [`Game::catalogue`] changes: ASCII letters, digits and hyphens.
    fn revision(rules: &Self::Rules) -> &str;

    /// Makes a character.
    ///
    /// # Errors
    ///
    /// [`Violation`] if the rules refuse it.
    fn create(rules: &Self::Rules, wanted: &Self::Creation) -> Result<Self::State, Violation>;

    /// Changes a state. A refusal leaves it bit for bit as it was.
    ///
    /// # Errors
    ///
    /// [`Violation`] if the rules refuse the action.
    fn apply(
        rules: &Self::Rules,
        state: &mut Self::State,
        action: &Self::Action,
        dice: &mut Dice<'_>,
    ) -> Result<Touched, Violation>;

    /// The gift or the step of a trade that an action asks for. The authority carries it out, and [`Game::apply`] never sees
    /// the action.
    fn deal(action: &Self::Action) -> Option<Deal<'_, Self::Goods>> {
        let _ = action;
        None
    }

    /// The goods of a state, also those that cannot leave it at the moment.
    fn holdings(state: &Self::State) -> Amounts {
        let _ = state;
        Amounts::new()
    }

    /// Checks goods that somebody wants for others, so that an offer that nobody can accept is refused at once.
    ///
    /// # Errors
    ///
    /// [`Violation`] if they are no goods.
    fn check_wanted(rules: &Self::Rules, goods: &Self::Goods) -> Result<(), Violation> {
        let _ = (rules, goods);
        Ok(())
    }

    /// Takes goods out of a state: exactly these amounts, or none. A refusal leaves it bit for bit as it was.
    ///
    /// # Errors
    ///
    /// [`Violation`] if the rules refuse it, or if `goods` are no goods.
    fn take_out(rules: &Self::Rules, state: &mut Self::State, goods: &Self::Goods) -> Result<Touched, Violation> {
        let _ = (rules, state, goods);
        Err(Violation::malformed("this game has no goods"))
    }

    /// Puts goods into a state that were taken out of one, perhaps under older rules: exactly these amounts, or none. A
    /// refusal leaves it bit for bit as it was.
    ///
    /// # Errors
    ///
    /// [`Violation`] if the rules refuse it.
    fn put_in(rules: &Self::Rules, state: &mut Self::State, goods: &Self::Goods) -> Result<Touched, Violation> {
        let _ = (rules, state, goods);
        Err(Violation::malformed("this game has no goods"))
    }

    /// How many dice were rolled for a state. [`Game::apply`] adds [`Dice::rolled`]; the next dice depend on it.
    fn dice_rolled(state: &Self::State) -> u64;

    /// Computes the derived values of a state, in place. Allocates nothing if `derived` has room.
    fn derive(rules: &Self::Rules, state: &Self::State, derived: &mut Self::Derived);

    /// The name that lists and people see.
    fn name(state: &Self::State) -> &str;

    /// The names of all rights. By default each kind of action is a right.
    ///
    /// A kind that can both give and take has two, such as `modify_currency:gain` and `modify_currency:loss`.
    fn rights() -> Vec<&'static str> {
        Self::Action::KINDS.to_vec()
    }

    /// The right that an action needs.
    fn right(action: &Self::Action) -> Right {
        Right(action.index())
    }

    /// Returns true if a state can be stored in this older schema, from [`Game::OLDEST_STORED_SCHEMA`] on, and be read back
    /// unchanged. While that schema is stored, actions that lead to other states are refused.
    fn fits(schema_version: i32, state: &Self::State) -> bool {
        let _ = (schema_version, state);
        true
    }

    /// Turns the stored form of a state that fits into that of this older schema. Keeps the fields of the envelope.
    fn downgrade(schema_version: i32, stored: String) -> String {
        let _ = schema_version;
        stored
    }

    /// Reads a stored state of any schema version so far. Ignores the fields of the envelope.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] names the field at fault.
    fn restore(schema_version: i32, stored: &str) -> Result<Self::State, Corrupt>;
}
