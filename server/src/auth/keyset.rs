//! The keys in use, which change while the server runs.
//!
//! A server looks for new keys every few seconds, and at once if a token names a key that it does not know.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::error::AuthError;
use super::keys::{Keys, Vault};
use super::token::{Session, Tokens};
use super::verified::Verified;
use crate::clock::Clock;
use crate::config;

/// How often a server looks for new keys.
const FOLLOW: Duration = Duration::from_secs(2);

/// Shortest time from one look to another that tokens with unknown keys bring about.
const PAUSE: Duration = Duration::from_millis(250);

/// The keys in use.
pub(super) struct KeySet {
    pub(super) tokens: Tokens,
    /// Seals refresh tokens.
    pub(super) refresh: Vec<u8>,
    pub(super) jwks: String,
    verified: Verified,
    /// Ids and times of creation of the keys for access tokens, oldest first.
    access: Vec<(String, i64)>,
}

impl KeySet {
    async fn read(vault: &Vault, settings: &config::Auth, now_ms: i64) -> Result<Self, AuthError> {
        let keys = Keys::open(vault, now_ms).await?;
        Ok(Self {
            tokens: Tokens::new(&keys, &settings.issuer, &settings.audience, settings.access_ttl)?,
            jwks: keys.jwks(),
            access: keys.access.iter().map(|key| (key.id.clone(), key.created_at_ms)).collect(),
            refresh: keys.refresh,
            verified: Verified::default(),
        })
    }

    /// The session of a genuine token, even an expired one.
    pub(super) fn session(&self, token: &str) -> Option<Session> {
        self.verified.get(token, |token| self.tokens.read(token))
    }
}

/// The keys in use, and the way to newer ones.
pub(super) struct LiveKeys {
    vault: Vault,
    settings: config::Auth,
    clock: Clock,
    present: RwLock<Arc<KeySet>>,
    /// When the last look began.
    looked_at: Mutex<Option<Instant>>,
    cut_off: watch::Sender<()>,
}

impl LiveKeys {
    pub(super) async fn open(vault: Vault, settings: &config::Auth, clock: Clock) -> Result<Self, AuthError> {
        let present = KeySet::read(&vault, settings, clock()).await?;
        Ok(Self {
            vault,
            settings: settings.clone(),
            clock,
            present: RwLock::new(Arc::new(present)),
            looked_at: Mutex::default(),
            cut_off: watch::Sender::default(),
        })
    }

    pub(super) fn present(&self) -> Arc<KeySet> {
        Arc::clone(&self.present.read())
    }

    /// Announces that a key was removed whose tokens had not all expired.
    pub(super) fn cut_off(&self) -> watch::Receiver<()> {
        self.cut_off.subscribe()
    }

    /// Looks for new keys every few seconds, until dropped.
    pub(super) async fn follow(&self) {
        let mut ticks = tokio::time::interval(FOLLOW);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            ticks.tick().await;
            match self.look().await {
                Ok(()) => failing = false,
                // Logged once, however long it lasts.
                Err(error) if !failing => {
                    failing = true;
                    tracing::warn!(%error, "cannot look for new keys; this server goes on with those that it has");
                }
                Err(_) => {}
            }
        }
    }

    /// Looks for the key of a token, a few times a second for all tokens together. A caller that comes earlier waits.
    pub(super) async fn look_for(&self, token: &str) {
        if !self.present().tokens.names_unknown_key(token) {
            return;
        }
        let arrived_at = Instant::now();
        let mut looked_at = self.looked_at.lock().await;
        if let Some(looked_at) = *looked_at {
            if looked_at > arrived_at {
                return;
            }
            tokio::time::sleep_until(looked_at + PAUSE).await;
        }
        if let Err(error) = self.renew(&mut looked_at).await {
            tracing::debug!(%error, "cannot look for the key of a token");
        }
    }

    /// Reads the keys, and uses them if they have changed.
    pub(super) async fn look(&self) -> Result<(), AuthError> {
        self.renew(&mut *self.looked_at.lock().await).await
    }

    async fn renew(&self, looked_at: &mut Option<Instant>) -> Result<(), AuthError> {
        *looked_at = Some(Instant::now());
        let now_ms = (self.clock)();
        let found = KeySet::read(&self.vault, &self.settings, now_ms).await?;
        let mut present = self.present.write();
        if (&found.access, &found.refresh) == (&present.access, &present.refresh) {
            return Ok(());
        }
        tracing::info!(
            signs = found.access.last().map(|(id, _)| id.as_str()),
            keys = found.access.len(),
            "the keys of access tokens have changed"
        );
        let is_cut_off = present.access.iter().any(|(id, created_at_ms)| {
            let next_ms = found.access.iter().map(|(_, created_at_ms)| *created_at_ms).find(|ms| ms > created_at_ms);
            !found.access.iter().any(|(kept, _)| kept == id)
                && next_ms.is_none_or(|next_ms| now_ms < self.vault.replaced_until_ms(next_ms))
        });
        *present = Arc::new(found);
        if is_cut_off {
            self.cut_off.send_replace(());
        }
        Ok(())
    }
}
