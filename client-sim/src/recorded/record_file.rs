//! A player's record on disk: every intent before it is sent, and every answer.
//!
//! One JSON object per line, append only. Intents are on disk before they are sent; answers follow as they arrive.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use castellan_srd::wire::{CharacterId, RejectionCode, RequestId, Version};
use serde::{Deserialize, Serialize};

/// One line of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first line: the player.
    Player {
        /// The account's name.
        name: String,
        /// The character.
        character: CharacterId,
        /// The client's number among the character's clients; `None` for one that only watches.
        lane: Option<u8>,
    },
    /// The player will send its `n`-th intent.
    Intent {
        /// Counted from 0.
        n: u64,
    },
    /// The request id of an intent.
    Named {
        /// The intent.
        n: u64,
        /// Its request id.
        id: RequestId,
    },
    /// The intent was answered `applied`.
    Applied {
        /// The intent.
        n: u64,
    },
    /// The intent was called durable.
    Durable {
        /// The intent.
        n: u64,
        /// The durable version.
        version: Version,
    },
    /// The client dropped the intent, because it was based on an outdated state.
    Refused {
        /// The intent.
        n: u64,
        /// The version of the newest state then.
        version: Version,
    },
    /// The server rejected the intent for good.
    Rejected {
        /// The intent.
        n: u64,
        /// The code.
        code: RejectionCode,
    },
    /// A state was shown.
    Seen {
        /// Its version.
        version: Version,
        /// The intent that produced it.
        last: RequestId,
        /// A hash of the whole state.
        hash: u64,
    },
    /// The connection has ended, and not because the player wanted it.
    Offline {
        /// Why. A reason that the server gave begins with its close code.
        reason: String,
    },
    /// The last line: the player has left normally.
    End {
        /// Number of intents not known to be durable.
        kept: usize,
    },
}

/// A record being written.
pub struct RecordFile {
    file: BufWriter<File>,
}

impl RecordFile {
    /// Creates a record.
    ///
    /// # Errors
    ///
    /// Any error of the file system.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create_new(path)?) })
    }

    /// Appends a line. It reaches the disk with the next [`RecordFile::sync`].
    ///
    /// # Errors
    ///
    /// Any error of the file system.
    pub fn append(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, line)?;
        self.file.write_all(b"\n")
    }

    /// Writes all lines to the disk.
    ///
    /// # Errors
    ///
    /// Any error of the file system.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_data()
    }
}

/// Reads a record. Ignores a last line that was cut off when the player was killed.
///
/// # Errors
///
/// Any error of the file system, or an invalid line.
pub fn read(path: &Path) -> io::Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut file = BufReader::new(File::open(path)?);
    let mut text = String::new();
    while file.read_line(&mut text)? > 0 {
        if text.ends_with('\n') {
            lines.push(serde_json::from_str(&text)?);
        }
        text.clear();
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_are_read_back_and_half_a_line_is_ignored() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.record");
        let lines = [
            Line::Intent { n: 0 },
            Line::Named { n: 0, id: RequestId::new(1 << 52) },
            Line::Rejected { n: 0, code: RejectionCode::OVERLOADED },
            Line::End { kept: 3 },
        ];
        let mut record = RecordFile::create(&path).expect("a new file");
        for line in &lines {
            record.append(line).expect("room on the disk");
        }
        record.sync().expect("room on the disk");
        let mut half = File::options().append(true).open(&path).expect("the file");
        half.write_all(b"{\"intent\":{\"n\"").expect("room on the disk");
        assert_eq!(read(&path).expect("a record"), lines);
    }
}
