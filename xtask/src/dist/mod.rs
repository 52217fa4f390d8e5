//! `cargo xtask dist`: what is handed to people who run a server: an archive, a Debian package and their checksums.

mod build;
mod papers;
mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::packages::{self, Contents};
use crate::run::{catch_interrupts, quietly, target};
use source::Source;

/// The programs, each a package of the same name.
const PROGRAMS: [&str; 2] = ["castellan", "client-sim"];

/// Files and folders of the repository that the archive has, too.
const INCLUDED: [&str; 7] =
    ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md", "catalogue", "docs", "grafana"];

/// The file of checksums.
const SUMS: &str = "SHA256SUMS";

/// Arguments of the packing.
#[derive(Args)]
pub struct DistArguments {
    /// Build everything once more from nothing, and fail if a single byte differs.
    #[arg(long)]
    twice: bool,
    /// Afterwards install the package in a Debian under `target/`, and run the container image. Needs root.
    #[arg(long)]
    check: bool,
}

/// Packs the checked-out commit into `target/dist`.
///
/// # Errors
///
/// If something cannot be built, if two builds differ, or if a check fails.
pub fn dist(arguments: &DistArguments) -> Result<ExitCode> {
    catch_interrupts()?;
    let triple = build::triple()?;
    let folder = target().join("dist");
    let work = folder.join("work");
    let packed = pack(&work, &triple)?;
    if arguments.twice {
        let one = fs::read_to_string(packed.folder.join(SUMS))?;
        fs::remove_dir_all(&work)?;
        let again = pack(&work, &triple)?;
        let other = fs::read_to_string(again.folder.join(SUMS))?;
        if one != other {
            bail!("two builds of one commit differ:\n{one}\n{other}");
        }
        eprintln!("Two builds of the commit have the same bytes.");
    }
    for entry in fs::read_dir(&packed.folder)? {
        let file = entry?.path();
        fs::copy(&file, folder.join(file.file_name().context("a name")?))?;
    }
    print!("{}", quietly(Command::new("ls").arg("-l").args(files(&packed.folder)?))?);
    print!("{}", fs::read_to_string(packed.folder.join(SUMS))?);
    if arguments.check {
        packages::check_package(&packed.package)?;
        packages::check_image(&packed.archived)?;
        packages::check_manifests()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The results of one run.
struct Packed {
    /// The folder with the files that are handed out.
    folder: PathBuf,
    /// The folder that becomes the archive.
    archived: PathBuf,
    /// The Debian package.
    package: PathBuf,
}

fn pack(folder: &Path, triple: &str) -> Result<Packed> {
    fs::create_dir_all(folder)?;
    let source = Source::checkout(&folder.join("source"))?;
    let built = build::programs(&source, &folder.join("build"), triple)?;
    let name = format!("castellan-{}-{triple}", source.version()?);
    let (out, archived) = (folder.join("out"), folder.join(&name));
    for made in [&out, &archived] {
        if made.exists() {
            fs::remove_dir_all(made)?;
        }
        fs::create_dir_all(made)?;
    }
    for program in PROGRAMS {
        fs::copy(built.join(program), archived.join(program))?;
    }
    let licences = papers::licences(&source, triple)?;
    fs::write(archived.join("third-party.txt"), &licences)?;
    for (program, bill) in papers::bills_of_materials(&source, triple)? {
        fs::write(archived.join(format!("{program}.cdx.json")), &bill)?;
        fs::write(out.join(format!("{name}-{program}.cdx.json")), bill)?;
    }
    quietly(Command::new("cp").arg("-r").args(INCLUDED.map(|name| source.folder.join(name))).arg(&archived))?;
    packages::deployment(&source.folder, &archived)?;
    archive(&source, folder, &name, &out.join(format!("{name}.tar.gz")))?;
    let contents = Contents { program: &archived.join("castellan"), licences: &licences, is_hasty: false };
    let package = packages::package(&source.folder, source.time, &contents, &folder.join("stage"), &out)?;
    checksums(&out)?;
    Ok(Packed { folder: out, archived, package })
}

/// An archive whose bytes depend on nothing but the files: sorted, without owners, all of the time of the commit.
fn archive(source: &Source, parent: &Path, name: &str, file: &Path) -> Result<()> {
    let mut command = Command::new("tar");
    command.current_dir(parent).args(["--create", "--sort=name", "--format=gnu", "--owner=0", "--group=0"]);
    command.args(["--numeric-owner", "--mode=a+rX,u+w,go-w"]).arg(format!("--mtime=@{}", source.time));
    command.args(["--use-compress-program=gzip -9 --no-name", "--file"]).arg(file).arg(name);
    quietly(&mut command).map(drop)
}

fn checksums(folder: &Path) -> Result<()> {
    let names = files(folder)?;
    let names = names.iter().filter_map(|file| file.file_name());
    let sums = quietly(Command::new("sha256sum").current_dir(folder).args(names))?;
    Ok(fs::write(folder.join(SUMS), sums)?)
}

/// The files of a folder, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
