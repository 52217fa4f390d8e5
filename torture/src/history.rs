//! Additions to the database: a table that records every row ever written, and a way to refuse a row.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use castellan_authority::BooksOf;
use castellan_srd::Srd;
use castellan_srd::wire::{CharacterId, Currency, InventoryEntry, RequestId};
use client_sim::recorded::trace::Counters;
use serde::Deserialize;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

use crate::evidence::{LeaseThen, Write};
use crate::wares::Wares;

/// The custom setting that names the server of a connection: `?options[torture.server]=3`.
pub const SERVER_SETTING: &str = "torture.server";

/// Time limit for waiting while a server writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Time between two looks at the database.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The tables and triggers. The first trigger reads the lease in the writer's transaction, but sees its newest state: at
/// the level "read committed" each statement sees everything committed before it.
const POSTGRES_SETUP: &str = "
CREATE TABLE torture_writes (
    place bigserial PRIMARY KEY,
    character_id uuid NOT NULL,
    version bigint NOT NULL,
    recoveries bigint NOT NULL,
    request_ids bigint[] NOT NULL,
    currency jsonb NOT NULL,
    inventory jsonb NOT NULL,
    books jsonb,
    lease_recoveries bigint NOT NULL,
    lease_released boolean NOT NULL,
    lease_node text,
    lease_process uuid,
    writer text
);
CREATE TABLE torture_refused (character_id uuid PRIMARY KEY);
CREATE FUNCTION torture_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM torture_refused WHERE character_id = NEW.id) THEN
        RAISE EXCEPTION 'this character is refused on purpose' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO torture_writes (character_id, version, recoveries, request_ids, currency, inventory,
        books, lease_recoveries, lease_released, lease_node, lease_process, writer)
    SELECT NEW.id, NEW.version, NEW.recoveries, NEW.request_ids, NEW.state -> 'currency', NEW.state -> 'inventory',
        NEW.state -> 'books', lease.recoveries, lease.released, lease.node, lease.process, current_setting('torture.server', true)
    FROM shard_leases AS lease WHERE lease.shard = NEW.shard;
    RETURN NULL;
END $$;
CREATE TRIGGER torture_note AFTER INSERT OR UPDATE ON characters FOR EACH ROW EXECUTE FUNCTION torture_note();
CREATE FUNCTION torture_hold() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(4711);
    IF EXISTS (
        SELECT 1 FROM torture_refused JOIN dead_letters AS letter USING (character_id)
        WHERE character_id = NEW.id AND NEW.version > letter.version AND NEW.version < letter.version + 1048576
    ) THEN
        PERFORM pg_advisory_xact_lock_shared(4713);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER torture_hold BEFORE INSERT ON characters FOR EACH ROW EXECUTE FUNCTION torture_hold();
CREATE FUNCTION torture_hold_letter() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(4712);
    RETURN NEW;
END $$;
CREATE TRIGGER torture_hold_letter BEFORE INSERT ON dead_letters
    FOR EACH ROW EXECUTE FUNCTION torture_hold_letter();
";

/// A point in PostgreSQL where writers can be held: an advisory lock in the triggers above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Holds writers of characters.
    Writes = 4711,
    /// Holds writers of dead letters.
    Letters = 4712,
    /// Holds writers of a refused character in a state newer than its dead letter. An operator's decision passes, because
    /// its version is a jump above the letter's.
    NewerThanLetter = 4713,
}

/// Close and open a gate.
const CLOSE: &str = "SELECT pg_advisory_lock($1::bigint)";
const OPEN: &str = "SELECT pg_advisory_unlock($1::bigint)";

/// Counts writers that wait at a gate.
const HELD_UP: &str =
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = $1 AND NOT granted";

/// The same for SQLite, where only one process has the file, so leases need no proof.
const SQLITE_SETUP: &str = "
CREATE TABLE torture_writes (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    character_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    recoveries INTEGER NOT NULL,
    request_ids TEXT NOT NULL,
    currency TEXT NOT NULL,
    inventory TEXT NOT NULL,
    books TEXT
);
CREATE TABLE torture_refused (character_id TEXT PRIMARY KEY);
CREATE TRIGGER torture_note_insert AFTER INSERT ON characters BEGIN
    SELECT RAISE(ABORT, 'this character is refused on purpose')
    WHERE EXISTS (SELECT 1 FROM torture_refused WHERE character_id = NEW.id);
    INSERT INTO torture_writes (character_id, version, recoveries, request_ids, currency, inventory, books)
    VALUES (NEW.id, NEW.version, NEW.recoveries, NEW.request_ids, NEW.state -> '$.currency', NEW.state -> '$.inventory',
        NEW.state -> '$.books');
