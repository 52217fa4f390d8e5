//! The statements of the task. Their results come back as [`Done`].

use super::*;

impl<G: Game> Moves<G> {
    /// Reads all leases, once more after the read that is under way.
    pub(super) fn read(&mut self) {
        if let Some(again) = &mut self.reading {
            *again = true;
            return;
        }
        self.reading = Some(false);
        let storage = Arc::clone(&self.storage);
        self.statement(async move {
            Done::Read(match storage.membership() {
                Some(membership) => membership.owners().await,
                None => Err(StorageError::Unusable("only one process can use this database".to_owned())),
            })
        });
    }

    pub(super) fn statement(&mut self, statement: impl Future<Output = Done> + Send + 'static) {
        self.statements.spawn_on(statement, &self.background);
    }

    pub(super) fn transfer(&mut self, shard: ShardId, to: Option<Uuid>) {
        let Some(lease) = self.life(shard).held().map(|held| lease_of(shard, held)) else { return };
        let (storage, me) = (Arc::clone(&self.storage), self.me);
        self.statement(async move {
            let changed = async {
                let Some(membership) = storage.membership() else {
                    return Err(StorageError::Unusable("only one process can use this database".to_owned()));
                };
                match to {
                    Some(to) => membership.transfer(me, to, lease).await,
                    None => {
                        storage.release(&[lease]).await?;
                        Ok(Owned { lease, released: true, owner: None })
                    }
                }
            };
            Done::Changed(shard, changed.await)
        });
    }

    pub(super) fn take(&mut self, wanted: Vec<Wanted>) {
        self.is_taking = true;
        tracing::info!(shards = wanted.len(), "taking shards that have no owner, or a dead one");
        let (storage, me) = (Arc::clone(&self.storage), self.me);
        self.statement(async move {
            Done::Taken(match storage.membership() {
                Some(membership) => membership.take(me, &wanted).await,
                None => Ok(Vec::new()),
            })
        });
    }
}
