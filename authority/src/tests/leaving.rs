//! A shard that leaves knows which of its characters the database does not have yet.

use super::*;
use crate::leaving::Unstored;

#[test]
fn rows_are_being_written_until_the_flusher_reports_them() {
    let mut bench = Bench::new();
    let unstored = |bench: &Bench| {
        let Unstored { characters, hurried, writing } = bench.core.unstored();
        [characters, hurried, writing]
    };
    assert_eq!(unstored(&bench), [0, 0, 0]);
    bench.gold(5, ANY, 1);
    assert_eq!(unstored(&bench), [1, 0, 0]);
    assert!(bench.hurries(1, None));
    assert_eq!(unstored(&bench), [1, 1, 0]);
    bench.collect(Queue::Hurried);
    assert_eq!(unstored(&bench), [1, 0, 1]);
    // A change meanwhile does not end what is being written.
    let version = bench.state().0;
    bench.gold(6, ANY, 1);
    assert_eq!(unstored(&bench), [1, 0, 1]);
    bench.core.put_back(user(1), character(11), Version::new(version));
    assert_eq!(unstored(&bench), [1, 0, 0]);
    bench.collect(Queue::Dirty);
    bench.core.saved(user(1), character(11), Version::new(version + 1), 0, &mut bench.effects);
    assert_eq!(unstored(&bench), [0, 0, 0]);
    bench.gold(7, ANY, 1);
    bench.collect(Queue::Dirty);
    bench.core.bury(user(1), character(11), Version::new(version + 2), &mut bench.effects);
    assert_eq!(unstored(&bench)[2], 0);
    // Whoever has lost the shard knows of nothing any more.
    bench.gold(8, ANY, 1);
    bench.collect(Queue::Dirty);
    bench.core.lose(&mut bench.effects);
    assert_eq!(unstored(&bench), [0, 0, 0]);
}
