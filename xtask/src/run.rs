//! Runs other programs, and stops them when this program is interrupted.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The process group of the running program; 0 if none runs.
static RUNNING: AtomicI32 = AtomicI32::new(0);

/// Makes an interrupt stop the program that [`foreground`] runs. This program then continues and cleans up.
pub fn catch_interrupts() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot catch signals")?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for _ in signals.forever() {
            if let Some(group) = Pid::from_raw(RUNNING.load(Ordering::SeqCst)) {
                // An error means that it has just ended by itself.
                let _ = kill_process_group(group, Signal::TERM);
            }
        }
    })?;
    Ok(())
}

/// Runs a program in its own process group until it ends.
pub fn foreground(command: &mut Command) -> Result<ExitStatus> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let mut child = command.spawn().with_context(|| format!("cannot start {}", name(command)))?;
    RUNNING.store(i32::try_from(child.id()).context("the process id does not fit into 32 bits")?, Ordering::SeqCst);
    let status = child.wait();
    RUNNING.store(0, Ordering::SeqCst);
    Ok(status?)
}

/// Runs a program that must succeed, and returns its output.
pub fn quietly(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", name(command)))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{} failed ({}):\n{printed}{}", name(command), output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(printed)
}

fn name(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

/// A command for the cargo that runs this program.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    command
}

/// Cargo's target folder.
pub fn target() -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    // Commands run in other folders.
    std::path::absolute(&folder).unwrap_or(folder)
}

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    // Cargo names the folder again when it starts the program: clones that share a build folder share the program, too.
    let started = std::env::var_os("CARGO_MANIFEST_DIR");
    let xtask = started.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    xtask.parent().expect("xtask is a folder of the workspace").to_owned()
}
