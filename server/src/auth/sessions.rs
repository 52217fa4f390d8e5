//! Sessions from their start to their end: refresh, logout, and sessions that other servers have ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use castellan_protocol::limits::REFRESH_REPEAT_SECONDS;
use castellan_protocol::{SessionId, UserId};
use tokio::sync::{Notify, broadcast, watch};
use uuid::Builder;

use super::attempts::Attempts;
use super::error::AuthError;
use super::exposure::Exposure;
use super::in_flight::InFlight;
use super::keys::Vault;
use super::keyset::LiveKeys;
use super::refresh;
use super::registrar::Registrar;
use super::revoked::Revoked;
use super::token::{Session, Standing, Subject, Ticket};
use crate::clock::{Clock, Entropy};
use crate::config;
use crate::config::{Registration, Role};
use crate::storage::{AccountRow, SessionRow, Storage};

/// For how long the refresh token before the present one is answered with the present pair, in milliseconds.
const REPEAT_MS: i64 = REFRESH_REPEAT_SECONDS as i64 * 1_000;

/// How often a server looks for sessions that other servers have ended.
const POLL: Duration = Duration::from_secs(1);

/// How long an ended session is kept, in milliseconds: longer than any access token lives and any two clocks differ.
const KEPT_MS: i64 = 2 * 86_400_000;

/// Most sessions in a list.
const LISTED_MAX: u32 = 256;

/// Most tries of a refresh: another server may refresh the same session at the same time.
const ROTATION_TRIES: usize = 3;

/// The result of a login or a refresh.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// The access token.
    pub token: String,
    /// Lifetime of the access token, in seconds.
    pub expires_in: u64,
    /// The refresh token, which continues the session once.
    pub refresh_token: String,
    /// The session.
    pub session: Session,
    /// How many older sessions of the user a login has ended, to keep their number within its limit.
    pub ended: usize,
}

/// Hides the tokens.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Accounts, passwords, tokens and sessions of one server.
pub struct Auth {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) clock: Clock,
    entropy: Entropy,
    pub(super) keys: LiveKeys,
    pub(super) registrar: Registrar,
    pub(super) attempts: Attempts,
    pub(super) in_flight: InFlight,
    pub(super) sessions_per_user: u32,
    pub(super) revoked: Revoked,
    /// Some session may have ended.
    hinted: Notify,
    pub(super) refresh_ttl_ms: i64,
    registration: Registration,
    guests: Registration,
    exposure: Arc<Exposure>,
}

impl Auth {
    /// Reads the keys, creating the missing ones, and the ended sessions.
    ///
    /// # Errors
    ///
    /// Any error of the database, and settings that do not work together.
    pub async fn open(
        storage: Arc<dyn Storage>,
        settings: &config::Auth,
        exposure: Arc<Exposure>,
        clock: Clock,
        entropy: Entropy,
    ) -> Result<Self, AuthError> {
        let vault = Vault::new(Arc::clone(&storage), settings, Arc::clone(&entropy))?;
        let keys = LiveKeys::open(vault, settings, Arc::clone(&clock)).await?;
        let registrar = Registrar::new(Arc::clone(&storage), settings, Arc::clone(&clock), Arc::clone(&entropy))?;
        let auth = Self {
            keys,
            registrar,
            attempts: Attempts::new(settings),
            in_flight: InFlight::new(settings.logins_per_name, settings.logins_per_address),
            sessions_per_user: settings.sessions_per_user,
            revoked: Revoked::new(milliseconds(settings.access_ttl)),
            hinted: Notify::new(),
            refresh_ttl_ms: milliseconds(settings.refresh_ttl),
            registration: settings.registration,
            guests: settings.guests,
            exposure,
            storage,
            clock,
            entropy,
        };
        auth.update_revocations().await?;
        Ok(auth)
    }

    /// Makes accounts.
    pub fn registrar(&self) -> &Registrar {
        &self.registrar
    }

    /// Returns true if a login may create its own account.
    pub fn registration_is_open(&self) -> bool {
        self.is_open(self.registration)
    }

    /// Returns true if guests may log in without an account.
    pub fn guests_are_welcome(&self) -> bool {
        self.is_open(self.guests)
    }

