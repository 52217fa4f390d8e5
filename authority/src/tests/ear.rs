//! Connections as the tests of the core know them: numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::effect::Subscriber;

/// A connection. Two are equal if their numbers are equal. It may have ended.
#[derive(Debug, Clone)]
pub(super) struct Ear {
    number: u32,
    pub(super) gone: Arc<AtomicBool>,
}

impl PartialEq for Ear {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Subscriber for Ear {
    fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

pub(super) fn ears<const COUNT: usize>() -> [Ear; COUNT] {
    std::array::from_fn(|index| Ear { number: u32::try_from(index).expect("a few"), gone: Arc::default() })
}
