//! The command line: flags, commands and their help.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

use castellan_game::RuleOption;
use castellan_protocol::{CharacterId, SessionId};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command as Clap};

use super::role::Role;
use super::setting::{Given, Setting, Values};
use super::{Config, all_settings};

/// A parsed command line.
#[derive(Debug)]
pub enum Command {
    /// Print this text (help or the version) and exit successfully.
    Show(String),
    /// Run a task with these settings.
    Run(Box<Config>, Task),
}

/// A task of the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Run the server.
    Serve,
    /// Check the settings and the files that they name.
    CheckConfig,
    /// Look at everything that a server needs, and say what to mend.
    Doctor,
    /// Ask the server at the address in the settings if it is ready.
    Health,
    /// Migrate the database to the current schema.
    Migrate,
    /// Manage accounts.
    Account(Account),
    /// Inspect or resolve dead letters.
    DeadLetters(DeadLetters),
    /// Manage the keys that servers share.
    Keys(Keys),
    /// Run a node.
    Node,
    /// Run a gateway. It replaces the one that waits at this Unix socket, if one does, and then waits there itself.
    Gateway(Option<PathBuf>),
    /// List the processes on the database.
    Nodes,
    /// Let a node give its shards away, and wait until it has none.
    Drain(String),
    /// Let a node have shards again.
    Undrain(String),
    /// Let nodes store what only the present release reads.
    FinishUpgrade,
    /// Copy the SQLite database to this file.
    Backup(PathBuf),
    /// Treat the database as restored from a backup.
    Restored,
}

impl Task {
    /// Returns true if it needs the files that a server reads at its start.
    pub(super) const fn is_about_a_server(&self) -> bool {
        matches!(self, Self::Serve | Self::Node | Self::Gateway(_) | Self::CheckConfig)
    }
}

/// A command about accounts. `account` is a login name or a user id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// Create one.
    Create {
        /// The login name.
        name: String,
        /// The account's role.
        role: Role,
        /// Read the password from standard input; otherwise generate one and print it.
        password_stdin: bool,
    },
    /// List all, one per line.
    List,
    /// Do something with one.
    One {
        /// The login name, or the user id.
        account: String,
        /// What.
        verb: AccountVerb,
    },
}

/// A command about one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountVerb {
    /// Show it.
    Show,
    /// Replace its password, and end its sessions.
    Password {
        /// Read the password from standard input; otherwise generate one and print it.
        from_stdin: bool,
    },
    /// Give it another role, and end its sessions.
    Role(Role),
    /// Let nobody log in, and end its sessions.
    Disable,
    /// Let its user log in again.
    Enable,
    /// Delete it, with its characters.
    Delete,
    /// List its sessions.
    Sessions,
    /// End one of its sessions, or all.
    Revoke(Option<SessionId>),
}

/// A command about dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetters {
    /// List them, one per line.
    List,
    /// Show one in full.
    Show(CharacterId),
    /// Tell the server to write a dead letter again.
    Retry(CharacterId),
    /// Tell the server to drop it.
    Discard(CharacterId),
}

/// A command about the keys that servers share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keys {
    /// List them, one per line, without their secrets.
    List,
    /// Add a key that signs access tokens.
    Rotate,
    /// Remove the key before it.
    Retire {
        /// Even if its tokens have not expired.
        now: bool,
    },
    /// Encrypt all with the master key.
    Encrypt {
        /// The file of the master key before it, if there was one.
        old: Option<PathBuf>,
    },
    /// Store all in plain.
    Decrypt,
}

/// A command line whose settings are not parsed yet.
pub(super) struct Line {
    pub(super) config: Option<String>,
    pub(super) task: Option<Task>,
}

pub(super) enum Parsed {
    Show(String),
    Line(Line),
}

/// Reads flags into `values`. Records each problem there and still reads the rest of the line.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>, values: &mut Values) -> Parsed {
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    if arguments.iter().any(|argument| argument == MAN_PAGE) {
        return Parsed::Show(man_page(grammar(values.options, true)));
    }
    let wants_all = arguments.iter_mut().find(|argument| *argument == "--help-all");
    let shows_all = wants_all.map(|argument| *argument = "--help".into()).is_some();
    let matches = match grammar(values.options, shows_all).try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                return Parsed::Show(error.to_string());
            }
            _ => {
                let complaint = error.to_string();
                let first = complaint.lines().next().unwrap_or_default();
                values.problems.push(first.trim_start_matches("error: ").to_owned());
                match grammar(values.options, shows_all).ignore_errors(true).try_get_matches_from(&arguments) {
                    Ok(matches) => matches,
                    Err(_) => return Parsed::Line(Line { config: None, task: None }),
                }
            }
        },
    };
    for setting in all_settings(values.options) {
        if let Some(text) = flag(&matches, &setting.name()) {
            let origin = format!("--{}", setting.flag());
            values.given.insert(setting.name(), Given { text, origin });
        }
    }
    Parsed::Line(Line { config: flag(&matches, "config"), task: task(&matches) })
}