    fn is_open(&self, setting: Registration) -> bool {
        match setting {
            Registration::Open => true,
            Registration::Closed => false,
            Registration::Auto => !self.exposure.is_exposed(),
        }
    }

    /// The sessions of a user that are alive, the last refreshed ones first.
    ///
    /// # Errors
    ///
    /// Any error of the database.
    pub async fn sessions_of(&self, user: UserId) -> Result<Vec<SessionRow>, AuthError> {
        Ok(self.storage.sessions_of(user, (self.clock)(), LISTED_MAX).await?)
    }

    /// Ends a session of this user. Returns false if the user has no such session.
    ///
    /// # Errors
    ///
    /// Any error of the database; the session then continues.
    pub async fn end_session(&self, user: UserId, session: SessionId) -> Result<bool, AuthError> {
        let lives =
            |row: &SessionRow| row.user == user && row.revoked_at_ms.is_none() && row.expires_at_ms > (self.clock)();
        let is_theirs = self.storage.session(session).await?.is_some_and(|row| lives(&row));
        if is_theirs {
            self.revoke(session, user).await?;
        }
        Ok(is_theirs)
    }

    /// Ends the sessions of a user that were not used for the longest time, if there are too many with this new one.
    pub(super) async fn end_oldest(&self, newest: &SessionRow, now_ms: i64) -> Result<usize, AuthError> {
        let ended = self.storage.revoke_oldest_sessions(newest, self.sessions_per_user - 1, now_ms).await?;
        for session in &ended {
            self.revoked.add(*session, newest.user, now_ms);
        }
        Ok(ended.len())
    }

    /// Continues a session with new tokens. The previous refresh token still returns the current pair for 30 s, in case
    /// the answer was lost. An older token has been stolen: it ends the session.
    ///
    /// # Errors
    ///
    /// `Unauthenticated` for a foreign token and an expired session; `SessionRevoked` for an ended one.
    pub async fn refresh(&self, token: &str) -> Result<Grant, AuthError> {
        let keys = self.keys.present();
        let (id, generation) = refresh::read(&keys.refresh, token)
            .ok_or(AuthError::Unauthenticated("this server did not issue this refresh token; log in again"))?;
        for _ in 0..ROTATION_TRIES {
            let now_ms = (self.clock)();
            let row =
                self.storage.session(id).await?.ok_or(AuthError::Unauthenticated("no such session; log in again"))?;
            if row.revoked_at_ms.is_some() {
                return Err(AuthError::SessionRevoked);
            }
            if row.expires_at_ms <= now_ms {
                return Err(AuthError::Unauthenticated("the session has expired; log in again"));
            }
            let account = self.storage.account_of(row.user).await?;
            let role = role_of(&account.ok_or(AuthError::Unauthenticated("the account no longer exists"))?)?;
            if row.generation == generation + 1 && now_ms - row.rotated_at_ms <= REPEAT_MS {
                return self.grant(&row, role);
            }
            if row.generation != generation {
                self.revoke(id, row.user).await?;
                return Err(AuthError::SessionRevoked);
            }
            let next = SessionRow {
                generation: generation + 1,
                rotated_at_ms: now_ms,
                expires_at_ms: now_ms + self.refresh_ttl_ms,
                ..row
            };
            if self.storage.rotate_session(id, generation, now_ms, next.expires_at_ms).await? {
                return self.grant(&next, role);
            }
        }
        Err(AuthError::Overloaded { retry_after_ms: 1_000 })
    }

    /// Ends a user's session for good: here at once, on other servers when they next read the database.
    ///
    /// # Errors
    ///
    /// Any error of the database; the session then continues.
    pub async fn revoke(&self, session: SessionId, user: UserId) -> Result<(), AuthError> {
        let now_ms = (self.clock)();
        self.storage.revoke_session(session, now_ms).await?;
        self.revoked.add(session, user, now_ms);
        Ok(())
    }

    /// The session of a token and its current standing; `None` if this server did not issue the token.
    pub fn verify(&self, token: &str) -> Option<Ticket> {
        let session = self.keys.present().session(token)?;
        let standing = if self.revoked.contains(session.id) {
            Standing::Revoked
        } else if session.expires_at_ms <= (self.clock)() {
            Standing::Expired
        } else {
            Standing::Live
        };
        Some(Ticket { session, standing })
    }

