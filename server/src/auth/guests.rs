//! Guests: accounts with a generated name and secret, until their users claim them with a name and a password.
//!
//! The secret is an ordinary password, hashed like all others. A cheap hash would do for so many random bits, but then a
//! login would tell by its time which names are guests', and the stand-in for unknown names would have to choose.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::accounts::{AccountName, Password};
use super::error::AuthError;
use super::login::LOGIN_TRIES;
use super::sessions::{Auth, Grant};
use super::token::Session;
use crate::config::Role;
use crate::storage::{AccountRow, Claim, StorageError};

/// Random bytes in a secret: 144 bits, 24 characters.
const SECRET_BYTES: usize = 18;

/// Random letters in a generated name: 50 bits, so that hardly two are alike.
const NAME_LETTERS: usize = 10;

/// The letters of generated names. Nobody takes one for another.
const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// What a new guest logs in with later.
#[derive(Clone, PartialEq, Eq)]
pub struct NewGuest {
    /// The account's name.
    pub name: String,
    /// Its password.
    pub secret: String,
}

impl Auth {
    /// Makes an account for a guest, and logs in.
    ///
    /// # Errors
    ///
    /// `GuestsClosed` if this server takes no guests.
    pub async fn login_guest(&self, address: IpAddr) -> Result<(Grant, NewGuest), AuthError> {
        if !self.guests_are_welcome() {
            return Err(AuthError::GuestsClosed);
        }
        let secret = self.generated_secret();
        for _ in 0..LOGIN_TRIES {
            let name = AccountName::new(&self.generated_name("guest"))?;
            let _under_way = self.in_flight.begin(name.key(), address)?;
            let hash =
                self.registrar.hasher.turn().await?.hash(Password::new(secret.clone())?.for_storing("secret")?).await?;
            let account = match self.registrar.add(name.for_new_account("name")?, hash, Role::Player, true).await {
                Err(AuthError::NameTaken) => continue,
                made => made?,
            };
            if let Some(grant) = self.begin(&account, address).await? {
                return Ok((grant, NewGuest { name: account.username, secret }));
            }
        }
        Err(AuthError::Overloaded { retry_after_ms: 1_000 })
    }

    /// Gives the account of a guest's session a name and a password, and ends the user's other sessions: whoever knows
    /// the secret loses what it gave. A claim that is repeated does nothing.
    ///
    /// # Errors
    ///
    /// `NameTaken`, which counts as a failed login of the guest, so that nobody tries names without end. `AlreadyClaimed`
    /// if the account has another name or password already. `Malformed` for a name or password that a new account may
    /// not have.
    pub async fn claim(
        &self,
        session: Session,
        name: &AccountName,
        password: Password,
        address: IpAddr,
    ) -> Result<(), AuthError> {
        let (new_name, new_password) = (name.for_new_account("name")?, password.clone().for_storing("password")?);
        let account = self.own_account(session).await?;
        let guest = AccountName::new(&account.username)?;
        let _under_way = self.in_flight.begin(guest.key(), address)?;
        self.check_attempts(&guest, address).await?;
        if account.guest_seen_at_ms.is_none() {
            return self.repeat_claim(account, name, password, address).await;
        }
        let password_hash = self.registrar.hasher.turn().await?.hash(new_password).await?;
        let now_ms = (self.clock)();
        let claim = Claim { username: new_name.shown, folded: new_name.folded, password_hash };
        // A name of an older version may be folded in another way.
        let claimed = match self.find(name).await? {
            Some(other) if other.user != session.user => Err(StorageError::AlreadyExists),
            _ => self.storage.claim_account(session.user, &claim, session.id, now_ms).await,
        };
        match claimed {
            Ok(Some(ended)) => {
                for ended in ended {
                    self.revoked.add(ended, session.user, now_ms);
                }
                Ok(())
            }
            // Somebody was faster: perhaps the same request, sent twice.
            Ok(None) => self.repeat_claim(self.own_account(session).await?, name, password, address).await,
            Err(StorageError::AlreadyExists) => {
                self.attempts.failed(&guest, address, now_ms);
                Err(AuthError::NameTaken)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Finds out if an account has been claimed with this name and this password.
    async fn repeat_claim(
        &self,
        account: AccountRow,
        name: &AccountName,
        password: Password,
        address: IpAddr,
    ) -> Result<(), AuthError> {
        if !name.folded().contains(&account.folded) {
            return Err(AuthError::AlreadyClaimed);
        }
        self.check_attempts(name, address).await?;
        let turn = self.registrar.hasher.turn().await?;
        self.check_attempts(name, address).await?;
        match self.prove(account, password, turn).await? {
            Some(_) => Ok(()),
            None => {
                self.attempts.failed(name, address, (self.clock)());
                Err(AuthError::AlreadyClaimed)
            }
        }
    }

    /// The account of a session.
    pub(super) async fn own_account(&self, session: Session) -> Result<AccountRow, AuthError> {
        let account = self.storage.account_of(session.user).await?;
        account.ok_or(AuthError::Unauthenticated("the account no longer exists"))
    }

    /// A password that nobody can guess.
    pub(super) fn generated_secret(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.random::<SECRET_BYTES>())
    }

    /// A name that hardly any account has.
    pub(super) fn generated_name(&self, kind: &str) -> String {
        let letters = self.random::<NAME_LETTERS>().map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
        format!("{kind}-{}", String::from_iter(letters))
    }
}
