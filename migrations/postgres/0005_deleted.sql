-- For the purge of characters that were deleted long ago. Not CONCURRENTLY: that would wait for a second server, which
-- waits for the lock of the migrations. Writes wait while the table is read once.
CREATE INDEX characters_deleted ON characters (deleted_at) WHERE deleted_at IS NOT NULL;
