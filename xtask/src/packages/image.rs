//! The container image, built and run.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use super::client::{log_in, wait_until_ready};
use super::podman::Podman;
use super::{free_address, needs_root, stripped};
use crate::run::{quietly, workspace};

const TAG: &str = "castellan";
const NAME: &str = "server";

/// The user in the image. It has no name there.
const USER: &str = "65532";

/// Puts a program into the folder `folder` as the archive of `cargo xtask dist` has it. If it is not static, it gets its
/// libraries, too.
///
/// # Errors
///
/// If a file is missing.
pub fn stage(program: &Path, folder: &Path) -> Result<()> {
    let here = workspace();
    stripped(program, &folder.join("castellan"))?;
    fs::write(folder.join("third-party.txt"), "Left out: this image is for tests only.\n")?;
    let included = ["LICENSE-MIT", "LICENSE-APACHE", "catalogue"].map(|name| here.join(name));
    quietly(Command::new("cp").arg("-r").args(included).arg(folder))?;
    deployment(&here, folder)?;
    let libraries = libraries(program)?;
    if libraries.is_empty() {
        return Ok(());
    }
    let root = folder.join("libraries");
    for library in libraries {
        let copy = root.join(library.strip_prefix("/")?);
        fs::create_dir_all(copy.parent().context("a folder")?)?;
        fs::copy(library, copy)?;
    }
    let file = folder.join("deploy/Containerfile");
    let text = fs::read_to_string(&file)?;
    Ok(fs::write(file, text + "COPY libraries /\n")?)
}

/// Copies the folder `deploy` and makes the image's empty volume, which git cannot hold.
pub(crate) fn deployment(source: &Path, to: &Path) -> Result<()> {
    quietly(Command::new("cp").arg("-r").arg(source.join("deploy")).arg(to))?;
    Ok(fs::create_dir_all(to.join("deploy/volume"))?)
}

/// The libraries that a program needs to start; none if it is static.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let said = Command::new("ldd").arg(program).output().context("ldd")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let paths = said.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(PathBuf::from).collect())
}

/// Builds the image from such a folder, runs it as a container that may write only to its volume, logs in, and does so
/// again in a second container with the same volume.
///
/// # Errors
///
/// If something of it is not as it should be, or this machine cannot run containers: it needs root.
pub fn check(context: &Path) -> Result<()> {
    needs_root("running a container")?;
    let podman = Podman::new()?;
    podman.build(context, &context.join("deploy/Containerfile"), TAG)?;
    let size = podman.run(&["image", "inspect", "--format", "{{.Size}}", TAG])?;
    eprintln!("The image has {size} bytes.");
    for is_new in [true, false] {
        let began = Instant::now();
        let container = Container::start(&podman)?;
        if is_new {
            container.create_account("ada", "open sesame")?;
        }
        log_in(container.players, "ada", "open sesame", false)?;
        eprintln!("The first login was answered {:.2} s after `podman run`.", began.elapsed().as_secs_f64());
        container.check_user()?;
        podman.run(&["healthcheck", "run", NAME])?;
        // A name that only /etc/hosts of the container has: a static program must find it, too.
        let lost = podman.command(&["exec", NAME, "castellan", "doctor", "--database-url", "postgres://db.example/x"]);
        let said = both(lost)?;
        ensure!(said.contains("refused"), "the name db.example is not looked up: {said}");
        container.stop()?;
    }
    Ok(())
}

/// All that a command prints, although it fails.
fn both(mut command: Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output()?;
    Ok([output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat())
}

/// A running container.
struct Container<'a> {
    podman: &'a Podman,
    players: std::net::SocketAddr,
}

impl<'a> Container<'a> {
    fn start(podman: &'a Podman) -> Result<Self> {
        let (players, operators) = (free_address()?, free_address()?);
        let listen = format!("CASTELLAN_LISTEN=0.0.0.0:{}", players.port());
        let admin = format!("CASTELLAN_ADMIN_LISTEN={operators}");
        let volume = "players:/data";
        let safe = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges"];
        let run = ["run", "--detach", "--name", NAME, "--add-host", "db.example:127.0.0.1", "--volume", volume];
        let arguments = [&run[..], &safe, &["--env", &listen, "--env", &admin, TAG]].concat();
        podman.run(&arguments).context("this machine cannot run a container, or the image is broken")?;
        let container = Self { podman, players };
        wait_until_ready(players, || {
            if podman.run(&["inspect", "--format", "{{.State.Running}}", NAME])? == "true" {
                return Ok(());
            }
            bail!("the container ended: {}", both(podman.command(&["logs", NAME]))?);
        })?;
        Ok(container)
    }

    fn create_account(&self, name: &str, password: &str) -> Result<()> {
        let arguments = ["exec", "--interactive", NAME, "/usr/bin/castellan", "account", "create", name];
        let mut command = self.podman.command(&arguments);
        command
            .args(["--role", "player", "--password-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        child.stdin.take().context("a pipe")?.write_all(format!("{password}\n").as_bytes())?;
        let ended = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        ensure!(ended.status.success(), "castellan account create ended with {}: {said}", ended.status);
        Ok(())
    }

    /// The server is not root, and no capability is left.
    fn check_user(&self) -> Result<()> {
        let process = self.podman.run(&["inspect", "--format", "{{.State.Pid}}", NAME])?;
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        let user = value("Uid").context("no user")?;
        ensure!(user.split_whitespace().all(|id| id == USER), "the server runs as {user}");
        let capabilities = value("CapEff").context("no capabilities")?.trim();
        ensure!(capabilities.trim_matches('0').is_empty(), "the server has the capabilities {capabilities}");
        Ok(())
    }

    fn stop(self) -> Result<()> {
        self.podman.run(&["stop", "--time", "30", NAME])?;
        let code = self.podman.run(&["inspect", "--format", "{{.State.ExitCode}}", NAME])?;
        ensure!(code == "0", "the server ended with {code}");
        self.podman.run(&["rm", NAME]).map(drop)
    }
}
