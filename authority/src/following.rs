//! What a shard follows: the rules, and the schema that states are stored in.

use std::sync::Arc;

use castellan_game::Game;

use crate::core::Core;
use crate::effect::Subscriber;
use crate::row::WITH_BOOKS;

impl<G: Game, S: Subscriber> Core<G, S> {
    /// Switches to other rules.
    pub fn use_rules(&mut self, rules: &Arc<G::Rules>) {
        self.rules = Arc::clone(rules);
        self.rosters.values_mut().flat_map(|roster| &mut roster.entries).for_each(|entry| entry.kept.clear());
    }

    /// Refuses more gifts, offers and acceptances of a character in a minute from here on.
    pub fn limit_deals(&mut self, per_minute: u32) {
        self.deals_per_minute = per_minute;
    }

    /// Stores states in this schema from here on, which may be older than the newest one. Below [`WITH_BOOKS`] there is a
    /// server that cannot read books, so there are no gifts and trades.
    pub fn store_in_schema(&mut self, schema_version: i32) {
        self.stores_books = schema_version >= WITH_BOOKS;
        self.schema_version = (schema_version % WITH_BOOKS).min(G::SCHEMA_VERSION);
    }
}
