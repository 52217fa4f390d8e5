//! Processes of a run. They end with it, however it ends: also when this process is killed itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// Waits in a shell for the end of this process, then ends what is listed in a folder and unmounts small disks.
///
/// Arguments: the folder of process ids, and the mount points.
const LAST_WILL: &str = r#"read -r _ || {
    for file in "$0"/*; do kill -KILL "$(basename "$file")"; done
    for disk in "$@"; do umount -l "$disk"; done
}"#;

/// The processes of one run.
pub struct Children {
    folder: PathBuf,
    /// Reads this process's end from its input.
    _warden: Child,
}

impl Children {
    /// Looks after processes from now on. What is mounted at `disks` is unmounted should this process die.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn watch(folder: &Path, disks: &[&Path]) -> Result<Self> {
        let folder = folder.join("processes");
        fs::create_dir(&folder)?;
        let mut warden = Command::new("sh");
        warden.arg("-c").arg(LAST_WILL).arg(&folder).args(disks).process_group(0);
        warden.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { folder, _warden: warden.spawn().context("sh cannot be started")? })
    }

    /// Starts a process in a group of its own, so that an interrupt reaches only this one. What it says on its
    /// outputs goes to files beside each other: `<path>.out` and `<path>.err`.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn start(&self, command: &mut Command, path: &Path) -> Result<Process> {
        command.process_group(0).kill_on_drop(true);
        command.stdout(File::create(path.with_extension("out"))?).stderr(File::create(path.with_extension("err"))?);
        let child =
            command.spawn().with_context(|| format!("{:?} cannot be started", command.as_std().get_program()))?;
        let id = child.id().context("it has just been started")?;
        let note = self.folder.join(id.to_string());
        File::create(&note)?;
        Ok(Process { child, id, note })
    }
}

/// A process that was started here. Dropped, it is killed.
pub struct Process {
    child: Child,
    id: u32,
    note: PathBuf,
}

impl Process {
    /// Its process id.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// Its input, where that is piped; dropped, the process reads its end.
    pub fn take_input(&mut self) -> Option<tokio::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Sends it a signal. Nothing happens where it is gone.
    pub fn signal(&self, signal: Signal) {
        if let Some(id) = i32::try_from(self.id).ok().and_then(Pid::from_raw)
            && self.child.id().is_some()
        {
            // It may have ended in this moment.
            let _ = kill_process(id, signal);
        }
    }

    /// Whether it has ended, and how.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end; `None` where it does not come in time.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub async fn wait(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(status) => Ok(Some(status?)),
            Err(_) => Ok(None),
        }
    }

    /// `kill -9`, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The note only serves a death of this process; the child itself is killed when it is dropped.
        let _ = fs::remove_file(&self.note);
    }
}
