//! A player's ledger on disk: what it asked for, before it asked, and what it was told.
//!
//! One JSON object a line, only ever appended. Intents are on the disk before they are sent; what the server said
//! follows as it comes.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use castellan_protocol::{CharacterId, RejectionCode, RequestId, Version};
use serde::{Deserialize, Serialize};

/// One line of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The first line: who plays.
    Player {
        /// The account's name.
        name: String,
        /// The character.
        character: CharacterId,
        /// Which of the character's clients; `None` for one that only watches.
        lane: Option<u8>,
    },
    /// It is about to send its `n`-th intent.
    Intent {
        /// From 0.
        n: u64,
    },
    /// That intent has this request id.
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
    /// The intent was said to be in the database.
    Durable {
        /// The intent.
        n: u64,
        /// The version said to be stored.
        version: Version,
    },
    /// The client gave the intent up: it was made on another state.
    Refused {
        /// The intent.
        n: u64,
        /// The version of the state that was shown for it.
        version: Version,
    },
    /// The server turned the intent down for good.
    Rejected {
        /// The intent.
        n: u64,
        /// Why.
        code: RejectionCode,
    },
    /// A state was shown.
    Seen {
        /// Its version.
        version: Version,
        /// The intent that made it.
        last: RequestId,
        /// A hash of all of it.
        hash: u64,
    },
    /// The last line: the player has left in peace.
    End {
        /// Intents of which it does not know that they are in the database.
        kept: usize,
    },
}

/// A ledger that is being written.
pub struct LedgerFile {
    file: BufWriter<File>,
}

impl LedgerFile {
    /// Begins a ledger.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::new(File::create_new(path)?) })
    }

    /// Appends a line. It reaches the disk with the next [`LedgerFile::sync`].
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn append(&mut self, line: &Line) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, line)?;
        self.file.write_all(b"\n")
    }

    /// Brings all lines to the disk.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_data()
    }
}

/// Reads a ledger back. A last line that was cut off with its player is passed over.
///
/// # Errors
///
/// What the operating system says, or that a line is none of [`Line`].
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
    fn what_was_appended_is_read_again_and_half_a_line_is_not() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.ledger");
        let lines = [
            Line::Intent { n: 0 },
            Line::Named { n: 0, id: RequestId::new(1 << 52) },
            Line::Rejected { n: 0, code: RejectionCode::Overloaded },
            Line::End { kept: 3 },
        ];
        let mut ledger = LedgerFile::create(&path).expect("a new file");
        for line in &lines {
            ledger.append(line).expect("room on the disk");
        }
        ledger.sync().expect("room on the disk");
        let mut half = File::options().append(true).open(&path).expect("the file");
        half.write_all(b"{\"intent\":{\"n\"").expect("room on the disk");
        assert_eq!(read(&path).expect("a ledger"), lines);
    }
}
