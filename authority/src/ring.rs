//! The request ids that a character has applied last.

use castellan_protocol::RequestId;
use castellan_protocol::limits::REQUEST_IDS_MAX;

/// The last [`REQUEST_IDS_MAX`] request ids applied, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    /// Grows up to the bound, then the oldest is overwritten.
    ids: Vec<u64>,
    /// Where the next one goes once the bound is reached.
    next: usize,
    /// No id that was ever pushed is above this: a client counts up, so most ids need not be looked for.
    highest: u64,
}

impl Ring {
    /// From ids as a row keeps them, oldest first; more than the bound lose their oldest.
    pub(crate) fn from_oldest_first(ids: Vec<u64>) -> Self {
        let surplus = ids.len().saturating_sub(REQUEST_IDS_MAX);
        let highest = ids.iter().copied().max().unwrap_or(0);
        Self { ids: ids.into_iter().skip(surplus).collect(), next: 0, highest }
    }

    /// Oldest first, as a row keeps them.
    pub(crate) fn oldest_first(&self) -> Vec<u64> {
        let (newer, older) = self.ids.split_at(self.next);
        older.iter().chain(newer).copied().collect()
    }

    pub(crate) fn contains(&self, id: RequestId) -> bool {
        id.get() <= self.highest && self.ids.contains(&id.get())
    }

    pub(crate) fn push(&mut self, id: RequestId) {
        self.highest = self.highest.max(id.get());
        if self.ids.len() < REQUEST_IDS_MAX {
            self.ids.push(id.get());
        } else {
            self.ids[self.next] = id.get();
            self.next = (self.next + 1) % REQUEST_IDS_MAX;
        }
    }

    /// The id pushed last.
    pub(crate) fn last(&self) -> Option<RequestId> {
        let before = if self.next == 0 { self.ids.len() } else { self.next };
        before.checked_sub(1).map(|index| RequestId::new(self.ids[index]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_64_in_order() {
        let mut ring = Ring::default();
        assert_eq!(ring.last(), None);
        for id in 1..=200_u64 {
            ring.push(RequestId::new(id));
            let oldest = id.saturating_sub(63).max(1);
            assert_eq!(ring.oldest_first(), (oldest..=id).collect::<Vec<_>>());
            assert_eq!(ring.last(), Some(RequestId::new(id)));
            assert!(ring.contains(RequestId::new(oldest)));
            assert!(!ring.contains(RequestId::new(oldest - 1)));
        }
    }

    #[test]
    fn finds_ids_in_whatever_order_they_came() {
        let mut ring = Ring::from_oldest_first(vec![900, 5]);
        for id in [7, 1_000, 6, 950] {
            assert!(!ring.contains(RequestId::new(id)));
            ring.push(RequestId::new(id));
        }
        for id in [900, 5, 7, 1_000, 6, 950] {
            assert!(ring.contains(RequestId::new(id)), "{id}");
        }
        assert!(![4, 8, 901, 1_001].into_iter().any(|id| ring.contains(RequestId::new(id))));
    }

    #[test]
    fn goes_on_where_a_row_left_it() {
        let mut ring = Ring::from_oldest_first((1..=70).collect());
        ring.push(RequestId::new(71));
        assert_eq!(ring.oldest_first(), (8..=71).collect::<Vec<_>>());
        let mut short = Ring::from_oldest_first(vec![5, 6]);
        short.push(RequestId::new(7));
        assert_eq!((short.oldest_first(), short.last()), (vec![5, 6, 7], Some(RequestId::new(7))));
    }
}
