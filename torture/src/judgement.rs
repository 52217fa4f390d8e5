//! The verdict on a run: what the check finds in the evidence, and what was noticed before.

use std::path::{Path, PathBuf};

use anyhow::{Error, Result};

use crate::check::{Finding, Rule, Verdict, check};
use crate::evidence::Evidence;
use crate::panics::panics;

/// Largest allowed memory of a server, in KiB: several times its normal memory, built without optimisation.
const MEMORY_KIB_MAX: u64 = 256 * 1024;

/// Judges a run.
///
/// `broken_off` is the reason for its early end, `complaints` was noticed during the run, `folder` has the logs.
pub(crate) fn judge(
    evidence: Result<Evidence>,
    mut broken_off: Option<Error>,
    complaints: Vec<Finding>,
    folder: &Path,
    memory_kib: u64,
) -> Result<Verdict> {
    let mut verdict = match evidence {
        Ok(evidence) => check(&evidence),
        Err(error) => {
            let error = error.context("cannot gather the evidence");
            broken_off = Some(match broken_off {
                Some(first) => anyhow::anyhow!("{first:#}; then {error:#}"),
                None => error,
            });
            Verdict::default()
        }
    };
    // First, because what was noticed during the run explains what the check finds.
    verdict.findings.splice(0..0, complaints);
    verdict.findings.extend(broken_off.map(|error| Finding::broke_off(format!("{error:#}"))));
    look_for_panics(folder, &mut verdict)?;
    if memory_kib > MEMORY_KIB_MAX {
        verdict.complain(Rule::Memory, format!("a server used {memory_kib} KiB, more than {MEMORY_KIB_MAX}"));
    }
    Ok(verdict)
}

/// Panics in the logs of all processes, by file.
fn look_for_panics(folder: &Path, verdict: &mut Verdict) -> Result<()> {
    let entries = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let mut logs: Vec<PathBuf> = entries.collect::<std::io::Result<_>>()?;
    logs.retain(|path| path.extension().is_some_and(|extension| extension == "err"));
    logs.sort();
    for path in logs {
        let (log, name) = (std::fs::read(&path)?, path.file_name().unwrap_or_default().display());
        let found = panics(&String::from_utf8_lossy(&log));
        verdict.findings.extend(found.iter().map(|panic| Finding::crashed(format!("{name}: {panic}"))));
    }
    Ok(())
}
