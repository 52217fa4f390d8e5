//! The attacks by name.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// An attack. All but one come from a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// 9,000 connections that send nothing.
    IdleConnections,
    /// 4 sockets send pings as fast as possible.
    Pings,
    /// 4 sockets send pongs as fast as possible.
    Pongs,
    /// 4 sockets send empty fragments as fast as possible.
    EmptyFragments,
    /// 4 sockets send frames of an unknown kind as fast as possible.
    UnknownFrames,
    /// 4 sockets send intents with an unknown action as fast as possible.
    UnknownActions,
    /// 100 sockets send `fetch` and never read.
    UnreadFetches,
    /// One account creates and deletes characters over 16 connections.
    CreateDelete,
    /// One account logs in 600 times, one login after the other.
    LoginLoop,
    /// One account begins up to 2,500 sessions and opens 4 sockets in each.
    ManySessions,
    /// 100 wrong logins at once, then 10 more per second, each of another name.
    WrongLogins,
    /// 10 wrong logins of one name, then one more per second.
    WrongPasswords,
    /// 200 players log in at once, each from the own address. No attack, but load.
    LoginsAtOnce,
    /// 500 sockets send one byte every two seconds.
    SlowSockets,
    /// 500 connections send one byte of a request every two seconds.
    SlowRequests,
    /// 300 connections send `GET /characters` and never read.
    UnreadRequests,
    /// 32 connections at a time ask for a socket with a forged token.
    ForgedTokens,
    /// 32 connections at a time begin a TLS handshake and leave.
    TlsHandshakes,
}

/// The honest logins beside an attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logins {
    /// Each account from an address of its own.
    OwnAddress,
    /// One account, which is under attack, from its own address.
    OneName,
    /// One account that has always logged in from the attackers' address.
    AttackersAddress,
}

impl Kind {
    /// The name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().expect("no attack is hidden").get_name().to_owned()
    }

    /// One line for people.
    pub fn description(self) -> String {
        let value = self.to_possible_value().expect("no attack is hidden");
        value.get_help().map(ToString::to_string).unwrap_or_default()
    }

    /// Returns true if the server runs under TLS.
    pub(super) fn is_under_tls(self) -> bool {
        self == Self::TlsHandshakes
    }

    /// Accounts of the attackers, each with one session.
    pub(super) fn accounts(self) -> usize {
        match self {
            Self::Pings
            | Self::Pongs
            | Self::EmptyFragments
            | Self::UnknownFrames
            | Self::UnknownActions
            | Self::CreateDelete
            | Self::LoginLoop
            | Self::ManySessions
            | Self::UnreadRequests
            | Self::ForgedTokens => 1,
            Self::UnreadFetches => 25,
            Self::SlowSockets => 125,
            Self::LoginsAtOnce => 200,
            Self::IdleConnections
            | Self::WrongLogins
            | Self::WrongPasswords
            | Self::SlowRequests
            | Self::TlsHandshakes => 0,
        }
    }

    /// Honest logins that are measured beside the attack, if it could hinder them.
    pub(super) fn logins(self) -> Option<Logins> {
        match self {
            Self::LoginLoop | Self::ManySessions | Self::LoginsAtOnce | Self::CreateDelete => Some(Logins::OwnAddress),
            Self::WrongLogins => Some(Logins::AttackersAddress),
            Self::WrongPasswords => Some(Logins::OneName),
            _ => None,
        }
    }
}
