//! Load on a server that speaks only TLS.

mod served;

use std::process::{Command, Output};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use served::serve;

#[test]
fn the_load_reaches_a_server_whose_certificate_it_trusts() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).expect("a pair");
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("a plain path").to_owned()
    };
    let (certificate, key) = (file("cert.pem", cert.pem()), file("key.pem", signing_key.serialize_pem()));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let cheap = ["--auth-argon2-memory", "64KiB", "--auth-argon2-iterations", "1"];
    let address =
        serve(&runtime, folder.path(), &[&["--tls-cert", &certificate, "--tls-key", &key][..], &cheap].concat());
    let load = |more: &[&str]| -> Output {
        let server = format!("https://localhost:{}", address.port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_client-sim"));
        command.args(["--server", &server, "--players", "3", "--rate", "20", "--duration", "1s", "--errors", "0"]);
        command.args(more).output().expect("client-sim starts")
    };
    let trusting = load(&["--tls-ca", &certificate]);
    let said = format!("{}{}", String::from_utf8_lossy(&trusting.stdout), String::from_utf8_lossy(&trusting.stderr));
    assert!(trusting.status.success(), "{said}");
    let doubtful = load(&[]);
    let said = String::from_utf8_lossy(&doubtful.stderr);
    assert!(!doubtful.status.success() && said.contains("cannot log in"), "{said}");
}
