//! Logging in, going on, logging out.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use castellan_protocol::limits::REFRESH_REPEAT_SECONDS;
use castellan_protocol::{SessionId, UserId};
use tokio::sync::broadcast;
use uuid::Builder;

use super::accounts::{AccountName, Password};
use super::attempts::Attempts;
use super::error::AuthError;
use super::keys::Keys;
use super::password::Hasher;
use super::refresh;
use super::revoked::Revoked;
use super::token::{Session, Standing, Subject, Ticket, Tokens};
use super::verified::Verified;
use crate::clock::{Clock, Entropy};
use crate::config;
use crate::config::Role;
use crate::storage::{AccountRow, SessionRow, Storage, StorageError};

/// For how long the refresh token before the present one is answered with the present pair, in milliseconds.
const REPEAT_MS: i64 = REFRESH_REPEAT_SECONDS as i64 * 1_000;

/// How often a server looks for sessions that others have ended.
const POLL: Duration = Duration::from_secs(1);

/// How often a server looks for sessions that may be forgotten.
const FORGET: Duration = Duration::from_secs(3_600);

/// For how long a session is kept once it has expired, in milliseconds: longer than any access token lives, and than
/// the clocks of servers differ.
const KEPT_MS: i64 = 2 * 86_400_000;

/// Sessions that are forgotten in one statement.
const FORGET_MAX: u32 = 1_000;

/// Two servers may refresh the same session at once; who loses looks again this often.
const ROTATION_TRIES: usize = 3;

/// What a login or a refresh gives.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// The access token.
    pub token: String,
    /// Seconds for which it is good.
    pub expires_in: u64,
    /// Continues the session once.
    pub refresh_token: String,
    /// Who it is for.
    pub session: Session,
}

/// Without the tokens.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("session", &self.session).finish_non_exhaustive()
    }
}

/// Accounts, passwords, tokens and sessions of one server.
pub struct Auth {
    storage: Arc<dyn Storage>,
    clock: Clock,
    entropy: Entropy,
    keys: Keys,
    jwks: String,
    tokens: Tokens,
    verified: Verified,
    hasher: Hasher,
    attempts: Attempts,
    revoked: Revoked,
    refresh_ttl_ms: i64,
    registration_open: bool,
}

impl Auth {
    /// Opens the room: reads the keys (and makes those that are missing) and the sessions that were ended.
    ///
    /// # Errors
    ///
    /// What the database says, and settings that do not go together.
    pub async fn open(
        storage: Arc<dyn Storage>,
        settings: &config::Auth,
        registration_open: bool,
        clock: Clock,
        entropy: Entropy,
    ) -> Result<Self, AuthError> {
        let now_ms = clock();
        let keys = Keys::open(&storage, &entropy, now_ms).await?;
        let tokens = Tokens::new(&keys, &settings.issuer, &settings.audience, settings.access_ttl)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let hasher = Hasher::new(
            u32::try_from(settings.argon2_memory.0 / 1024).unwrap_or(u32::MAX),
            settings.argon2_iterations,
            settings.hashes_parallel.unwrap_or((cores / 2).max(1)),
            settings.hashes_waiting_max,
            Arc::clone(&entropy),
        )?;
        let auth = Self {
            jwks: keys.jwks(),
            keys,
            tokens,
            verified: Verified::default(),
            hasher,
            attempts: Attempts::new(
                settings.failures_per_name,
                settings.failures_per_address,
                settings.failures_window,
            ),
            revoked: Revoked::new(milliseconds(settings.access_ttl)),
            refresh_ttl_ms: milliseconds(settings.refresh_ttl),
            registration_open,
            storage,
            clock,
            entropy,
        };
        auth.update_revocations().await?;
        Ok(auth)
    }

