//! What a test adds to the database: a table that notes every row ever written, and a way to have one refused.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use castellan_protocol::{CharacterId, Currency, InventoryEntry, RequestId};
use client_sim::player::trace::Counters;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};
use uuid::Uuid;

use crate::evidence::{LeaseThen, Write};

/// The custom setting by which a server's connections say which one they are of: `?options[torture.server]=3`.
pub const SERVER_SETTING: &str = "torture.server";

/// The tables and the trigger. The trigger looks at the lease in the writer's own transaction, but with fresh eyes: in
/// read committed each statement sees what was committed before it.
const SETUP: &str = "
CREATE TABLE torture_writes (
    place bigserial PRIMARY KEY,
    character_id uuid NOT NULL,
    version bigint NOT NULL,
    recoveries bigint NOT NULL,
    request_ids bigint[] NOT NULL,
    currency jsonb NOT NULL,
    inventory jsonb NOT NULL,
    lease_recoveries bigint NOT NULL,
    lease_released boolean NOT NULL,
    lease_node text,
    writer text
);
CREATE TABLE torture_refused (character_id uuid PRIMARY KEY);
CREATE FUNCTION torture_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM torture_refused WHERE character_id = NEW.id) THEN
        RAISE EXCEPTION 'this character is refused on purpose' USING ERRCODE = 'check_violation';
    END IF;
    INSERT INTO torture_writes (character_id, version, recoveries, request_ids, currency, inventory,
        lease_recoveries, lease_released, lease_node, writer)
    SELECT NEW.id, NEW.version, NEW.recoveries, NEW.request_ids, NEW.state -> 'currency', NEW.state -> 'inventory',
        lease.recoveries, lease.released, lease.node, current_setting('torture.server', true)
    FROM shard_leases AS lease WHERE lease.shard = NEW.shard;
    RETURN NULL;
END $$;
CREATE TRIGGER torture_note AFTER INSERT OR UPDATE ON characters FOR EACH ROW EXECUTE FUNCTION torture_note();
";

/// A connection of the test's own, past every proxy.
pub struct History {
    url: String,
}

impl History {
    /// Adds the table and the trigger to a database that has the server's tables.
    ///
    /// # Errors
    ///
    /// What PostgreSQL says.
    pub async fn set_up(url: &str) -> Result<Self> {
        let history = Self { url: url.to_owned() };
        sqlx::raw_sql(SETUP).execute(&mut history.connect().await?).await.context("the notes cannot be set up")?;
        Ok(history)
    }

    /// Has the database refuse every further row of a character, or take them again.
    ///
    /// # Errors
    ///
    /// What PostgreSQL says.
    pub async fn refuse(&self, character: CharacterId, refused: bool) -> Result<()> {
        let statement = if refused {
            "INSERT INTO torture_refused VALUES ($1) ON CONFLICT DO NOTHING"
        } else {
            "DELETE FROM torture_refused WHERE character_id = $1"
        };
        sqlx::query(statement).bind(character.uuid()).execute(&mut self.connect().await?).await?;
        Ok(())
    }

    /// Some characters, in the order of their ids.
    ///
    /// # Errors
    ///
    /// What PostgreSQL says.
    pub async fn characters(&self) -> Result<Vec<CharacterId>> {
        self.ids("SELECT id FROM characters ORDER BY id").await
    }

    /// The characters that have a dead letter.
    ///
    /// # Errors
    ///
    /// What PostgreSQL says.
    pub async fn dead_letters(&self) -> Result<BTreeSet<CharacterId>> {
        Ok(self.ids("SELECT character_id FROM dead_letters").await?.into_iter().collect())
    }

    /// Every row that was written and committed, in order.
    ///
    /// # Errors
    ///
    /// What PostgreSQL says, or that a row is not as it must be.
    pub async fn writes(&self) -> Result<Vec<Write>> {
        let rows = sqlx::query(
            "SELECT character_id, version, recoveries, request_ids, currency::text AS currency, \
             inventory::text AS inventory, lease_recoveries, lease_released, lease_node, writer \
             FROM torture_writes ORDER BY place",
        )
        .fetch_all(&mut self.connect().await?)
        .await?;
        rows.iter().map(write).collect()
    }

    /// The rows as they are now.
    ///
    /// # Errors
    ///
    /// As [`History::writes`].
    pub async fn rows(&self) -> Result<Vec<Write>> {
        let rows = sqlx::query(
            "SELECT id AS character_id, version, recoveries, request_ids, (state -> 'currency')::text AS currency, \
             (state -> 'inventory')::text AS inventory, 0::bigint AS lease_recoveries, false AS lease_released, \
             NULL::text AS lease_node, NULL::text AS writer FROM characters ORDER BY id",
        )
        .fetch_all(&mut self.connect().await?)
        .await?;
        rows.iter().map(write).collect()
    }

    async fn connect(&self) -> Result<PgConnection> {
        PgConnection::connect(&self.url).await.context("PostgreSQL cannot be reached")
    }

    async fn ids(&self, query: &'static str) -> Result<Vec<CharacterId>> {
        let ids: Vec<Uuid> = sqlx::query_scalar(query).fetch_all(&mut self.connect().await?).await?;
        Ok(ids.into_iter().map(CharacterId::from_uuid).collect())
    }
}

fn write(row: &PgRow) -> Result<Write> {
    let currency: Currency = serde_json::from_str(row.try_get("currency")?)?;
    let inventory: Vec<InventoryEntry> = serde_json::from_str(row.try_get("inventory")?)?;
    let ids: Vec<i64> = row.try_get("request_ids")?;
    Ok(Write {
        character: CharacterId::from_uuid(row.try_get("character_id")?),
        version: u64::try_from(row.try_get::<i64, _>("version")?)?,
        recoveries: row.try_get("recoveries")?,
        ids: ids.into_iter().map(|id| Ok(RequestId::new(u64::try_from(id)?))).collect::<Result<_>>()?,
        counters: Counters::read(&currency, &inventory),
        lease: Some(LeaseThen {
            recoveries: row.try_get("lease_recoveries")?,
            released: row.try_get("lease_released")?,
            holder: row.try_get::<Option<&str>, _>("lease_node")?.and_then(process_of),
        }),
        writer: row.try_get::<Option<&str>, _>("writer")?.and_then(|number| number.parse().ok()),
    })
}

/// The process that a lease's holder names itself by: `127.0.0.1:8080 (process 4711)`.
fn process_of(node: &str) -> Option<u32> {
    let (_, process) = node.rsplit_once("(process ")?;
    process.strip_suffix(')')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_names_its_process() {
        assert_eq!(process_of("127.0.0.1:8080 (process 4711)"), Some(4711));
        assert_eq!(process_of("somebody"), None);
    }
}