/// Prints the manual page instead of doing anything; for those who make packages.
const MAN_PAGE: &str = "--man-page";

/// The manual page, in roff.
fn man_page(grammar: Clap) -> String {
    let mut page = Vec::new();
    clap_mangen::Man::new(grammar).render(&mut page).expect("a vector takes everything");
    String::from_utf8(page).expect("made of strings")
}

/// A flag's value, given before or after the command.
fn flag(matches: &ArgMatches, name: &str) -> Option<String> {
    let mut deepest = matches;
    while let Some((_, below)) = deepest.subcommand() {
        deepest = below;
    }
    deepest.try_get_one::<String>(name).ok().flatten().cloned()
}

fn task(matches: &ArgMatches) -> Option<Task> {
    match matches.subcommand() {
        None | Some(("serve", _)) => Some(Task::Serve),
        Some(("check-config", _)) => Some(Task::CheckConfig),
        Some(("doctor", _)) => Some(Task::Doctor),
        Some(("health", _)) => Some(Task::Health),
        Some(("migrate", _)) => Some(Task::Migrate),
        Some(("node", _)) => Some(Task::Node),
        Some(("gateway", below)) => Some(Task::Gateway(below.try_get_one::<PathBuf>("replace").ok()?.cloned())),
        Some(("nodes", _)) => Some(Task::Nodes),
        Some(("drain", below)) => Some(Task::Drain(below.try_get_one::<String>("node").ok()??.clone())),
        Some(("undrain", below)) => Some(Task::Undrain(below.try_get_one::<String>("node").ok()??.clone())),
        Some(("upgrade", _)) => Some(Task::FinishUpgrade),
        Some(("backup", below)) => Some(Task::Backup(below.try_get_one::<PathBuf>("file").ok()??.clone())),
        Some(("restored", _)) => Some(Task::Restored),
        Some(("account", below)) => {
            let (verb, one) = below.subcommand()?;
            account_task(verb, one).map(Task::Account)
        }
        Some(("keys", below)) => {
            let (verb, of_verb) = below.subcommand()?;
            Some(Task::Keys(match verb {
                "rotate" => Keys::Rotate,
                "retire" => Keys::Retire { now: of_verb.get_flag("now") },
                "encrypt" => {
                    Keys::Encrypt { old: of_verb.try_get_one::<PathBuf>("old-master-key-file").ok()?.cloned() }
                }
                "decrypt" => Keys::Decrypt,
                _ => Keys::List,
            }))
        }
        Some(("dead-letters", below)) => {
            let (verb, one) = below.subcommand()?;
            let id = || one.try_get_one::<CharacterId>("id").ok().flatten().copied();
            Some(Task::DeadLetters(match verb {
                "show" => DeadLetters::Show(id()?),
                "retry" => DeadLetters::Retry(id()?),
                "discard" => DeadLetters::Discard(id()?),
                _ => DeadLetters::List,
            }))
        }
        Some(_) => None,
    }
}

fn account_task(verb: &str, given: &ArgMatches) -> Option<Account> {
    let name = || Some(given.try_get_one::<String>("account").ok()??.clone());
    let role = || given.try_get_one::<Role>("role").ok().flatten().copied();
    // A line with mistakes has no defaults.
    let from_stdin = || given.try_get_one::<bool>("password-stdin").ok().flatten().is_some_and(|given| *given);
    let verb = match verb {
        "create" => {
            return Some(Account::Create { name: name()?, role: role()?, password_stdin: from_stdin() });
        }
        "list" => return Some(Account::List),
        "password" => AccountVerb::Password { from_stdin: from_stdin() },
        "role" => AccountVerb::Role(role()?),
        "disable" => AccountVerb::Disable,
        "enable" => AccountVerb::Enable,
        "delete" => AccountVerb::Delete,
        "sessions" => AccountVerb::Sessions,
        "revoke" => AccountVerb::Revoke(given.try_get_one::<SessionId>("session").ok()?.copied()),
        _ => AccountVerb::Show,
    };
    Some(Account::One { account: name()?, verb })
}

