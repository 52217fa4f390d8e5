//! A private PostgreSQL in a temporary folder, removed when dropped.

mod standby;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use standby::STANDBY_NAME;

use crate::machine::{install, is_root, on_path, unprivileged_user};
use crate::run::quietly;

/// Time limit for a server to start or to stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// Options of a cluster.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// True if commits wait for the disk, as in production. Tests are several times faster without.
    pub durable: bool,
    /// Additional settings of `postgresql.conf`.
    pub settings: Vec<(String, String)>,
    /// Replaces `pg_hba.conf`, which asks everyone for a password.
    pub hba: Option<String>,
    /// Additional files in the data folder, such as `server.key` or `standby.signal`: names and contents.
    pub files: Vec<(String, String)>,
}

/// How to stop a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Ends its connections, writes everything, then stops: `pg_ctl stop -m fast`.
    Fast,
    /// Stops at once and recovers at the next start: `pg_ctl stop -m immediate`.
    Immediate,
}

/// A private PostgreSQL server: its folder, its port, and its process while it runs.
pub struct Cluster {
    folder: TempDir,
    programs: PathBuf,
    user: Option<(u32, u32)>,
    options: ClusterOptions,
    password: String,
    port: u16,
    /// The URL of the server that it follows as a standby.
    follows: Option<String>,
    server: Option<Child>,
    /// Stops the server and removes the folder if this process dies first.
    warden: Option<Child>,
}

impl Cluster {
    /// Creates a cluster and starts its server.
    pub fn start(options: ClusterOptions) -> Result<Self> {
        let mut cluster = Self::prepare(options, password()?)?;
        cluster.make()?;
        cluster.watch()?;
        cluster.start_again()?;
        Ok(cluster)
    }

    /// An empty folder without data.
    fn prepare(options: ClusterOptions, password: String) -> Result<Self> {
        let programs = programs()?;
        let user = if is_root() { Some(unprivileged_user()?) } else { None };
        let folder = tempfile::Builder::new().prefix("castellan-postgres-").tempdir()?;
        let cluster =
            Self { folder, programs, user, options, password, port: 0, follows: None, server: None, warden: None };
        cluster.give_to_user(cluster.folder.path())?;
        Ok(cluster)
    }

    /// Gives a file to the user that runs PostgreSQL.
    fn give_to_user(&self, path: &Path) -> Result<()> {
        if let Some((user, group)) = self.user {
            std::os::unix::fs::chown(path, Some(user), Some(group))?;
        }
        Ok(())
    }

    /// Returns true if the server was started and not stopped.
    pub fn is_running(&self) -> bool {
        self.server.is_some()
    }

    /// The superuser's URL for the database `postgres`.
    pub fn url(&self) -> String {
        format!("postgres://castellan:{}@127.0.0.1:{}/postgres", self.password, self.port)
    }

    /// Address and password of the superuser `castellan`.
    pub fn address(&self) -> (SocketAddr, &str) {
        ((Ipv4Addr::LOCALHOST, self.port).into(), &self.password)
    }

    /// The folder of PostgreSQL's programs, such as `pg_dump`.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// The server's process and its children.
    pub fn pids(&self) -> Result<Vec<Pid>> {
        let Some(server) = &self.server else { return Ok(Vec::new()) };
        let children = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output()?;
        let parent = server.id().to_string();
        let children = String::from_utf8_lossy(&children.stdout)
            .lines()
            .filter_map(|line| line.split_whitespace().collect::<Vec<_>>().try_into().ok())
            .filter(|[_, of]: &[&str; 2]| *of == parent)
            .filter_map(|[pid, _]| Pid::from_raw(pid.parse().ok()?))
            .collect::<Vec<_>>();
        Ok([vec![pid(server)], children].concat())
    }

