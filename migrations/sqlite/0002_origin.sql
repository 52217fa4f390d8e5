-- One row if this file is a copy that `castellan backup` made, and no server has been started on it.
CREATE TABLE origin (
    one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    copied_at_ms INTEGER NOT NULL
) STRICT;
