//! PgBouncer before PostgreSQL: in session mode all is as without it, in other modes the start is refused.

use std::time::Duration;

use castellan::storage::{ShardId, StorageError, StorageOptions, connect};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use xtask::pgbouncer::PgBouncer;
use xtask::postgres::{Cluster, ClusterOptions};

use super::rows::{assert_same, character, later, only, take_over, user};
use crate::harness::{options, until};

const SHARD: ShardId = ShardId::new(0);

fn cluster() -> Cluster {
    Cluster::start(ClusterOptions::default()).expect("a cluster")
}

/// The cluster's URL by way of PgBouncer.
fn url(cluster: &Cluster, pooler: &PgBouncer) -> String {
    cluster.url().replace(&cluster.address().0.to_string(), &pooler.address().to_string())
}

#[tokio::test]
async fn sessions_through_a_pooler_work_and_keep_their_time_limits() {
    let cluster = cluster();
    // With its default settings, which are those of session mode.
    let pooler = PgBouncer::start(&cluster, "").expect("a pooler");
    let limit = Duration::from_millis(300);
    let bounded = StorageOptions { call_timeout: limit, ..options() };
    let storage = connect(&url(&cluster, &pooler), &bounded).await.expect("lazily");
    storage.migrate().await.expect("the tables are made");
    let lease = take_over(&*storage).await[0];
    let row = character(user(), SHARD);
    storage.save(&[lease], std::slice::from_ref(&row)).await.expect("saved");
    assert_same(&only(&*storage, lease, row.user).await, &row);

    let mut raw = PgConnection::connect(&cluster.url()).await.expect("PostgreSQL answers");
    let mut obstacle = raw.begin().await.expect("a transaction");
    sqlx::query("SELECT 1 FROM characters FOR UPDATE").execute(&mut *obstacle).await.expect("locked");
    let outcome = storage.save(&[lease], &[later(&row, 1)]).await;
    assert!(matches!(outcome, Err(StorageError::Transient(_))), "{outcome:?}");
    // PostgreSQL itself ends the statement, although the lock is still taken.
    until("the end of the statement", || async {
        let mut raw = PgConnection::connect(&cluster.url()).await.expect("PostgreSQL answers");
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut raw).await.expect("a number") == 0
    })
    .await;
    obstacle.rollback().await.expect("rolled back");
    until("the database", || async { storage.ping().await.is_ok() }).await;
    assert_same(&only(&*storage, lease, row.user).await, &row);
}

/// Makes PgBouncer open several connections to PostgreSQL, which then are idle.
async fn warm(url: &str) {
    let options: PgConnectOptions = url.parse().expect("a URL");
    let mut clients = Vec::new();
    for _ in 0..3 {
        let options = options.clone().extra_float_digits(None);
        let mut client = PgConnection::connect_with(&options).await.expect("PgBouncer answers");
        sqlx::raw_sql("BEGIN").execute(&mut client).await.expect("begun");
        clients.push(client);
    }
    for mut client in clients {
        sqlx::raw_sql("COMMIT").execute(&mut client).await.expect("ended");
    }
}

#[tokio::test]
async fn a_pooler_that_shares_connections_is_refused_with_a_sentence() {
    let cluster = cluster();
    for settings in [
        "pool_mode = transaction",
        "pool_mode = transaction\nserver_round_robin = 1",
        "pool_mode = transaction\nserver_reset_query_always = 1",
        "pool_mode = statement",
    ] {
        let pooler = PgBouncer::start(&cluster, settings).expect("a pooler");
        let url = url(&cluster, &pooler);
        for warmed in [false, true] {
            if warmed && !settings.contains("statement") {
                warm(&url).await;
            }
            let outcome = connect(&url, &options()).await.expect("lazily").migrate().await;
            let Err(StorageError::Unusable(why)) = &outcome else { panic!("{settings}: {outcome:?}") };
            assert!(why.contains("pool_mode=session"), "{settings}: {why}");
        }
    }
}
