//! Every setting, with its unit, default and bound.
//!
//! A setting is declared once, in the file of its concern. A flag wins over a `CASTELLAN_…` variable, a variable over
//! a TOML key, a key over the default. All problems are reported together; secrets are never repeated.
//!
//! The loader is our own: figment 0.10.19 stops at the first bad value, quotes it even if it is a secret, and needs a
//! second version of `toml`. The flags and their help would need the same tables beside it.

mod auth;
mod command_line;
mod database;
mod file;
mod files;
mod issuers;
mod listen;
mod node;
mod role;
mod rules;
mod setting;
mod socket;
mod telemetry;
mod text;
mod unknown;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;

pub use auth::{Auth, Registration};
pub use command_line::{Account, AccountVerb, COMMIT, Command, DeadLetters, Keys, Task};
pub use database::{Cache, Database, DatabaseUrl, Flush, Keep};
pub use files::Files;
pub use issuers::{Issuer, Issuers, KeySource, KeyUrl, TokenAlgorithm};
pub use listen::{AdminListen, Listen, Origin, PublicUrl};
pub use node::Node;
pub use role::Role;
pub use rules::{PolicyChoice, Rules};
pub use socket::{Scheduling, Socket};
pub use telemetry::{LogFilter, LogFormat, OtlpEndpoint, Telemetry};

use castellan_game::{RuleOption, RuleOptions};
use setting::{Given, Setting, Values};

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Listening addresses, and the limits of HTTP connections.
    pub listen: Listen,
    /// The database.
    pub database: Database,
    /// Flushing changed characters to it.
    pub flush: Flush,
    /// Characters in memory.
    pub cache: Cache,
    /// How long unused data is kept.
    pub keep: Keep,
    /// Accounts, passwords, tokens.
    pub auth: Auth,
    /// Limits of WebSockets.
    pub socket: Socket,
    /// The identity of a node, and its share.
    pub node: Node,
    /// The game.
    pub rules: Rules,
    /// The chosen value of each option of the game.
    pub options: RuleOptions,
    /// Logs and traces.
    pub telemetry: Telemetry,
    /// A sentence for each `CASTELLAN_…` variable that nothing reads.
    pub unknown: Vec<String>,
}

/// All settings, in the order of `--help-all`; `options` are those of the game.
fn all_settings(options: &'static [RuleOption]) -> impl Iterator<Item = Setting> {
    [
        Listen::SETTINGS,
        Database::SETTINGS,
        Flush::SETTINGS,
        Cache::SETTINGS,
        Keep::SETTINGS,
        Auth::SETTINGS,
        Socket::SETTINGS,
        Node::SETTINGS,
        Rules::SETTINGS,
    ]
    .into_iter()
    .flatten()
    .copied()
    .chain(rules::settings_of(options))
    .chain(Telemetry::SETTINGS.iter().copied())
}

impl Config {
    /// Parses a command line and the environment variables.
    ///
    /// `options` are the options of the game that is served. `arguments` begin with the program's name. In
    /// `environment` only `CASTELLAN_…` and systemd's `CREDENTIALS_DIRECTORY` count; an empty variable is unset. Unknown
    /// variables are only noted. Reads only the file that `--config` or `CASTELLAN_CONFIG` names.
    ///
    /// # Errors
    ///
    /// Returns all problems, not only the first.
    pub fn from_args(
        arguments: impl IntoIterator<Item = OsString>,
        environment: &BTreeMap<String, String>,
        options: &'static [RuleOption],
    ) -> Result<Command, ConfigErrors> {
        Self::with_files(arguments, environment, options, |_| Vec::new())
    }

    /// Like `from_args`. Before a server starts, `check` returns the problems with the files that its settings name.
    ///
    /// # Errors
    ///
    /// Returns all problems, those of the files with those of the settings.
    pub fn with_files(
        arguments: impl IntoIterator<Item = OsString>,
        environment: &BTreeMap<String, String>,
        options: &'static [RuleOption],
        check: impl FnOnce(&Files) -> Vec<String>,
    ) -> Result<Command, ConfigErrors> {
        let mut values = Values { options, ..Values::default() };
        let line = match command_line::parse(arguments, &mut values) {
            command_line::Parsed::Show(text) => return Ok(Command::Show(text)),
            command_line::Parsed::Line(line) => line,
        };
        let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        for setting in all_settings(options) {
            if let Some(value) = variable(&setting.variable()) {
                let given = Given { text: value.clone(), origin: setting.variable() };
                values.given.entry(setting.name()).or_insert(given);
            }
        }
        if let Some(path) = line.config.as_deref().or_else(|| variable("CASTELLAN_CONFIG").map(String::as_str)) {
            file::read(path, &mut values);
        }
        if let Some(folder) = variable("CREDENTIALS_DIRECTORY") {
            file::credential(folder, &mut values);
        }
        let (mut config, files) = Self::read(&mut values);
        if let Some(config) = &mut config {
            config.unknown = unknown::unknown(environment, all_settings(options));
        }
        if line.task.as_ref().is_some_and(Task::is_about_a_server) {
            values.problems.extend(check(&files));
        }
        match (config, line.task) {
            (Some(config), Some(task)) if values.problems.is_empty() => Ok(Command::Run(Box::new(config), task)),
            _ => Err(ConfigErrors(values.problems)),
        }
    }

    fn read(values: &mut Values) -> (Option<Self>, Files) {
        let listen = Listen::read(values);
        let database = Database::read(values);
        let flush = Flush::read(values);
        let cache = Cache::read(values);
        let keep = Keep::read(values);
        let auth = Auth::read(values);
        let socket = Socket::read(values);
        let node = Node::read(values);
        let rules = Rules::read(values);
        let options = rules::read_options(values.options, values);
        let telemetry = Telemetry::read(values);
        if listen.as_ref().is_some_and(|listen| listen.tls_cert.is_some() != listen.tls_key.is_some()) {
            values.note("tls.cert, tls.key", "set both, or neither");
        }
        let files = Files::of(values, auth.as_ref(), options.as_ref());
        let config = || {
            Some(Self {
                listen: listen?,
                database: database?,
                flush: flush?,
                cache: cache?,
                keep: keep?,
                auth: auth?,
                socket: socket?,
                node: node?,
                rules: rules?,
                options: options?,
                telemetry: telemetry?,
                unknown: Vec::new(),
            })
        };
        (config(), files)
    }
}

/// All problems with the given settings, one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<String>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.join("\n  ");
        write!(f, "invalid settings:\n  {lines}\nRun `castellan --help-all` for all settings and their bounds.")
    }
}

impl std::error::Error for ConfigErrors {}

#[cfg(test)]
mod tests;
