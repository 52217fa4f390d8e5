//! The folder for a run's records and logs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder of a run. Kept unless [`Folder::close`] removes it.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    /// True if the command line asks to keep it.
    kept: bool,
}

impl Folder {
    pub(crate) fn new(keep: Option<&Path>, seed: u64) -> Result<Self> {
        let folder = match keep {
            Some(keep) => {
                std::fs::create_dir_all(keep)?;
                tempfile::Builder::new().prefix(&format!("{seed}-")).tempdir_in(keep)?
            }
            None => tempfile::Builder::new().prefix("castellan-torture-").tempdir()?,
        };
        Ok(Self { path: folder.keep(), kept: keep.is_some() })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder of a clean run, unless it must be kept. Returns its path if it stays.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub fn close(self, clean: bool) -> Result<Option<PathBuf>> {
        if !clean || self.kept {
            return Ok(Some(self.path));
        }
        std::fs::remove_dir_all(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))?;
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_folder_of_a_clean_run_that_nobody_keeps_is_removed() {
        let place = tempfile::tempdir().expect("a temporary folder");
        for (wanted, clean, stays) in [(false, true, false), (false, false, true), (true, true, true)] {
            let folder = Folder::new(wanted.then(|| place.path()), 7).expect("a folder");
            let path = folder.path().to_owned();
            std::fs::write(path.join("server-1.err"), "").expect("room on the disk");
            assert_eq!(folder.close(clean).expect("it can be removed"), stays.then(|| path.clone()));
            assert_eq!(path.exists(), stays, "wanted: {wanted}, clean: {clean}");
            std::fs::remove_dir_all(path).ok();
        }
    }
}
