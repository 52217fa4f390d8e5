//! A period of a run, as the players' records show it: one in which no sent intent can become durable, or none of
//! their sockets may be closed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use client_sim::recorded::record_file::Line;

/// The beginning of such a period: the lengths of all records.
///
/// A player writes an intent to the disk before it sends it. So an intent behind the remembered length of its record was
/// sent later than that.
pub(crate) struct Period {
    records: Vec<(PathBuf, u64)>,
}

/// What players were told since a period began; answers only to intents that were sent since.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    /// Intents answered `applied`.
    pub(crate) applied: usize,
    /// Intents called durable, for people.
    pub(crate) durable: Vec<String>,
    /// Sockets that the other side closed, for people.
    pub(crate) closed: Vec<String>,
}

impl Period {
    /// Begins now.
    pub(crate) fn begin(records: &Path) -> io::Result<Self> {
        let length = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.path(), entry.metadata()?.len()))
        };
        Ok(Self { records: fs::read_dir(records)?.map(length).collect::<io::Result<_>>()? })
    }

    /// The answers so far, as far as players have written them to the disk: they do when they act, and they stop acting
    /// only if nothing becomes durable.
    pub(crate) fn answers(&self) -> io::Result<Answers> {
        let mut answers = Answers::default();
        for (path, length) in &self.records {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            note(&name, &fs::read(path)?, usize::try_from(*length).unwrap_or(usize::MAX), &mut answers);
        }
        Ok(answers)
    }
}

/// Adds the answers in a record to intents behind the first `length` bytes.
fn note(name: &str, record: &[u8], length: usize, answers: &mut Answers) {
    let mut sent = BTreeSet::new();
    // A record is cut off anywhere: its last line may be half, at the beginning as well as now.
    let began = record[..length.min(record.len())].iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
    let ended = record.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
    for line in record[began.min(ended)..ended].split(|byte| *byte == b'\n') {
        match serde_json::from_slice(line) {
            Ok(Line::Intent { n }) => {
                sent.insert(n);
            }
            Ok(Line::Offline { reason }) if starts_with_a_code(&reason) => {
                answers.closed.push(format!("{name} was closed with {reason:?}"));
            }
            Ok(Line::Applied { n }) if sent.contains(&n) => answers.applied += 1,
            Ok(Line::Durable { n, version }) if sent.contains(&n) => {
                answers.durable.push(format!("intent {n} of {name} at version {version}"));
            }
            _ => {}
        }
    }
}

/// A reason that the server gave begins with its close code.
fn starts_with_a_code(reason: &str) -> bool {
    reason.split(' ').next().is_some_and(|code| code.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use castellan_srd::wire::Version;

    use super::*;

    #[test]
    fn only_answers_to_later_intents_count() {
        let durable = |n| Line::Durable { n, version: Version::new(9) };
        let before = [Line::Intent { n: 0 }, Line::Intent { n: 1 }, Line::Applied { n: 0 }];
        let offline = |reason: &str| Line::Offline { reason: reason.to_owned() };
        let after = [
            Line::Applied { n: 1 },
            durable(0),
            Line::Intent { n: 2 },
            offline("connection reset"),
            offline("4401 the shard has moved"),
            Line::Applied { n: 2 },
            durable(2),
        ];
        let text = |lines: &[Line]| {
            let lines = lines.iter().map(|line| serde_json::to_string(line).expect("a line") + "\n");
            lines.collect::<String>()
        };
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("player-1.0.record");
        let (whole, half) = (text(&before), text(&after[..1]));
        fs::write(&path, whole.clone() + &half[..5]).expect("room on the disk");
        let standstill = Period::begin(folder.path()).expect("a record");
        assert_eq!(standstill.answers().expect("a record"), Answers::default());
        fs::write(&path, whole + &text(&after) + "{\"durable\":{\"n\":2").expect("room on the disk");
        let expected = Answers {
            applied: 1,
            durable: vec!["intent 2 of player-1.0 at version 9".to_owned()],
            closed: vec!["player-1.0 was closed with \"4401 the shard has moved\"".to_owned()],
        };
        assert_eq!(standstill.answers().expect("a record"), expected);
    }
}
