//! Reads again as soon as the database says that something has changed. Everything is also read each second.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::auth::Auth;
use crate::gateway::Owners;
use crate::storage::{Hint, Look, Storage};

/// How long more hints are waited for after the first one: a node that stops gives many shards away.
const GATHER: Duration = Duration::from_millis(50);

/// Follows the hints of the database as long as the process runs. `owners`: at a gateway. `hear_of_books`: where there are
/// characters.
pub(super) fn follow(
    storage: &Arc<dyn Storage>,
    auth: &Arc<Auth>,
    owners: Option<Owners>,
    hear_of_books: impl Fn(Vec<Look>) + Send + Sync + 'static,
) {
    let (storage, auth) = (Arc::clone(storage), Arc::clone(auth));
    tokio::spawn(async move {
        let (leases, sessions) = (Notify::new(), Notify::new());
        let hear = |hint| match hint {
            Hint::Books(looks) => hear_of_books(looks),
            Hint::Leases => leases.notify_one(),
            Hint::Sessions => sessions.notify_one(),
        };
        let read_owners = || {
            owners.as_ref().map(Owners::ask);
        };
        let read_sessions = || auth.look_for_revocations();
        tokio::join!(storage.hints(&hear), gathered(&leases, read_owners), gathered(&sessions, read_sessions))
    });
}

/// Acts once for all hints that come close together.
async fn gathered(heard: &Notify, act: impl Fn()) {
    loop {
        heard.notified().await;
        sleep(GATHER).await;
        act();
    }
}
