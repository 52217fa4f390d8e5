//! The handle that a game holds.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use castellan_protocol::http::CharacterList;
use castellan_protocol::{Ack, Action, Character, CharacterId, Codec, NewCharacter, RequestId, UserId};
use hyper::Method;
use parking_lot::Mutex;
use rand::RngExt;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::driver;
use crate::handle::{IntentHandle, Outcome};
use crate::http::{BaseUrl, HttpClient, HttpError};
use crate::ledger::{Full, Ledger};
use crate::session::{Credentials, Session};
use crate::shared::{Inner, Notice, Shared};
use crate::socket::SocketOptions;

/// What [`Client::start`] needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the server is.
    pub server: BaseUrl,
    /// Who logs in; kept, to log in again should the session be revoked.
    pub credentials: Credentials,
    /// How frames are encoded.
    pub codec: Codec,
    /// Most intents that wait for the server's database at a time; beyond them [`Client::send`] fails.
    pub kept_max: usize,
}

impl Options {
    /// MessagePack, and room for 4,096 intents: a minute of a busy player.
    pub fn new(server: BaseUrl, credentials: Credentials) -> Self {
        Self { server, credentials, codec: Codec::MessagePack, kept_max: 4096 }
    }
}

/// Why a client did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The login failed.
    #[error(transparent)]
    Login(#[from] HttpError),
    /// No thread or no runtime could be had.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why an intent or a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too much waits already: take [`Notice`]s, slow down, try again later.
    #[error(transparent)]
    Full(#[from] Full),
    /// The client has ended.
    #[error("the client has ended")]
    Stopped,
}

/// A player at the server. Cheap to clone; all clones are the same player.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    http: HttpClient,
}

