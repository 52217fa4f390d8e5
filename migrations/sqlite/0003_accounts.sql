-- The network that the login came from: an IPv4 address, or the /64 of an IPv6 address. Null if an older server wrote the
-- row. A name that has too many failed logins can still log in from the networks of its own sessions.
ALTER TABLE sessions ADD COLUMN network TEXT;

-- When the user logged in; `rotated_at_ms` moves with each refresh. Null if an older server wrote the row.
ALTER TABLE sessions ADD COLUMN started_at_ms INTEGER;

CREATE INDEX sessions_of_user ON sessions (user_id);

-- Since when nobody can log in; null if the account is in use.
ALTER TABLE accounts ADD COLUMN disabled_at_ms INTEGER;

-- Users whose account was deleted, until a server has deleted their characters.
CREATE TABLE departed_users (
    user_id TEXT PRIMARY KEY NOT NULL,
    departed_at_ms INTEGER NOT NULL
) STRICT;

-- An account that is deleted, disabled or given another role ends its sessions, whoever does it: a server, a command, or
-- somebody with sqlite3. The server looks for sessions that have ended each second.
CREATE TRIGGER account_deleted AFTER DELETE ON accounts BEGIN
    UPDATE sessions SET revoked_at_ms = CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
    WHERE user_id = OLD.user_id AND revoked_at_ms IS NULL;
    INSERT OR IGNORE INTO departed_users (user_id, departed_at_ms)
    VALUES (OLD.user_id, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER));
END;

CREATE TRIGGER account_changed AFTER UPDATE OF role, disabled_at_ms ON accounts
WHEN NEW.role <> OLD.role OR NEW.disabled_at_ms IS NOT NULL BEGIN
    UPDATE sessions SET revoked_at_ms = CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)
    WHERE user_id = OLD.user_id AND revoked_at_ms IS NULL;
END;
