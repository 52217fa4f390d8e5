//! Checks the files that settings name, before anything is started.

use std::fmt::Display;
use std::sync::Arc;

use castellan_game::Game;

use crate::auth::{Exposure, Issuers, Policy, check_master_key};
use crate::config::Files;
use crate::http;
use crate::link::Trust;

/// All problems with the files, a line each.
pub fn problems_of_files<G: Game>(files: &Files) -> Vec<String> {
    let mut problems = Vec::new();
    let mut add = |error: &dyn Display| problems.extend(error.to_string().lines().map(str::to_owned));
    if let Some((catalogue, options)) = &files.catalogue
        && let Err(error) = G::rule_files(catalogue.as_deref()).and_then(|files| G::read_rules(&files, options))
    {
        add(&error);
    }
    if let Some(policy) = &files.policy
        && let Err(error) = Policy::from_choice::<G>(policy, &Arc::new(Exposure::new(true)))
    {
        add(&error);
    }
    if let Some((certificate, key)) = &files.certificate
        && let Err(error) = http::Tls::open(certificate, key)
    {
        add(&format_args!("cannot use the certificate (--tls-cert, --tls-key): {error}"));
    }
    if let Some(authorities) = &files.link_ca
        && let Err(error) = Trust::open(authorities)
    {
        add(&format_args!("cannot use the authorities of nodes (--link-ca): {error}"));
    }
    if let Some(issuers) = &files.issuers
        && let Err(error) = Issuers::open(issuers)
    {
        add(&error);
    }
    if let Some(file) = &files.master_key
        && let Err(error) = check_master_key(file)
    {
        add(&error);
    }
    problems
}
