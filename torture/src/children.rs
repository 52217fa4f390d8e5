//! The processes of a run. They end with it, even if this process is killed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

/// A shell script that waits for the end of this process, then kills the listed processes and unmounts small disks.
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
    /// Watches processes from now on. If this process dies, disks mounted at `disks` are unmounted.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub fn watch(folder: &Path, disks: &[&Path]) -> Result<Self> {
        let folder = folder.join("processes");
        fs::create_dir(&folder)?;
        let mut warden = Command::new("sh");
        warden.arg("-c").arg(LAST_WILL).arg(&folder).args(disks).process_group(0);
        warden.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self { folder, _warden: warden.spawn().context("cannot start sh")? })
    }

    /// Starts a process in its own group, so that an interrupt reaches only this one. Its outputs go to `<path>.out`
    /// and `<path>.err`.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub fn start(&self, command: &mut Command, path: &Path) -> Result<Process> {
        command.process_group(0).kill_on_drop(true);
        command.stdout(File::create(path.with_extension("out"))?).stderr(File::create(path.with_extension("err"))?);
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.as_std().get_program()))?;
        let id = child.id().context("a process has no id, although it was just started")?;
        let note = self.folder.join(id.to_string());
        File::create(&note)?;
        Ok(Process { child, id, note })
    }
}

/// A started process. Killed when dropped.
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

    /// Its input, if piped. Drop it to end the input.
    pub fn take_input(&mut self) -> Option<tokio::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Sends it a signal. Does nothing if it has ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(id) = i32::try_from(self.id).ok().and_then(Pid::from_raw)
            && self.child.id().is_some()
        {
            // It may just have ended.
            let _ = kill_process(id, signal);
        }
    }

    /// Its exit status, if it has ended.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end; `None` if it does not end in time.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub async fn wait(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(status) => Ok(Some(status?)),
            Err(_) => Ok(None),
        }
    }

    /// `kill -9`, and waits for its end.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The note is only needed if this process dies; the child is killed when dropped.
        let _ = fs::remove_file(&self.note);
    }
}
