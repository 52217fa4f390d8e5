-- The network that the login came from: an IPv4 address, or the /64 of an IPv6 address. Null if an older server wrote the
-- row. A name that has too many failed logins can still log in from the networks of its own sessions.
ALTER TABLE sessions ADD COLUMN network text;

-- When the user logged in; `rotated_at` moves with each refresh. Null if an older server wrote the row.
ALTER TABLE sessions ADD COLUMN started_at timestamptz;

CREATE INDEX sessions_of_user ON sessions (user_id);
