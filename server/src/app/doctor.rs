//! `castellan doctor`: looks at everything that a server needs here, and says what to mend.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytesize::ByteSize;

use super::{open_files, start};
use crate::clock::system_clock;
use crate::config::Config;
use crate::storage::{self, Storage, StorageOptions};

/// Difference between two clocks at which somebody should look, in milliseconds.
const CLOCKS_APART_MS: u64 = 2_000;

/// Free space below which a disk is full soon, and below which it is full, in bytes.
const SPACE_LITTLE: u64 = 1 << 30;
const SPACE_NONE: u64 = 100 << 20;

/// The beginning of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Good,
    Look,
    Mend,
}

impl Mark {
    const fn text(self) -> &'static str {
        match self {
            Self::Good => "good ",
            Self::Look => "look ",
            Self::Mend => "MEND ",
        }
    }
}

/// All findings, in the order in which they are printed.
type Findings = Vec<(Mark, String)>;

/// Looks, and prints a line for each finding: `good`, `look` (it works, but somebody should look at it) or `MEND`.
///
/// # Errors
///
/// If something must be mended before a server can run, or the output cannot be written.
pub async fn doctor(config: &Config, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut found = Findings::new();
    found.extend(config.unknown.iter().map(|sentence| (Mark::Look, sentence.clone())));
    found.push(files(config));
    found.extend(ports(config));
    found.extend(disks(config));
    found.extend(database(config).await);
    for (mark, sentence) in &found {
        writeln!(out, "{}{sentence}", mark.text())?;
    }
    let bad = found.iter().filter(|(mark, _)| *mark == Mark::Mend).count();
    anyhow::ensure!(bad == 0, "{bad} of {} findings must be mended", found.len());
    Ok(())
}

/// The limit of open files.
fn files(config: &Config) -> (Mark, String) {
    let (http, sockets) = (config.listen.connections_max, config.socket.connections_max);
    match open_files::share_out(config, start::worker_count(&config.socket)) {
        Ok(room) if (room.http, room.sockets) == (http, sockets) => {
            (Mark::Good, format!("open files: enough for {sockets} sockets and {http} HTTP connections"))
        }
        Ok(room) => {
            let sentence = format!(
                "open files: enough for {} sockets and {} HTTP connections instead of {sockets} and {http}; raise the hard \
                 limit (ulimit -Hn, LimitNOFILE=)",
                room.sockets, room.http
            );
            (Mark::Look, sentence)
        }
        Err(error) => (Mark::Mend, format!("open files: {error}")),
    }
}

/// The addresses that a server would listen on.
fn ports(config: &Config) -> Findings {
    let players = Some(("--listen", config.listen.listen));
    let operators = config.listen.admin_address().map(|address| ("--admin-listen", address));
    players.into_iter().chain(operators).map(|(flag, address)| port(flag, address)).collect()
}

