-- Who did what. The server adds rows in batches and deletes old ones; nothing else depends on them. `target` is empty if
-- there is none.
CREATE TABLE audit (
    id TEXT PRIMARY KEY NOT NULL,
    happened_at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    address TEXT,
    target TEXT NOT NULL,
    action TEXT NOT NULL,
    outcome TEXT NOT NULL
) STRICT;

CREATE INDEX audit_happened ON audit (happened_at_ms);
