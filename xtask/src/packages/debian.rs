//! The Debian package. `server/Cargo.toml` says what is in it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run::quietly;
use crate::tool::Tool;

const CARGO_DEB: Tool = Tool { name: "cargo-deb", version: "3.8.0", arguments: &[], optimised: "1" };

/// What is built before the package.
pub struct Contents<'a> {
    /// The server.
    pub program: &'a Path,
    /// The licences of what it is made of.
    pub licences: &'a str,
    /// Compress it little, for tests.
    pub is_hasty: bool,
}

/// Makes the package in the folder `out`, and returns its file. `stage` is a folder for what goes in; all files get the
/// time `time`, in seconds since 1970.
///
/// # Errors
///
/// If cargo-deb cannot be had, or a file of the package is missing.
pub fn package(source: &Path, time: u64, contents: &Contents<'_>, stage: &Path, out: &Path) -> Result<PathBuf> {
    // cargo-deb takes them from where cargo would have built them.
    let built = stage.join("release");
    if stage.exists() {
        fs::remove_dir_all(stage)?;
    }
    fs::create_dir_all(&built)?;
    fs::copy(contents.program, built.join("castellan"))?;
    fs::write(built.join("third-party.txt"), contents.licences)?;
    let page = quietly(Command::new(contents.program).arg("--man-page"))?;
    fs::write(built.join("castellan.1.gz"), zipped(page.as_bytes())?)?;
    let mut command = CARGO_DEB.command()?;
    command.current_dir(source).args(["--quiet", "--no-build", "--no-strip", "--package", "castellan"]);
    command.arg("--output").arg(out).env("CARGO_TARGET_DIR", stage).env("SOURCE_DATE_EPOCH", time.to_string());
    if contents.is_hasty {
        command.arg("--fast");
    }
    let said = quietly(&mut command)?;
    let file = said.lines().rfind(|line| Path::new(line).extension().is_some_and(|end| end == "deb"));
    Ok(file.with_context(|| format!("cargo-deb names no package:\n{said}"))?.into())
}

fn zipped(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut child =
        Command::new("gzip").args(["-9", "--no-name"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    // A page fits gzip's buffers, but only just: written by another thread, so that neither waits for the other.
    let (mut pipe, bytes) = (child.stdin.take().context("a pipe")?, bytes.to_owned());
    let writer = std::thread::spawn(move || pipe.write_all(&bytes));
    let output = child.wait_with_output()?;
    if !output.status.success() || writer.join().is_ok_and(|written| written.is_err()) {
        bail!("gzip failed ({})", output.status);
    }
    Ok(output.stdout)
}