impl Client {
    /// Logs in and starts the connection as a task of the present tokio runtime.
    ///
    /// # Errors
    ///
    /// [`StartError::Login`]. A server that cannot be reached later is waited for instead.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let http = HttpClient::new(options.server.clone());
        let session = Session::log_in(&http, &options.credentials).await?;
        let mut rng = rand::rng();
        let first = RequestId::new(rng.random_range(1..1 << 52));
        let shared = Arc::new(Shared {
            inner: Mutex::new(Inner {
                ledger: Ledger::new(first, options.kept_max),
                outcomes: HashMap::new(),
                notices: VecDeque::new(),
                missed: 0,
                session,
                closing: false,
                stopped: false,
            }),
            wake: Notify::new(),
            news: Notify::new(),
        });
        let client = Uuid::from_u128(rng.random());
        let socket = SocketOptions { codec: options.codec, client, read_buffer_bytes: 4 * 1024 };
        tokio::spawn(driver::run(Arc::clone(&shared), http.clone(), options.credentials, socket));
        Ok(Self { shared, http })
    }

    /// The same on a thread of its own, for programs without tokio; waits for the login.
    ///
    /// # Errors
    ///
    /// As [`Client::start`].
    pub fn start_on_thread(options: Options) -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        std::thread::Builder::new().name("castellan-client".to_owned()).spawn(move || {
            runtime.block_on(async {
                let started = Self::start(options).await;
                let shared = started.as_ref().ok().map(|client| Arc::clone(&client.shared));
                // Nobody waits for it any more: then nobody uses the client either.
                if sender.send(started).is_ok()
                    && let Some(shared) = shared
                {
                    driver::stopped(&shared).await;
                }
            });
        })?;
        receiver.recv().map_err(|_| std::io::Error::other("the thread has ended"))?
    }

    /// Sends an intent, made on the newest own intent on this character or on the newest state shown. Does not wait.
    ///
    /// # Errors
    ///
    /// [`SendError`]: the intent was not taken and will not be sent.
    pub fn send(&self, character: CharacterId, action: Action) -> Result<IntentHandle, SendError> {
        self.send_with(character, action, Ack::Applied)
    }

    /// The same, and says when the answer is to come: with [`Ack::Durable`] after the commit.
    ///
    /// # Errors
    ///
    /// As [`Client::send`].
    pub fn send_with(&self, character: CharacterId, action: Action, ack: Ack) -> Result<IntentHandle, SendError> {
        self.request(|inner| {
            let id = inner.ledger.act(character, action, ack)?;
            let (sender, outcome) = watch::channel(Outcome::Pending);
            inner.outcomes.insert(id, sender);
            Ok(IntentHandle { id, outcome })
        })
    }

    /// Asks to be told of every change of a character that somebody else makes.
    ///
    /// # Errors
    ///
    /// [`SendError`]: nothing was asked.
    pub fn watch(&self, character: CharacterId) -> Result<RequestId, SendError> {
        self.request(|inner| inner.ledger.watch(character))
    }

    /// Ends [`Client::watch`].
    ///
    /// # Errors
    ///
    /// [`SendError`]: nothing was asked.
    pub fn unwatch(&self, character: CharacterId) -> Result<RequestId, SendError> {
        self.request(|inner| inner.ledger.unwatch(character))
    }

    /// Asks for a character's present state; it comes as a notice.
    ///
    /// # Errors
    ///
    /// [`SendError`]: nothing was asked.
    pub fn fetch(&self, character: CharacterId) -> Result<RequestId, SendError> {
        self.request(|inner| inner.ledger.fetch(character))
    }

    /// Names the owner of a character, for game servers that act on characters of others.
    pub fn set_owner(&self, character: CharacterId, user: UserId) {
        self.shared.change(|inner| inner.ledger.set_owner(character, user));
    }

    /// The newest state known of a character.
    pub fn state(&self, character: CharacterId) -> Option<Arc<Character>> {
        self.shared.inner.lock().ledger.state(character).cloned()
    }

    /// Intents that the server's database may not have yet.
    pub fn kept(&self) -> usize {
        self.shared.inner.lock().ledger.kept()
    }

    /// The next thing that happened, if there is any.
    pub fn try_notice(&self) -> Option<Notice> {
        let mut inner = self.shared.inner.lock();
        let missed = std::mem::take(&mut inner.missed);
        if missed > 0 { Some(Notice::Missed(missed)) } else { inner.notices.pop_front() }
    }

    /// Waits for the next thing that happens; after [`Notice::Stopped`] nothing does.
    pub async fn notice(&self) -> Notice {
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

    /// Waits until every intent sent so far is in the database, refused or rejected, or the client has ended.
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

    /// The user that is logged in.
    pub fn user(&self) -> UserId {
        self.shared.inner.lock().session.user()
    }

    /// Creates a character.
    ///
    /// # Errors
    ///
    /// As the call was answered.
    pub async fn create_character(&self, character: &NewCharacter) -> Result<Character, HttpError> {
        self.http.call(Method::POST, "/characters", Some(&self.token()), Some(character)).await
    }

    /// All characters of the user.
    ///
    /// # Errors
    ///
    /// As the call was answered.
    pub async fn characters(&self) -> Result<Vec<Character>, HttpError> {
        let list: CharacterList =
            self.http.call::<(), _>(Method::GET, "/characters", Some(&self.token()), None).await?;
        Ok(list.characters)
    }

    /// Closes the connection. What is kept is not sent any more: wait for [`Client::settled`] before.
    pub fn close(&self) {
        self.shared.inner.lock().closing = true;
        self.shared.wake.notify_one();
    }

    /// Ends the session at the server and closes.
    ///
    /// # Errors
    ///
    /// As the call was answered; the client is closed all the same.
    pub async fn log_out(&self) -> Result<(), HttpError> {
        self.close();
        let session = self.shared.inner.lock().session.clone();
        session.log_out(&self.http).await
    }

    fn token(&self) -> String {
        self.shared.inner.lock().session.token().to_owned()
    }

    fn request<T>(&self, request: impl FnOnce(&mut Inner) -> Result<T, Full>) -> Result<T, SendError> {
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
