//! A gateway with one thread: its hub, and connections of clients.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use castellan::auth::Session;
use castellan::gateway::{self, Dial, Hub, Owners, serve_over};
use castellan::link::Wire;
use castellan::socket::{Opener, Registry, SocketLimits};
use castellan::storage::Storage;
use castellan::storage::faulty::FaultyStorage;
use castellan_srd::Srd;
use parking_lot::Mutex;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

use super::Common;
use super::network::{Line, Network};

/// A run of a gateway.
pub(super) struct Gateway {
    pub(super) storage: Arc<FaultyStorage>,
    hub: Hub,
    context: Arc<gateway::Context>,
    registry: Arc<Registry>,
    network: Network,
    is_dead: Arc<AtomicBool>,
    links: Arc<Mutex<Vec<Line>>>,
    clients: Mutex<Vec<(Line, JoinHandle<()>)>>,
}

impl Gateway {
    pub(super) fn start(common: &Common, storage: Arc<FaultyStorage>) -> Self {
        let owners = Owners::start(Arc::clone(&storage) as Arc<dyn Storage>);
        let (is_dead, links) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<Line>>>::default());
        let (doors, dead, opened) = (Arc::clone(&common.doors), Arc::clone(&is_dead), Arc::clone(&links));
        let dial: Dial = Arc::new(move |node| {
            let door = doors.lock().get(&node.process).cloned().filter(|_| !dead.load(Ordering::Relaxed));
            let opened = Arc::clone(&opened);
            Box::pin(async move {
                let (line, near) = door.ok_or(io::ErrorKind::ConnectionRefused)?.open().await;
                opened.lock().push(line);
                Ok((Box::new(near) as Box<dyn Wire>, Vec::new()))
            })
        });
        let limits = SocketLimits { all_max: 1_000, per_user_max: 1_000, per_address_max: 1_000 };
        let context = gateway::Context {
            auth: Arc::clone(&common.auth),
            settings: common.settings,
            clock: Arc::clone(&common.clock),
        };
        Self {
            storage,
            hub: Hub::new(owners, dial),
            context: Arc::new(context),
            registry: Arc::new(Registry::new(limits)),
            network: common.network.clone(),
            is_dead,
            links,
            clients: Mutex::default(),
        }
    }

    /// A client connects. `None` if its session has too many sockets here.
    pub(super) fn accept(&self, session: Session) -> Option<(Line, DuplexStream)> {
        let opener = Opener { session: session.id, user: session.user, limited_by: None };
        let seat = self.registry.take_seat(&opener, None).ok()?;
        let (line, near, far) = self.network.connect();
        let serving = serve_over::<Srd>(far, (session, seat), self.hub.clone(), Arc::clone(&self.context));
        let mut clients = self.clients.lock();
        clients.retain(|(line, _)| !line.is_over());
        clients.push((line.clone(), tokio::spawn(serving)));
        Some((line, near))
    }

    /// Its machine is gone.
    pub(super) fn kill(self) {
        self.is_dead.store(true, Ordering::Relaxed);
        self.storage.set_away(true);
        for (line, task) in self.clients.lock().drain(..) {
            task.abort();
            line.cut();
        }
        self.links.lock().drain(..).for_each(|line| line.cut());
    }
}
