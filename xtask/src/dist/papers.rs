//! The licences of all crates in a program, and its bill of materials.

use std::fs;

use anyhow::{Context, Result};

use super::PROGRAMS;
use super::source::Source;
use crate::run::{cargo, quietly};
use crate::tool::Tool;

/// Compares the texts of all licences with known ones: with little optimisation it would take minutes.
const CARGO_ABOUT: Tool =
    Tool { name: "cargo-about", version: "0.9.3", arguments: &["--features", "cli"], optimised: "3" };

const CARGO_CYCLONEDX: Tool = Tool { name: "cargo-cyclonedx", version: "0.5.9", arguments: &[], optimised: "1" };

/// The licences of all crates of both programs, with their texts. They fail if a crate has one that is not accepted.
pub(super) fn licences(source: &Source, triple: &str) -> Result<String> {
    let folder = source.folder.join("deploy/licences");
    let mut texts = Vec::new();
    // Also what only others of the workspace need: cargo-about looks at all, and fetches nothing itself.
    quietly(cargo().current_dir(&source.folder).args(["fetch", "--quiet", "--locked"]))?;
    for program in PROGRAMS {
        let made = source.folder.join("target").join(format!("{program}.txt"));
        fs::create_dir_all(made.parent().context("a folder")?)?;
        let mut command = CARGO_ABOUT.command()?;
        command.current_dir(&source.folder).args(["generate", "--frozen", "--fail", "--target", triple]);
        command.arg("--config").arg(folder.join("about.toml"));
        command.arg("--manifest-path").arg(source.folder.join(folder_of(program)).join("Cargo.toml"));
        quietly(command.arg("--output-file").arg(&made).arg(folder.join("about.hbs")))?;
        texts.push(format!("# {program}\n\n{}", fs::read_to_string(made)?));
    }
    Ok(texts.join("\n"))
}

/// For each program its bill of materials in the form of CycloneDX.
pub(super) fn bills_of_materials(source: &Source, triple: &str) -> Result<Vec<(&'static str, String)>> {
    let mut command = CARGO_CYCLONEDX.command()?;
    command.current_dir(&source.folder).args(["cyclonedx", "-qq", "--format", "json", "--spec-version", "1.5"]);
    command.args(["--target", triple, "--no-build-deps", "--override-filename", "bill"]);
    // With it the bill has the time of the commit and no random number.
    command.env("SOURCE_DATE_EPOCH", source.time.to_string());
    // It writes one beside each manifest of the workspace.
    quietly(&mut command)?;
    let here = source.folder.display().to_string();
    let read = |program| {
        let bill = source.folder.join(folder_of(program)).join("bill.json");
        let text = fs::read_to_string(&bill).with_context(|| format!("{}", bill.display()))?;
        // No path of this machine may be in it.
        Ok((program, text.replace(&here, "/castellan")))
    };
    PROGRAMS.into_iter().map(read).collect()
}

/// The folder of a program's crate.
fn folder_of(program: &str) -> &str {
    if program == "castellan" { "server" } else { program }
}
