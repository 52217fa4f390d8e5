//! A real server in the test's own process. A process can have one.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use castellan::app;
use castellan::config::{self, Config};

/// How long the server may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts a server in this process, on a free port, and waits until it listens.
pub(crate) fn serve(runtime: &tokio::runtime::Runtime, folder: &Path, more: &[&str]) -> SocketAddr {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
    let database = format!("sqlite://{}/castellan.db", folder.display());
    let listen = address.to_string();
    let arguments = [&["castellan", "--listen", &listen, "--database-url", &database], more].concat();
    let arguments = arguments.into_iter().map(Into::into);
    let config = match Config::from_args(arguments, &Default::default(), &[]) {
        Ok(config::Command::Run(config, _)) => *config,
        other => panic!("flags that cannot be used: {other:?}"),
    };
    let server = runtime.spawn(app::serve::<castellan_srd::Srd>(config));
    let deadline = Instant::now() + START_TIMEOUT;
    while TcpStream::connect(address).is_err() {
        assert!(!server.is_finished(), "{:?}", runtime.block_on(server));
        assert!(Instant::now() < deadline, "the server does not listen");
        std::thread::yield_now();
    }
    address
}