    /// Like [`Auth::verify`], but first looks for the token's key in the database if this server does not know it.
    pub async fn identify(&self, token: &str) -> Option<Ticket> {
        if let Some(ticket) = self.verify(token) {
            return Some(ticket);
        }
        self.keys.look_for(token).await;
        self.verify(token)
    }

    /// Looks for new keys every few seconds, until dropped.
    pub async fn follow_keys(&self) {
        self.keys.follow().await;
    }

    /// Announces that a key was removed before its tokens had expired. Connections that such a token opened must end.
    pub fn cut_off(&self) -> watch::Receiver<()> {
        self.keys.cut_off()
    }

    /// Returns true if a session was ended. For connections that outlive the check of their token.
    pub fn is_revoked(&self, session: SessionId) -> bool {
        self.revoked.contains(session)
    }

    /// Announces each ended session and its user once, no matter which server ended it. A listener that has fallen behind must ask
    /// [`Auth::is_revoked`] about each of its sessions.
    pub fn revocations(&self) -> broadcast::Receiver<(SessionId, UserId)> {
        self.revoked.subscribe()
    }

    /// Looks soon for sessions that other servers have ended.
    pub fn look_for_revocations(&self) {
        self.hinted.notify_one();
    }

    /// Looks every second for sessions that other servers have ended, and soon after a hint, until dropped.
    pub async fn follow_revocations(&self) {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.hinted.notified() => {}
            }
            match self.update_revocations().await {
                Ok(()) => failing = false,
                // Logged once per outage: the flusher reports the database's trouble.
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(
                        %error,
                        "cannot read which sessions other servers have ended; their tokens still work here"
                    );
                }
                Err(_) => {}
            }
        }
    }

    async fn update_revocations(&self) -> Result<(), AuthError> {
        let now_ms = (self.clock)();
        let sessions = self.storage.revoked_sessions(self.revoked.since_ms(now_ms)).await?;
        self.revoked.update(&sessions, now_ms);
        Ok(())
    }

    /// Deletes up to `max` sessions that ended long ago. Returns their number.
    ///
    /// # Errors
    ///
    /// Any error of the database.
    pub async fn forget_ended(&self, max: u32) -> Result<u64, AuthError> {
        let sessions = self.storage.expired_sessions((self.clock)() - KEPT_MS, max).await?;
        if !sessions.is_empty() {
            self.storage.forget_sessions(&sessions).await?;
        }
        Ok(sessions.len() as u64)
    }

    /// A user's account.
    ///
    /// # Errors
    ///
    /// Any error of the database.
    pub async fn account_of(&self, user: UserId) -> Result<Option<AccountRow>, AuthError> {
        Ok(self.storage.account_of(user).await?)
    }

    /// The public keys that verify access tokens: a JSON Web Key Set.
    pub fn jwks(&self) -> String {
        self.keys.present().jwks.clone()
    }

    /// The current time, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    pub(super) fn grant(&self, row: &SessionRow, role: Role) -> Result<Grant, AuthError> {
        let keys = self.keys.present();
        let subject = Subject {
            session: row.id,
            user: row.user,
            role,
            generation: row.generation,
            issued_at_ms: row.rotated_at_ms,
        };
        let (token, session) = keys.tokens.sign(&subject)?;
        let left_ms = session.expires_at_ms - (self.clock)();
        Ok(Grant {
            token,
            expires_in: u64::try_from(left_ms / 1_000).unwrap_or(0),
            refresh_token: refresh::write(&keys.refresh, row.id, row.generation),
            session,
            ended: 0,
        })
    }

    pub(super) fn random_uuid(&self) -> uuid::Uuid {
        Builder::from_random_bytes(self.random()).into_uuid()
    }

    pub(super) fn random<const BYTES: usize>(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        (self.entropy)(&mut bytes);
        bytes
    }
}

pub(super) fn role_of(account: &AccountRow) -> Result<Role, AuthError> {
    Role::from_name(&account.role).ok_or_else(|| {
        AuthError::Fault(format!("the account {} has the unknown role `{}`", account.user, account.role))
    })
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
