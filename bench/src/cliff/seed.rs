//! Writes rows directly into a server's database while the server is stopped.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use castellan_srd::wire::{CharacterId, UserId};
use rand::RngExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{Connection, Row};
use uuid::{Builder, Uuid};

use crate::errands::Owned;

/// Rows written by one statement.
const ROWS_A_STATEMENT: usize = 10_000;

/// SQLite's cache in KiB, negative as SQLite requires: holds all pages until the commit.
const CACHE: &str = "-262144";

/// Parameters of 64-bit FNV-1a, which spreads users over shards.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// Number of shards.
const SHARDS: u64 = 256;

/// The shard of a user, as the server computes it.
pub(crate) fn shard_of(user: UserId) -> u64 {
    let hash =
        user.uuid().as_bytes().iter().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME));
    let folded = hash ^ (hash >> 32);
    (folded ^ (folded >> 16)) % SHARDS
}

/// Writes `count` users with one character each, copied from an existing one. Returns them in random order.
///
/// They have no accounts and cannot log in.
///
/// # Errors
///
/// Fails without a character to copy, or if the server does not spread users like [`shard_of`].
pub(super) fn seed(database: &Path, count: usize) -> Result<Vec<Owned>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut people = people(count);
    runtime.block_on(write(database, &people)).context("cannot write rows into the server's database")?;
    let mut rng = rand::rng();
    for place in (1..people.len()).rev() {
        people.swap(place, rng.random_range(0..=place));
    }
    Ok(people)
}

/// Random ids, in ascending order for users and characters, so that the database appends to its trees.
fn people(count: usize) -> Vec<Owned> {
    let mut rng = rand::rng();
    let mut ids = || {
        let mut ids: Vec<Uuid> = (0..count).map(|_| Builder::from_random_bytes(rng.random()).into_uuid()).collect();
        ids.sort_unstable();
        ids
    };
    let (users, characters) = (ids(), ids());
    let owned =
        |(user, character)| Owned { user: UserId::from_uuid(user), character: CharacterId::from_uuid(character) };
    users.into_iter().zip(characters).map(owned).collect()
}

/// The row that is copied.
struct Pattern {
    id: String,
    user: String,
    state: String,
}

async fn write(database: &Path, people: &[Owned]) -> Result<()> {
    // The server is stopped and the file can be created again, so nothing needs to survive a power loss.
    let options =
        SqliteConnectOptions::new().filename(database).synchronous(SqliteSynchronous::Off).pragma("cache_size", CACHE);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let pattern = pattern(&mut connection).await?;
    let mut transaction = connection.begin().await?;
    for people in people.chunks(ROWS_A_STATEMENT) {
        let rows: Vec<(String, String, u64)> = people
            .iter()
            .map(|Owned { user, character }| (character.to_string(), user.to_string(), shard_of(*user)))
            .collect();
        sqlx::query(
            "INSERT INTO characters (id, user_id, shard, name, version, recoveries, schema_version, state, \
             request_ids, created_at_ms, updated_at_ms, deleted_at_ms) \
             SELECT new.value ->> 0, new.value ->> 1, new.value ->> 2, old.name, old.version, old.recoveries, \
             old.schema_version, replace(replace(?2, ?3, new.value ->> 0), ?4, new.value ->> 1), old.request_ids, \
             old.created_at_ms, old.updated_at_ms, old.deleted_at_ms \
             FROM characters AS old CROSS JOIN json_each(?1) AS new WHERE old.id = ?3",
        )
        .bind(serde_json::to_string(&rows)?)
        .bind(&pattern.state)
        .bind(&pattern.id)
        .bind(&pattern.user)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(connection.close().await?)
}

async fn pattern(connection: &mut SqliteConnection) -> Result<Pattern> {
    let row = sqlx::query("SELECT id, user_id, shard, state FROM characters WHERE deleted_at_ms IS NULL LIMIT 1")
        .fetch_one(connection)
        .await
        .context("the database has no character to copy")?;
    let pattern = Pattern { id: row.try_get("id")?, user: row.try_get("user_id")?, state: row.try_get("state")? };
    let shard = shard_of(UserId::from_uuid(pattern.user.parse()?));
    ensure!(
        u64::try_from(row.try_get::<i64, _>("shard")?)? == shard,
        "the server spreads users over shards differently; update shard_of"
    );
    ensure!(
        pattern.state.contains(&pattern.id) && pattern.state.contains(&pattern.user),
        "a stored state must contain its ids"
    );
    Ok(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_in_the_same_shard_as_in_the_server() {
        let user = "a1c59182-98e0-4cc5-a41d-f032ee19d21f".parse().map(UserId::from_uuid).expect("an id");
        assert_eq!(shard_of(user), 94);
    }
}
