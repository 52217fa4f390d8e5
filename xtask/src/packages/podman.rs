//! A podman that keeps everything in a folder of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::{Resource, getrlimit};
use tempfile::TempDir;

use crate::debian::unpacked;
use crate::run::{quietly, target};

/// podman, what it starts, and the libraries that a small Debian lacks.
const PACKAGES: [&str; 9] = [
    "podman",
    "conmon",
    "runc",
    "netavark",
    "golang-github-containers-common",
    "libsubid4",
    "libgpgme11",
    "libassuan0",
    "libdevmapper1.02.1",
];

/// Its images and containers are removed when it is dropped.
pub(super) struct Podman {
    programs: PathBuf,
    folder: TempDir,
}

impl Podman {
    pub(super) fn new() -> Result<Self> {
        let programs = unpacked("The tests of the image need podman", &PACKAGES)?;
        let parent = target().join("debian");
        // podman looks at absolute paths only.
        let programs = programs.canonicalize()?;
        let folder = tempfile::Builder::new().prefix("castellan-podman-").tempdir_in(parent.canonicalize()?)?;
        let podman = Self { programs, folder };
        fs::create_dir(podman.path("temporary"))?;
        fs::write(podman.path("containers.conf"), podman.settings())?;
        let storage = "[storage]\ndriver = \"vfs\"\n".to_owned();
        let folders = ["runroot", "graphroot"].map(|key| format!("{key} = \"{}\"\n", podman.path(key).display()));
        fs::write(podman.path("storage.conf"), storage + &folders.concat())?;
        Ok(podman)
    }

    /// A file or a folder of its own.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// vfs, no network of its own, no journal, no systemd: what works also inside a container or a small virtual machine.
    fn settings(&self) -> String {
        let program = |path: &str| self.programs.join(path).display().to_string();
        let lines = [
            "[engine]".to_owned(),
            format!("conmon_path = [\"{}\"]", program("usr/bin/conmon")),
            format!("helper_binaries_dir = [\"{}\"]", program("usr/lib/podman")),
            "cgroup_manager = \"cgroupfs\"".to_owned(),
            "events_logger = \"file\"".to_owned(),
            "lock_type = \"file\"".to_owned(),
            "runtime = \"runc\"".to_owned(),
            format!("tmp_dir = \"{}\"", self.path("run").display()),
            "[engine.runtimes]".to_owned(),
            format!("runc = [\"{}\"]", program("usr/sbin/runc")),
            "[containers]".to_owned(),
            "netns = \"host\"".to_owned(),
            "log_driver = \"k8s-file\"".to_owned(),
            format!("seccomp_profile = \"{}\"", program("usr/share/containers/seccomp.json")),
            // podman's own limits may be more than this machine grants.
            format!("default_ulimits = [{}]", limits().map(|limit| format!("\"{limit}\"")).join(", ")),
            "[network]".to_owned(),
            "network_backend = \"netavark\"".to_owned(),
        ];
        lines.join("\n") + "\n"
    }

    /// A command of podman.
    pub(super) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = crate::debian::program(&self.programs, "usr/bin/podman");
        command.args(arguments).env("TMPDIR", self.path("temporary"));
        command.env("CONTAINERS_CONF", self.path("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"));
        command
    }

    /// Runs a command of podman, which must succeed.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<String> {
        let printed = quietly(&mut self.command(arguments));
        Ok(printed.with_context(|| format!("podman {}", arguments.join(" ")))?.trim().to_owned())
    }

    /// Builds an image from a folder.
    pub(super) fn build(&self, context: &Path, file: &Path, tag: &str) -> Result<()> {
        // podman wants to know whose images it may trust, although one from scratch has no other below it.
        let policy = self.path("policy.json");
        fs::write(&policy, r#"{"default": [{"type": "insecureAcceptAnything"}]}"#)?;
        let mut command = self.command(&["build", "--quiet", "--isolation", "chroot", "--format", "docker"]);
        command.arg("--signature-policy").arg(policy).args(["--tag", tag]).arg("--file").arg(file).arg(context);
        quietly(&mut command).context("podman build").map(drop)
    }
}

/// Limits that every process may set: those that podman prefers may be more than this one has.
fn limits() -> [String; 2] {
    let limit = |name: &str, resource, wanted: u64| {
        let most = getrlimit(resource).maximum.unwrap_or(wanted).min(wanted);
        format!("{name}={most}:{most}")
    };
    [limit("nofile", Resource::Nofile, 1 << 20), limit("nproc", Resource::Nproc, 4096)]
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Unmounts what containers have mounted in the folder. An error means that there is nothing.
        let _ = self.run(&["rm", "--all", "--force", "--time", "1"]);
        // Layers may have folders that their owner cannot write.
        let _ = fs::set_permissions(self.folder.path(), fs::Permissions::from_mode(0o700));
    }
}
