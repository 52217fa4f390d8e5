//! What a person types.

use std::ffi::OsString;

use castellan_protocol::CharacterId;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command as Clap};

use super::role::Role;
use super::setting::{Given, Setting, Values};
use super::{Config, all_settings};

/// What a command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Print this text (help, the version) and end well.
    Show(String),
    /// Do this with these settings.
    Run(Box<Config>, Task),
}

/// What there is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Be the server.
    Serve,
    /// Bring the database to the present shape.
    Migrate,
    /// Make an account.
    CreateAccount {
        /// The name to log in with.
        name: String,
        /// What it may do.
        role: Role,
        /// Take the password from standard input; else one is made up and printed.
        password_stdin: bool,
    },
    /// Look after what the database refused.
    DeadLetters(DeadLetters),
}

/// What to do with dead letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetters {
    /// A line for each.
    List,
    /// All of one.
    Show(CharacterId),
    /// Have the server write it again.
    Retry(CharacterId),
    /// Have the server give it up.
    Discard(CharacterId),
}

/// A command line before its settings are understood.
pub(super) struct Line {
    pub(super) config: Option<String>,
    pub(super) task: Option<Task>,
}

pub(super) enum Parsed {
    Show(String),
    Line(Line),
}

/// Reads flags into `values`; what is wrong with the line is noted there, and the rest of it still read.
pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>, values: &mut Values) -> Parsed {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let matches = match grammar().try_get_matches_from(&arguments) {
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
                match grammar().ignore_errors(true).try_get_matches_from(&arguments) {
                    Ok(matches) => matches,
                    Err(_) => return Parsed::Line(Line { config: None, task: None }),
                }
            }
        },
    };
    for setting in all_settings() {
        if let Some(text) = flag(&matches, &setting.name()) {
            let origin = format!("--{}", setting.flag());
            values.given.insert(setting.name(), Given { text, origin });
        }
    }
    Parsed::Line(Line { config: flag(&matches, "config"), task: task(&matches) })
}

/// A flag's value, given before or behind the command.
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
        Some(("migrate", _)) => Some(Task::Migrate),
        Some(("account", below)) => {
            let (_, create) = below.subcommand()?;
            Some(Task::CreateAccount {
                name: create.try_get_one::<String>("name").ok()??.clone(),
                role: *create.try_get_one::<Role>("role").ok()??,
                password_stdin: create.get_flag("password-stdin"),
            })
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

fn grammar() -> Clap {
    let settings = std::iter::once(config_argument()).chain(all_settings().map(argument));
    Clap::new("castellan")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Keeps the characters of an online RPG. Without a command it is the server.")
        .after_help(
            "Each setting is a flag, a variable or a key of the file; the first of these wins. The variable of \
             --flush-interval is CASTELLAN_FLUSH_INTERVAL, its key is flush.interval.",
        )
        .args(settings.map(|argument| argument.global(true)))
        .disable_help_subcommand(true)
        .subcommand(Clap::new("serve").about("Be the server (the default)"))
        .subcommand(Clap::new("migrate").about("Bring the database to the present shape, and end"))
        .subcommand(account())
        .subcommand(dead_letters())
}

fn account() -> Clap {
    let name = Arg::new("name").required(true).value_name("NAME").help("The name to log in with");
    let role = Arg::new("role")
        .long("role")
        .value_name("player|game|operator")
        .default_value("player")
        .value_parser(|text: &str| Role::from_name(text).ok_or("one of player, game, operator"))
        .help("What the account may do");
    let password = Arg::new("password-stdin")
        .long("password-stdin")
        .action(ArgAction::SetTrue)
        .help("Take the password from the first line of standard input; without it one is made up and printed, once");
    Clap::new("account")
        .about("Look after accounts")
        .subcommand_required(true)
        .subcommand(Clap::new("create").about("Make an account").args([name, role, password]))
}

fn dead_letters() -> Clap {
    let id = || {
        Arg::new("id")
            .required(true)
            .value_name("ID")
            .value_parser(|text: &str| text.parse::<CharacterId>())
            .help("The character's id")
    };
    Clap::new("dead-letters")
        .about("Look after characters that the database refused to take")
        .subcommand_required(true)
        .subcommand(Clap::new("list").about("A line for each"))
        .subcommand(Clap::new("show").about("All of one").arg(id()))
        .subcommand(Clap::new("retry").about("Have the server write it again").arg(id()))
        .subcommand(
            Clap::new("discard").about("Give it up: the character goes on from what the database has").arg(id()),
        )
}

fn config_argument() -> Arg {
    Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("TOML file with settings [env: CASTELLAN_CONFIG]")
        .help_heading("Settings file")
}

fn argument(setting: &'static Setting) -> Arg {
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
