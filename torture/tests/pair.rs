//! PostgreSQL with a synchronous standby, as the faults need it.

use std::time::Duration;

use castellan_torture::replicas::Replicas;
use sqlx::{Connection, PgConnection};
use xtask::postgres::Stop;

const PATIENCE: Duration = Duration::from_secs(20);

async fn rows(replicas: &mut Replicas) -> i64 {
    let mut connection = PgConnection::connect(&replicas.primary().url()).await.expect("the primary answers");
    sqlx::query_scalar("SELECT count(*) FROM seen").fetch_one(&mut connection).await.expect("a table")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_the_standby_and_a_cancelled_one_is_lost_with_the_primary() {
    let mut replicas = Replicas::pair().expect("two servers");
    replicas.until_in_sync().await.expect("a standby");
    let mut connection = PgConnection::connect(&replicas.primary().url()).await.expect("the primary answers");
    sqlx::raw_sql("CREATE TABLE seen (number integer); INSERT INTO seen VALUES (1)")
        .execute(&mut connection)
        .await
        .expect("the standby has it");
    replicas.standby().expect("a standby").stop(Stop::Fast).expect("it stops");
    let waiting =
        tokio::spawn(async move { sqlx::raw_sql("INSERT INTO seen VALUES (2)").execute(&mut connection).await });
    replicas.until_commit_waits(PATIENCE).await.expect("it waits");
    assert_eq!(rows(&mut replicas).await, 1, "a commit that waits is not visible");
    assert_eq!(replicas.cancel_commits().await.expect("the primary answers"), 1);
    waiting.await.expect("no panic").expect("a cancelled commit looks like a success");
    assert_eq!(rows(&mut replicas).await, 2, "it is visible");
    replicas.primary().stop(Stop::Immediate).expect("it stops");
    drop(replicas.promote().expect("the standby starts"));
    assert_eq!(rows(&mut replicas).await, 1, "only the old primary had it");
    replicas.renew_standby().expect("another server");
    replicas.until_in_sync().await.expect("a standby");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_stopped_cleanly_follows_the_promoted_standby() {
    let mut replicas = Replicas::pair().expect("two servers");
    replicas.until_in_sync().await.expect("a standby");
    let first = replicas.primary().url();
    replicas.primary().stop(Stop::Fast).expect("it stops");
    let old = replicas.promote().expect("the standby is running");
    replicas.take_back(old).expect("it starts");
    replicas.until_in_sync().await.expect("it follows");
    assert_eq!(replicas.standby().expect("a standby").url(), first);
    let mut connection = PgConnection::connect(&replicas.primary().url()).await.expect("the primary answers");
    let create = sqlx::raw_sql("CREATE TABLE seen (number integer)").execute(&mut connection);
    tokio::time::timeout(PATIENCE, create).await.expect("the standby acknowledges").expect("the primary writes");
}
