//! The client, as a game holds it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use castellan_protocol::http::CharacterList;
use castellan_protocol::{Ack, CharacterId, CharacterOf, Codec, GameTypes, RequestId, UserId};
use hyper::Method;
use parking_lot::Mutex;
use rand::RngExt;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::base_url::BaseUrl;
use crate::driver;
use crate::handle::{IntentHandle, Outcome};
use crate::http::{HttpClient, HttpError};
use crate::ledger::{Full, Ledger};
use crate::session::{Proof, Session};
use crate::shared::{Inner, Notice, Shared};
use crate::socket::SocketOptions;
use crate::stream::Trust;

/// Options of [`Client::start`].
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's address.
    pub server: BaseUrl,
    /// The certificates that the server's certificate must come from, if its address is encrypted.
    pub trust: Trust,
    /// Name and password, or a token. Kept for a new login if the session is revoked.
    pub proof: Proof,
    /// The encoding of frames.
    pub codec: Codec,
    /// Most intents that are not durable yet; above this limit [`Client::send`] fails.
    pub kept_max: usize,
}

impl Options {
    /// This machine's certificates, MessagePack, and room for 4,096 intents: about a minute of a busy player.
    pub fn new(server: BaseUrl, proof: impl Into<Proof>) -> Self {
        Self { server, trust: Trust::default(), proof: proof.into(), codec: Codec::MessagePack, kept_max: 4096 }
    }
}

/// Why a client did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The login failed.
    #[error(transparent)]
    Login(#[from] HttpError),
    /// A thread or a runtime could not be started.
    #[error("cannot start the client's thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why an intent or a request was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too many intents or requests are waiting: slow down and try again later.
    #[error(transparent)]
    Full(#[from] Full),
    /// The client has stopped.
    #[error("the client has stopped; start a new one")]
    Stopped,
}

/// One logged-in player of a game. Cheap to clone; all clones share the connection.
pub struct Client<G: GameTypes> {
    shared: Arc<Shared<G>>,
    http: HttpClient,
}

impl<G: GameTypes> Clone for Client<G> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), http: self.http.clone() }
    }
}

