//! `castellan account`.
//!
//! The commands only change rows. Every server on the database looks for ended sessions each second.

use std::io::{BufRead, Read, Write};
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use castellan_protocol::{SessionId, UserId};

use super::time_of;
use crate::auth::{AccountName, Password, Registrar, find_account};
use crate::clock::{system_clock, system_entropy};
use crate::config::{Account, AccountVerb, Config, Role};
use crate::storage::{AccountChange, AccountRow, Storage};

/// Random bytes in a generated password: 24 characters.
const PASSWORD_BYTES: usize = 18;

/// Longest line read as a password, in bytes: longer than any valid password.
const LINE_BYTES_MAX: u64 = 4_096;

/// Accounts read at a time.
const PAGE_MAX: u32 = 1_000;

/// Most sessions listed of one account.
const SESSIONS_MAX: u32 = 1_000;

/// Runs a command about accounts. A password comes from `input`, or is generated and printed.
pub(super) async fn run(
    config: &Config,
    storage: Arc<dyn Storage>,
    task: Account,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    storage.migrate().await?;
    match task {
        Account::Create { name, role, password_stdin } => {
            let input = password_stdin.then_some(input);
            create(config, storage, &name, role, input, out).await
        }
        Account::List => list(storage.as_ref(), out).await,
        Account::One { account, verb } => {
            let account = find(storage.as_ref(), &account).await?;
            match verb {
                AccountVerb::Show => show(storage.as_ref(), &account, out).await,
                AccountVerb::Password { from_stdin } => {
                    let input = from_stdin.then_some(input);
                    set_password(config, storage, &account, input, out).await
                }
                AccountVerb::Role(role) => {
                    let change = AccountChange::Role(role.as_str().to_owned());
                    let said = format!("has the role {}", role.as_str());
                    change_one(storage.as_ref(), &account, &change, &said, out).await
                }
                AccountVerb::Disable => {
                    let said = "is disabled, and its sessions have ended";
                    change_one(storage.as_ref(), &account, &AccountChange::Disable, said, out).await
                }
                AccountVerb::Enable => {
                    change_one(storage.as_ref(), &account, &AccountChange::Enable, "is enabled", out).await
                }
                AccountVerb::Delete => {
                    let said = "is deleted, and its sessions have ended; a running server deletes its characters";
                    change_one(storage.as_ref(), &account, &AccountChange::Delete, said, out).await
                }
                AccountVerb::Sessions => sessions(storage.as_ref(), &account, out).await,
                AccountVerb::Revoke(session) => revoke(storage.as_ref(), &account, session, out).await,
            }
        }
    }
}

/// The account with this name, or of the user with this id.
async fn find(storage: &dyn Storage, text: &str) -> anyhow::Result<AccountRow> {
    let by_id = match text.parse::<UserId>() {
        Ok(user) => storage.account_of(user).await?,
        Err(_) => None,
    };
    let found = match by_id {
        None => find_account(storage, &AccountName::new(text)?).await?,
        found => found,
    };
    found.with_context(|| format!("no account {text}; `castellan account list` lists all"))
}

async fn create(
    config: &Config,
    storage: Arc<dyn Storage>,
    name: &str,
    role: Role,
    input: Option<&mut dyn BufRead>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let name = AccountName::new(name)?;
    let (password, generated) = password(input)?;
    let user = registrar(config, storage)?.create_account(&name, password, role).await?;
    writeln!(out, "created account {}: role {}, user {user}", name.as_str(), role.as_str())?;
    print_generated(generated, out)
}

async fn set_password(
    config: &Config,
    storage: Arc<dyn Storage>,
    account: &AccountRow,
    input: Option<&mut dyn BufRead>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (password, generated) = password(input)?;
    let ended = registrar(config, storage)?
        .set_password(account.user, password)
        .await?
        .context("the account was deleted meanwhile")?;
    writeln!(out, "account {} has a new password; {ended} sessions have ended", account.username)?;
    print_generated(generated, out)
}

fn registrar(config: &Config, storage: Arc<dyn Storage>) -> anyhow::Result<Registrar> {
    Ok(Registrar::new(storage, &config.auth, system_clock(), system_entropy())?)
}