    /// Starts the server again after a stop, with the same folder and port.
    pub fn start_again(&mut self) -> Result<()> {
        if self.port == 0 {
            self.port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        }
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data()).process_group(0);
        for (name, value) in self.settings() {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let server = self.server.insert(command.spawn().context("cannot start postgres")?);
        let deadline = Instant::now() + PATIENCE;
        let state = self.folder.path().join("data/postmaster.pid");
        loop {
            if let Some(status) = server.try_wait()? {
                self.server = None;
                bail!(
                    "postgres exited immediately after its start ({status}); its log:\n{}",
                    fs::read_to_string(self.log())?
                );
            }
            // The first line is the server's process id; the eighth is `ready` once it accepts connections.
            let lines = fs::read_to_string(&state).unwrap_or_default();
            let lines: Vec<&str> = lines.lines().map(str::trim).collect();
            if lines.first() == Some(&server.id().to_string().as_str()) && lines.get(7) == Some(&"ready") {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "postgres did not become ready within {PATIENCE:?}; its log:\n{}",
                    fs::read_to_string(self.log())?
                );
            }
            look_again_soon();
        }
    }

    /// Stops the server and keeps its folder for [`Cluster::start_again`]. Its processes may be suspended.
    pub fn stop(&mut self, how: Stop) -> Result<()> {
        for process in self.pids()? {
            // A connection's process may just have ended.
            let _ = kill_process(process, Signal::CONT);
        }
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let signal = match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        };
        kill_process(pid(&server), signal)?;
        let deadline = Instant::now() + PATIENCE;
        while server.try_wait()?.is_none() {
            if Instant::now() > deadline {
                server.kill()?;
                server.wait()?;
                bail!("postgres did not stop within {PATIENCE:?} and was killed");
            }
            look_again_soon();
        }
        Ok(())
    }

    fn make(&self) -> Result<()> {
        let secret = self.folder.path().join("password");
        self.write(&secret, &self.password)?;
        let mut initdb = self.program("initdb");
        initdb.arg("-D").arg(self.data()).arg("--pwfile").arg(&secret);
        initdb.args(["-U", "castellan", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]);
        quietly(&mut initdb)?;
        let hba = self.options.hba.iter().map(|text| ("pg_hba.conf", text));
        let files = self.options.files.iter().map(|(name, text)| (name.as_str(), text));
        hba.chain(files).try_for_each(|(name, text)| self.put(name, text))
    }

    /// Writes a file into the data folder.
    pub fn put(&self, name: &str, text: &str) -> Result<()> {
        self.write(&self.data().join(name), text)
    }

    /// Writes a file that only the server's user may read.
    fn write(&self, path: &Path, text: &str) -> Result<()> {
        fs::write(path, text)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        self.give_to_user(path)
    }

    /// Starts a shell that waits for the end of its input: it cleans up once this process is gone for any reason.
    fn watch(&mut self) -> Result<()> {
        let script = r#"read -r _ || { kill -QUIT "$(head -n 1 "$0/data/postmaster.pid")"; rm -rf "$0"; }"#;
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg(self.folder.path()).process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        self.warden = Some(command.spawn()?);
        Ok(())
    }

    fn settings(&self) -> Vec<(String, String)> {
        let durable = if self.options.durable { "on" } else { "off" };
        let ours = [
            ("listen_addresses", "127.0.0.1"),
            ("port", &self.port.to_string()),
            ("unix_socket_directories", ""),
            ("max_connections", "200"),
            ("fsync", durable),
            ("full_page_writes", durable),
        ];
        let ours = ours.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let follows = self.follows.iter().map(|primary| ("primary_conninfo".to_owned(), primary.clone()));
        ours.into_iter().chain(follows).chain(self.options.settings.clone()).collect()
    }

    /// A command for one of PostgreSQL's programs, with a user that the program accepts.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path()).env("LC_ALL", "C");
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The server's log file.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.stop(Stop::Immediate) {
            eprintln!("cannot stop the throwaway PostgreSQL: {error:#}");
        }
        if let Some(mut warden) = self.warden.take() {
            // An error means that the warden has already ended.
            let _ = warden.stdin.take().map(|mut input| input.write_all(b"\n"));
            let _ = warden.wait();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "neither a file's content nor an end with a deadline can be waited for")]
fn look_again_soon() {
    std::thread::sleep(Duration::from_millis(20));
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn password() -> Result<String> {
    let mut bytes = [0; 16];
    std::io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The folder of `initdb` and `postgres`. Installs them if possible.
fn programs() -> Result<PathBuf> {
    if let Some(folder) = find_programs() {
        return Ok(folder);
    }
    install(
        "The tests need PostgreSQL's server programs (initdb, postgres)",
        &["postgresql"],
        "PostgreSQL 14 or newer, for example with `brew install postgresql@17` or `dnf install postgresql-server`",
    )?;
    find_programs()
        .context("PostgreSQL is installed, but initdb and postgres are not in the usual folders; put them on the PATH")
}

fn find_programs() -> Option<PathBuf> {
    let whole = |folder: &Path| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    let on_path = on_path("initdb").and_then(|file| Some(file.canonicalize().ok()?.parent()?.to_owned()));
    let homes = ["/usr/lib/postgresql", "/usr/local/opt", "/opt/homebrew/opt", "/Library/PostgreSQL", "/usr"];
    let mut installed: Vec<PathBuf> = homes
        .iter()
        .filter_map(|home| fs::read_dir(home).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|folder| is_version_of_postgres(folder))
        .map(|folder| folder.join("bin"))
        .collect();
    installed.sort_by_key(|folder| std::cmp::Reverse(version(folder)));
    let fixed = ["/usr/pgsql/bin", "/Applications/Postgres.app/Contents/Versions/latest/bin", "/usr/local/pgsql/bin"];
    on_path.into_iter().chain(installed).chain(fixed.map(PathBuf::from)).find(|folder| whole(folder))
}

/// Folders such as `17`, `postgresql@17` and `pgsql-17`.
fn is_version_of_postgres(folder: &Path) -> bool {
    let name = folder.file_name().map(OsString::from).unwrap_or_default();
    let name = name.to_string_lossy();
    let rest = name.trim_start_matches("postgresql").trim_start_matches("pgsql").trim_start_matches(['@', '-']);
    rest.chars().all(|character| character.is_ascii_digit())
}

/// The version in a path such as `…/17/bin`.
fn version(programs: &Path) -> u32 {
    let home = programs.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    home.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or_default()
}
