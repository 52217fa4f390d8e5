//! `castellan upgrade finish`: nodes store characters in the newest schema that all of them read.

use std::io::Write;

use super::nodes::{DEAD_MS, membership};
use crate::storage::{NodeKind, Present, Storage, reads, schema_name};

/// Raises the schema that nodes store to the newest one that a living node reads, if all others read it, too.
pub(super) async fn finish(storage: &dyn Storage, out: &mut dyn Write) -> anyhow::Result<()> {
    let membership = membership(storage).await?;
    let nodes = membership.nodes().await?;
    let is_alive = |present: &&Present| present.node.kind == NodeKind::Node && present.seen_ago_ms < DEAD_MS;
    let alive: Vec<&Present> = nodes.iter().filter(is_alive).collect();
    let Some(newest) = alive.iter().map(|present| present.node.schema_version).max() else {
        anyhow::bail!("no node is alive on this database; start all nodes first")
    };
    let stored = membership.agreed().await?.stored_schema;
    if stored >= newest {
        writeln!(out, "nothing to do: characters are stored in schema {} already", schema_name(stored))?;
        return Ok(());
    }
    let behind = alive.iter().filter(|present| !reads(present.node.schema_version, newest));
    let behind: Vec<String> = behind
        .map(|Present { node, .. }| format!("{} (up to {})", node.name, schema_name(node.schema_version)))
        .collect();
    let (newest_name, stored_name) = (schema_name(newest), schema_name(stored));
    if !behind.is_empty() {
        anyhow::bail!("these nodes cannot read schema {newest_name}: {}; update or stop them first", behind.join(", "));
    }
    if membership.raise_schema(newest, DEAD_MS).await? < newest {
        anyhow::bail!("a node that cannot read schema {newest_name} has just joined; see castellan nodes");
    }
    writeln!(out, "characters are stored in schema {newest_name} from now on, before that in schema {stored_name}")?;
    writeln!(out, "nodes that cannot read schema {newest_name} do not start any more")?;
    Ok(())
}
