//! Loads a catalogue's files from the program itself or from a folder.

use std::fs;
use std::path::Path;

use castellan_game::RuleFiles;

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

    /// The files of the embedded catalogue.
    pub fn embedded_files() -> RuleFiles {
        let files = EMBEDDED.iter().copied().chain([(NOTICE, EMBEDDED_NOTICE)]);
        files.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    /// Reads every `*.toml` of a folder. Entries may be in any file.
    ///
    /// A notice there, named as `catalogue/NOTICE.md` is, takes the place of the embedded one.
    ///
    /// # Errors
    ///
    /// All mistakes together, with file, entry and field.
    pub fn load(dir: &Path) -> Result<Self, CatalogueErrors> {
        Self::from_files(&Self::files(dir)?)
    }

    /// The files of a folder that [`Catalogue::load`] reads.
    ///
    /// # Errors
    ///
    /// All unreadable files.
    pub fn files(dir: &Path) -> Result<RuleFiles, CatalogueErrors> {
        let mistakes = Mistakes::default();
        let names = file_names(dir).unwrap_or_else(|error| {
            mistakes.add(&dir.display().to_string(), "", "", error.to_string());
            Vec::new()
        });
        let mut files = RuleFiles::new();
        for name in names.into_iter().filter(|name| name.ends_with(".toml") || name == NOTICE) {
            match fs::read_to_string(dir.join(&name)) {
                Ok(text) => drop(files.insert(name, text)),
                Err(error) => mistakes.add(&name, "", "", error.to_string()),
            }
        }
        let mistakes = mistakes.into_inner();
        if mistakes.is_empty() { Ok(files) } else { Err(CatalogueErrors::new(mistakes)) }
    }

    /// Reads files, in the order of their names.
    ///
    /// # Errors
    ///
    /// All mistakes together, with file, entry and field.
    pub fn from_files(files: &RuleFiles) -> Result<Self, CatalogueErrors> {
        let notice = files.get(NOTICE).map_or(EMBEDDED_NOTICE, String::as_str);
        let entries = files.iter().filter(|(name, _)| *name != NOTICE);
        let entries: Vec<_> = entries.map(|(name, text)| (name.as_str(), text.as_str())).collect();
        Self::read(&entries, notice, Mistakes::default())
    }
}

fn file_names(dir: &Path) -> std::io::Result<Vec<String>> {
    let name = |entry: std::io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
    fs::read_dir(dir)?.map(name).collect()
}
