//! A private PgBouncer in front of a [`Cluster`].

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::machine::{install, is_root, on_path, unprivileged_user};
use crate::postgres::Cluster;

/// Time limit for a start.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running PgBouncer. Dropping this stops it and removes its folder.
pub struct PgBouncer {
    folder: TempDir,
    child: Child,
    address: SocketAddr,
}

impl PgBouncer {
    /// Starts a PgBouncer in front of a cluster, with the defaults except for `settings`: lines such as
    /// `pool_mode = session`.
    pub fn start(cluster: &Cluster, settings: &str) -> Result<Self> {
        let program = program()?;
        let folder = tempfile::Builder::new().prefix("castellan-pgbouncer-").tempdir()?;
        let (server, password) = cluster.address();
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let users = folder.path().join("users.txt");
        fs::write(&users, format!("\"castellan\" \"{password}\"\n"))?;
        let text = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}\n{settings}\n",
            server.ip(),
            server.port(),
            address.ip(),
            address.port(),
            users.display()
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, text)?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new(program);
        command.arg(&file).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if is_root() {
            let (user, group) = unprivileged_user()?;
            for path in [folder.path(), &users, &file] {
                std::os::unix::fs::chown(path, Some(user), Some(group))?;
            }
            command.uid(user).gid(group);
        }
        let child = command.spawn().context("cannot start pgbouncer")?;
        let mut bouncer = Self { folder, child, address };
        bouncer.wait()?;
        Ok(bouncer)
    }

    fn wait(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            if let Some(status) = self.child.try_wait()? {
                bail!("pgbouncer exited immediately after its start ({status}); its log:\n{}", log());
            }
            if Instant::now() > deadline {
                bail!("pgbouncer did not start to listen within {PATIENCE:?}; its log:\n{}", log());
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        // An error means that it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program. Installs it if possible.
pub fn program() -> Result<PathBuf> {
    let find =
        || on_path("pgbouncer").or_else(|| Some(PathBuf::from("/usr/sbin/pgbouncer")).filter(|file| file.is_file()));
    if let Some(program) = find() {
        return Ok(program);
    }
    install("The tests need PgBouncer", &["pgbouncer"], "PgBouncer, for example with `brew install pgbouncer`")?;
    find().context("PgBouncer is installed, but its program is not on the PATH")
}