impl<G: GameTypes> Client<G> {
    /// Logs in and runs the connection as a task of the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StartError::Login`]. If the server becomes unreachable later, the client reconnects.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let http = HttpClient::new(options.server.clone(), options.trust.clone());
        let session = Session::begin(&http, &options.proof).await?;
        let mut rng = rand::rng();
        let first = RequestId::new(rng.random_range(1..1 << 52));
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                ledger: Ledger::new(first, options.kept_max),
                outcomes: HashMap::new(),
                notices: VecDeque::new(),
                missed: 0,
                session,
                proof: options.proof,
                closing: false,
                stopped: false,
            }),
            wake: Notify::new(),
            news: Notify::new(),
        });
        let client = Uuid::from_u128(rng.random());
        let socket = SocketOptions { codec: options.codec, client, read_buffer_bytes: 4 * 1024 };
        tokio::spawn(driver::run(Arc::clone(&shared), http.clone(), socket));
        Ok(Self { shared, http })
    }

    /// Like [`Client::start`], on a separate thread, for programs without tokio. Blocks until the login is done.
    ///
    /// # Errors
    ///
    /// The errors of [`Client::start`].
    pub fn start_on_thread(options: Options) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new().name("castellan-client".to_owned()).spawn(move || {
            runtime.block_on(async {
                let started = Self::start(options).await;
                let shared = started.as_ref().ok().map(|client| Arc::clone(&client.shared));
                // If the send fails, nobody waits for the client, and nobody uses it.
                if sender.send(started).is_ok()
                    && let Some(shared) = shared
                {
                    driver::stopped(&shared).await;
                }
            });
        })?;
        receiver.recv().map_err(|_| std::io::Error::other("the client's thread ended before the login"))?
    }

    /// Sends an intent, based on the newest own intent for this character or on the newest known state. Does not wait.
    ///
    /// # Errors
    ///
    /// [`SendError`]: the intent will not be sent.
    pub fn send(&self, character: CharacterId, action: G::Action) -> Result<IntentHandle<CharacterOf<G>>, SendError> {
        self.send_with(character, action, Ack::Applied)
    }

    /// Like [`Client::send`], with a choice of when to answer: [`Ack::Durable`] asks for the answer after the commit.
    ///
    /// # Errors
    ///
    /// The errors of [`Client::send`].
    pub fn send_with(
        &self,
        character: CharacterId,
        action: G::Action,
        ack: Ack,
    ) -> Result<IntentHandle<CharacterOf<G>>, SendError> {
        self.request(|inner| {
            let id = inner.ledger.act(character, action, ack)?;
            let (sender, outcome) = watch::channel(Outcome::Pending);
            inner.outcomes.insert(id, sender);
            Ok(IntentHandle { id, outcome })
        })
    }

    /// Watches a character: other clients' changes arrive as notices.
    ///
    /// # Errors
    ///
    /// [`SendError`]: nothing was requested.
    pub fn watch(&self, character: CharacterId) -> Result<RequestId, SendError> {
        self.request(|inner| inner.ledger.watch(character))
    }

    /// Stops watching a character.
    ///
    /// # Errors
    ///
    /// [`SendError`]: nothing was requested.
    pub fn unwatch(&self, character: CharacterId) -> Result<RequestId, SendError> {
        self.request(|inner| inner.ledger.unwatch(character))
    }

    /// Requests a character's current state, which arrives as a notice.
    ///
    /// # Errors
    ///
    /// [`SendError`]: nothing was requested.
    pub fn fetch(&self, character: CharacterId) -> Result<RequestId, SendError> {
        self.request(|inner| inner.ledger.fetch(character))
    }

    /// Sets the owner of a character, for game servers that act on other users' characters.
    pub fn set_owner(&self, character: CharacterId, user: UserId) {
        self.shared.change(|inner| inner.ledger.set_owner(character, user));
    }

    /// The newest known state of a character.
    pub fn state(&self, character: CharacterId) -> Option<Arc<CharacterOf<G>>> {
        self.shared.inner.lock().ledger.state(character).cloned()
    }

    /// Number of intents that are not known to be durable.
    pub fn kept(&self) -> usize {
        self.shared.inner.lock().ledger.kept()
    }

    /// The next notice, if there is one.
    pub fn try_notice(&self) -> Option<Notice<CharacterOf<G>>> {
        let mut inner = self.shared.inner.lock();
        let missed = std::mem::take(&mut inner.missed);
        if missed > 0 { Some(Notice::Missed(missed)) } else { inner.notices.pop_front() }
    }

    /// Waits for the next notice. None follows [`Notice::Stopped`].
    pub async fn notice(&self) -> Notice<CharacterOf<G>> {
        loop {
            let news = self.shared.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if let Some(notice) = self.try_notice() {
                return notice;
            }
            news.await;
        }
    }

    /// Waits until every intent is durable, refused or rejected, or the client has ended.
    pub async fn settled(&self) {
        loop {
            let news = self.shared.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            {
                let inner = self.shared.inner.lock();
                if inner.ledger.kept() == 0 || inner.stopped {
                    return;
                }
            }
            news.await;
        }
    }

    /// The logged-in user.
    pub fn user(&self) -> UserId {
        self.shared.inner.lock().session.user()
    }

    /// Creates a character.
    ///
    /// # Errors
    ///
    /// [`HttpError`], if the call failed.
    pub async fn create_character(&self, character: &G::Creation) -> Result<CharacterOf<G>, HttpError> {
        self.http.call(Method::POST, "/characters", Some(&self.token()), Some(character)).await
    }

    /// Returns all characters of the user.
    ///
    /// # Errors
    ///
    /// [`HttpError`], if the call failed.
    pub async fn characters(&self) -> Result<Vec<CharacterOf<G>>, HttpError> {
        let list: CharacterList<CharacterOf<G>> =
            self.http.call::<(), _>(Method::GET, "/characters", Some(&self.token()), None).await?;
        Ok(list.characters)
    }

    /// Gives the account of a guest a name and a password. The client goes on, and logs in with these from now on. May be
    /// repeated if the answer was lost.
    ///
    /// # Errors
    ///
    /// [`HttpError`], if the call failed: the name may be taken.
    pub async fn claim(&self, name: &str, password: &str) -> Result<(), HttpError> {
        let session = self.shared.inner.lock().session.clone();
        let credentials = session.claim(&self.http, name, password).await?;
        self.shared.inner.lock().proof = credentials.into();
        Ok(())
    }

    /// Closes the connection. Kept intents are not sent again, so wait for [`Client::settled`] first.
    pub fn close(&self) {
        self.shared.inner.lock().closing = true;
        self.shared.wake.notify_one();
    }

    /// Ends the session on the server and closes the connection.
    ///
    /// # Errors
    ///
    /// [`HttpError`], if the call failed. The client is closed in any case.
    pub async fn log_out(&self) -> Result<(), HttpError> {
        self.close();
        let session = self.shared.inner.lock().session.clone();
        session.log_out(&self.http).await
    }

    fn token(&self) -> String {
        self.shared.inner.lock().session.token().to_owned()
    }

    fn request<T>(&self, request: impl FnOnce(&mut Inner<G>) -> Result<T, Full>) -> Result<T, SendError> {
        let result = {
            let mut inner = self.shared.inner.lock();
            if inner.stopped || inner.closing {
                return Err(SendError::Stopped);
            }
            request(&mut inner)?
        };
        self.shared.wake.notify_one();
        Ok(result)
    }
}
