//! `castellan nodes`: the processes on this database.

use std::io::Write;

use crate::storage::{Present, Storage};

/// The names of the columns.
const HEAD: [&str; 9] = ["name", "kind", "process", "address", "shards", "weight", "draining", "seen", "versions"];

/// Lists all registered processes.
pub(super) async fn run(storage: &dyn Storage, out: &mut dyn Write) -> anyhow::Result<()> {
    let Some(membership) = storage.membership() else {
        anyhow::bail!("only one server at a time can use an SQLite database; nodes need PostgreSQL (--database-url)")
    };
    storage.migrate().await?;
    let (nodes, owners) = (membership.nodes().await?, membership.owners().await?);
    let shards_of = |present: &Present| owners.iter().filter(|owned| owned.owner == Some(present.node.process)).count();
    let rows: Vec<[String; 9]> = nodes.iter().map(|present| row(present, shards_of(present))).collect();
    if rows.is_empty() {
        writeln!(out, "no server or node is registered on this database")?;
    } else {
        write_table(&rows, out)?;
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

fn row(Present { node, seen_ago_ms, .. }: &Present, shards: usize) -> [String; 9] {
    let mut versions = format!("catalogue {}, schema {}", node.catalogue, node.schema_version);
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
        format!("{} s ago", seen_ago_ms.max(&0) / 1_000),
        versions,
    ]
}

/// Writes rows below the names of their columns.
fn write_table(rows: &[[String; 9]], out: &mut dyn Write) -> std::io::Result<()> {
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
