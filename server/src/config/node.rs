//! The identity of a node, its share, and the links to nodes.

use std::path::PathBuf;

use super::setting::settings;

settings! {
    /// The identity of a node, its share, and the links to nodes.
    Node under "Several machines (castellan node, castellan gateway)" {
        /// Name of the node. It keeps its name when it starts again, and then gets the same shards.
        "name" name: Option<String>;
        /// Address under which gateways on other machines reach the node, such as 10.0.0.5:7000. Default: the address in
        /// --listen. Needed if that is 0.0.0.0 or another address of all interfaces.
        "advertise" advertise: Option<std::net::SocketAddr>;
        /// How many shards the node should own, relative to the weights of other nodes.
        "weight" weight: u32 = "100", "1" to "10000";
        /// Certificates of the authorities that sign the certificates of nodes: a PEM file. Then all links to nodes use
        /// TLS, and a node's certificate must name the address under which it is reached. Gateways need it if nodes have
        /// tls.cert, and nodes need both or neither. Default: links are not encrypted. SIGHUP reads the file again.
        "link.ca" link_ca: Option<PathBuf>;
    }
}