    /// Logs somebody in; with `create` and open registration a name that is not taken gets an account first.
    ///
    /// # Errors
    ///
    /// `BadCredentials` for an unknown name and a wrong password alike, after the same time.
    pub async fn login(
        &self,
        name: &AccountName,
        password: Password,
        create: bool,
        address: IpAddr,
    ) -> Result<Grant, AuthError> {
        self.attempts.check(name, address, (self.clock)())?;
        let account = self.storage.account(name.as_str()).await?;
        let turn = self.hasher.turn().await?;
        // Once more: while this one waited, others of the same name or address may have failed.
        self.attempts.check(name, address, (self.clock)())?;
        let account = match account {
            None if create && self.registration_open => {
                let hash = turn.hash(password.clone()).await?;
                match self.add_account(name, hash, Role::Player).await {
                    // Somebody else took the name meanwhile: whether it was the same person, the password says.
                    Err(AuthError::NameTaken) => {
                        let account = self.storage.account(name.as_str()).await?;
                        self.recognise(name, address, account, password, create).await?
                    }
                    made => made?,
                }
            }
            account => {
                let phc = account.as_ref().map(|account| account.password_hash.clone());
                let same = turn.verify(password, phc).await?;
                self.judge(name, address, account.filter(|_| same), create)?
            }
        };
        self.begin(&account).await
    }

    async fn recognise(
        &self,
        name: &AccountName,
        address: IpAddr,
        account: Option<AccountRow>,
        password: Password,
        create: bool,
    ) -> Result<AccountRow, AuthError> {
        let phc = account.as_ref().map(|account| account.password_hash.clone());
        let same = self.hasher.turn().await?.verify(password, phc).await?;
        self.judge(name, address, account.filter(|_| same), create)
    }

    fn judge(
        &self,
        name: &AccountName,
        address: IpAddr,
        recognised: Option<AccountRow>,
        create: bool,
    ) -> Result<AccountRow, AuthError> {
        recognised.ok_or_else(|| {
            self.attempts.failed(name, address, (self.clock)());
            // The same for a taken name and a free one, so that a closed server does not tell its names.
            if create && !self.registration_open { AuthError::RegistrationClosed } else { AuthError::BadCredentials }
        })
    }

    /// Makes an account.
    ///
    /// # Errors
    ///
    /// `NameTaken`, without regard to case.
    pub async fn create_account(
        &self,
        name: &AccountName,
        password: Password,
        role: Role,
    ) -> Result<UserId, AuthError> {
        let hash = self.hasher.turn().await?.hash(password).await?;
        Ok(self.add_account(name, hash, role).await?.user)
    }

    async fn add_account(&self, name: &AccountName, hash: String, role: Role) -> Result<AccountRow, AuthError> {
        let account = AccountRow {
            user: UserId::from_uuid(self.random_uuid()),
            username: name.as_str().to_owned(),
            password_hash: hash,
            role: role.as_str().to_owned(),
            created_at_ms: (self.clock)(),
        };
        match self.storage.create_account(&account).await {
            Ok(()) => Ok(account),
            Err(StorageError::AlreadyExists) => Err(AuthError::NameTaken),
            Err(error) => Err(error.into()),
        }
    }

    async fn begin(&self, account: &AccountRow) -> Result<Grant, AuthError> {
        let now_ms = (self.clock)();
        let row = SessionRow {
            id: SessionId::from_uuid(self.random_uuid()),
            user: account.user,
            generation: 0,
            rotated_at_ms: now_ms,
            expires_at_ms: now_ms + self.refresh_ttl_ms,
            revoked_at_ms: None,
        };
        self.storage.create_session(&row).await?;
        self.grant(&row, role_of(account)?)
    }

