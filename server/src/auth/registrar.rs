//! Accounts are made here, are found, and get new passwords. This needs no keys, so an operator's command needs no master key.

use std::sync::Arc;

use castellan_protocol::UserId;
use tracing::Instrument;
use uuid::Builder;

use super::accounts::{AccountName, NewName, Password};
use super::error::AuthError;
use super::password::Hasher;
use crate::clock::{Clock, Entropy};
use crate::config::{self, Role};
use crate::storage::{AccountRow, Storage, StorageError};

/// Makes accounts and hashes their passwords.
pub struct Registrar {
    storage: Arc<dyn Storage>,
    clock: Clock,
    entropy: Entropy,
    pub(super) hasher: Hasher,
}

impl Registrar {
    /// Starts the threads that hash.
    ///
    /// # Errors
    ///
    /// Settings that do not work together.
    pub fn new(
        storage: Arc<dyn Storage>,
        settings: &config::Auth,
        clock: Clock,
        entropy: Entropy,
    ) -> Result<Self, AuthError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let hasher = Hasher::new(
            u32::try_from(settings.argon2_memory.0 / 1024).unwrap_or(u32::MAX),
            settings.argon2_iterations,
            settings.hashes_parallel.unwrap_or((cores / 2).max(1)),
            settings.hashes_waiting_max,
            Arc::clone(&entropy),
        )?;
        Ok(Self { storage, clock, entropy, hasher })
    }

    /// Creates an account.
    ///
    /// # Errors
    ///
    /// `NameTaken`, regardless of case; `Malformed` for a name or password that a new account may not have.
    pub async fn create_account(
        &self,
        name: &AccountName,
        password: Password,
        role: Role,
    ) -> Result<UserId, AuthError> {
        let (new_name, new_password) = (name.for_new_account("username")?, password.for_storing("password")?);
        // A name of an older version may be folded in another way.
        if find_account(self.storage.as_ref(), name).await?.is_some() {
            return Err(AuthError::NameTaken);
        }
        let hash = self.hasher.turn().await?.hash(new_password).await?;
        Ok(self.add(new_name, hash, role, false).await?.user)
    }

    /// Stores a new account with this hash of its password.
    pub(super) async fn add(
        &self,
        name: NewName,
        hash: String,
        role: Role,
        is_guest: bool,
    ) -> Result<AccountRow, AuthError> {
        let now_ms = (self.clock)();
        let mut random = [0; 16];
        (self.entropy)(&mut random);
        let account = AccountRow {
            user: UserId::from_uuid(Builder::from_random_bytes(random).into_uuid()),
            username: name.shown,
            folded: name.folded,
            password_hash: hash,
            role: role.as_str().to_owned(),
            created_at_ms: now_ms,
            disabled_at_ms: None,
            guest_seen_at_ms: is_guest.then_some(now_ms),
        };
        match self.storage.create_account(&account).await {
            Ok(()) => Ok(account),
            Err(StorageError::AlreadyExists) => Err(AuthError::NameTaken),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces a user's password without asking for the present one, and ends all sessions. Returns their number; `None`
    /// if there is no account.
    ///
    /// # Errors
    ///
    /// `Malformed` for a password that is not good enough.
    pub async fn set_password(&self, user: UserId, new: Password) -> Result<Option<usize>, AuthError> {
        let hash = self.hasher.turn().await?.hash(new.for_storing("password")?).await?;
        let ended = self.storage.change_password(user, &hash, None, (self.clock)()).await?;
        Ok(ended.map(|ended| ended.len()))
    }
}

/// The account with a name, also one that an older version folded in its own way.
///
/// # Errors
///
/// Any error of the database.
pub async fn find_account(storage: &dyn Storage, name: &AccountName) -> Result<Option<AccountRow>, AuthError> {
    for folded in name.folded() {
        let span = tracing::info_span!("find account", otel.kind = "client");
        if let Some(account) = storage.account(&folded).instrument(span).await? {
            return Ok(Some(account));
        }
    }
    Ok(None)
}
