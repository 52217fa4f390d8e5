//! The Debian package, installed, used and removed.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::chroot::Chroot;
use super::client::{log_in, wait_until_ready};
use super::{free_address, needs_root};
use crate::run::quietly;

const UNIT: &str = "usr/lib/systemd/system/castellan.service";
const SETTINGS: &str = "/etc/castellan/castellan.toml";
const DATABASE: &str = "/var/lib/castellan/castellan.db";

/// Installs the package in a Debian, starts the service as its unit does, logs in, and removes and purges the package.
///
/// # Errors
///
/// If something of it is not as it should be, or this machine cannot do it: it needs root.
pub fn check(package: &Path) -> Result<()> {
    needs_root("installing the package")?;
    let debian = Chroot::new()?;
    fs::copy(package, debian.folder().join("castellan.deb"))?;
    debian.run(&["dpkg", "--install", "/castellan.deb"])?;
    let service = Service::read(&debian)?;
    let secret = fs::metadata(debian.folder().join(&SETTINGS[1..]))?;
    ensure!(secret.mode() & 0o777 == 0o640 && secret.uid() == 0 && secret.gid() != 0, "{SETTINGS} may be read by all");
    for page in ["/usr/share/man/man1/castellan.1.gz", "/usr/share/doc/castellan/copyright"] {
        ensure!(debian.has(page), "the package has no {page}");
    }
    serves(&debian, &service)?;

    debian.run(&["dpkg", "--remove", "castellan"])?;
    ensure!(!debian.has("/usr/bin/castellan") && debian.has(SETTINGS), "a removal takes the program, not the settings");
    debian.run(&["dpkg", "--purge", "castellan"])?;
    ensure!(!debian.has("/etc/castellan"), "a purge leaves settings");
    ensure!(debian.has(DATABASE), "a purge deletes the players' data");
    Ok(())
}

/// Starts the server twice: what was stored must be there after the second start.
fn serves(debian: &Chroot, service: &Service) -> Result<()> {
    let address = free_address()?;
    let start = || service.start(debian, &address.to_string());
    for create in [true, false] {
        for line in &service.before {
            service.run(debian, line)?;
        }
        service.run(debian, "castellan doctor")?;
        let mut child = start()?;
        let alive = |child: &mut Child| match child.try_wait()? {
            Some(status) => bail!("the service ended with {status}"),
            None => Ok(()),
        };
        let used = wait_until_ready(address, || alive(&mut child))
            .and_then(|()| log_in(address, "ada", "open sesame", create))
            .and_then(|()| service.health(debian, &address.to_string()))
            .and_then(|()| lists_accounts(debian, &service.user));
        // An error means that it has already ended.
        let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        let ended = child.wait()?;
        used.with_context(|| fs::read_to_string(log(debian)).unwrap_or_default())?;
        ensure!(ended.success(), "the service ended with {ended}");
    }
    Ok(())
}

/// Types what docs/operate.md says, from anywhere and without the service's variables.
fn lists_accounts(debian: &Chroot, user: &str) -> Result<()> {
    let arguments = ["castellan", "--config", SETTINGS, "account", "list"];
    let said = quietly(&mut debian.command(user, "/", &arguments))?;
    ensure!(said.contains("ada"), "the account is not in the database of the settings: {said}");
    Ok(())
}

/// The log of the service since its start.
fn log(debian: &Chroot) -> PathBuf {
    debian.folder().join("service.log")
}

/// What systemd reads from the unit and does with it.
struct Service {
    user: String,
    folder: String,
    environment: Vec<(String, String)>,
    before: Vec<String>,
    line: String,
}

/// The values of a key of a unit.
fn values<'a>(unit: &'a str, key: &'a str) -> impl Iterator<Item = String> + 'a {
    unit.lines().filter_map(move |line| Some(line.strip_prefix(key)?.strip_prefix('=')?.to_owned()))
}

impl Service {
    fn read(debian: &Chroot) -> Result<Self> {
        let unit = fs::read_to_string(debian.folder().join(UNIT))?;
        let one = |key| values(&unit, key).next().with_context(|| format!("the unit has no {key}"));
        let file = one("EnvironmentFile")?;
        let file = debian.folder().join(file.trim_start_matches(['-', '/']));
        let lines = fs::read_to_string(file)?;
        let pairs = lines.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
        Ok(Self {
            user: one("User")?,
            folder: one("WorkingDirectory")?,
            environment: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            before: values(&unit, "ExecStartPre").collect(),
            line: one("ExecStart")?,
        })
    }

    fn command(&self, debian: &Chroot, line: &str) -> Command {
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut command = debian.command(&self.user, &self.folder, &words);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn run(&self, debian: &Chroot, line: &str) -> Result<()> {
        quietly(&mut self.command(debian, line)).with_context(|| line.to_owned()).map(drop)
    }

    fn health(&self, debian: &Chroot, listen: &str) -> Result<()> {
        let mut command = self.command(debian, "castellan health");
        quietly(command.env("CASTELLAN_LISTEN", listen)).map(drop)
    }

    fn start(&self, debian: &Chroot, listen: &str) -> Result<Child> {
        let mut command = self.command(debian, &self.line);
        command.env("CASTELLAN_LISTEN", listen);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log(debian))?);
        command.spawn().context("the service")
    }
}
