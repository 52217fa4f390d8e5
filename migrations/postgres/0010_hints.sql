-- Tells processes that listen on the channel `castellan` that they should read again soon: `leases` when a shard has
-- another owner, `sessions` when one has ended. PostgreSQL merges equal hints of a transaction. A flush changes neither
-- table, so it never pays for the lock that a commit with a hint takes.
CREATE FUNCTION hint() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('castellan', TG_ARGV[0]);
    RETURN NULL;
END
$$;

CREATE TRIGGER lease_hint AFTER UPDATE ON shard_leases
FOR EACH ROW WHEN (NEW.epoch <> OLD.epoch OR NEW.released <> OLD.released) EXECUTE FUNCTION hint('leases');

CREATE TRIGGER session_hint AFTER UPDATE OF revoked_at ON sessions
FOR EACH ROW WHEN (OLD.revoked_at IS NULL AND NEW.revoked_at IS NOT NULL) EXECUTE FUNCTION hint('sessions');
