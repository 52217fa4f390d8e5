//! The schema, from `migrations/sqlite`.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// All migrations, oldest first. An unknown migration in the database belongs to a newer server and is ignored.
pub(super) fn migrator() -> Migrator {
    let files = [
        (1, "tables", include_str!("../../../../migrations/sqlite/0001_tables.sql")),
        (2, "origin", include_str!("../../../../migrations/sqlite/0002_origin.sql")),
        (3, "accounts", include_str!("../../../../migrations/sqlite/0003_accounts.sql")),
        (4, "audit", include_str!("../../../../migrations/sqlite/0004_audit.sql")),
        (5, "deleted", include_str!("../../../../migrations/sqlite/0005_deleted.sql")),
        (6, "guests identities", include_str!("../../../../migrations/sqlite/0006_guests_identities.sql")),
        (7, "nodes", include_str!("../../../../migrations/sqlite/0007_nodes.sql")),
        (8, "cluster", include_str!("../../../../migrations/sqlite/0008_cluster.sql")),
        (9, "load", include_str!("../../../../migrations/sqlite/0009_load.sql")),
        (10, "hints", include_str!("../../../../migrations/sqlite/0010_hints.sql")),
        (11, "books", include_str!("../../../../migrations/sqlite/0011_books.sql")),
    ];
    let migrations = files.map(|(version, name, sql)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.into());
    migrator.set_ignore_missing(true);
    migrator
}
