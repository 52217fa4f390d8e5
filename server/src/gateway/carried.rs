//! A client's connection on its way to the process that replaces this gateway.

use std::net::{IpAddr, TcpStream};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use castellan_protocol::{CharacterId, SessionId, UserId};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::auth::Session;
use crate::config::Role;

/// A connection that another process goes on with.
#[derive(Debug)]
pub struct Carried {
    /// The byte stream.
    pub stream: TcpStream,
    /// Everything else.
    pub state: CarriedState,
}

/// The state of a connection between two processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedState {
    pub(super) session: CarriedSession,
    pub(super) address: IpAddr,
    pub(super) client: Option<Uuid>,
    pub(super) is_json: bool,
    pub(super) wants_changes: bool,
    pub(super) place: CarriedPlace,
    /// Bytes that were read, and belong to messages that were not processed.
    pub(super) unheard: Blob,
    /// Bytes for the client that were not sent.
    pub(super) unsent: Blob,
}

/// A session between two processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CarriedSession {
    id: SessionId,
    user: UserId,
    #[serde(serialize_with = "write_role", deserialize_with = "read_role")]
    role: Role,
    expires_at_ms: i64,
}

/// The place of a socket in a hub. It was told nothing that only a node's memory has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CarriedPlace {
    /// It waits for its welcome.
    pub(super) is_new: bool,
    /// The characters that it watches, with their owners.
    pub(super) watched: Vec<(CharacterId, UserId)>,
    /// Frames that no node has applied, with the numbers of their shards, in the order of each shard.
    pub(super) kept: Vec<(u16, Blob)>,
}

/// Bytes, in Base64.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Blob(pub(super) Vec<u8>);

impl CarriedState {
    /// The session, its user and role.
    pub fn session(&self) -> Session {
        self.session.clone().into()
    }

    /// The client's address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The client's id, if it has one.
    pub fn client(&self) -> Option<Uuid> {
        self.client
    }
}

impl From<Session> for CarriedSession {
    fn from(session: Session) -> Self {
        let Session { id, user, role, expires_at_ms } = session;
        Self { id, user, role, expires_at_ms }
    }
}

impl From<CarriedSession> for Session {
    fn from(session: CarriedSession) -> Self {
        let CarriedSession { id, user, role, expires_at_ms } = session;
        Self { id, user, role, expires_at_ms }
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Self).map_err(D::Error::custom)
    }
}

fn write_role<S: Serializer>(role: &Role, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(role.as_str())
}

fn read_role<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Role, D::Error> {
    let name = String::deserialize(deserializer)?;
    Role::from_name(&name).ok_or_else(|| D::Error::custom("a role that this gateway does not know"))
}
