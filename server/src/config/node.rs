//! The identity of a node, and its share.

use super::setting::settings;

settings! {
    /// The identity of a node, and its share.
    Node under "Several machines (castellan node)" {
        /// Name of the node. It keeps its name when it starts again, and then gets the same shards.
        "name" name: Option<String>;
        /// Address under which gateways on other machines reach the node, such as 10.0.0.5:7000. Default: the address in
        /// --listen. Needed if that is 0.0.0.0 or another address of all interfaces.
        "advertise" advertise: Option<std::net::SocketAddr>;
        /// How many shards the node should own, relative to the weights of other nodes.
        "weight" weight: u32 = "100", "1" to "10000";
    }
}
