//! Logins: a name and a password become a session.

use std::net::IpAddr;

use castellan_protocol::{SessionId, UserId};
use tracing::Instrument;

use super::accounts::{AccountName, Password};
use super::error::AuthError;
use super::password::{Outcome, Turn};
use super::refresh;
use super::registrar::find_account;
use super::sessions::{Auth, Grant, role_of};
use super::token::Session;
use crate::config::Role;
use crate::network::Network;
use crate::storage::{AccountRow, SessionRow};

/// Most tries of a login: something may change the account at the same time.
pub(super) const LOGIN_TRIES: usize = 3;

impl Auth {
    /// Logs in. With `create` and open registration a free name gets an account first.
    ///
    /// # Errors
    ///
    /// `BadCredentials` for an unknown name and for a wrong password, after the same time.
    pub async fn login(
        &self,
        name: &AccountName,
        password: Password,
        create: bool,
        address: IpAddr,
    ) -> Result<Grant, AuthError> {
        let _under_way = self.in_flight.begin(name.key(), address)?;
        for _ in 0..LOGIN_TRIES {
            let account = self.authenticate(name, password.clone(), create, address).await?;
            if let Some(grant) = self.begin(&account, address).await? {
                return Ok(grant);
            }
        }
        Err(AuthError::Overloaded { retry_after_ms: 1_000 })
    }

    /// The account of this name and password. With `create` and open registration a free name gets one.
    async fn authenticate(
        &self,
        name: &AccountName,
        password: Password,
        create: bool,
        address: IpAddr,
    ) -> Result<AccountRow, AuthError> {
        self.check_attempts(name, address).await?;
        let account = self.find(name).await?;
        let new = (account.is_none() && create && self.registration_is_open())
            .then(|| Ok::<_, AuthError>((name.for_new_account("username")?, password.clone().for_storing("password")?)))
            .transpose()?;
        let turn = self.registrar.hasher.turn().await?;
        // Checked again: other logins with this name or address may have failed while this one waited.
        self.check_attempts(name, address).await?;
        match new {
            Some((new_name, new_password)) => {
                let hash = turn.hash(new_password).await?;
                match self.registrar.add(new_name, hash, Role::Player, false).await {
                    // Another login took the name meanwhile. The password tells if it was the same person.
                    Err(AuthError::NameTaken) => {
                        let account = self.find(name).await?;
                        let turn = self.registrar.hasher.turn().await?;
                        self.recognise(name, address, account, password, create, turn).await
                    }
                    made => made,
                }
            }
            None => self.recognise(name, address, account, password, create, turn).await,
        }
    }

    pub(super) async fn check_attempts(&self, name: &AccountName, address: IpAddr) -> Result<(), AuthError> {
        let is_known = async || match self.find(name).await? {
            Some(account) => {
                Ok(self.storage.has_logged_in_from(account.user, &Network::of(address).to_string()).await?)
            }
            None => Ok(false),
        };
        self.attempts.check(name, address, (self.clock)(), is_known).await
    }

    /// The user whose account has this name.
    ///
    /// # Errors
    ///
    /// Any error of the database.
    pub async fn user_named(&self, name: &AccountName) -> Result<Option<UserId>, AuthError> {
        Ok(self.find(name).await?.map(|account| account.user))
    }

    pub(super) async fn find(&self, name: &AccountName) -> Result<Option<AccountRow>, AuthError> {
        find_account(self.storage.as_ref(), name).await
    }

    async fn recognise(
        &self,
        name: &AccountName,
        address: IpAddr,
        account: Option<AccountRow>,
        password: Password,
        create: bool,
        turn: Turn<'_>,
    ) -> Result<AccountRow, AuthError> {
        // Asked for a known name too, so that both take as long.
        let stand_in = self.stand_in(name).await?;
        if let Some(account) = account {
            if let Some(account) = self.prove(account, password, turn).await? {
                return Ok(account);
            }
        } else {
            turn.verify(password, stand_in).await?;
        }
        self.attempts.failed(name, address, (self.clock)());
        // The same for a taken and a free name, so that a closed server does not reveal its names.
        Err(if create && !self.registration_is_open() {
            AuthError::RegistrationClosed
        } else {
            AuthError::BadCredentials
        })
    }

