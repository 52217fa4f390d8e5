-- Ids are lower-case hyphenated UUIDs, times are milliseconds since the Unix epoch.

-- Who may log in. `username_folded` is the name in lower case, as the server folds it, so that both databases agree.
CREATE TABLE accounts (
    user_id TEXT PRIMARY KEY NOT NULL,
    username TEXT NOT NULL,
    username_folded TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;

-- Logins. `generation` counts refreshes.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    rotated_at_ms INTEGER NOT NULL,
    expires_at_ms INTEGER NOT NULL,
    revoked_at_ms INTEGER
) STRICT;

-- Read each second: which tokens are no longer good.
CREATE INDEX sessions_revoked ON sessions (revoked_at_ms) WHERE revoked_at_ms IS NOT NULL;

-- Who may write which characters. 256 rows for ever: the number is part of how users are spread.
CREATE TABLE shard_leases (
    shard INTEGER PRIMARY KEY NOT NULL CHECK (shard BETWEEN 0 AND 255),
    epoch INTEGER NOT NULL,
    recoveries INTEGER NOT NULL,
    released INTEGER NOT NULL,
    node TEXT,
    taken_at_ms INTEGER
) STRICT;

WITH RECURSIVE shards (shard) AS (SELECT 0 UNION ALL SELECT shard + 1 FROM shards WHERE shard < 255)
INSERT INTO shard_leases (shard, epoch, recoveries, released) SELECT shard, 0, 0, 1 FROM shards;

-- The characters. `version` never falls. `recoveries` is the lease's when the row was written; a load that finds the
-- lease ahead of it moves the version on. `state` is what the wire shows, without what is derived; `request_ids` is a
-- JSON array.
CREATE TABLE characters (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL,
    shard INTEGER NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version >= 1),
    recoveries INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (json_valid(state)),
    request_ids TEXT NOT NULL CHECK (json_valid(request_ids)),
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    deleted_at_ms INTEGER
) STRICT;

CREATE INDEX characters_of_user ON characters (user_id) WHERE deleted_at_ms IS NULL;

-- Rows that the database refused, kept without checks.
CREATE TABLE dead_letters (
    character_id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL,
    shard INTEGER NOT NULL,
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    recoveries INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    state TEXT NOT NULL,
    request_ids TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    deleted_at_ms INTEGER,
    epoch INTEGER NOT NULL,
    error TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    failed_at_ms INTEGER NOT NULL,
    verdict TEXT CHECK (verdict IN ('retry', 'discard'))
) STRICT;

-- The servers on this database, and when each was last heard of.
CREATE TABLE nodes (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    address TEXT,
    started_at_ms INTEGER NOT NULL,
    seen_at_ms INTEGER NOT NULL
) STRICT;

-- Keys that all servers share, by purpose.
CREATE TABLE signing_keys (
    id TEXT PRIMARY KEY NOT NULL,
    purpose TEXT NOT NULL,
    secret BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL
) STRICT;
