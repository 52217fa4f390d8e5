//! The books of characters.

use castellan_protocol::CharacterId;
use serde_json::Value;

use super::Tables;
use crate::storage::{BooksRow, CharacterRow, ShardId, WITH_BOOKS};

impl Tables {
    pub(in super::super) fn books(&self, characters: &[CharacterId]) -> Vec<BooksRow> {
        characters.iter().filter_map(|id| self.characters.get(id)).map(row).collect()
    }

    pub(in super::super) fn traders(&self, shards: &[ShardId], after: Option<CharacterId>, max: u32) -> Vec<BooksRow> {
        let trades = |row: &&CharacterRow| {
            row.schema_version >= WITH_BOOKS && shards.contains(&row.shard) && after.is_none_or(|after| row.id > after)
        };
        let mut traders: Vec<_> = self.characters.values().filter(trades).map(row).collect();
        traders.sort_by_key(|row| row.id);
        traders.truncate(max as usize);
        traders
    }
}

fn row(row: &CharacterRow) -> BooksRow {
    let state: Option<Value> =
        (row.schema_version >= WITH_BOOKS).then(|| serde_json::from_str(&row.state).expect("a state is JSON"));
    BooksRow {
        id: row.id,
        user: row.user,
        is_deleted: row.deleted_at_ms.is_some(),
        books: state.map(|state| state.get("books").unwrap_or(&Value::Null).to_string()),
    }
}
