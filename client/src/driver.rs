//! The task that owns the socket: connects, moves frames between socket and ledger, reconnects.

use std::sync::Arc;
use std::time::{Duration, Instant};

use castellan_protocol::{Codec, GameTypes, ServerFrame};
use futures_util::{SinkExt, StreamExt};
use rand::RngExt;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::burst::Burst;
use crate::http::{HttpClient, HttpError};
use crate::reconnect::{Backoff, Ended, First, Next};
use crate::session::Session;
use crate::shared::{Notice, Shared};
use crate::socket::{Socket, SocketOptions, connect, decode_message, encode_message};

/// Longest silence allowed until `welcome` says how often the server pings.
const FIRST_FRAME_TIMEOUT: Duration = Duration::from_secs(30);

/// Time between two attempts to refresh the tokens.
const REFRESH_AGAIN: Duration = Duration::from_secs(10);

/// How a connection ended, or that the client must end.
enum End {
    Connection(Ended, String),
    Client,
}

/// Keeps a connection until the client is closed or reconnecting cannot help.
pub(crate) async fn run<G: GameTypes>(shared: Arc<Shared<G>>, http: HttpClient, options: SocketOptions) {
    let mut driver = Driver { shared, http, options, backoff: Backoff::default() };
    let reason = driver.run().await;
    driver.shared.change(|inner| inner.stop(reason));
}

/// Waits until the task has ended.
pub(crate) async fn stopped<G: GameTypes>(shared: &Shared<G>) {
    loop {
        let news = shared.news.notified();
        tokio::pin!(news);
        news.as_mut().enable();
        if shared.inner.lock().stopped {
            return;
        }
        news.await;
    }
}

struct Driver<G: GameTypes> {
    shared: Arc<Shared<G>>,
    http: HttpClient,
    options: SocketOptions,
    backoff: Backoff,
}

impl<G: GameTypes> Driver<G> {
    async fn run(&mut self) -> String {
        let mut first = First::Nothing;
        loop {
            let end = match self.prepare(first).await {
                Ok(()) => self.connection().await,
                Err(HttpError::Refused { status: 401 | 403, code, message, .. }) => {
                    if first == First::LogIn {
                        return format!("{message} ({code})");
                    }
                    first = First::LogIn;
                    continue;
                }
                Err(HttpError::Refused { retry_after, message, .. }) => {
                    End::Connection(Ended::Lost { retry_after }, message)
                }
                Err(error) => End::Connection(Ended::Lost { retry_after: None }, error.to_string()),
            };
            let prepared = first;
            let End::Connection(ended, reason) = end else { return "closed".to_owned() };
            self.shared.change(|inner| inner.ledger.disconnected());
            let random = rand::rng().random();
            let Next::Again { wait, first: next } = self.backoff.next(ended, random) else { return reason };
            // A failed preparation must be repeated.
            let failed = matches!(ended, Ended::Lost { .. }) && prepared != First::Nothing && next == First::Nothing;
            first = if failed { prepared } else { next };
            self.shared.change(|inner| inner.notice(Notice::Offline { reason, retry_in: wait }));
            if self.sleep(wait).await {
                return "closed".to_owned();
            }
        }
    }

    /// Sleeps until the time is over or the client is closed. Returns true if it is closed.
    async fn sleep(&self, wait: Duration) -> bool {
        let until = tokio::time::Instant::now() + wait;
        loop {
            if self.shared.inner.lock().closing {
                return true;
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => return self.shared.inner.lock().closing,
                () = self.shared.wake.notified() => {}
            }
        }
    }

    async fn prepare(&self, first: First) -> Result<(), HttpError> {
        let session = match first {
            First::Nothing => return Ok(()),
            First::Refresh => {
                let session = self.shared.inner.lock().session.clone();
                session.refreshed(&self.http).await?
            }
            First::LogIn => {
                let proof = self.shared.inner.lock().proof.clone();
                Session::begin(&self.http, &proof).await?
            }
        };
        self.shared.inner.lock().session = session;
        Ok(())
    }

    async fn connection(&mut self) -> End {
        let session = self.shared.inner.lock().session.clone();
        match connect(session.socket_url(), session.token(), self.options, self.http.trust()).await {
            Ok(socket) => Connection::new(self, socket).run().await,
            Err(error) => End::Connection(error.ended(), error.to_string()),
        }
    }
}

struct Connection<'a, G: GameTypes> {
    driver: &'a mut Driver<G>,
    socket: Socket,
    codec: Codec,
    closing_hint: Option<Duration>,
    heard: Instant,
    silence_max: Duration,
    refresh_time: Instant,
    /// A running refresh of the tokens.
    refreshing: Option<JoinHandle<Result<Session, HttpError>>>,
}

impl<'a, G: GameTypes> Connection<'a, G> {
    fn new(driver: &'a mut Driver<G>, socket: Socket) -> Self {
        let codec = driver.options.codec;
        let (heard, silence_max) = (Instant::now(), FIRST_FRAME_TIMEOUT);
        let refresh_time = driver.shared.inner.lock().session.refresh_time();
        Self { driver, socket, codec, closing_hint: None, heard, silence_max, refresh_time, refreshing: None }
    }