    /// Somebody's stored hash, to compare with if the name is unknown: comparing then costs what it costs for an account.
    ///
    /// One name always gets the same account's, so an attacker cannot tell it by asking twice. Which one is a secret.
    pub(super) async fn stand_in(&self, name: &AccountName) -> Result<Option<String>, AuthError> {
        let from = refresh::pseudonym(&self.keys.present().refresh, &name.key());
        Ok(self.storage.some_password_hash(UserId::from_uuid(from)).await?)
    }

    /// The account, if the password is its own. Replaces a hash that is outdated.
    pub(super) async fn prove(
        &self,
        mut account: AccountRow,
        password: Password,
        turn: Turn<'_>,
    ) -> Result<Option<AccountRow>, AuthError> {
        match turn.verify(password, Some(account.password_hash.clone())).await? {
            Outcome::Different => return Ok(None),
            // Said only to those who know the password.
            _ if account.disabled_at_ms.is_some() => return Err(AuthError::AccountDisabled),
            Outcome::Same => {}
            Outcome::Outdated(better) => {
                match self.storage.replace_password_hash(account.user, &account.password_hash, &better).await {
                    Ok(true) => account.password_hash = better,
                    // Changed meanwhile: the session will not begin with the old one.
                    Ok(false) => {}
                    Err(error) => {
                        tracing::warn!(%error, "cannot replace an outdated password hash; the next login tries again");
                    }
                }
            }
        }
        Ok(Some(account))
    }

    /// Starts a session; `None` if the account has changed since it was read.
    pub(super) async fn begin(&self, account: &AccountRow, address: IpAddr) -> Result<Option<Grant>, AuthError> {
        let now_ms = (self.clock)();
        let row = SessionRow {
            id: SessionId::from_uuid(self.random_uuid()),
            user: account.user,
            generation: 0,
            started_at_ms: Some(now_ms),
            rotated_at_ms: now_ms,
            expires_at_ms: now_ms + self.refresh_ttl_ms,
            revoked_at_ms: None,
            network: Some(Network::of(address).to_string()),
        };
        let role = role_of(account)?;
        let span = tracing::info_span!("store session", otel.kind = "client");
        if !self.storage.create_session(&row, &account.password_hash).instrument(span).await? {
            return Ok(None);
        }
        let ended = if role == Role::Game { 0 } else { self.end_oldest(&row, now_ms).await? };
        Ok(Some(Grant { ended, ..self.grant(&row, role)? }))
    }

    /// Replaces the password of a session's user, and ends the user's other sessions.
    ///
    /// # Errors
    ///
    /// `BadCredentials` for a wrong present password, which counts as a failed login. `Malformed` for a new one that is
    /// not good enough.
    pub async fn change_password(
        &self,
        session: Session,
        present: Password,
        new: Password,
        address: IpAddr,
    ) -> Result<(), AuthError> {
        let new = new.for_storing("new_password")?;
        let account = self.own_account(session).await?;
        let name = AccountName::new(&account.username)?;
        self.check_attempts(&name, address).await?;
        let turn = self.registrar.hasher.turn().await?;
        self.check_attempts(&name, address).await?;
        if self.prove(account, present, turn).await?.is_none() {
            self.attempts.failed(&name, address, (self.clock)());
            return Err(AuthError::BadCredentials);
        }
        let hash = self.registrar.hasher.turn().await?.hash(new).await?;
        let now_ms = (self.clock)();
        let ended = self.storage.change_password(session.user, &hash, Some(session.id), now_ms).await?;
        for ended in ended.ok_or(AuthError::Unauthenticated("the account no longer exists"))? {
            self.revoked.add(ended, session.user, now_ms);
        }
        Ok(())
    }
}
