//! Programs from crates.io that are installed under `target/`, each in one version.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::machine::on_path;
use crate::run::{cargo, foreground, quietly, workspace};

/// A program that `cargo install` builds. Its package has the same name.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Further arguments of `cargo install`, such as its features.
    pub(crate) arguments: &'static [&'static str],
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

impl Program {
    /// A command that runs the program in the workspace. If this version is missing, it is installed first.
    pub(crate) fn command(&self) -> Result<Command> {
        let root = target().join(format!("{}-{}", self.name, self.version));
        let ours = root.join("bin").join(self.name);
        let found = on_path(self.name).into_iter().chain([ours.clone()]).find(|file| self.is_this_version(file));
        let file = match found {
            Some(file) => file,
            None => {
                self.install(&root)?;
                ours
            }
        };
        let mut command = Command::new(file);
        command.current_dir(workspace());
        Ok(command)
    }

    fn is_this_version(&self, file: &Path) -> bool {
        let printed = quietly(Command::new(file).arg("--version"));
        // Some print `name 1.2.3`, others `name v1.2.3`.
        printed.is_ok_and(|printed| {
            let number = printed.trim().strip_prefix(self.name).map(|rest| rest.trim().trim_start_matches('v'));
            number == Some(self.version)
        })
    }

    /// Builds it with little optimisation, because it runs for seconds only: a few minutes on two cores.
    fn install(&self, root: &Path) -> Result<()> {
        let Self { name, version, arguments } = self;
        eprintln!("{name} {version} is not installed: building it, which takes a few minutes.");
        let mut command = cargo();
        command.args(["install", "--quiet", "--locked", "--force", "--root"]).arg(root);
        command.args(*arguments).arg(format!("{name}@{version}"));
        command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
        command.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
        // Built outside the workspace's target folder, because the workspace's own build has other settings.
        command.env_remove("CARGO_TARGET_DIR");
        if !foreground(&mut command).context("cargo install")?.success() {
            let options = arguments.iter().map(|argument| format!("{argument} ")).collect::<String>();
            bail!(
                "{name} {version} cannot be installed; run `cargo install --locked {options}{name}@{version}` online"
            );
        }
        Ok(())
    }
}
