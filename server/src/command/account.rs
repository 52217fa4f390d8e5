//! `castellan account create`.

use std::io::{BufRead, Read, Write};
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::{AccountName, Auth, Exposure, Password};
use crate::clock::{system_clock, system_entropy};
use crate::config::{Config, Role};
use crate::storage::Storage;

/// Random bytes in a generated password: 24 characters.
const PASSWORD_BYTES: usize = 18;

/// Longest line read as a password, in bytes: longer than any valid password.
const LINE_BYTES_MAX: u64 = 4_096;

/// Creates an account. Its password is the first line of `input`; without `input` one is generated and printed.
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
    let (text, generated) = match input {
        Some(input) => (first_line(input)?, false),
        None => {
            let mut bytes = [0; PASSWORD_BYTES];
            entropy(&mut bytes);
            (URL_SAFE_NO_PAD.encode(bytes), true)
        }
    };
    let password = Password::new(text.clone())?;
    storage.migrate().await?;
    let auth = Auth::open(storage, &config.auth, Arc::new(Exposure::new(true)), system_clock(), entropy).await?;
    let user = auth.create_account(&name, password, role).await?;
    writeln!(out, "created account {}: role {}, user {user}", name.as_str(), role.as_str())?;
    if generated {
        writeln!(out, "password: {text}")?;
        writeln!(out, "Keep this password: it is shown only once.")?;
    }
    Ok(())
}

fn first_line(input: &mut dyn BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    input.take(LINE_BYTES_MAX).read_line(&mut line).context("cannot read the password from standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
