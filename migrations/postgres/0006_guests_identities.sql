-- Guests: accounts with a generated name and secret. When the guest was seen last, as far as no session in `sessions` says
-- it; null for all other accounts, and once the account is claimed.
ALTER TABLE accounts ADD COLUMN guest_seen_at timestamptz;

CREATE INDEX accounts_guests ON accounts (guest_seen_at) WHERE guest_seen_at IS NOT NULL;

-- A session that is deleted leaves behind when its guest was seen, whoever deletes it.
CREATE FUNCTION remember_guest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE accounts SET guest_seen_at = OLD.rotated_at WHERE user_id = OLD.user_id AND guest_seen_at < OLD.rotated_at;
    RETURN NULL;
END
$$;

CREATE TRIGGER session_deleted AFTER DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION remember_guest();

-- Users of outside issuers, and their accounts. A row outlives its account: whoever comes with a token again after that is
-- refused, and gets no new account.
CREATE TABLE identities (
    issuer text NOT NULL,
    subject text NOT NULL,
    user_id uuid NOT NULL UNIQUE,
    PRIMARY KEY (issuer, subject)
);
