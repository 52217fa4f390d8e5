//! Players with a record: each records on disk every intent before it is sent, and every answer. Afterwards the
//! database must match the records; `torture/` compares them.

mod play;
pub mod record_file;
mod recorder;
pub mod trace;

pub use play::{READY, RecordedSettings, play};