/// The commit that this program was built from, if the build has said so.
pub const COMMIT: &str = match option_env!("CASTELLAN_COMMIT") {
    Some(commit) => commit,
    None => "unknown",
};

/// The commit and the features of this build, for `--version`.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let features = [("faults", cfg!(feature = "faults")), ("planted", cfg!(feature = "planted"))];
    let features: Vec<&str> = features.iter().filter(|(_, is_on)| *is_on).map(|(name, _)| *name).collect();
    let features = if features.is_empty() { "none".to_owned() } else { features.join(", ") };
    format!("{} (commit {COMMIT}, features: {features})", env!("CARGO_PKG_VERSION"))
});

/// The end of the help that does not list the settings.
const MOST_NEEDED: &str = "Settings that most servers need:
      --listen <ADDRESS>     Address for players; 127.0.0.1:8080 without it
      --database-url <URL>   postgres://USER:PASSWORD@HOST/NAME, or sqlite://PATH
      --config <FILE>        TOML file with settings

`castellan --help-all` lists all settings, `castellan check-config` says if they are good, and `castellan doctor`
says if this machine and the database are.";

/// The end of the help that lists them.
const PRECEDENCE: &str = "Set each setting with a flag, an environment variable or a key in the settings file; a flag \
    overrides a variable, and a variable overrides the file. The variable of --flush-interval is \
    CASTELLAN_FLUSH_INTERVAL, its key is flush.interval.";

/// The whole command line; its help lists the settings only if `shows_all`.
fn grammar(options: &'static [RuleOption], shows_all: bool) -> Clap {
    let settings = std::iter::once(config_argument()).chain(all_settings(options).map(argument));
    let replace =
        Arg::new("replace").long("replace").value_name("SOCKET").value_parser(clap::value_parser!(PathBuf)).help(
            "Unix socket. If a gateway of the same user waits there, take over its listeners and connections: no \
             WebSocket closes, and the other process exits. Then wait there to be replaced in the same way",
        );
    let node = Arg::new("node").required(true).value_name("NAME").help("Name of the node, as in `castellan nodes`");
    Clap::new("castellan")
        .version(VERSION.as_str())
        .about("Character server for online RPGs. Without a command it runs the server.")
        .after_help(if shows_all { PRECEDENCE } else { MOST_NEEDED })
        .args(settings.map(|argument| argument.global(true).hide(!shows_all)))
        .disable_help_subcommand(true)
        .subcommand(Clap::new("serve").about("Run the server (the default)"))
        .subcommand(Clap::new("check-config").about("Check all settings and the files that they name, then exit"))
        .subcommand(
            Clap::new("doctor").about("Look at what a server needs here (limits, clock, disk, ports, database), and say what to mend"),
        )
        .subcommand(
            Clap::new("health").about("Ask the server that has these settings if it is ready; exit with 0 if it is, otherwise with 1"),
        )
        .subcommand(Clap::new("migrate").about("Migrate the database to the current schema, then exit"))
        .subcommand(Clap::new("node").about(
            "Run a node: it owns some of the shards, and gateways reach it at --listen. Needs PostgreSQL and --name",
        ))
        .subcommand(
            Clap::new("gateway")
                .about("Run a gateway: players connect to it at --listen, and it passes everything about characters to nodes")
                .arg(replace),
        )
        .subcommand(
            Clap::new("drain")
                .about("Let a node give all its shards to the other nodes, and wait until it has none left")
                .arg(node.clone()),
        )
        .subcommand(Clap::new("undrain").about("Let a node have shards again").arg(node))
        .subcommand(
            Clap::new("nodes").about("List the servers and nodes on this database, and how many shards each owns"),
        )
        .subcommand(
            Clap::new("upgrade").about("Commands about an update of all nodes").subcommand_required(true).subcommand(
                Clap::new("finish").about(
                    "Let nodes store characters in the newest schema that they know, once all nodes are updated. \
                     Nodes of the version before cannot start after that",
                ),
            ),
        )
        .subcommand(account())
        .subcommand(keys())
        .subcommand(dead_letters())
        .subcommand(backup())
        .subcommand(Clap::new("restored").about(
            "Run this after you restored the database from a backup: it makes all versions jump and ends all \
             sessions. Stop the server first and start it again afterwards",
        ))
}