END;
CREATE TRIGGER torture_note_update AFTER UPDATE ON characters BEGIN
    SELECT RAISE(ABORT, 'this character is refused on purpose')
    WHERE EXISTS (SELECT 1 FROM torture_refused WHERE character_id = NEW.id);
    INSERT INTO torture_writes (character_id, version, recoveries, request_ids, currency, inventory, books)
    VALUES (NEW.id, NEW.version, NEW.recoveries, NEW.request_ids, NEW.state -> '$.currency', NEW.state -> '$.inventory',
        NEW.state -> '$.books');
END;
";

/// The same statement for each database.
struct Statement {
    postgres: &'static str,
    sqlite: &'static str,
}

const WRITES: Statement = Statement {
    postgres: "SELECT json_build_object('character', character_id, 'version', version, 'recoveries', recoveries, \
        'ids', request_ids, 'currency', currency, 'inventory', inventory, 'books', books, 'lease', json_build_object('recoveries', \
        lease_recoveries, 'released', lease_released, 'node', lease_node, 'process', lease_process), 'writer', writer)::text \
        FROM torture_writes ORDER BY place",
    sqlite: "SELECT json_object('character', character_id, 'version', version, 'recoveries', recoveries, \
        'ids', json(request_ids), 'currency', json(currency), 'inventory', json(inventory), 'books', json(books)) \
        FROM torture_writes ORDER BY place",
};

const ROWS: Statement = Statement {
    postgres: "SELECT json_build_object('character', id, 'version', version, 'recoveries', recoveries, \
        'ids', request_ids, 'currency', state -> 'currency', 'inventory', state -> 'inventory', \
        'books', state -> 'books')::text \
        FROM characters ORDER BY id",
    sqlite: "SELECT json_object('character', id, 'version', version, 'recoveries', recoveries, \
        'ids', json(request_ids), 'currency', state -> '$.currency', 'inventory', state -> '$.inventory', \
        'books', state -> '$.books') \
        FROM characters ORDER BY id",
};

const NEWEST_PLACE: Statement = Statement {
    postgres: "SELECT coalesce(max(place), 0) FROM torture_writes",
    sqlite: "SELECT coalesce(max(place), 0) FROM torture_writes",
};

const WRITTEN_SINCE: Statement = Statement {
    postgres: "SELECT json_build_array(place, character_id)::text FROM torture_writes WHERE place > $1 ORDER BY place",
    sqlite: "SELECT json_array(place, character_id) FROM torture_writes WHERE place > ?1 ORDER BY place",
};

const DEAD_LETTERS: Statement = Statement {
    postgres: "SELECT character_id::text FROM dead_letters",
    sqlite: "SELECT character_id FROM dead_letters",
};

const REFUSE: Statement = Statement {
    postgres: "INSERT INTO torture_refused VALUES ($1::uuid) ON CONFLICT DO NOTHING",
    sqlite: "INSERT INTO torture_refused VALUES (?1) ON CONFLICT DO NOTHING",
};

const ACCEPT: Statement = Statement {
    postgres: "DELETE FROM torture_refused WHERE character_id = $1::uuid",
    sqlite: "DELETE FROM torture_refused WHERE character_id = ?1",
};

/// A row as JSON, the same from both databases.
#[derive(Deserialize)]
struct Noted {
    character: CharacterId,
    version: u64,
    recoveries: i64,
    ids: Vec<RequestId>,
    currency: Currency,
    inventory: Vec<InventoryEntry>,
    books: Option<BooksOf<Srd>>,
    lease: Option<NotedLease>,
    writer: Option<String>,
}

#[derive(Deserialize)]
struct NotedLease {
    recoveries: i64,
    released: bool,
    node: Option<String>,
    process: Option<Uuid>,
}

