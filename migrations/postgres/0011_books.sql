-- Characters that have sent, received or offered goods: states with books have a schema version from 1,000,000 on. The
-- server looks for them when it takes a shard, and from time to time.
--
-- Not CONCURRENTLY: that would wait for a second server, which waits for the lock of the migrations. Writes wait while
-- the table is read once.
CREATE INDEX characters_books ON characters (shard) WHERE schema_version >= 1000000;

-- For loads: of the deleted characters only those with books are read.
CREATE INDEX characters_deleted_books ON characters (user_id) WHERE deleted_at IS NOT NULL AND schema_version >= 1000000;