    /// Continues a session with new tokens. The token before the present one gets the present pair for 30 s more, in
    /// case its answer was lost; an older one is in wrong hands, and ends the session.
    ///
    /// # Errors
    ///
    /// `Unauthenticated` for what is no refresh token and for sessions that ended of themselves; `SessionRevoked`.
    pub async fn refresh(&self, token: &str) -> Result<Grant, AuthError> {
        let (id, generation) = refresh::read(&self.keys.refresh, token)
            .ok_or(AuthError::Unauthenticated("this is no refresh token of this server"))?;
        for _ in 0..ROTATION_TRIES {
            let now_ms = (self.clock)();
            let row = self.storage.session(id).await?.ok_or(AuthError::Unauthenticated("there is no such session"))?;
            if row.revoked_at_ms.is_some() {
                return Err(AuthError::SessionRevoked);
            }
            if row.expires_at_ms <= now_ms {
                return Err(AuthError::Unauthenticated("this session has expired; log in again"));
            }
            let account = self.storage.account_of(row.user).await?;
            let role = role_of(&account.ok_or(AuthError::Unauthenticated("there is no such account"))?)?;
            if row.generation == generation + 1 && now_ms - row.rotated_at_ms <= REPEAT_MS {
                return self.grant(&row, role);
            }
            if row.generation != generation {
                self.revoke(id).await?;
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

    /// Ends a session: here at once, on other servers with their next look at the database, and for good.
    ///
    /// # Errors
    ///
    /// What the database says; then the session goes on.
    pub async fn revoke(&self, session: SessionId) -> Result<(), AuthError> {
        let now_ms = (self.clock)();
        self.storage.revoke_session(session, now_ms).await?;
        self.revoked.add(session, now_ms);
        Ok(())
    }

    /// What a token is worth at present; `None` for a text that is no token of ours.
    pub fn verify(&self, token: &str) -> Option<Ticket> {
        let session = self.verified.get(token, |token| self.tokens.read(token))?;
        let standing = if self.revoked.contains(session.id) {
            Standing::Revoked
        } else if session.expires_at_ms <= (self.clock)() {
            Standing::Expired
        } else {
            Standing::Live
        };
        Some(Ticket { session, standing })
    }

    /// Whether a session was ended, for connections that outlive the look at their token.
    pub fn is_revoked(&self, session: SessionId) -> bool {
        self.revoked.contains(session)
    }

    /// Tells each session that is ended, here or on another server, once. A listener that has fallen behind asks
    /// [`Auth::is_revoked`] about each of its sessions.
    pub fn revocations(&self) -> broadcast::Receiver<SessionId> {
        self.revoked.subscribe()
    }

    /// Looks for sessions that other servers have ended, each second, until it is dropped.
    pub async fn follow_revocations(&self) {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            ticks.tick().await;
            match self.update_revocations().await {
                Ok(()) => failing = false,
                // Once for each time that it begins: the database's own trouble is told elsewhere.
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "sessions that were ended on other servers cannot be read");
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

    /// Forgets sessions that are long over, each hour, until it is dropped.
    pub async fn forget_sessions(&self) {
        let mut ticks = tokio::time::interval(FORGET);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.forget_expired().await {
                tracing::warn!(%error, "sessions that are long over cannot be deleted; this is tried again in an hour");
            }
        }
    }

    pub(super) async fn forget_expired(&self) -> Result<(), AuthError> {
        let before_ms = (self.clock)() - KEPT_MS;
        loop {
            let sessions = self.storage.expired_sessions(before_ms, FORGET_MAX).await?;
            if sessions.is_empty() {
                return Ok(());
            }
            self.storage.forget_sessions(&sessions).await?;
        }
    }

    /// The name of a user's account.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn name_of(&self, user: UserId) -> Result<Option<String>, AuthError> {
        Ok(self.storage.account_of(user).await?.map(|account| account.username))
    }

    /// The public keys that verify access tokens: a JSON Web Key Set.
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// The present time, in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    fn grant(&self, row: &SessionRow, role: Role) -> Result<Grant, AuthError> {
        let subject = Subject {
            session: row.id,
            user: row.user,
            role,
            generation: row.generation,
            issued_at_ms: row.rotated_at_ms,
        };
        let (token, session) = self.tokens.sign(&subject)?;
        let left_ms = session.expires_at_ms - (self.clock)();
        Ok(Grant {
            token,
            expires_in: u64::try_from(left_ms / 1_000).unwrap_or(0),
            refresh_token: refresh::write(&self.keys.refresh, row.id, row.generation),
            session,
        })
    }

    fn random_uuid(&self) -> uuid::Uuid {
        let mut bytes = [0; 16];
        (self.entropy)(&mut bytes);
        Builder::from_random_bytes(bytes).into_uuid()
    }
}

fn role_of(account: &AccountRow) -> Result<Role, AuthError> {
    Role::from_name(&account.role)
        .ok_or_else(|| AuthError::Fault(format!("the account {} has a role that is none", account.user)))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