fn port(flag: &str, address: SocketAddr) -> (Mark, String) {
    match TcpListener::bind(address) {
        Ok(_) => (Mark::Good, format!("{flag} {address}: free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            (Mark::Look, format!("{flag} {address}: in use; good if that is this server, already running"))
        }
        Err(error) => (Mark::Mend, format!("{flag} {address}: cannot be used: {error}")),
    }
}

/// The folders that a server writes to.
fn disks(config: &Config) -> Findings {
    let mut folders = vec![("spool folder", config.flush.spool.clone())];
    if let Some(file) = sqlite_file(config) {
        folders.push(("folder of the database", file.parent().unwrap_or(Path::new("")).to_owned()));
    }
    folders.into_iter().map(|(what, folder)| disk(what, &folder)).collect()
}

fn sqlite_file(config: &Config) -> Option<PathBuf> {
    config.database.url.expose().strip_prefix("sqlite://").map(PathBuf::from)
}

fn disk(what: &str, folder: &Path) -> (Mark, String) {
    // The server makes the folder. Until then, what counts is the nearest one that is there.
    let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    let named = format!("{what} {}", folder.display());
    if let Err(error) = try_to_write(there) {
        return (Mark::Mend, format!("{named}: cannot write in {}: {error}", there.display()));
    }
    match rustix::fs::statvfs(there) {
        Ok(space) => {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            let mark = match free {
                ..SPACE_NONE => Mark::Mend,
                SPACE_NONE..SPACE_LITTLE => Mark::Look,
                _ => Mark::Good,
            };
            (mark, format!("{named}: can be written, {} free", ByteSize(free)))
        }
        Err(error) => (Mark::Look, format!("{named}: can be written; its free space is unknown: {error}")),
    }
}

/// Writes a small file, and removes it.
fn try_to_write(folder: &Path) -> io::Result<()> {
    let file = folder.join(format!(".castellan-doctor-{}", std::process::id()));
    let written = std::fs::write(&file, "castellan doctor\n");
    let removed = std::fs::remove_file(&file);
    written.and(removed)
}

async fn database(config: &Config) -> Findings {
    let url = &config.database.url;
    if sqlite_file(config).is_some_and(|file| !file.exists()) {
        return vec![(Mark::Good, format!("{url}: not there yet; the server makes it"))];
    }
    let options = StorageOptions { exclusive: false, connections_max: 2, ..config.database.options() };
    match storage::connect(url.expose(), &options).await {
        Ok(storage) => examine(&storage).await.unwrap_or_else(|error| vec![(Mark::Mend, format!("{url}: {error}"))]),
        Err(error) => vec![(Mark::Mend, format!("{url}: {error}"))],
    }
}

async fn examine(storage: &Arc<dyn Storage>) -> Result<Findings, storage::StorageError> {
    let began_ms = system_clock()();
    let examined = storage.examine().await?;
    let ended_ms = system_clock()();
    let mut found = vec![(Mark::Good, examined.what)];
    found.extend(examined.facts.into_iter().map(|fact| (Mark::Good, fact)));
    found.extend(examined.warnings.into_iter().map(|warning| (Mark::Look, warning)));
    found.push(schema(&storage.migrations(), &examined.migrations));
    found.extend(examined.clock_ms.map(|clock_ms| clock(began_ms, clock_ms, ended_ms)));
    Ok(found)
}

fn schema(known: &[i64], applied: &[i64]) -> (Mark, String) {
    let missing = known.iter().filter(|version| !applied.contains(version)).count();
    let newer = applied.iter().filter(|version| !known.contains(version)).count();
    match (applied.len(), missing, newer) {
        (0, ..) => (Mark::Good, "schema: no tables yet; the server makes them".to_owned()),
        (_, 0, 0) => (Mark::Good, "schema: up to date".to_owned()),
        (_, 0, newer) => (Mark::Look, format!("schema: {newer} migrations of a newer release have been applied")),
        (_, missing, _) => (Mark::Good, format!("schema: {missing} migrations are due; the server applies them")),
    }
}

/// Compares the database's clock with that of this machine before and after it was read.
fn clock(began_ms: i64, clock_ms: i64, ended_ms: i64) -> (Mark, String) {
    let apart_ms = match clock_ms {
        ..0 => u64::MAX,
        clock_ms if clock_ms < began_ms => clock_ms.abs_diff(began_ms),
        clock_ms if clock_ms > ended_ms => clock_ms.abs_diff(ended_ms),
        _ => 0,
    };
    if apart_ms < CLOCKS_APART_MS {
        return (Mark::Good, "clock: the same as the database's".to_owned());
    }
    let sentence =
        format!("clock: {apart_ms} ms apart from the database's; let both machines follow a time server (NTP)");
    (Mark::Look, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_are_apart_are_named_in_both_directions() {
        assert_eq!(clock(10_000, 10_005, 10_010).0, Mark::Good);
        assert_eq!(clock(10_000, 8_001, 10_010).0, Mark::Good);
        for far in [8_000, 12_010] {
            let (mark, sentence) = clock(10_000, far, 10_010);
            assert_eq!(mark, Mark::Look);
            assert!(sentence.starts_with("clock: 2000 ms apart"), "{sentence}");
        }
    }

    #[test]
    fn the_schema_may_be_missing_old_or_newer() {
        for (applied, mark, words) in [
            (&[][..], Mark::Good, "no tables yet"),
            (&[1, 2], Mark::Good, "up to date"),
            (&[1], Mark::Good, "1 migrations are due"),
            (&[1, 2, 3], Mark::Look, "1 migrations of a newer release"),
        ] {
            let (found, sentence) = schema(&[1, 2], applied);
            assert!(found == mark && sentence.contains(words), "{applied:?}: {sentence}");
        }
    }

    #[test]
    fn a_taken_port_and_a_folder_that_cannot_be_written_are_found() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (mark, sentence) = port("--listen", taken.local_addr().expect("its address"));
        assert!(mark == Mark::Look && sentence.contains("in use"), "{sentence}");
        let folder = tempfile::tempdir().expect("a folder");
        let (mark, sentence) = disk("spool folder", &folder.path().join("not/there/yet"));
        assert!(mark != Mark::Mend && sentence.contains("can be written"), "{sentence}");
        let (mark, sentence) = disk("spool folder", Path::new("/proc/castellan"));
        assert!(mark == Mark::Mend && sentence.contains("cannot write"), "{sentence}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "nothing is left");
    }
}
