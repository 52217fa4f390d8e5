//! Open files: every connection is one, and so is everything that the server needs to serve it.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Files that the server itself opens: event queues, listeners, logs, spool files, `/proc`.
const OWN: u64 = 48;

/// Files of each socket thread: its event queue and the means to wake it.
const EACH_WORKER: u64 = 4;

/// Files of each database connection. SQLite opens the database, its log and the log's index.
const EACH_DATABASE_CONNECTION: u64 = 3;

/// Most connections to the operators' address. They have these to themselves, however many players there are.
const OPERATORS: u64 = 32;

/// Fewest player connections with which the server starts.
const PLAYERS_MIN: u64 = 16;

/// How many connections fit into the limit of open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    /// HTTP connections of players.
    pub(super) http: usize,
    /// WebSockets.
    pub(super) sockets: usize,
    /// Connections of operators.
    pub(super) operators: usize,
    /// File descriptors of players' connections must be below this. The system assigns the lowest free number, so a
    /// higher one means that only the reserve is left.
    pub(super) players_below: u64,
    /// The same for an operator's connection: above it lies the reserve of the database.
    pub(super) operators_below: u64,
}

/// The number of files that the settings ask for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    http: usize,
    sockets: usize,
    workers: usize,
    database: u32,
}

/// Raises the limit of open files as far as the system allows, and shares it out.
///
/// # Errors
///
/// If even the fewest connections do not fit.
pub(super) fn share_out(config: &Config, workers: usize) -> anyhow::Result<Room> {
    let limit = raise();
    let wanted = Wanted {
        http: config.listen.connections_max,
        sockets: config.socket.connections_max,
        workers,
        database: config.database.pool_size,
    };
    let room = wanted.within(limit).map_err(|least| {
        anyhow::anyhow!("this process may open only {limit} files, but it needs {least}; raise the limit (ulimit -n)")
    })?;
    if (room.http, room.sockets) != (wanted.http, wanted.sockets) {
        tracing::warn!(
            "this process may open {limit} files, enough for {} sockets and {} HTTP connections instead of {} and {}; \
             raise the hard limit (ulimit -Hn, LimitNOFILE=), or lower socket.connections_max and http.connections_max",
            room.sockets,
            room.http,
            wanted.sockets,
            wanted.http,
        );
    }
    Ok(room)
}

/// Raises the soft limit to the hard one. Returns the limit that holds now.
fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!(%error, "cannot raise the limit on open files");
            limit.current
        }
    };
    current.unwrap_or(u64::MAX)
}

impl Wanted {
    /// Shares out a limit. HTTP connections get at least a quarter of what is left for players, because every socket
    /// begins as one. The error is the least limit that would do.
    fn within(self, limit: u64) -> Result<Room, u64> {
        let own = OWN + self.workers as u64 * EACH_WORKER;
        // One more: SQLite has a writer beside the pool.
        let database = (u64::from(self.database) + 1) * EACH_DATABASE_CONNECTION;
        let least = own + database + OPERATORS + PLAYERS_MIN;
        if limit < least {
            return Err(least);
        }
        let operators_below = limit - database;
        let players_below = operators_below - OPERATORS;
        let places = usize::try_from(players_below - own).unwrap_or(usize::MAX);
        let http = self.http.min((places / 4).max(places.saturating_sub(self.sockets)));
        let sockets = self.sockets.min(places - http);
        Ok(Room { http, sockets, operators: OPERATORS as usize, players_below, operators_below })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Wanted = Wanted { http: 4_096, sockets: 100_000, workers: 2, database: 8 };

    #[test]
    fn a_high_limit_changes_nothing_and_a_low_one_is_shared_out() {
        for (limit, http, sockets) in
            [(u64::MAX, 4_096, 100_000), (524_288, 4_096, 100_000), (65_536, 4_096, 61_325), (1_024, 227, 682)]
        {
            let room = WANTED.within(limit).expect("it fits");
            assert_eq!((room.http, room.sockets), (http, sockets), "{limit}");
            assert!(room.players_below + OPERATORS == room.operators_below && room.operators_below < limit);
        }
        let room = Wanted { sockets: 10, ..WANTED }.within(1_024).expect("it fits");
        assert_eq!((room.http, room.sockets), (899, 10), "HTTP gets what sockets do not want");
    }

    #[test]
    fn a_limit_that_leaves_no_room_for_players_is_refused() {
        let Err(least) = WANTED.within(64) else { panic!("64 files are too few") };
        assert_eq!(WANTED.within(least - 1), Err(least));
        let room = WANTED.within(least).expect("it fits");
        assert_eq!((room.http, room.sockets), (4, 12));
    }
}
