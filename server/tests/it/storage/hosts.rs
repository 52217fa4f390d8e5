//! Several hosts in the URL: the one that takes writes is used, whichever it is at the time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use castellan::storage::{Storage, StorageError, StorageOptions, connect};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use tokio::net::TcpListener;
use xtask::postgres::{Cluster, ClusterOptions, Stop};

use super::rows::take_over;
use crate::harness::{Proxy, fresh_postgres, options, until};

/// A cluster that lets everyone on this machine in, so that one URL fits two of them.
fn cluster(files: &[(&str, &str)]) -> Cluster {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    let hba = Some("host all all 127.0.0.1/32 trust\n".to_owned());
    Cluster::start(ClusterOptions { hba, files, ..ClusterOptions::default() }).expect("a cluster")
}

/// What PostgreSQL takes for the sign to start as a standby.
const STANDBY: (&str, &str) = ("standby.signal", "");

fn url_of(clusters: &[&Cluster]) -> String {
    let hosts: Vec<_> = clusters.iter().map(|cluster| cluster.address().0.to_string()).collect();
    format!("postgres://castellan@{}/postgres", hosts.join(","))
}

async fn raw(cluster: &Cluster) -> PgConnection {
    PgConnection::connect(&cluster.url()).await.expect("PostgreSQL answers")
}

/// The number that a statement answers with.
async fn number(cluster: &Cluster, statement: &'static str) -> i64 {
    sqlx::query_scalar(statement).fetch_one(&mut raw(cluster).await).await.expect("a number")
}

/// How often the shards were taken over on a cluster.
async fn epoch(cluster: &Cluster) -> i64 {
    number(cluster, "SELECT max(epoch) FROM shard_leases").await
}

/// Tells a cluster to refuse writes, or to take them again.
async fn read_only(cluster: &Cluster, on: bool) {
    let statement = match on {
        true => "ALTER SYSTEM SET default_transaction_read_only = on",
        false => "ALTER SYSTEM RESET default_transaction_read_only",
    };
    let mut raw = raw(cluster).await;
    sqlx::raw_sql(statement).execute(&mut raw).await.expect("set");
    sqlx::raw_sql("SELECT pg_reload_conf()").execute(&mut raw).await.expect("reloaded");
    let expected = if on { "on" } else { "off" };
    until("the setting", || async {
        let found: String = sqlx::query_scalar("SHOW default_transaction_read_only")
            .fetch_one(&mut self::raw(cluster).await)
            .await
            .expect("an answer");
        found == expected
    })
    .await;
}

/// Takes the shards over. One call may find out that a server is gone; the next one uses another.
async fn take_over_elsewhere(storage: &Arc<dyn Storage>) {
    match storage.take_over("test").await {
        Ok(_) => {}
        Err(StorageError::Transient(_)) => drop(take_over(&**storage).await),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_standby_is_passed_over_until_it_is_promoted() {
    let (mut primary, standby) = (cluster(&[]), cluster(&[STANDBY]));
    let storage = connect(&url_of(&[&standby, &primary]), &options()).await.expect("lazily");
    storage.migrate().await.expect("the second host takes writes");
    take_over(&*storage).await;
    assert_eq!(epoch(&primary).await, 1);

    primary.stop(Stop::Fast).expect("stopped");
    sqlx::raw_sql("SELECT pg_promote()").execute(&mut raw(&standby).await).await.expect("promoted");
    until("the promoted host", || async { storage.migrate().await.is_ok() }).await;
    take_over_elsewhere(&storage).await;
    assert_eq!(epoch(&standby).await, 1);

    // The old primary returns as a standby.
    primary.put(STANDBY.0, STANDBY.1).expect("written");
    primary.start_again().expect("started");
    take_over(&*storage).await;
    let fresh = connect(&url_of(&[&primary, &standby]), &options()).await.expect("lazily");
    take_over(&*fresh).await;
    assert_eq!((epoch(&primary).await, epoch(&standby).await), (1, 3));
}

#[tokio::test]
async fn a_server_that_turns_read_only_is_left_with_all_its_connections() {
    let clusters = [cluster(&[]), cluster(&[])];
    for cluster in &clusters {
        connect(&url_of(&[cluster]), &options()).await.expect("lazily").migrate().await.expect("the tables are made");
    }
    let storage = connect(&url_of(&[&clusters[0], &clusters[1]]), &options()).await.expect("lazily");
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'castellan %'";
    for (from, to) in [(0, 1), (1, 0)] {
        let (from, to) = (&clusters[from], &clusters[to]);
        // Several connections at once.
        tokio::join!(take_over(&*storage), take_over(&*storage), take_over(&*storage));
        let before = (epoch(from).await, epoch(to).await);
        assert!(number(from, ours).await >= 2);
        read_only(to, false).await;
        read_only(from, true).await;
        take_over_elsewhere(&storage).await;
        assert_eq!((epoch(from).await, epoch(to).await), (before.0, before.1 + 1));
        until("the end of the old connections", || async { number(from, ours).await == 0 }).await;
    }
    let storage = connect(&url_of(&[&clusters[1]]), &options()).await.expect("lazily");
    let outcome = storage.migrate().await;
    let Err(StorageError::Transient(why)) = &outcome else { panic!("{outcome:?}") };
    assert!(why.contains("read-only"), "{why}");
}

#[tokio::test]
async fn a_silent_host_leaves_time_for_the_next() {
    let real = fresh_postgres().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let silent = silent.local_addr().map(|address| (silent, address)).expect("bound");
    let url = real.replacen('@', &format!("@{},", silent.1), 1);
    let patience = Duration::from_secs(4);
    let storage = connect(&url, &StorageOptions { acquire_timeout: patience, ..options() }).await.expect("lazily");
    storage.migrate().await.expect("the second host answers");
    let began = Instant::now();
    take_over(&*storage).await;
    assert!(began.elapsed() < patience / 4, "the host that worked last is asked first");
}

#[tokio::test]
async fn a_host_that_goes_silent_is_left_by_the_first_call() {
    let real = fresh_postgres().await;
    let target: PgConnectOptions = real.parse().expect("a URL");
    let address: SocketAddr = format!("{}:{}", target.get_host(), target.get_port()).parse().expect("an address");
    let proxy = Proxy::start(address).await;
    let url = real.replacen('@', &format!("@{},", proxy.address()), 1);
    let patience = StorageOptions { acquire_timeout: Duration::from_secs(3), ..options() };
    let storage = connect(&url, &patience).await.expect("lazily");
    storage.migrate().await.expect("the tables are made");
    tokio::join!(take_over(&*storage), take_over(&*storage), take_over(&*storage));
    proxy.silence();
    // The three idle connections are asked before they are used.
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(1)).await;
    tokio::time::resume();
    take_over(&*storage).await;
}
