-- The network that the login came from: an IPv4 address, or the /64 of an IPv6 address. Null if an older server wrote the
-- row. A name that has too many failed logins can still log in from the networks of its own sessions.
ALTER TABLE sessions ADD COLUMN network text;

-- When the user logged in; `rotated_at` moves with each refresh. Null if an older server wrote the row.
ALTER TABLE sessions ADD COLUMN started_at timestamptz;

CREATE INDEX sessions_of_user ON sessions (user_id);

-- Since when nobody can log in; null if the account is in use.
ALTER TABLE accounts ADD COLUMN disabled_at timestamptz;

-- Users whose account was deleted, until a server has deleted their characters.
CREATE TABLE departed_users (
    user_id uuid PRIMARY KEY,
    departed_at timestamptz NOT NULL
);

-- An account that is deleted, disabled or given another role ends its sessions, whoever does it: a server, a command, or
-- somebody with psql. Every server looks for sessions that have ended each second.
CREATE FUNCTION end_sessions_of_account() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sessions SET revoked_at = clock_timestamp() WHERE user_id = OLD.user_id AND revoked_at IS NULL;
    IF TG_OP = 'DELETE' THEN
        INSERT INTO departed_users (user_id, departed_at) VALUES (OLD.user_id, clock_timestamp()) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER account_deleted AFTER DELETE ON accounts FOR EACH ROW EXECUTE FUNCTION end_sessions_of_account();

CREATE TRIGGER account_changed AFTER UPDATE OF role, disabled_at ON accounts FOR EACH ROW
WHEN (NEW.role <> OLD.role OR NEW.disabled_at IS NOT NULL) EXECUTE FUNCTION end_sessions_of_account();
