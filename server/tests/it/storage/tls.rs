//! PostgreSQL over TLS: what `sslmode` and the certificates in the URL mean.

use std::path::Path;

use castellan::storage::{StorageError, connect};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use xtask::postgres::{Cluster, ClusterOptions};

use crate::harness::{fresh_postgres, options};

/// Only TLS gets in; to the database `certified` only with a client's certificate. TLS does not get in to `plain`.
const HBA: &str = "hostnossl plain all 127.0.0.1/32 scram-sha-256\n\
     hostssl plain all 127.0.0.1/32 reject\n\
     hostssl certified all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n\
     hostssl all all 127.0.0.1/32 scram-sha-256\n";

/// A CA made for a test.
pub(crate) struct Authority {
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed").pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for a name, and its key.
    pub(crate) fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &self.issuer).expect("signed").pem(), key.serialize_pem())
    }
}

/// A PostgreSQL that refuses everything but TLS, with a certificate for `localhost`.
struct Secured {
    cluster: Cluster,
    authority: Authority,
    folder: TempDir,
}

impl Secured {
    fn start() -> Self {
        let authority = Authority::new("house");
        let (certificate, key) = authority.sign("localhost");
        let settings = [("ssl", "on"), ("ssl_ca_file", "root.crt")];
        let files = [("server.crt", &certificate), ("server.key", &key), ("root.crt", &authority.certificate)];
        let cluster = Cluster::start(ClusterOptions {
            hba: Some(HBA.to_owned()),
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            files: files.map(|(name, text)| (name.to_owned(), text.clone())).into(),
            ..ClusterOptions::default()
        });
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { cluster: cluster.expect("a cluster"), authority, folder }
    }

    /// The URL with another host and with parameters.
    fn url(&self, host: &str, parameters: &str) -> String {
        format!("{}?{parameters}", self.cluster.url().replace("127.0.0.1", host))
    }

    /// Writes a file for the URL and returns its path.
    fn file(&self, name: &str, text: &str) -> String {
        write(self.folder.path(), name, text)
    }
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("written");
    path.display().to_string()
}

async fn migrate(url: &str) -> Result<(), StorageError> {
    connect(url, &options()).await?.migrate().await
}

async fn refused(url: &str, expected: &str) {
    let outcome = migrate(url).await;
    let Err(StorageError::Unusable(why)) = &outcome else { panic!("{url}: {outcome:?}") };
    assert!(why.contains(expected) && why.contains("database.url"), "{url}: {why}");
}

#[tokio::test]
async fn a_database_that_requires_tls_is_used_over_tls() {
    let secured = Secured::start();
    let root = secured.file("root.crt", &secured.authority.certificate);
    for (host, parameters) in [
        ("127.0.0.1", String::new()),
        ("127.0.0.1", "sslmode=allow".to_owned()),
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={root}")),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={root}")),
        ("localhost", format!("sslmode=verify-full&sslrootcert={root}")),
    ] {
        let outcome = migrate(&secured.url(host, &parameters)).await;
        assert!(outcome.is_ok(), "{host} {parameters}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_clients_certificate_is_shown_and_plain_text_is_the_last_resort_of_prefer() {
    let secured = Secured::start();
    let mut raw = PgConnection::connect(&secured.cluster.url()).await.expect("PostgreSQL answers");
    for statement in ["CREATE DATABASE certified", "CREATE DATABASE plain"] {
        sqlx::raw_sql(statement).execute(&mut raw).await.expect("created");
    }
    let plain = secured.cluster.url().replace("/postgres", "/plain");
    migrate(&plain).await.expect("without TLS");
    refused(&format!("{plain}?sslmode=require"), "pg_hba.conf").await;
    let url = secured.cluster.url().replace("/postgres", "/certified");
    refused(&url, "requires a valid client certificate").await;
    let (certificate, key) = secured.authority.sign("castellan");
    let (certificate, key) = (secured.file("client.crt", &certificate), secured.file("client.key", &key));
    migrate(&format!("{url}?sslmode=require&sslcert={certificate}&sslkey={key}")).await.expect("let in");
}

#[tokio::test]
async fn a_certificate_that_does_not_fit_is_refused_with_a_sentence() {
    let secured = Secured::start();
    let root = secured.file("root.crt", &secured.authority.certificate);
    let other = secured.file("other.crt", &Authority::new("other").certificate);
    let namesake = secured.file("namesake.crt", &Authority::new("house").certificate);
    for (host, parameters, expected) in [
        ("localhost", format!("sslmode=verify-full&sslrootcert={other}"), "not signed by a CA in sslrootcert"),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={other}"), "not signed by a CA in sslrootcert"),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={namesake}"), "not signed by a CA in sslrootcert"),
        ("localhost", "sslrootcert=system".to_owned(), "not signed by a CA in sslrootcert"),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={root}"), "was issued for another host"),
        ("127.0.0.1", "sslmode=disable".to_owned(), "refuses connections without TLS"),
        ("127.0.0.1", "sslmode=require&sslrootcert=/nowhere".to_owned(), "cannot read sslrootcert=/nowhere"),
    ] {
        refused(&secured.url(host, &parameters), expected).await;
    }
}

#[tokio::test]
async fn a_database_without_tls_is_refused_if_tls_is_asked_for() {
    refused(&format!("{}?sslmode=require", fresh_postgres().await), "does not offer TLS").await;
}