    async fn run(mut self) -> End {
        let shared = Arc::clone(&self.driver.shared);
        loop {
            if let Err(error) = self.send_due().await {
                return self.lost(&error.to_string());
            }
            if shared.inner.lock().closing {
                // Does not wait for the peer's answer, because it tells nothing new.
                let _ = self.socket.close(None).await;
                return End::Client;
            }
            let silent = self.heard + self.silence_max;
            let retry = shared.inner.lock().ledger.wakeup();
            let refresh = self.refreshing.is_none().then_some(self.refresh_time);
            let timer = [Some(silent), refresh, retry].into_iter().flatten().min().unwrap_or(silent);
            tokio::select! {
                message = self.socket.next() => {
                    if let Some(end) = self.take_burst(message) {
                        return end;
                    }
                }
                () = shared.wake.notified() => {}
                () = tokio::time::sleep_until(timer.into()) => {}
                session = finished(&mut self.refreshing) => self.refreshed(session),
            }
            let now = Instant::now();
            if now >= self.heard + self.silence_max {
                return self.lost("the server has not sent anything for too long");
            }
            if now >= self.refresh_time && self.refreshing.is_none() {
                let session = shared.inner.lock().session.clone();
                let http = self.driver.http.clone();
                self.refreshing = Some(tokio::spawn(async move { session.refreshed(&http).await }));
            }
        }
    }

    /// Sends all due frames of the ledger in one write.
    async fn send_due(&mut self) -> Result<(), tungstenite::Error> {
        loop {
            let frame = self.driver.shared.inner.lock().ledger.next_frame(Instant::now());
            let Some(frame) = frame else { break };
            self.socket.feed(encode_message(self.codec, &frame)).await?;
        }
        self.socket.flush().await
    }

    /// Handles a message and all others that have already arrived.
    fn take_burst(&mut self, first: Option<Result<Message, tungstenite::Error>>) -> Option<End> {
        let mut burst = Burst::new(first);
        while let Some(message) = burst.next(&mut self.socket) {
            match message {
                Some(Ok(message)) => {
                    if let Some(end) = self.take(&message) {
                        return Some(end);
                    }
                }
                Some(Err(error)) => return Some(self.lost(&error.to_string())),
                None => return Some(self.lost("the server ended the connection")),
            }
        }
        None
    }

    fn take(&mut self, message: &Message) -> Option<End> {
        self.heard = Instant::now();
        if let Message::Close(close) = message {
            let code = close.as_ref().map_or(1005, |close| u16::from(close.code));
            let reason = close.as_ref().map_or("closed by the server", |close| close.reason.as_str());
            let ended = Ended::Closed { code, retry_after: self.closing_hint };
            return Some(End::Connection(ended, format!("{code} {reason}")));
        }
        let frame = match decode_message(self.codec, message) {
            Ok(Some(frame)) => frame,
            Ok(None) => return None,
            Err(error) => return Some(self.lost(&format!("cannot read a frame from the server: {error}"))),
        };
        match &frame {
            ServerFrame::Welcome(welcome) => {
                self.driver.backoff.served();
                // The server pings every `ping_seconds`; three missed pings mean a dead connection.
                self.silence_max = Duration::from_secs(welcome.ping_seconds.clamp(1, 3600) * 3);
            }
            ServerFrame::Closing(closing) => self.closing_hint = Some(Duration::from_millis(closing.retry_after_ms)),
            _ => {}
        }
        self.driver.shared.change(|inner| inner.ledger.receive(frame, Instant::now()));
        None
    }

    fn lost(&self, reason: &str) -> End {
        End::Connection(Ended::Lost { retry_after: self.closing_hint }, reason.to_owned())
    }

    /// Sends newer tokens to the server, or schedules another refresh.
    fn refreshed(&mut self, session: Result<Session, HttpError>) {
        self.refreshing = None;
        let Ok(session) = session else {
            // Retry until the token expires; then the server closes with 4502.
            self.refresh_time = Instant::now() + REFRESH_AGAIN;
            return;
        };
        // A token that expires at once must not make the client refresh without a pause.
        self.refresh_time = session.refresh_time().max(Instant::now() + REFRESH_AGAIN);
        self.driver.shared.change(|inner| {
            // If the ledger is full, the old token expires and the next connection uses the new one.
            let _ = inner.ledger.refresh(session.token().to_owned());
            inner.session = session;
        });
    }
}

impl<G: GameTypes> Drop for Connection<'_, G> {
    fn drop(&mut self) {
        if let Some(refreshing) = self.refreshing.take() {
            refreshing.abort();
        }
    }
}

/// Waits for a running refresh; waits forever if there is none.
async fn finished(refreshing: &mut Option<JoinHandle<Result<Session, HttpError>>>) -> Result<Session, HttpError> {
    match refreshing {
        Some(refreshing) => refreshing.await.unwrap_or_else(|error| Err(HttpError::Unreachable(error.to_string()))),
        None => std::future::pending().await,
    }
}
