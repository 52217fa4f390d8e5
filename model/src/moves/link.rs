//! The link between a gateway and a node, with the words in transit.

use std::collections::VecDeque;

use castellan_cluster::word::Word;

use crate::connection::Answer;
use crate::server::{Base, Entry};

/// What a client asks for in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ask {
    /// The first frame of a connection: proof of the lease, load, `welcome`, first state.
    Hello,
    /// An intent.
    Intent {
        /// Its number at the client.
        intent: u8,
        /// Its base.
        base: Base,
    },
}

/// A frame of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// The client.
    pub client: u8,
    /// The number of its connection.
    pub connection: u8,
    /// The number of the intent on this connection, from 1.
    pub place: u8,
    /// What it asks for.
    pub ask: Ask,
}

/// A word from a gateway to a node, with the number of the attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToNode {
    /// The shard, under this epoch.
    Attach(u64, u64),
    /// A frame.
    Frame(u64, Frame),
    /// The marker.
    Marker(u64),
    /// The gateway parts.
    Part(u64),
}

/// A word from a node to a gateway, with the number of the attachment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToGateway {
    /// A word about the attachment.
    Word(u64, Word<u8>),
    /// A frame comes back.
    HandBack(u64, Frame),
    /// The first answer on a connection.
    Welcome(u64, Frame, Entry),
    /// An answer to a client's connection.
    Answer(u64, u8, u8, Answer),
    /// A durable version, for all clients of the gateway.
    Durable(u64, u8),
}

/// A link. Each end notices for itself that it has broken.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pipe {
    /// The process at the node's end.
    pub process: u8,
    /// True until the handshake is done.
    pub opening: bool,
    /// True once nothing more can be sent in either direction. What was sent may still arrive.
    pub broken: bool,
    /// True as long as the gateway counts on it.
    pub gateway_end: bool,
    /// True as long as the node counts on it.
    pub node_end: bool,
    /// In transit to the node.
    pub to_node: VecDeque<ToNode>,
    /// In transit to the gateway.
    pub to_gateway: VecDeque<ToGateway>,
}

impl Pipe {
    /// A link that works.
    pub fn new(process: u8) -> Self {
        Self {
            process,
            opening: false,
            broken: false,
            gateway_end: true,
            node_end: true,
            to_node: VecDeque::new(),
            to_gateway: VecDeque::new(),
        }
    }

    /// No link: neither end counts on it.
    pub fn none(process: u8) -> Self {
        Self { broken: true, gateway_end: false, node_end: false, ..Self::new(process) }
    }

    /// Returns true if the link works and nothing is in transit.
    pub fn is_quiet(&self) -> bool {
        !self.broken && !self.opening && self.to_node.is_empty() && self.to_gateway.is_empty()
    }

    /// The gateway's end is gone.
    pub fn drop_gateway_end(&mut self) {
        self.gateway_end = false;
        self.broken = true;
        self.to_gateway.clear();
    }

    /// The node's end is gone. What it had sent may still arrive.
    pub fn drop_node_end(&mut self) {
        self.node_end = false;
        self.broken = true;
        self.to_node.clear();
    }
}
