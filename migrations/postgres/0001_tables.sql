-- Who may log in. `username_folded` is the name in lower case, as the server folds it, so that both databases agree.
CREATE TABLE accounts (
    user_id uuid PRIMARY KEY,
    username text NOT NULL,
    username_folded text NOT NULL UNIQUE,
    password_hash text NOT NULL,
    role text NOT NULL,
    created_at timestamptz NOT NULL
);

-- Logins. `generation` counts refreshes.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    generation bigint NOT NULL,
    rotated_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);

-- Read each second by every server: which tokens are no longer good.
CREATE INDEX sessions_revoked ON sessions (revoked_at) WHERE revoked_at IS NOT NULL;

-- Who may write which characters. 256 rows for ever: the number is part of how users are spread.
CREATE TABLE shard_leases (
    shard smallint PRIMARY KEY CHECK (shard BETWEEN 0 AND 255),
    epoch bigint NOT NULL,
    recoveries bigint NOT NULL,
    released boolean NOT NULL,
    node text,
    taken_at timestamptz
);

INSERT INTO shard_leases (shard, epoch, recoveries, released)
SELECT shard, 0, 0, true FROM generate_series(0, 255) AS shard;

-- The characters. `version` never falls. `recoveries` is the lease's when the row was written; a load that finds the
-- lease ahead of it moves the version on. `state` is what the wire shows, without what is derived.
CREATE TABLE characters (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    shard smallint NOT NULL,
    name text NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    recoveries bigint NOT NULL,
    schema_version integer NOT NULL,
    state jsonb NOT NULL,
    request_ids bigint[] NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
)
-- Room in each page for the next version of its rows, so that an update need not touch the indexes.
WITH (fillfactor = 80);

CREATE INDEX characters_of_user ON characters (user_id) WHERE deleted_at IS NULL;

-- Rows that the database refused. Texts are bytes and times are numbers, so that whatever was refused can be kept;
-- convert_from(state, 'UTF8') reads it.
CREATE TABLE dead_letters (
    character_id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    shard smallint NOT NULL,
    name bytea NOT NULL,
    version bigint NOT NULL,
    recoveries bigint NOT NULL,
    schema_version integer NOT NULL,
    state bytea NOT NULL,
    request_ids bigint[] NOT NULL,
    created_at_ms bigint NOT NULL,
    updated_at_ms bigint NOT NULL,
    deleted_at_ms bigint,
    epoch bigint NOT NULL,
    error text NOT NULL,
    attempts integer NOT NULL,
    failed_at_ms bigint NOT NULL,
    verdict text CHECK (verdict IN ('retry', 'discard'))
);

-- The servers on this database, and when each was last heard of.
CREATE TABLE nodes (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    address text,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL
);

-- Keys that all servers share, by purpose.
CREATE TABLE signing_keys (
    id text PRIMARY KEY,
    purpose text NOT NULL,
    secret bytea NOT NULL,
    created_at timestamptz NOT NULL
);
