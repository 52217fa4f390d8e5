//! The documents are held to the code: links lead somewhere, and the tables of `docs/protocol.md` are what is served.

mod book;
mod links;
mod markdown;
mod protocol;

use std::path::{Path, PathBuf};

/// The top folder of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the server stands in the repository").to_owned()
}