/// The first line of `input`, or a generated password and its text.
fn password(input: Option<&mut dyn BufRead>) -> anyhow::Result<(Password, Option<String>)> {
    match input {
        Some(input) => Ok((Password::new(first_line(input)?)?, None)),
        None => {
            let mut bytes = [0; PASSWORD_BYTES];
            system_entropy()(&mut bytes);
            let text = URL_SAFE_NO_PAD.encode(bytes);
            Ok((Password::new(text.clone())?, Some(text)))
        }
    }
}

fn print_generated(generated: Option<String>, out: &mut dyn Write) -> anyhow::Result<()> {
    if let Some(text) = generated {
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

async fn list(storage: &dyn Storage, out: &mut dyn Write) -> anyhow::Result<()> {
    let (mut after, mut count) = (String::new(), 0);
    loop {
        let accounts = storage.accounts(&after, PAGE_MAX).await?;
        let Some(last) = accounts.last() else { break };
        after.clone_from(&last.folded);
        count += accounts.len();
        for account in &accounts {
            let state = if account.disabled_at_ms.is_some() { "disabled" } else { "enabled" };
            let (user, role, created) = (account.user, &account.role, time_of(account.created_at_ms));
            let kind = if account.guest_seen_at_ms.is_some() { "guest" } else { "account" };
            writeln!(out, "{user}  {kind:7}  {role:8}  {state:8}  {created}  {}", account.username)?;
        }
    }
    writeln!(out, "{count} in total")?;
    Ok(())
}

async fn show(storage: &dyn Storage, account: &AccountRow, out: &mut dyn Write) -> anyhow::Result<()> {
    let sessions = storage.sessions_of(account.user, system_clock()(), SESSIONS_MAX).await?;
    writeln!(out, "name      {}", account.username)?;
    writeln!(out, "user      {}", account.user)?;
    writeln!(out, "role      {}", account.role)?;
    writeln!(out, "created   {}", time_of(account.created_at_ms))?;
    writeln!(out, "disabled  {}", account.disabled_at_ms.map_or_else(|| "no".to_owned(), time_of))?;
    let newest_ms = sessions.first().map(|session| session.rotated_at_ms);
    let guest = account
        .guest_seen_at_ms
        .map(|seen_ms| format!("yes, seen {}", time_of(newest_ms.max(Some(seen_ms)).unwrap_or(seen_ms))));
    writeln!(out, "guest     {}", guest.as_deref().unwrap_or("no"))?;
    if let Some((issuer, subject)) = storage.identity_of(account.user).await? {
        writeln!(out, "issuer    {issuer}")?;
        writeln!(out, "subject   {subject}")?;
    }
    writeln!(out, "sessions  {}", sessions.len())?;
    Ok(())
}

async fn change_one(
    storage: &dyn Storage,
    account: &AccountRow,
    change: &AccountChange,
    said: &str,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let is_there = storage.change_account(account.user, change, system_clock()()).await?;
    anyhow::ensure!(is_there, "the account {} was deleted meanwhile", account.username);
    writeln!(out, "account {} {said}", account.username)?;
    Ok(())
}

async fn sessions(storage: &dyn Storage, account: &AccountRow, out: &mut dyn Write) -> anyhow::Result<()> {
    let sessions = storage.sessions_of(account.user, system_clock()(), SESSIONS_MAX).await?;
    for row in &sessions {
        let started = row.started_at_ms.map_or_else(|| "unknown".to_owned(), time_of);
        let (refreshed, expires) = (time_of(row.rotated_at_ms), time_of(row.expires_at_ms));
        let from = row.network.as_deref().unwrap_or("unknown");
        writeln!(out, "{}  started {started}  refreshed {refreshed}  expires {expires}  from {from}", row.id)?;
    }
    writeln!(out, "{} in total", sessions.len())?;
    Ok(())
}

async fn revoke(
    storage: &dyn Storage,
    account: &AccountRow,
    session: Option<SessionId>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let now_ms = system_clock()();
    let ended = match session {
        None => storage.revoke_sessions_of(account.user, now_ms).await?,
        Some(session) => {
            let row = storage.session(session).await?.filter(|row| row.user == account.user);
            let row = row.with_context(|| format!("account {} has no session {session}", account.username))?;
            storage.revoke_session(session, now_ms).await?;
            u64::from(row.revoked_at_ms.is_none())
        }
    };
    writeln!(out, "account {}: {ended} sessions have ended", account.username)?;
    Ok(())
}
