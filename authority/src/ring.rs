//! The request ids that a character has applied last.

use castellan_protocol::RequestId;
use castellan_protocol::limits::REQUEST_IDS_MAX;

/// The last [`REQUEST_IDS_MAX`] request ids applied, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    /// Grows up to the bound; then the newest overwrites the oldest.
    ids: Vec<u64>,
    /// The index of the next id once the bound is reached.
    next: usize,
    /// The highest id that was ever pushed. Clients count up, so most new ids are above it and need no search.
    highest: u64,
}

impl Ring {
    /// Builds a ring from a row's ids, oldest first. If there are more than the bound, the oldest are dropped.
    pub(crate) fn from_oldest_first(ids: Vec<u64>) -> Self {
        let surplus = ids.len().saturating_sub(REQUEST_IDS_MAX);
        let highest = ids.iter().copied().max().unwrap_or(0);
        Self { ids: ids.into_iter().skip(surplus).collect(), next: 0, highest }
    }

    /// The ids, oldest first, as a row keeps them.
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
    fn finds_ids_in_any_order_of_arrival() {
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
    fn continues_from_the_ids_of_a_row() {
        let mut ring = Ring::from_oldest_first((1..=70).collect());
        ring.push(RequestId::new(71));
        assert_eq!(ring.oldest_first(), (8..=71).collect::<Vec<_>>());
        let mut short = Ring::from_oldest_first(vec![5, 6]);
        short.push(RequestId::new(7));
        assert_eq!((short.oldest_first(), short.last()), (vec![5, 6, 7], Some(RequestId::new(7))));
    }
}
