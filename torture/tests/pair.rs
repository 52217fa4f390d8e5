//! PostgreSQL with a synchronous standby, as the faults need it.

use std::time::Duration;

use castellan_torture::nodes::Nodes;
use sqlx::{Connection, PgConnection};
use xtask::postgres::Stop;

const PATIENCE: Duration = Duration::from_secs(20);

async fn rows(nodes: &mut Nodes) -> i64 {
    let mut connection = PgConnection::connect(&nodes.primary().url()).await.expect("the primary answers");
    sqlx::query_scalar("SELECT count(*) FROM seen").fetch_one(&mut connection).await.expect("a table")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_the_standby_and_a_cancelled_one_is_lost_with_the_primary() {
    let mut nodes = Nodes::pair().expect("two servers");
    nodes.until_in_sync().await.expect("a standby");
    let mut connection = PgConnection::connect(&nodes.primary().url()).await.expect("the primary answers");
    sqlx::raw_sql("CREATE TABLE seen (number integer); INSERT INTO seen VALUES (1)")
        .execute(&mut connection)
        .await
        .expect("the standby has it");
    nodes.standby().expect("a standby").stop(Stop::Fast).expect("it stops");
    let waiting =
        tokio::spawn(async move { sqlx::raw_sql("INSERT INTO seen VALUES (2)").execute(&mut connection).await });
    nodes.until_commit_waits(PATIENCE).await.expect("it waits");
    assert_eq!(rows(&mut nodes).await, 1, "a commit that waits is not visible");
    assert_eq!(nodes.cancel_commits().await.expect("the primary answers"), 1);
    waiting.await.expect("no panic").expect("a cancelled commit looks like a success");
    assert_eq!(rows(&mut nodes).await, 2, "it is visible");
    nodes.primary().stop(Stop::Immediate).expect("it stops");
    drop(nodes.promote().expect("the standby starts"));
    assert_eq!(rows(&mut nodes).await, 1, "only the old primary had it");
    nodes.renew_standby().expect("another server");
    nodes.until_in_sync().await.expect("a standby");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_stopped_cleanly_follows_the_promoted_standby() {
    let mut nodes = Nodes::pair().expect("two servers");
    nodes.until_in_sync().await.expect("a standby");
    let first = nodes.primary().url();
    nodes.primary().stop(Stop::Fast).expect("it stops");
    let old = nodes.promote().expect("the standby is running");
    nodes.take_back(old).expect("it starts");
    nodes.until_in_sync().await.expect("it follows");
    assert_eq!(nodes.standby().expect("a standby").url(), first);
    let mut connection = PgConnection::connect(&nodes.primary().url()).await.expect("the primary answers");
    let create = sqlx::raw_sql("CREATE TABLE seen (number integer)").execute(&mut connection);
    tokio::time::timeout(PATIENCE, create).await.expect("the standby acknowledges").expect("the primary writes");
}
