-- What a process had to do when it last raised its heartbeat, for `castellan nodes`. A process from before this migration
-- leaves it at zero.
ALTER TABLE nodes
    ADD COLUMN sockets integer NOT NULL DEFAULT 0,
    ADD COLUMN intents_per_second integer NOT NULL DEFAULT 0,
    ADD COLUMN dirty integer NOT NULL DEFAULT 0,
    ADD COLUMN lag_ms integer NOT NULL DEFAULT 0;
