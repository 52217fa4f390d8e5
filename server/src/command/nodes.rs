//! `castellan nodes`, `drain` and `undrain`: the processes on this database.

use std::io::Write;
use std::time::Duration;

use castellan_cluster::membership::PERIOD;

use crate::storage::{Agreed, Membership, NodeKind, Present, Storage, schema_name};

/// The names of the columns.
const HEAD: [&str; COLUMNS] = [
    "name",
    "kind",
    "process",
    "address",
    "shards",
    "weight",
    "draining",
    "sockets",
    "intents/s",
    "dirty",
    "lag ms",
    "seen",
    "versions",
];

const COLUMNS: usize = 13;

/// How often `drain` looks how many shards are left.
const LOOK: Duration = Duration::from_millis(100);

/// Opens the table of processes.
pub(super) async fn membership(storage: &dyn Storage) -> anyhow::Result<&dyn Membership> {
    let Some(membership) = storage.membership() else {
        anyhow::bail!("only one server at a time can use an SQLite database; nodes need PostgreSQL (--database-url)")
    };
    storage.migrate().await?;
    Ok(membership)
}

/// Lets a node give its shards away, and waits until it has none.
pub(super) async fn drain(storage: &dyn Storage, name: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let membership = membership(storage).await?;
    set_draining(membership, name, true).await?;
    let mut told = usize::MAX;
    loop {
        let (nodes, owners) = (membership.nodes().await?, membership.owners().await?);
        let theirs = |owner| nodes.iter().any(|present| present.node.process == owner && present.node.name == name);
        let left = owners.iter().filter(|owned| owned.owner.is_some_and(theirs)).count();
        if left == 0 {
            writeln!(out, "{name} owns no shard any more")?;
            return Ok(());
        }
        if nodes.iter().any(|present| present.node.name == name && present.seen_ago_ms > DEAD_MS) {
            anyhow::bail!("{name} does not answer and still owns {left} shards; others take them over within seconds");
        }
        if left < told {
            writeln!(out, "{name} still owns {left} shards")?;
            told = left;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// After so many milliseconds without a heartbeat a person may call a node dead.
pub(super) const DEAD_MS: i64 = 10 * PERIOD.as_millis() as i64;

/// Lets a node have shards again.
pub(super) async fn undrain(storage: &dyn Storage, name: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    set_draining(membership(storage).await?, name, false).await?;
    writeln!(out, "{name} gets shards again within seconds")?;
    Ok(())
}

async fn set_draining(membership: &dyn Membership, name: &str, draining: bool) -> anyhow::Result<()> {
    if membership.set_draining(name, draining).await? {
        return Ok(());
    }
    let nodes = membership.nodes().await?;
    let names: Vec<&str> =
        nodes.iter().filter(|present| present.node.kind == NodeKind::Node).map(|present| &*present.node.name).collect();
    match names[..] {
        [] => anyhow::bail!("no node has the name {name}: no node is registered on this database"),
        _ => anyhow::bail!("no node has the name {name}; there are {}", names.join(", ")),
    }
}

/// Lists all registered processes.
pub(super) async fn list(storage: &dyn Storage, out: &mut dyn Write) -> anyhow::Result<()> {
    let membership = membership(storage).await?;
    let (nodes, owners) = (membership.nodes().await?, membership.owners().await?);
    let shards_of = |present: &Present| owners.iter().filter(|owned| owned.owner == Some(present.node.process)).count();
    let rows: Vec<[String; COLUMNS]> = nodes.iter().map(|present| row(present, shards_of(present))).collect();
    if rows.is_empty() {
        writeln!(out, "no server or node is registered on this database")?;
    } else {
        write_table(&rows, out)?;
    }
    let agreed = membership.agreed().await?;
    for present in &nodes {
        if let Some(problem) = problem(present, agreed) {
            writeln!(out, "{problem}")?;
        }
    }
    let newest = nodes.iter().filter(|present| present.node.kind == NodeKind::Node);
    if let Some(newest) = newest.map(|present| present.node.schema_version).max()
        && newest > agreed.stored_schema
    {
        let (stored, newest) = (schema_name(agreed.stored_schema), schema_name(newest));
        writeln!(out, "characters are stored in schema {stored}; castellan upgrade finish raises that to {newest}")?;
    }
    let unknown = owners.iter().filter(|owned| owned.owner.is_none() && !owned.released).count();
    if unknown > 0 {
        writeln!(
            out,
            "{unknown} shards were neither released nor belong to a registered process: a server of an older version \
             owns them, or the database was restored"
        )?;
    }
    Ok(())
}

/// Why a node does not use the rules that were published.
fn problem(Present { node, .. }: &Present, Agreed { revision, age_ms, .. }: Agreed) -> Option<String> {
    if node.kind != NodeKind::Node || node.rules.revision == revision {
        return None;
    }
    let (name, own) = (&node.name, node.rules.revision);
    match &node.rules.complaint {
        Some(complaint) => Some(format!("{name} uses revision {own} and gets no more shards: {complaint}")),
        None if age_ms > DEAD_MS => Some(format!("{name} uses revision {own} and gets no more shards")),
        None => Some(format!("{name} uses revision {own}; revision {revision} was published {} s ago", age_ms / 1_000)),
    }
}

fn row(Present { node, load, seen_ago_ms, .. }: &Present, shards: usize) -> [String; COLUMNS] {
    let mut versions = format!("catalogue {}", node.rules.catalogue);
    if node.rules.revision > 0 {
        versions.push_str(&format!(" (revision {})", node.rules.revision));
    }
    versions.push_str(&format!(", schema {}", schema_name(node.schema_version)));
    if let Some(link) = &node.link {
        versions.push_str(&format!(", link {} to {}", link.oldest, link.newest));
    }
    [
        node.name.clone(),
        node.kind.name().to_owned(),
        node.process.to_string(),
        node.address.clone(),
        shards.to_string(),
        node.weight.to_string(),
        if node.draining { "yes" } else { "no" }.to_owned(),
        load.sockets.to_string(),
        load.intents_per_second.to_string(),
        load.dirty.to_string(),
        load.lag_ms.to_string(),
        format!("{} s ago", seen_ago_ms.max(&0) / 1_000),
        versions,
    ]
}

/// Writes rows below the names of their columns.
fn write_table(rows: &[[String; COLUMNS]], out: &mut dyn Write) -> std::io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEAD[column].len()]).max().unwrap_or_default()
    };
    for row in std::iter::once(&HEAD.map(str::to_owned)).chain(rows) {
        let cells = row.iter().enumerate().map(|(column, cell)| format!("{cell:<0$}", width(column)));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
