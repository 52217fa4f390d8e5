//! Login, refresh and logout.

use std::fmt;
use std::time::{Duration, Instant};

use castellan_protocol::http::{ClaimAccount, ExchangeToken, Login, RefreshSession, Tokens};
use castellan_protocol::{SessionId, UserId};
use hyper::Method;

use crate::http::{HttpClient, HttpError};

/// Name and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The account's name.
    pub username: String,
    /// Its password.
    pub password: String,
    /// Create the account if it does not exist and the server allows it.
    pub create: bool,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What a client logs in with.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// Name and password.
    Password(Credentials),
    /// A token of an outside issuer. It works until it expires; start a new client with a newer one after that.
    Token(String),
}

impl From<Credentials> for Proof {
    fn from(credentials: Credentials) -> Self {
        Self::Password(credentials)
    }
}

/// Hides the token.
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password(credentials) => credentials.fmt(f),
            Self::Token(_) => f.write_str("Token(…)"),
        }
    }
}

/// A session and its current tokens.
#[derive(Clone)]
pub struct Session {
    tokens: Tokens,
    received: Instant,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("session", &self.tokens.session_id).finish_non_exhaustive()
    }
}

impl Session {
    /// Logs in.
    ///
    /// # Errors
    ///
    /// [`HttpError`], if the call failed.
    pub async fn log_in(http: &HttpClient, credentials: &Credentials) -> Result<Self, HttpError> {
        let Credentials { username, password, create } = credentials.clone();
        let body = Login { username: Some(username), password: Some(password), create, guest: false };
        Self::receive(http, http.call(Method::POST, "/session/login", None, Some(&body)).await?)
    }

    /// Logs in by a token of an outside issuer that the server accepts.
    ///
    /// # Errors
    ///
    /// [`HttpError`], if the call failed.
    pub async fn exchange(http: &HttpClient, token: &str) -> Result<Self, HttpError> {
        let body = ExchangeToken { token: token.to_owned() };
        Self::receive(http, http.call(Method::POST, "/session/exchange", None, Some(&body)).await?)
    }

    pub(crate) async fn begin(http: &HttpClient, proof: &Proof) -> Result<Self, HttpError> {
        match proof {
            Proof::Password(credentials) => Self::log_in(http, credentials).await,
            Proof::Token(token) => Self::exchange(http, token).await,
        }
    }

    /// Logs in as a new guest. Keep the credentials: the guest logs in with them again, on any machine.
    ///
    /// # Errors
    ///
    /// [`HttpError`], if the call failed or the server takes no guests.
    pub async fn log_in_as_guest(http: &HttpClient) -> Result<(Self, Credentials), HttpError> {
        let body = Login { username: None, password: None, create: false, guest: true };
        let mut tokens: Tokens = http.call(Method::POST, "/session/login", None, Some(&body)).await?;
        let guest = tokens.guest.take();
        let guest = guest.ok_or_else(|| HttpError::Unreadable("a new guest has got no secret".to_owned()))?;
        let credentials = Credentials { username: guest.name, password: guest.secret, create: false };
        Ok((Self::receive(http, tokens)?, credentials))
    }

    /// Gives the account of a guest a name and a password, and returns the new credentials. The old ones and the guest's
    /// other sessions end; this one goes on. May be repeated if the answer was lost.
    ///
    /// # Errors
    ///
    /// [`HttpError`], if the call failed: the name may be taken.
    pub async fn claim(&self, http: &HttpClient, name: &str, password: &str) -> Result<Credentials, HttpError> {
        let (username, password) = (name.to_owned(), password.to_owned());
        let body = ClaimAccount { name: username.clone(), password: password.clone() };
        http.call::<_, ()>(Method::POST, "/account/claim", Some(self.token()), Some(&body)).await?;
        Ok(Credentials { username, password, create: false })
    }

    /// Returns the same session with newer tokens. Uses up the current refresh token.
    ///
    /// # Errors
    ///
    /// [`HttpError`], if the call failed.
    pub async fn refreshed(&self, http: &HttpClient) -> Result<Self, HttpError> {
        let body = RefreshSession { refresh_token: self.tokens.refresh_token.clone() };
        Self::receive(http, http.call(Method::POST, "/session/refresh", None, Some(&body)).await?)
    }

    /// Takes new tokens. Refuses a server that would let them travel unencrypted although it was called by `https`.
    fn receive(http: &HttpClient, tokens: Tokens) -> Result<Self, HttpError> {
        if http.base().is_secure() && !tokens.socket_url.starts_with("wss://") {
            return Err(HttpError::Unreadable(format!(
                "the server was called by https, but its WebSocket is at {}; its operator must set --public-url",
                tokens.socket_url
            )));
        }
        Ok(Self { tokens, received: Instant::now() })
    }

    /// Ends the session.
    ///
    /// # Errors
    ///
    /// [`HttpError`], if the call failed.
    pub async fn log_out(&self, http: &HttpClient) -> Result<(), HttpError> {
        http.call::<(), ()>(Method::POST, "/session/logout", Some(self.token()), None).await
    }

    /// The access token.
    pub fn token(&self) -> &str {
        &self.tokens.token
    }

    /// The user.
    pub fn user(&self) -> UserId {
        self.tokens.user_id
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.tokens.session_id
    }

    /// The WebSocket's URL.
    pub fn socket_url(&self) -> &str {
        &self.tokens.socket_url
    }

    /// Time to refresh the tokens: after three quarters of their lifetime.
    pub fn refresh_time(&self) -> Instant {
        // Limited to a day: a broken server could name a time beyond the clock's range.
        let life = Duration::from_secs(self.tokens.expires_in.min(24 * 60 * 60));
        self.received + life.mul_f64(0.75)
    }
}

#[cfg(test)]
mod tests {
    use castellan_protocol::http::Tokens;
    use uuid::Uuid;

    use super::*;
    use crate::Trust;

    #[test]
    fn after_https_a_plain_websocket_is_refused() {
        let receive = |base: &str, socket_url: &str| {
            let http = HttpClient::new(base.parse().expect("an address"), Trust::default());
            let tokens = Tokens {
                token: "a".to_owned(),
                token_type: "Bearer".to_owned(),
                expires_in: 900,
                refresh_token: "b".to_owned(),
                user_id: UserId::from_uuid(Uuid::nil()),
                session_id: SessionId::from_uuid(Uuid::nil()),
                socket_url: socket_url.to_owned(),
                guest: None,
            };
            Session::receive(&http, tokens).map(|_| ()).map_err(|error| error.to_string())
        };
        let refused = receive("https://game.example", "ws://game.example/socket").expect_err("tokens in plain");
        assert!(refused.contains("--public-url"), "{refused}");
        receive("https://game.example", "wss://game.example/socket").expect("encrypted all the way");
        receive("http://127.0.0.1:8080", "ws://127.0.0.1:8080/socket").expect("plain, as asked for");
    }
}
