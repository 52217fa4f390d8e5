//! Players with a record: each records on disk every intent before it is sent, and every answer. Afterwards the
//! database must match the records; `torture/` compares them.

mod enter;
mod play;
pub mod record_file;
mod recorder;
pub mod trace;
pub mod trader;

pub use enter::RecordedSettings;
pub use play::{READY, play};
