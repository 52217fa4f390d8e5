//! Ids of intents, and their sequences.

use std::fmt;

/// Most intents of one client. With four, an id contains its client and fits four bits.
pub const INTENTS_MAX: usize = 4;

/// The id of an intent. 0 is the `last` of a character without intents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct IntentId(u8);

impl IntentId {
    /// The `last` of a new character.
    pub const NONE: Self = Self(0);

    /// The id of a client's `index`-th intent, from 0.
    pub const fn new(client: usize, index: usize) -> Self {
        assert!(index < INTENTS_MAX && client < 2, "ids fit four bits");
        Self((1 + client * INTENTS_MAX + index) as u8)
    }

    /// The client; `None` for [`IntentId::NONE`].
    pub const fn client(self) -> Option<usize> {
        match self.0 {
            0 => None,
            id => Some((id as usize - 1) / INTENTS_MAX),
        }
    }

    /// The number among the client's intents, from 0; `None` for [`IntentId::NONE`].
    pub const fn index(self) -> Option<usize> {
        match self.0 {
            0 => None,
            id => Some((id as usize - 1) % INTENTS_MAX),
        }
    }
}

impl fmt::Debug for IntentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.client(), self.index()) {
            (Some(client), Some(index)) => write!(f, "{}{}", ["a", "b"][client], index + 1),
            _ => f.write_str("none"),
        }
    }
}

/// Intents in the order in which they were applied: at most eight, four bits each, the newest in the lowest bits.
///
/// A history stands for a character's whole state: equal histories are equal states.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct History(u32);

impl History {
    /// Number of intents.
    pub const fn len(self) -> usize {
        (u32::BITS as usize - self.0.leading_zeros() as usize).div_ceil(4)
    }

    /// Returns true if nothing was applied.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The newest intent, or [`IntentId::NONE`].
    pub const fn last(self) -> IntentId {
        IntentId((self.0 & 0xf) as u8)
    }

    /// The history with one more intent.
    #[must_use]
    pub fn with(self, id: IntentId) -> Self {
        assert!(self.len() < 8, "a history holds eight intents");
        Self(self.0 << 4 | u32::from(id.0))
    }

    /// Only the newest `count` intents: the contents of a ring of that size.
    #[must_use]
    pub const fn newest(self, count: usize) -> Self {
        if count >= 8 { self } else { Self(self.0 & ((1 << (4 * count)) - 1)) }
    }

    /// The history `count` intents ago.
    #[must_use]
    pub const fn before(self, count: usize) -> Self {
        if count >= 8 { Self(0) } else { Self(self.0 >> (4 * count)) }
    }

    /// All intents, oldest first.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = IntentId> {
        (0..self.len()).rev().map(move |place| IntentId((self.0 >> (4 * place) & 0xf) as u8))
    }

    /// How often it contains an intent.
    pub fn count(self, id: IntentId) -> usize {
        self.iter().filter(|other| *other == id).count()
    }

    /// Returns true if it contains an intent.
    pub fn contains(self, id: IntentId) -> bool {
        self.count(id) > 0
    }

    /// Returns true if `later` continues this history or equals it.
    pub fn leads_to(self, later: Self) -> bool {
        later.len() >= self.len() && later.before(later.len() - self.len()) == self
    }

    /// The intent applied right after another one, or the first one after [`IntentId::NONE`].
    pub fn next_after(self, id: IntentId) -> Option<IntentId> {
        let mut after = self.iter().skip_while(|other| id != IntentId::NONE && *other != id);
        if id != IntentId::NONE {
            after.next();
        }
        after.next()
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_keeps_the_order_of_its_intents() {
        let [a1, a2, b1] = [IntentId::new(0, 0), IntentId::new(0, 1), IntentId::new(1, 0)];
        let history = History::default().with(a1).with(b1).with(a2);
        assert_eq!(format!("{history:?}"), "[a1, b1, a2]");
        assert_eq!((history.len(), history.last()), (3, a2));
        assert_eq!(format!("{:?}", history.newest(2)), "[b1, a2]");
        assert_eq!(format!("{:?}", history.before(2)), "[a1]");
        assert!(history.before(2).leads_to(history) && !history.leads_to(history.before(2)));
        assert!(!History::default().with(b1).leads_to(history));
        assert_eq!(history.next_after(a1), Some(b1));
        assert_eq!(history.next_after(IntentId::NONE), Some(a1));
        assert_eq!((history.next_after(a2), history.next_after(IntentId::new(1, 1))), (None, None));
        assert_eq!((history.count(b1), history.contains(IntentId::new(1, 1))), (1, false));
    }
}
