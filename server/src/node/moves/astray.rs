//! Steps that a node takes only if a bug is planted.

use castellan_cluster::word::Word;

use super::*;

impl<G: Game> Moves<G> {
    /// Goes on as if a transfer without an answer had not happened.
    pub(super) fn go_on_as_owner(&mut self, shard: ShardId) {
        let me = self.me;
        let before = std::mem::replace(self.life(shard), ShardLife::new(me));
        let Some(held) = before.held() else { return };
        self.life(shard).lease(Lease { held, owner: Some(me) }, &mut Effects::new());
        self.leaving.remove(&shard);
        self.shards.resume(shard);
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            if let Some(number) = before.attachment(link) {
                self.send(link, ToLink::Say { shard, number, word: Word::Resume });
            }
        }
    }
}
