-- Guests: accounts with a generated name and secret. When the guest was seen last, as far as no session in `sessions` says
-- it; null for all other accounts, and once the account is claimed.
ALTER TABLE accounts ADD COLUMN guest_seen_at_ms INTEGER;

CREATE INDEX accounts_guests ON accounts (guest_seen_at_ms) WHERE guest_seen_at_ms IS NOT NULL;

-- A session that is deleted leaves behind when its guest was seen, whoever deletes it.
CREATE TRIGGER session_deleted AFTER DELETE ON sessions BEGIN
    UPDATE accounts SET guest_seen_at_ms = OLD.rotated_at_ms
    WHERE user_id = OLD.user_id AND guest_seen_at_ms < OLD.rotated_at_ms;
END;

-- Users of outside issuers, and their accounts. A row outlives its account: whoever comes with a token again after that is
-- refused, and gets no new account.
CREATE TABLE identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL UNIQUE,
    PRIMARY KEY (issuer, subject)
) STRICT;
