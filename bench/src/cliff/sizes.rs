//! Sizes of the worlds, in connections and in places in memory.

/// Connected players, and connections with a fixed pace beside a crowd.
pub(super) const PLAYERS: usize = 64;

/// Connections that all act on the same character.
pub(super) const CROWD: usize = 100;

/// Places in memory for a user with one character.
pub(super) const PLACES_PER_USER: usize = 2;

/// Spare places with enough memory, for players and temporary entries.
pub(super) const SPARE_PLACES: usize = 10_000;