impl From<Noted> for Write {
    fn from(noted: Noted) -> Self {
        Self {
            character: noted.character,
            version: noted.version,
            recoveries: noted.recoveries,
            ids: noted.ids,
            counters: Counters::read(&noted.currency, &noted.inventory),
            goods: Wares::read(&noted.currency, &noted.inventory),
            books: noted.books.unwrap_or_default(),
            lease: noted.lease.map(|lease| LeaseThen {
                recoveries: lease.recoveries,
                released: lease.released,
                holder: lease.node.as_deref().and_then(process_of),
                owner: lease.process,
            }),
            writer: noted.writer.and_then(|number| number.parse().ok()),
        }
    }
}

/// The address of the database, without a proxy.
#[derive(Debug, Clone)]
pub enum Place {
    /// PostgreSQL, by its URL.
    Postgres(String),
    /// A SQLite file.
    Sqlite(PathBuf),
}

impl Place {
    /// Its URL for the server.
    pub fn url(&self) -> String {
        match self {
            Self::Postgres(url) => url.clone(),
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
        }
    }
}

/// The torture's own access to the database.
pub struct History {
    place: Place,
}

impl History {
    /// Adds the tables and triggers to a database with the server's tables.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn set_up(place: Place) -> Result<Self> {
        match &place {
            Place::Postgres(url) => sqlx::raw_sql(POSTGRES_SETUP).execute(&mut postgres(url).await?).await.map(drop),
            Place::Sqlite(path) => sqlx::raw_sql(SQLITE_SETUP).execute(&mut sqlite(path).await?).await.map(drop),
        }
        .context("cannot set up the tables and triggers")?;
        Ok(Self { place })
    }

    /// The address of the database.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Another PostgreSQL has the database from now on.
    pub fn move_to(&mut self, url: String) {
        self.place = Place::Postgres(url);
    }

    /// Makes the database refuse, or accept again, all rows of a character.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn refuse(&self, character: CharacterId, refused: bool) -> Result<()> {
        let statement = if refused { REFUSE } else { ACCEPT };
        let id = character.to_string();
        match &self.place {
            Place::Postgres(url) => {
                sqlx::query(statement.postgres).bind(id).execute(&mut postgres(url).await?).await.map(drop)
            }
            Place::Sqlite(path) => {
                sqlx::query(statement.sqlite).bind(id).execute(&mut sqlite(path).await?).await.map(drop)
            }
        }?;
        Ok(())
    }

    /// Closes a gate in PostgreSQL.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn close(&self, gate: Gate) -> Result<ClosedGate> {
        let Place::Postgres(url) = &self.place else { bail!("this is for PostgreSQL only") };
        let mut connection = postgres(url).await?;
        sqlx::query(CLOSE).bind(gate as i64).execute(&mut connection).await?;
        Ok(ClosedGate { connection, gate })
    }

    /// The place of the newest write.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn newest_place(&self) -> Result<i64> {
        Ok(match &self.place {
            Place::Postgres(url) => {
                sqlx::query_scalar(NEWEST_PLACE.postgres).fetch_one(&mut postgres(url).await?).await
            }
            Place::Sqlite(path) => sqlx::query_scalar(NEWEST_PLACE.sqlite).fetch_one(&mut sqlite(path).await?).await,
        }?)
    }

    /// The characters of all writes after a place, each with its place, oldest first.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn written_since(&self, place: i64) -> Result<Vec<(i64, CharacterId)>> {
        let texts: Vec<String> = match &self.place {
            Place::Postgres(url) => {
                let query = sqlx::query_scalar(WRITTEN_SINCE.postgres).bind(place);
                query.fetch_all(&mut postgres(url).await?).await
            }
            Place::Sqlite(path) => {
                sqlx::query_scalar(WRITTEN_SINCE.sqlite).bind(place).fetch_all(&mut sqlite(path).await?).await
            }
        }?;
        texts.iter().map(|text| Ok(serde_json::from_str(text)?)).collect()
    }

    /// The characters with a dead letter.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn dead_letters(&self) -> Result<BTreeSet<CharacterId>> {
        self.texts(&DEAD_LETTERS).await?.iter().map(|id| Ok(id.parse()?)).collect()
    }

    /// Every row that was written and committed, in order.
    ///
    /// # Errors
    ///
    /// An error of the database, or an invalid row.
    pub async fn writes(&self) -> Result<Vec<Write>> {
        self.noted(&WRITES).await
    }

    /// The current rows.
    ///
    /// # Errors
    ///
    /// As [`History::writes`].
    pub async fn rows(&self) -> Result<Vec<Write>> {
        self.noted(&ROWS).await
    }

    async fn noted(&self, statement: &Statement) -> Result<Vec<Write>> {
        let noted = |text: &String| Ok(serde_json::from_str::<Noted>(text)?.into());
        self.texts(statement).await?.iter().map(noted).collect()
    }

    async fn texts(&self, statement: &Statement) -> Result<Vec<String>> {
        Ok(match &self.place {
            Place::Postgres(url) => sqlx::query_scalar(statement.postgres).fetch_all(&mut postgres(url).await?).await,
            Place::Sqlite(path) => sqlx::query_scalar(statement.sqlite).fetch_all(&mut sqlite(path).await?).await,
        }?)
    }
}

