//! Messages that have already arrived, handled in one go.

use futures_util::{FutureExt, Stream, StreamExt};

/// Most messages in one burst, so that a steady stream of them cannot keep a client from sending.
const BURST_MAX: usize = 64;

/// A message that was received, and the messages that have arrived behind it.
///
/// It takes a message from the stream only to return it. So what is beyond the limit stays in the stream, for the next
/// burst.
#[derive(Debug)]
pub struct Burst<T> {
    first: Option<T>,
    /// How many more it may take.
    left: usize,
}

impl<T> Burst<T> {
    /// Begins with an item of the stream, or with `None` if the stream has ended.
    pub const fn new(first: T) -> Self {
        Self { first: Some(first), left: BURST_MAX - 1 }
    }
}

impl<T> Burst<Option<T>> {
    /// The next item of the stream: `Some(None)` if the stream has ended, `None` if the burst is over.
    pub fn next(&mut self, stream: &mut (impl Stream<Item = T> + Unpin)) -> Option<Option<T>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        self.left = self.left.checked_sub(1)?;
        stream.next().now_or_never()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[test]
    fn bursts_in_a_row_bring_every_item_and_the_end() {
        for count in [0, 1, BURST_MAX - 1, BURST_MAX, BURST_MAX + 1, 5 * BURST_MAX] {
            let mut stream = stream::iter(0..count);
            let mut taken = Vec::new();
            while taken.last() != Some(&None) {
                let mut burst = Burst::new(stream.next().now_or_never().expect("the items are there"));
                let before = taken.len();
                while let Some(item) = burst.next(&mut stream) {
                    taken.push(item);
                    if item.is_none() {
                        break;
                    }
                }
                assert!((1..=BURST_MAX).contains(&(taken.len() - before)));
            }
            assert_eq!(taken, (0..count).map(Some).chain([None]).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_burst_is_over_if_nothing_more_has_arrived() {
        let mut stream = stream::iter([1, 2]).chain(stream::pending());
        let mut burst = Burst::new(stream.next().now_or_never().expect("it is there"));
        let taken: Vec<_> = std::iter::from_fn(|| burst.next(&mut stream)).collect();
        assert_eq!(taken, [Some(1), Some(2)]);
    }
}
