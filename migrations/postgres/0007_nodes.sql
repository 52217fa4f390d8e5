-- The processes that may own shards. `id` names one run of a server or a node, and is never used again. A process that
-- lives raises `heartbeat` each second; `seen_at` is for people. Only nodes have links and a weight.
ALTER TABLE nodes
    ADD COLUMN kind text NOT NULL DEFAULT 'serve' CHECK (kind IN ('serve', 'node')),
    ADD COLUMN link_secret bytea,
    ADD COLUMN link_oldest integer,
    ADD COLUMN link_newest integer,
    ADD COLUMN weight integer NOT NULL DEFAULT 0 CHECK (weight >= 0),
    ADD COLUMN draining boolean NOT NULL DEFAULT false,
    ADD COLUMN catalogue text NOT NULL DEFAULT '',
    ADD COLUMN schema_version integer NOT NULL DEFAULT 0,
    ADD COLUMN heartbeat bigint NOT NULL DEFAULT 0;

-- The owner; null if nobody owns the shard, or a server that is not registered. `node` is its name, for people.
ALTER TABLE shard_leases ADD COLUMN process uuid REFERENCES nodes (id);

-- Servers from before this migration take shards without naming their process. They may do so as long as no node is
-- registered, so that an upgrade can be undone. Beside nodes they are refused, because they do not know of them.
CREATE FUNCTION refuse_unregistered() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.node IS NULL THEN
        -- Left to nobody, as after a restore.
        NEW.process := NULL;
    ELSIF NEW.process IS NULL OR (NEW.process = OLD.process AND NEW.node IS DISTINCT FROM OLD.node) THEN
        IF EXISTS (SELECT FROM nodes WHERE kind = 'node') THEN
            RAISE EXCEPTION 'shard % cannot be taken by "%": it is not registered in the table nodes, and this database '
                'is used by nodes; see "castellan nodes"', NEW.shard, NEW.node;
        END IF;
        NEW.process := NULL;
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER shard_taken BEFORE UPDATE ON shard_leases
FOR EACH ROW WHEN (NEW.epoch <> OLD.epoch) EXECUTE FUNCTION refuse_unregistered();
