//! Goods that leave one character and enter another.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// How many there are of each kind, by the kind's name.
pub type Amounts = BTreeMap<String, u64>;

/// Goods: some amounts of some kinds. Two are equal if the amounts are.
pub trait Goods: Clone + Debug + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The amounts, none of them 0.
    fn amounts(&self) -> Amounts;
}

/// The goods of a game without goods: there are none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoGoods {}

impl Goods for NoGoods {
    fn amounts(&self) -> Amounts {
        match *self {}
    }
}