/// A closed gate. Its writers continue when it is opened or dropped.
pub struct ClosedGate {
    connection: PgConnection,
    gate: Gate,
}

impl ClosedGate {
    /// Waits until a writer is held. Returns true if one came in time.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn holds_somebody(&mut self, within: Duration) -> Result<bool> {
        let wait = async {
            let held_up = || sqlx::query_scalar::<_, i64>(HELD_UP).bind(self.gate as i64);
            while held_up().fetch_one(&mut self.connection).await? == 0 {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(within, wait).await.map_or(Ok(false), |came| came.map(|()| true))
    }

    /// Lets the writers continue.
    ///
    /// # Errors
    ///
    /// An error of the database.
    pub async fn open(mut self) -> Result<()> {
        sqlx::query(OPEN).bind(self.gate as i64).execute(&mut self.connection).await?;
        Ok(())
    }
}

async fn postgres(url: &str) -> Result<PgConnection> {
    PgConnection::connect(url).await.context("cannot reach PostgreSQL")
}

async fn sqlite(path: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT);
    options.connect().await.context("cannot open the SQLite file")
}

/// The process in the name of a lease's holder: `127.0.0.1:8080 (process 4711, 0badcafe)`.
fn process_of(node: &str) -> Option<u32> {
    let (_, process) = node.rsplit_once("(process ")?;
    process.split_once(',')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_names_its_process() {
        assert_eq!(process_of("127.0.0.1:8080 (process 4711, 0badcafe)"), Some(4711));
        assert_eq!(process_of("somebody"), None);
    }

    #[tokio::test]
    async fn written_rows_are_recorded_and_refused_rows_are_not_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let mut connection = options.connect().await.expect("a new file");
        let table = "CREATE TABLE characters (id TEXT PRIMARY KEY, version INTEGER, recoveries INTEGER, state TEXT, \
                     request_ids TEXT)";
        sqlx::raw_sql(table).execute(&mut connection).await.expect("a table");
        let history = History::set_up(Place::Sqlite(path)).await.expect("notes");
        let id: CharacterId = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".parse().expect("a UUID");
        let insert = "INSERT INTO characters VALUES (?1, 1, 0, '{\"currency\":{\"cp\":4,\"sp\":0,\"ep\":0,\"gp\":0,\
                      \"pp\":0},\"inventory\":[{\"item\":\"abacus\",\"quantity\":2}]}', '[7]')";
        sqlx::query(insert).bind(id.to_string()).execute(&mut connection).await.expect("a row");
        history.refuse(id, true).await.expect("a note");
        let update = "UPDATE characters SET version = version + 1, request_ids = '[7,8]'";
        sqlx::raw_sql(update).execute(&mut connection).await.expect_err("it is refused");
        history.refuse(id, false).await.expect("a note");
        sqlx::raw_sql(update).execute(&mut connection).await.expect("another row");
        let writes = history.writes().await.expect("notes");
        assert_eq!(writes.iter().map(|write| write.version).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(writes[1].ids, [RequestId::new(7), RequestId::new(8)]);
        assert_eq!(writes[1].counters.coins(), 4);
        assert_eq!(history.rows().await.expect("rows"), writes[1..]);
        let since = async |place| history.written_since(place).await.expect("notes");
        assert_eq!((since(0).await, since(1).await), (vec![(1, id), (2, id)], vec![(2, id)]));
        assert_eq!(history.newest_place().await.expect("notes"), 2);
    }
}
