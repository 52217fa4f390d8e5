-- Which database this is, as the server found it at its last start; one row at most. If the database now looks
-- different, it was restored or copied.
--
-- `system_identifier` names the cluster, `timeline` its history; null if the server may not ask. `written_by` is the low
-- half of the id of the transaction that wrote the row. In a database restored from a dump another transaction wrote it.
CREATE TABLE origin (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    system_identifier bigint,
    database_oid bigint NOT NULL,
    timeline bigint,
    written_by bigint NOT NULL
);
