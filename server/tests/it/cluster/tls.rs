//! TLS on links, between gateways and nodes and from node to node.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Cluster, Players, SETTLED, behind_a_proxy, until_ready};
use crate::harness::{Http, Server};
use crate::storage::tls::Authority;

/// A cluster whose nodes have a certificate for 127.0.0.1.
struct Secured {
    cluster: Cluster,
    authority: Authority,
}

impl Secured {
    fn on(cluster: Cluster) -> Self {
        let secured = Self { cluster, authority: Authority::new("house") };
        secured.put(&secured.authority);
        secured.write("ca.pem", &secured.authority.certificate);
        secured
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.cluster.house.folder().join(name), text).expect("written");
    }

    /// Puts a certificate by this authority where the nodes look for it.
    fn put(&self, authority: &Authority) {
        let (certificate, key) = authority.sign("127.0.0.1");
        self.write("node.pem", &certificate);
        self.write("node.key", &key);
    }

    fn node(&self, name: &str) -> Server {
        let tls = ["--tls-cert", "node.pem", "--tls-key", "node.key", "--link-ca", "ca.pem"];
        self.cluster.house.server(&[&["node", "--name", name, "--policy", "permissive"], &tls[..]].concat())
    }

    fn gateway(&self, ca: &str) -> Server {
        self.cluster.house.server(&["gateway", "--socket-workers", "2", "--link-ca", ca])
    }
}

/// Asks a gateway for a player's characters. Returns the status.
fn ask(gateway: &Server) -> u16 {
    let (http, _) = Http::new(gateway.address()).login("player0", "open sesame");
    http.get("/characters").status
}

#[test]
fn links_under_tls_carry_everything_and_only_certificates_of_the_named_authority_count() {
    let secured = Secured::on(Cluster::new());
    let node = secured.node("castor");
    node.said("castellan node castor is listening on https://127.0.0.1:");
    let gateway = secured.gateway("ca.pem");
    until_ready(&gateway);
    let mut players = Players::enter(&gateway, 6);
    players.play();

    let newer = Authority::new("newer");
    secured.write("newer.pem", &newer.certificate);
    let stranger = secured.gateway("newer.pem");
    until_ready(&stranger);
    assert_eq!(ask(&stranger), 503);
    node.logged(
        "the node's certificate is not accepted (--link-ca newer.pem): invalid peer certificate: UnknownIssuer",
    );
    let plain = secured.cluster.gateway();
    until_ready(&plain);
    assert_eq!(ask(&plain), 503);
    node.logged("the node refuses the link with status 400; if it uses TLS, set --link-ca");
    drop(plain);

    // The node changes to a certificate of the other authority. Open links go on.
    secured.put(&newer);
    node.signal(Signal::HUP);
    node.logged("the certificate was read again");
    assert_eq!(ask(&stranger), 200);
    players.play();
    secured.write("ca.pem", &format!("{}{}", secured.authority.certificate, newer.certificate));
    gateway.signal(Signal::HUP);
    node.logged("the authorities of nodes (--link-ca) were read again");
    node.kill();
    let node = secured.node("castor");
    // A gateway is ready as long as it takes the dead process for the owner.
    let deadline = Instant::now() + SETTLED;
    while ask(&gateway) != 200 {
        assert!(Instant::now() < deadline, "no link under the newer authority");
    }
    secured.write("ca.pem", "nothing");
    gateway.signal(Signal::HUP);
    node.logged("cannot read the authorities of nodes again (--link-ca); the old ones stay in use");
}

#[test]
fn nodes_ask_each_other_under_tls_if_the_database_is_away() {
    let url = crate::harness::database_url(crate::harness::Kind::Postgres).expect("a database");
    let (_runtime, proxy, cluster) = behind_a_proxy(&url);
    let secured = Secured::on(cluster);
    let _nodes = [secured.node("castor"), secured.node("pollux")];
    let gateway = secured.gateway("ca.pem");
    until_ready(&gateway);
    secured.cluster.until_owned("pollux", 128..=128);
    let mut players = Players::enter(&gateway, 6);
    proxy.silence();
    // Longer than a node alone may answer without the database.
    let until = Instant::now() + Duration::from_secs(8);
    players.play_while(|| Instant::now() < until);
    proxy.restore();
    players.play();
}

#[test]
fn a_node_has_tls_in_both_directions_or_in_none_and_warns_without() {
    let secured = Secured::on(Cluster::new());
    let node = ["node", "--name", "castor", "--listen", "127.0.0.1:0"];
    for half in [&["--link-ca", "ca.pem"][..], &["--tls-cert", "node.pem", "--tls-key", "node.key"]] {
        let refused = secured.cluster.castellan(&[&node, half].concat());
        let why = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && why.contains("--link-ca, or none of them"), "{why}");
    }
    secured.write("empty.pem", "");
    let refused = secured.cluster.castellan(&[&node[..], &["--link-ca", "empty.pem"]].concat());
    let why = String::from_utf8_lossy(&refused.stderr);
    assert!(why.contains("cannot use the authorities of nodes (--link-ca): empty.pem: no certificate in it"), "{why}");
    let all = ["node", "--name", "castor", "--listen", "0.0.0.0:0", "--advertise", "127.0.0.1:1"];
    let open = secured.cluster.house.server(&all);
    open.logged("links to this node are not encrypted");
}
