//! Tokens of outside issuers become sessions. Each user of an issuer has one account, made at the first token.

use std::net::IpAddr;

use castellan_protocol::UserId;

use super::accounts::{AccountName, NewName, NewPassword, Password};
use super::error::AuthError;
use super::issuers::{Identity, Issuers};
use super::login::LOGIN_TRIES;
use super::sessions::{Auth, Grant};
use crate::config::Role;
use crate::storage::{AccountRow, StorageError};

/// Most names that a new account tries.
const NAME_TRIES: usize = 4;

impl Auth {
    /// Logs in by a token of an outside issuer. It may be used again until it expires.
    ///
    /// # Errors
    ///
    /// `TokenRefused`, which counts as a failed login from the address. A good token cannot be guessed, so failures of
    /// others do not keep out whoever has one.
    pub async fn exchange(&self, issuers: &Issuers, token: &str, address: IpAddr) -> Result<Grant, AuthError> {
        let identity = match issuers.verify(token, (self.clock)()).await {
            Err(AuthError::TokenRefused(why)) => {
                let now_ms = (self.clock)();
                self.attempts.check_address(address, now_ms)?;
                self.attempts.failed_from(address, now_ms);
                return Err(AuthError::TokenRefused(why));
            }
            verified => verified?,
        };
        let key = format!("{} {}", identity.issuer, identity.subject);
        let _under_way = self.in_flight.begin(key, address)?;
        for _ in 0..LOGIN_TRIES {
            let account = match self.bound_account(&identity).await? {
                Some(account) => account,
                None => match self.bind_account(&identity).await? {
                    Some(account) => account,
                    // Somebody was faster.
                    None => continue,
                },
            };
            if account.disabled_at_ms.is_some() {
                return Err(AuthError::AccountDisabled);
            }
            if let Some(grant) = self.begin(&account, address).await? {
                return Ok(grant);
            }
        }
        Err(AuthError::Overloaded { retry_after_ms: 1_000 })
    }

    async fn bound_account(&self, identity: &Identity) -> Result<Option<AccountRow>, AuthError> {
        let Some(user) = self.storage.identity(&identity.issuer, &identity.subject).await? else { return Ok(None) };
        let account = self.storage.account_of(user).await?;
        account.ok_or(AuthError::AccountDeleted).map(Some)
    }

    /// Makes the account of somebody who comes for the first time; `None` if there is one meanwhile.
    ///
    /// Nobody knows its password.
    async fn bind_account(&self, identity: &Identity) -> Result<Option<AccountRow>, AuthError> {
        let password_hash = self.registrar.hasher.turn().await?.hash(self.unknown_password()?).await?;
        let mut name = self.free_name(identity).await?;
        for _ in 0..NAME_TRIES {
            let account = AccountRow {
                user: UserId::from_uuid(self.random_uuid()),
                username: name.shown,
                folded: name.folded,
                password_hash: password_hash.clone(),
                role: Role::Player.as_str().to_owned(),
                created_at_ms: (self.clock)(),
                disabled_at_ms: None,
                guest_seen_at_ms: None,
            };
            match self.storage.bind_account(&account, &identity.issuer, &identity.subject).await {
                Ok(is_bound) => return Ok(is_bound.then_some(account)),
                Err(StorageError::AlreadyExists) => name = self.some_name()?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(AuthError::Overloaded { retry_after_ms: 1_000 })
    }

    /// The name that the issuer tells, if a new account may have it and nobody has it; otherwise a generated one.
    async fn free_name(&self, identity: &Identity) -> Result<NewName, AuthError> {
        let told = identity.name.as_deref().and_then(|name| AccountName::new(name).ok());
        if let Some(told) = told
            && let Ok(name) = told.for_new_account("name")
            && self.find(&told).await?.is_none()
        {
            return Ok(name);
        }
        self.some_name()
    }

    fn some_name(&self) -> Result<NewName, AuthError> {
        AccountName::new(&self.generated_name("player"))?.for_new_account("name")
    }

    fn unknown_password(&self) -> Result<NewPassword, AuthError> {
        Password::new(self.generated_secret())?.for_storing("password")
    }
}
