//! Loads a catalogue's files from the program itself or from a folder.

use std::fs;
use std::path::Path;

use super::Catalogue;
use super::mistakes::{CatalogueErrors, Mistakes};

macro_rules! embedded {
    ($($file:literal),* $(,)?) => {
        &[$(($file, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../catalogue/", $file)))),*]
    };
}

/// The files of the folder `catalogue`.
const EMBEDDED: &[(&str, &str)] = embedded![
    "armor.toml",
    "classes.toml",
    "conditions.toml",
    "gear.toml",
    "magic.toml",
    "mounts.toml",
    "packs.toml",
    "races.toml",
    "skills.toml",
    "tools.toml",
    "weapons.toml",
];

/// The file in a folder with the notice about the origin of its contents.
const NOTICE: &str = "NOTICE.md";

/// The notice that the licence of the embedded facts requires.
const EMBEDDED_NOTICE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../catalogue/NOTICE.md"));

impl Catalogue {
    /// The catalogue built into the program.
    pub fn embedded() -> Self {
        Self::read(EMBEDDED, EMBEDDED_NOTICE, Mistakes::default()).expect("a test reads the embedded catalogue")
    }

    /// Reads every `*.toml` of a folder. Entries may be in any file.
    ///
    /// A notice there, named as `catalogue/NOTICE.md` is, takes the place of the embedded one.
    ///
    /// # Errors
    ///
    /// All mistakes together, with file, entry and field, including unreadable files.
    pub fn load(dir: &Path) -> Result<Self, CatalogueErrors> {
        let mistakes = Mistakes::default();
        let mut names = match file_names(dir) {
            Ok(names) => names,
            Err(error) => {
                mistakes.add(&dir.display().to_string(), "", "", error.to_string());
                return Err(CatalogueErrors::new(mistakes.into_inner()));
            }
        };
        names.retain(|name| name.ends_with(".toml"));
        names.sort_unstable();
        let mut files = Vec::new();
        for name in &names {
            match fs::read_to_string(dir.join(name)) {
                Ok(text) => files.push((name.as_str(), text)),
                Err(error) => mistakes.add(name, "", "", error.to_string()),
            }
        }
        let notice = dir.join(NOTICE);
        let notice = match fs::read_to_string(&notice) {
            Ok(text) => text,
            Err(error) => {
                if notice.exists() {
                    mistakes.add(NOTICE, "", "", error.to_string());
                }
                EMBEDDED_NOTICE.to_owned()
            }
        };
        let files: Vec<_> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        Self::read(&files, &notice, mistakes)
    }
}

fn file_names(dir: &Path) -> std::io::Result<Vec<String>> {
    let name = |entry: std::io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    fs::read_dir(dir)?.map(name).collect()
}
