//! `castellan keys`: the secrets that all servers of a database share.

use std::io::Write;
use std::sync::Arc;

use super::time_of;
use crate::auth::{StoredKey, Vault};
use crate::clock::{system_clock, system_entropy};
use crate::config::{Config, Keys};
use crate::storage::Storage;

/// Runs a command about keys.
pub(super) async fn run(
    config: &Config,
    storage: Arc<dyn Storage>,
    task: Keys,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    storage.migrate().await?;
    let vault = Vault::new(storage, &config.auth, system_entropy())?;
    let now_ms = system_clock()();
    match task {
        Keys::List => list(&vault.list().await?, now_ms, out)?,
        Keys::Rotate => {
            let id = vault.rotate(now_ms).await?;
            writeln!(
                out,
                "the new key is {id}; running servers sign with it within seconds. Tokens of the key before it stay \
                 valid until they expire; then `castellan keys retire` removes that key"
            )?;
        }
        Keys::Retire { now } => {
            let id = vault.retire(now_ms, now).await?;
            writeln!(out, "the key {id} is removed; running servers refuse its tokens within seconds")?;
        }
        Keys::Encrypt { old } => {
            let count = vault.encrypt(old.as_deref()).await?;
            writeln!(
                out,
                "{count} keys are now encrypted with this master key. Running servers go on with the keys that they \
                 have in memory; restart each of them with this --master-key-file before the next `castellan keys \
                 rotate`. Backups made before this still have the keys as they were"
            )?;
        }
        Keys::Decrypt => {
            let count = vault.decrypt().await?;
            writeln!(
                out,
                "{count} keys are now stored in plain. Restart each server without --master-key-file before the next \
                 `castellan keys rotate`"
            )?;
        }
    }
    Ok(())
}

fn list(keys: &[StoredKey], now_ms: i64, out: &mut dyn Write) -> anyhow::Result<()> {
    for key in keys {
        let use_of = match (key.purpose.as_str(), key.replaced_until_ms) {
            ("es256", None) => "signs access tokens".to_owned(),
            ("es256", Some(until_ms)) if now_ms < until_ms => {
                format!("replaced; its tokens may be valid until {}", time_of(until_ms))
            }
            ("es256", Some(_)) => "replaced; `castellan keys retire` removes it".to_owned(),
            ("refresh", _) => "seals refresh tokens".to_owned(),
            ("dice", _) => "seeds the dice".to_owned(),
            (purpose, _) => purpose.to_owned(),
        };
        let at_rest = match &key.sealed_by {
            None => "stored in plain".to_owned(),
            Some(id) => format!("encrypted with master key {id}"),
        };
        writeln!(out, "{}  {}  {use_of}  ({at_rest})", key.id, time_of(key.created_at_ms))?;
    }
    if keys.is_empty() {
        writeln!(out, "no keys yet; the first server that starts creates them")?;
    }
    Ok(())
}
