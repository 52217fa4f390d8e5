//! `castellan account create`.

use std::io::{BufRead, Read, Write};
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::{AccountName, Auth, Password};
use crate::clock::{system_clock, system_entropy};
use crate::config::{Config, Role};
use crate::storage::Storage;

/// Chance in a password that is made up: 24 characters.
const PASSWORD_BYTES: usize = 18;

/// Longest line that is read as a password, in bytes: more than a password may have.
const LINE_BYTES_MAX: u64 = 4_096;

/// Makes an account. Its password is the first line of `input`; without `input` one is made up and shown.
pub(super) async fn create(
    config: &Config,
    storage: Arc<dyn Storage>,
    name: &str,
    role: Role,
    input: Option<&mut dyn BufRead>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let name = AccountName::new(name)?;
    let entropy = system_entropy();
    let (text, made_up) = match input {
        Some(input) => (first_line(input)?, false),
        None => {
            let mut bytes = [0; PASSWORD_BYTES];
            entropy(&mut bytes);
            (URL_SAFE_NO_PAD.encode(bytes), true)
        }
    };
    let password = Password::new(text.clone())?;
    storage.migrate().await?;
    let auth = Auth::open(storage, &config.auth, false, system_clock(), entropy).await?;
    let user = auth.create_account(&name, password, role).await?;
    writeln!(out, "account {} made: role {}, user {user}", name.as_str(), role.as_str())?;
    if made_up {
        writeln!(out, "password: {text}")?;
        writeln!(out, "It is shown this once and stored nowhere.")?;
    }
    Ok(())
}

fn first_line(input: &mut dyn BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    input.take(LINE_BYTES_MAX).read_line(&mut line).context("the password could not be read from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
