-- For the purge of characters that were deleted long ago.
CREATE INDEX characters_deleted ON characters (deleted_at_ms) WHERE deleted_at_ms IS NOT NULL;
