-- Who did what. Servers add rows in batches and delete old ones; nothing else depends on them. `target` is empty if there
-- is none.
CREATE TABLE audit (
    id uuid PRIMARY KEY,
    happened_at timestamptz NOT NULL,
    actor text NOT NULL,
    address text,
    target text NOT NULL,
    action text NOT NULL,
    outcome text NOT NULL
);

CREATE INDEX audit_happened ON audit (happened_at);
