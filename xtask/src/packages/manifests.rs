//! The files in `deploy/` for Kubernetes and compose.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::debian::{program, unpacked};
use crate::machine::on_path;
use crate::prometheus::promtool;
use crate::python::Packages;
use crate::run::{quietly, workspace};

/// A library that has the schemas of Kubernetes in it.
const SCHEMAS: Packages = Packages {
    folder: "manifest-python",
    wanted: &["kubernetes-validate==1.37.0", "jsonschema>=4,<5", "PyYAML>=6,<7"],
    imports: "kubernetes_validate, jsonschema, yaml",
};

/// Checks the manifests by their schemas, and the settings of Prometheus and Alertmanager by their own programs.
///
/// # Errors
///
/// Names all mistakes. Or a program or a package for it cannot be had.
pub fn check() -> Result<()> {
    let deploy = workspace().join("deploy");
    let mut script = Command::new(SCHEMAS.python()?);
    script.arg("-c").arg(include_str!("manifests.py")).arg(&deploy).arg(compose_schema()?);
    quietly(&mut script).context("the manifests in deploy/ have mistakes")?;
    let compose = deploy.join("compose");
    quietly(amtool()?.arg("check-config").arg(compose.join("alertmanager.yml")))?;
    // Prometheus looks for the alerts beside its settings, where compose puts them.
    let folder = tempfile::tempdir()?;
    fs::copy(compose.join("prometheus.yml"), folder.path().join("prometheus.yml"))?;
    fs::copy(workspace().join("grafana/alerts.yml"), folder.path().join("alerts.yml"))?;
    quietly(Command::new(promtool()?).args(["check", "config"]).arg(folder.path().join("prometheus.yml")))?;
    Ok(())
}

/// The schema of compose files.
fn compose_schema() -> Result<PathBuf> {
    let folder = unpacked("The tests need the schema of compose files", &["docker-compose"])?;
    Ok(folder.join("usr/lib/python3/dist-packages/compose/config/compose_spec.json"))
}

/// Alertmanager's `amtool`.
fn amtool() -> Result<Command> {
    let package = ["prometheus-alertmanager"];
    match on_path("amtool") {
        Some(file) => Ok(Command::new(file)),
        None => Ok(program(&unpacked("The tests need amtool, a part of Alertmanager", &package)?, "usr/bin/amtool")),
    }
}