fn account() -> Clap {
    let name = Arg::new("account").required(true).value_name("NAME").help("Login name of the account");
    let one =
        Arg::new("account").required(true).value_name("NAME|USER").help("Login name of the account, or the user id");
    let role = Arg::new("role")
        .value_name("player|game|operator")
        .value_parser(|text: &str| Role::from_name(text).ok_or("use player, game or operator"))
        .help("Role of the account. operator has no rights of its own yet: it may do what a player may");
    let session = Arg::new("session")
        .value_name("SESSION")
        .value_parser(|text: &str| text.parse::<SessionId>())
        .help("Id of the session; without it all sessions end");
    let password = Arg::new("password-stdin")
        .long("password-stdin")
        .action(ArgAction::SetTrue)
        .help("Read the password from the first line of standard input; otherwise generate one and print it once");
    Clap::new("account")
        .about("Manage accounts")
        .subcommand_required(true)
        .subcommand(Clap::new("create").about("Create an account").args([
            name,
            role.clone().long("role").default_value("player"),
            password.clone(),
        ]))
        .subcommand(Clap::new("list").about("List all accounts, one per line"))
        .subcommand(Clap::new("show").about("Show an account").arg(one.clone()))
        .subcommand(
            Clap::new("password")
                .about("Replace an account's password and end its sessions")
                .args([one.clone(), password]),
        )
        .subcommand(
            Clap::new("role")
                .about("Give an account another role and end its sessions")
                .args([one.clone(), role.required(true)]),
        )
        .subcommand(
            Clap::new("disable").about("Let nobody log in to an account, and end its sessions").arg(one.clone()),
        )
        .subcommand(Clap::new("enable").about("Let the user of a disabled account log in again").arg(one.clone()))
        .subcommand(
            Clap::new("delete").about("Delete an account and its characters, and end its sessions").arg(one.clone()),
        )
        .subcommand(Clap::new("sessions").about("List the sessions of an account").arg(one.clone()))
        .subcommand(Clap::new("revoke").about("End the sessions of an account").args([one, session]))
}

fn keys() -> Clap {
    let now = Arg::new("now")
        .long("now")
        .action(ArgAction::SetTrue)
        .help("Also if its tokens have not expired: they are refused, and all sockets close and come back");
    let old = Arg::new("old-master-key-file")
        .long("old-master-key-file")
        .value_name("PATH")
        .value_parser(clap::value_parser!(PathBuf))
        .help("File of the master key that encrypts the keys until now");
    Clap::new("keys")
        .about("Manage the keys that servers share; they may run meanwhile")
        .subcommand_required(true)
        .subcommand(Clap::new("list").about("List all keys, one per line, without their secrets"))
        .subcommand(Clap::new("rotate").about("Add a key that signs access tokens; the one before it still verifies"))
        .subcommand(
            Clap::new("retire").about("Remove the key that `rotate` replaced, once its tokens have expired").arg(now),
        )
        .subcommand(
            Clap::new("encrypt")
                .about("Encrypt the keys in the database with the key in --master-key-file, or change that key")
                .arg(old),
        )
        .subcommand(Clap::new("decrypt").about("Store the keys in plain, without a master key"))
}

fn dead_letters() -> Clap {
    let id = || {
        Arg::new("id")
            .required(true)
            .value_name("ID")
            .value_parser(|text: &str| text.parse::<CharacterId>())
            .help("Id of the character")
    };
    Clap::new("dead-letters")
        .about("Inspect and resolve dead letters: characters that the database refused to store")
        .subcommand_required(true)
        .subcommand(Clap::new("list").about("List all dead letters, one per line"))
        .subcommand(Clap::new("show").about("Show one dead letter in full").arg(id()))
        .subcommand(Clap::new("retry").about("Tell the server to write a dead letter again").arg(id()))
        .subcommand(
            Clap::new("discard")
                .about("Discard a dead letter: the character continues from the state in the database")
                .arg(id()),
        )
}

fn backup() -> Clap {
    let file = Arg::new("file")
        .required(true)
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .help("File to create; its folder must exist");
    Clap::new("backup").about("Copy the SQLite database to a file, even while a server is using it").arg(file)
}

fn config_argument() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("TOML file to read settings from [env: CASTELLAN_CONFIG]")
        .help_heading("Settings file")
}

fn argument(setting: Setting) -> Arg {
    let mut help = setting.doc.trim().to_owned();
    if !setting.default.is_empty() {
        help.push_str(&format!(" [default: {}]", setting.default));
    }
    if let Some((low, high)) = setting.bounds {
        help.push_str(&format!(" [{low} to {high}]"));
    }
    let long = format!("{help} [env: {}] [key: {}]", setting.variable(), setting.key);
    Arg::new(setting.name())
        .long(setting.flag())
        .value_name(setting.kind)
        .help(help)
        .long_help(long)
        .help_heading(setting.heading)
}
