//! The certificates that a server must show, from the command line.

use std::io;
use std::path::PathBuf;

use castellan_client::Trust;
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct TrustSettings {
    /// PEM file with the certificates to trust, for an https server. Default: those of this machine.
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
}

impl TrustSettings {
    /// Reads the file, if there is one.
    pub(crate) fn read(&self) -> io::Result<Trust> {
        self.tls_ca.as_deref().map_or_else(|| Ok(Trust::default()), Trust::in_file)
    }
}
