//! Cargo's tools that tasks need: the one on the PATH if it has the wanted version, otherwise one built under `target/`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::machine::on_path;
use crate::run::{cargo, foreground, quietly, target, workspace};

/// A program from crates.io.
pub struct Tool {
    /// The crate, and its program.
    pub name: &'static str,
    /// The only version that is used.
    pub version: &'static str,
    /// Further arguments of `cargo install`, such as its features.
    pub arguments: &'static [&'static str],
    /// Its level of optimisation. Most tools run for a moment, so they are built with little: a few minutes on two cores.
    pub optimised: &'static str,
}

impl Tool {
    /// A command that runs it in the workspace. Builds it if it is missing.
    ///
    /// # Errors
    ///
    /// If it cannot be built. The message says what to type.
    pub fn command(&self) -> Result<Command> {
        let root = target().join(format!("{}-{}", self.name, self.version));
        let ours = root.join("bin").join(self.name);
        let file = match on_path(self.name).filter(|file| self.is_version_of(file)) {
            Some(file) => file,
            None => {
                // The folder is of one version, and cargo puts a program there only when it is whole.
                if !ours.is_file() {
                    self.install(&root)?;
                }
                ours
            }
        };
        let mut command = Command::new(file);
        command.current_dir(workspace());
        Ok(command)
    }

    fn is_version_of(&self, file: &Path) -> bool {
        let printed = quietly(Command::new(file).arg("--version"));
        // Some print only the version, others their name before it; some with a `v`.
        printed.is_ok_and(|printed| printed.split_whitespace().any(|word| word.trim_start_matches('v') == self.version))
    }

    fn install(&self, root: &Path) -> Result<()> {
        let (name, version) = (self.name, self.version);
        eprintln!("{name} {version} is not installed: building it, which takes a few minutes.");
        let mut command = cargo();
        command.args(["install", "--quiet", "--locked", "--force", "--root"]).arg(root);
        command.args(self.arguments).arg(format!("{name}@{version}"));
        command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", self.optimised);
        command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        // Built outside the workspace's target folder, because the workspace's own build has other settings.
        command.env_remove("CARGO_TARGET_DIR");
        if !foreground(&mut command).context("cargo install")?.success() {
            bail!("{name} {version} cannot be installed; run `cargo install --locked {name}@{version}` online");
        }
        Ok(())
    }
}
