//! A program of others that listens on an address.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A running program; killed when it is dropped.
pub(crate) struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Program {
    /// Starts it, with its output in a file of this name, and waits until it listens.
    pub(crate) fn start(mut command: Command, folder: &Path, output: &str, address: SocketAddr) -> Self {
        let path = folder.join(output);
        let log = File::create(&path).expect("a file");
        command.current_dir(folder).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a file")).stderr(log);
        let mut program = Self(command.spawn().expect("it starts"));
        while TcpStream::connect(address).is_err() {
            let ended = program.0.try_wait().expect("it is ours");
            assert!(ended.is_none(), "{output}: {}", fs::read_to_string(path).unwrap_or_default());
            std::thread::yield_now();
        }
        program
    }
}
