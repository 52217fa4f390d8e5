//! Hubs and connections against nodes that only speak messages of links, over real TCP.

mod harness;
mod links;
mod moves;
mod replacing;
mod sockets;
