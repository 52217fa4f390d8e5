-- What all nodes follow; one row. `revision` grows with each publication of rules, and 0 means none: `rules` is a JSON
-- document with the catalogue's files, the options and the policy. `stored_schema` is the schema that nodes write stored
-- states in, and 0 before the first process has registered.
CREATE TABLE cluster (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    stored_schema integer NOT NULL DEFAULT 0,
    revision bigint NOT NULL DEFAULT 0,
    rules text NOT NULL DEFAULT '',
    published_by text NOT NULL DEFAULT '',
    published_at timestamptz NOT NULL DEFAULT now()
);

INSERT INTO cluster DEFAULT VALUES;

-- The revision that a node uses, and why it uses no newer one.
ALTER TABLE nodes
    ADD COLUMN revision bigint NOT NULL DEFAULT 0,
    ADD COLUMN complaint text;
