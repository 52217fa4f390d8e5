use bytesize::ByteSize;

use super::*;

/// The options of a game.
const OPTIONS: &[RuleOption] = &[RuleOption { name: "weather", choices: "dry|wet", doc: "How the weather is." }];

fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Result<Command, ConfigErrors> {
    let arguments = std::iter::once("castellan").chain(arguments.iter().copied()).map(OsString::from);
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::from_args(arguments, &environment, OPTIONS)
}

fn config(arguments: &[&str], environment: &[(&str, &str)]) -> Config {
    match command(arguments, environment) {
        Ok(Command::Run(config, _)) => *config,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

fn problems(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
    match command(arguments, environment) {
        Err(ConfigErrors(problems)) => problems,
        Ok(other) => panic!("{arguments:?}: {other:?}"),
    }
}

fn help(arguments: &[&str]) -> String {
    match command(arguments, &[]) {
        Ok(Command::Show(text)) => text,
        other => panic!("{arguments:?}: {other:?}"),
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("to write it");
    file
}

#[test]
fn without_arguments_the_server_runs_with_the_defaults() {
    let Ok(Command::Run(config, Task::Serve)) = command(&[], &[]) else { panic!("defaults must do") };
    assert_eq!(config.listen.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.database.url.expose(), "sqlite://./data/castellan.db");
    assert_eq!(config.flush.interval.as_millis(), 1_000);
    assert_eq!(config.auth.argon2_memory, ByteSize(19 * 1024 * 1024));
    assert_eq!(config.rules.policy, PolicyChoice::Auto);
    assert_eq!(config.socket.workers, None);
    assert!(config.listen.origins.is_empty());
}

#[test]
fn a_flag_wins_over_a_variable_over_the_file_over_the_default() {
    let file = file("[flush]\ninterval = \"4s\"\nbatch_rows = 4\n[http]\nconnections_max = 4\n");
    let path = file.path().to_str().expect("a plain path");
    let variables = [("CASTELLAN_FLUSH_INTERVAL", "3s"), ("CASTELLAN_FLUSH_BATCH_ROWS", "3")];
    let config = config(&["--config", path, "--flush-interval", "2s"], &variables);
    assert_eq!(config.flush.interval.as_millis(), 2_000);
    assert_eq!(config.flush.batch_rows, 3);
    assert_eq!(config.listen.connections_max, 4);
    assert_eq!(config.flush.dirty_max, 50_000);
}

#[test]
fn every_setting_works_as_flag_variable_and_key_and_appears_in_the_help() {
    let long = help(&["--help-all"]);
    for setting in all_settings(OPTIONS) {
        let value = match (setting.default, setting.bounds) {
            ("", Some((low, _))) => low,
            ("", None) => match setting.key {
                "public_url" | "origins" => "https://play.example.com",
                "game_addresses" | "trusted_proxies" => "10.0.0.0/8",
                "auth.issuers" => "[{issuer = 'https://id.example', audience = 'game', jwks_file = 'keys.json'}]",
                "otlp_endpoint" => "http://127.0.0.1:4318",
                "advertise" => "10.0.0.5:7000",
                _ => "some/path",
            },
            (default, _) => default,
        };
        // A certificate and its key are set together.
        let pair: &[_] = match setting.key {
            "tls.cert" => &[("CASTELLAN_TLS_KEY", "some/key")],
            "tls.key" => &[("CASTELLAN_TLS_CERT", "some/cert")],
            _ => &[],
        };
        config(&[&format!("--{}={value}", setting.flag())], pair);
        config(&[], &[pair, &[(&setting.variable(), value)]].concat());
        for key in [setting.key.to_owned(), setting.name()] {
            let file = file(&format!("{key} = \"{value}\"\n"));
            let path = file.path().to_str().expect("a plain path");
            config(&[], &[pair, &[("CASTELLAN_CONFIG", path)]].concat());
        }
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words(&long).contains(&format!("[env: {}] [key: {}]", setting.variable(), setting.key)));
        assert!(setting.doc.trim().ends_with('.'), "{}", setting.key);
    }
}

#[test]
fn flags_may_follow_the_command() {
    let config = config(&["migrate", "--database-url", "postgres://host/name"], &[]);
    assert_eq!(config.database.url.expose(), "postgres://host/name");
}

#[test]
fn all_problems_are_reported_together() {
    let file = file("flush.interval = \"soon\"\nflush.intervall = \"1s\"\n[auth]\nargon2 = 1\n");
    let path = file.path().to_str().expect("a plain path");
    let arguments = ["--config", path, "--listen", "nowhere", "--auth-access-ttl", "2d", "--no-such-flag"];
    let found = problems(&arguments, &[("CASTELLAN_SOCKET_WORKERS", "0"), ("CASTELLAN_LOG_FORMAT", "xml")]);
    let expected = [
        "unexpected argument '--no-such-flag' found",
        "flush.intervall: no such setting; remove it or correct its name",
        "auth.argon2: no such setting; remove it or correct its name",
        "--listen: `nowhere`: must be an IP address",
        "flush.interval: `soon`: must be a duration",
        "--auth-access-ttl: `2d`: must be from 1s to 1d",
        "CASTELLAN_SOCKET_WORKERS: `0`: must be from 1 to 1024",
        "CASTELLAN_LOG_FORMAT: `xml`: must be one of text|json",
    ];
    for part in expected {
        assert!(found.iter().any(|problem| problem.contains(part)), "{part} is not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn secrets_are_never_repeated() {
    let shown = format!("{:?}", problems(&["--database-url", "mysql://me:hush@host"], &[]));
    assert!(shown.contains("--database-url") && !shown.contains("hush"), "{shown}");
    let shown = format!("{:?}", config(&["--database-url", "postgres://me:hush@host/name"], &[]));
    assert!(!shown.contains("hush"), "{shown}");
    let file = file("database.url = \"postgres://me:hush@host\" oops\n");
    let shown = format!("{:?}", problems(&["--config", file.path().to_str().expect("a plain path")], &[]));
    assert!(shown.contains("line 1") && !shown.contains("hush"), "{shown}");
}

#[test]
fn the_master_key_is_found_among_the_credentials_of_systemd() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("a plain path");
    let key_file = |arguments: &[&str]| config(arguments, &[("CREDENTIALS_DIRECTORY", path)]).auth.master_key_file;
    assert_eq!(key_file(&[]), None);
    let file = folder.path().join("castellan-master-key");
    std::fs::write(&file, [7; 32]).expect("a file");
    assert_eq!(key_file(&[]), Some(file));
    assert_eq!(key_file(&["--master-key-file", "other"]), Some("other".into()));
}

#[test]
fn a_missing_file_is_named() {
    assert!(problems(&["--config", "/nowhere/castellan.toml"], &[])[0].starts_with("/nowhere/castellan.toml: "));
}

#[test]
fn a_key_given_in_two_spellings_is_an_error() {
    let file = file("flush.interval = \"1s\"\nflush_interval = \"2s\"\n");
    assert!(problems(&["--config", file.path().to_str().expect("a plain path")], &[])[0].contains("given twice"));
}

#[test]
fn every_command_parses() {
    let task = |arguments: &[&str]| match command(arguments, &[]) {
        Ok(Command::Run(_, task)) => Some(task),
        _ => None,
    };
    let id = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let account =
        |role, password_stdin| Task::Account(Account::Create { name: "ada".to_owned(), role, password_stdin });
    let one = |verb| Some(Task::Account(Account::One { account: "ada".to_owned(), verb }));
    assert_eq!(task(&["serve"]), Some(Task::Serve));
    assert_eq!(task(&["migrate"]), Some(Task::Migrate));
    assert_eq!(task(&["nodes"]), Some(Task::Nodes));
    assert_eq!(task(&["account", "create", "ada"]), Some(account(super::Role::Player, false)));
    assert_eq!(
        task(&["account", "create", "ada", "--role", "operator", "--password-stdin"]),
        Some(account(super::Role::Operator, true))
    );
    assert_eq!(task(&["account", "create", "ada", "--role", "king"]), None);
    assert_eq!(task(&["account", "list"]), Some(Task::Account(Account::List)));
    let session = id.parse().expect("an id");
    let of_ada = |words: &[&str]| task(&[&["account"][..], words].concat());
    for (words, verb) in [
        ("show ada", AccountVerb::Show),
        ("password ada", AccountVerb::Password { from_stdin: false }),
        ("password ada --password-stdin", AccountVerb::Password { from_stdin: true }),
        ("role ada game", AccountVerb::Role(super::Role::Game)),
        ("disable ada", AccountVerb::Disable),
        ("enable ada", AccountVerb::Enable),
        ("delete ada", AccountVerb::Delete),
        ("sessions ada", AccountVerb::Sessions),
        ("revoke ada", AccountVerb::Revoke(None)),
        ("revoke ada f81d4fae-7dec-11d0-a765-00a0c91e6bf6", AccountVerb::Revoke(Some(session))),
    ] {
        assert_eq!(of_ada(&words.split(' ').collect::<Vec<_>>()), one(verb), "{words}");
    }
    for words in ["password ada sesame", "role ada", "role ada king", "revoke ada all", "delete"] {
        assert_eq!(of_ada(&words.split(' ').collect::<Vec<_>>()), None, "{words}");
    }
    let keys = |verb| Some(Task::Keys(verb));
    assert_eq!(task(&["keys", "list"]), keys(Keys::List));
    assert_eq!(task(&["keys", "rotate"]), keys(Keys::Rotate));
    assert_eq!(task(&["keys", "retire"]), keys(Keys::Retire { now: false }));
    assert_eq!(task(&["keys", "retire", "--now"]), keys(Keys::Retire { now: true }));
    assert_eq!(task(&["keys", "encrypt"]), keys(Keys::Encrypt { old: None }));
    let old = Some("old.key".into());
    assert_eq!(task(&["keys", "encrypt", "--old-master-key-file", "old.key"]), keys(Keys::Encrypt { old }));
    assert_eq!(task(&["keys", "decrypt"]), keys(Keys::Decrypt));
    assert_eq!(task(&["dead-letters", "list"]), Some(Task::DeadLetters(DeadLetters::List)));
    let parsed = id.parse().expect("an id");
    assert_eq!(task(&["dead-letters", "show", id]), Some(Task::DeadLetters(DeadLetters::Show(parsed))));
    assert_eq!(task(&["dead-letters", "retry", id]), Some(Task::DeadLetters(DeadLetters::Retry(parsed))));
    assert_eq!(task(&["dead-letters", "discard", id]), Some(Task::DeadLetters(DeadLetters::Discard(parsed))));
    assert_eq!(task(&["dead-letters", "discard", "everything"]), None);
    assert!(help(&["--version"]).starts_with("castellan "));
}

#[test]
fn operators_get_an_address_on_loopback_once_strangers_can_reach_the_server() {
    let address = |arguments: &[&str]| {
        let listen = config(arguments, &[]).listen;
        (listen.is_exposed(), listen.admin_address().map(|address| address.to_string()))
    };
    let local = |port: &str| Some(format!("127.0.0.1:{port}"));
    assert_eq!(address(&[]), (false, None));
    assert_eq!(address(&["--listen", "[::1]:0"]), (false, None));
    assert_eq!(address(&["--listen", "0.0.0.0:8080"]), (true, local("9080")));
    assert_eq!(address(&["--listen", "[::]:0"]), (true, local("0")));
    assert_eq!(address(&["--listen", "0.0.0.0:65000"]), (true, local("64000")));
    assert_eq!(address(&["--public-url", "https://play.example.com"]), (true, local("9080")));
    assert_eq!(address(&["--trusted-proxies", "127.0.0.1"]), (true, local("9080")));
    assert_eq!(address(&["--listen", "0.0.0.0:80", "--admin-listen", "players"]), (true, None));
    assert_eq!(address(&["--admin-listen", "127.0.0.1:9"]), (false, local("9")));
}

#[test]
fn a_certificate_needs_its_key() {
    assert_eq!(problems(&["--tls-cert", "a.pem"], &[]), ["tls.cert, tls.key: set both, or neither"]);
    assert_eq!(problems(&["--tls-key", "a.pem"], &[]), ["tls.cert, tls.key: set both, or neither"]);
    assert!(config(&["--tls-cert", "a.pem", "--tls-key", "b.pem"], &[]).listen.tls_key.is_some());
}

#[test]
fn outside_issuers_are_tables_of_the_file() {
    let read = |text: &str| {
        let file = file(text);
        command(&["--config", file.path().to_str().expect("a plain path")], &[])
    };
    let table = |more: &str| format!("[[auth.issuers]]\nissuer = \"https://{more}\naudience = \"game\"\n");
    let (one, two) = (table("a\"\njwks_file = \"a.json\""), table("b\"\njwks_url = \"https://b/keys\""));
    let Ok(Command::Run(config, _)) = read(&format!("{one}algorithms = [\"ES256\"]\n{two}")) else {
        panic!("{one}{two}")
    };
    let Issuers(issuers) = &config.auth.issuers;
    assert_eq!([&issuers[0].issuer, &issuers[1].issuer], ["https://a", "https://b"]);
    assert_eq!(issuers[0].algorithms, [TokenAlgorithm::Es256]);
    let Err(ConfigErrors(problems)) = read(&format!("{one}{}", table("b\""))) else { panic!("it lacks its keys") };
    assert!(
        problems[0].contains("auth.issuers: ")
            && problems[0].ends_with("issuer 2, jwks_file, jwks_url: set exactly one")
    );
    let Err(ConfigErrors(problems)) = read("[auth]\nissuers = 5\n") else { panic!("no tables") };
    assert!(problems[0].contains("auth.issuers: `5`: must be an array of tables"), "{problems:?}");
}

#[test]
fn the_options_of_a_game_are_settings_like_others() {
    let weather = |config: Config| config.options["weather"].clone();
    assert_eq!(weather(config(&[], &[])), "dry");
    assert_eq!(weather(config(&["--weather", "wet"], &[])), "wet");
    assert_eq!(weather(config(&[], &[("CASTELLAN_WEATHER", "wet")])), "wet");
    assert_eq!(problems(&["--weather", "hot"], &[]), ["--weather: `hot`: must be one of dry, wet"]);
    let help = help(&["--help-all"]);
    assert!(help.contains("--weather <dry|wet>") && help.contains("How the weather is."), "{help}");
}

#[test]
fn the_short_help_has_no_setting_and_that_of_a_command_only_its_own() {
    let short = help(&["--help"]);
    assert!(short.lines().count() < 60 && short.contains("--help-all"), "{short}");
    assert!(!short.contains("--flush-interval"), "{short}");
    let create = help(&["account", "create", "--help"]);
    assert!(create.contains("--password-stdin") && create.lines().count() < 25, "{create}");
    assert!(help(&["account", "create", "--help-all"]).contains("--database-url"));
    assert!(help(&["--version"]).contains("features: "));
}

#[test]
fn the_manual_page_has_all_settings() {
    let page = help(&["--man-page"]);
    assert!(page.contains(".TH castellan 1") && page.contains("\\-\\-flush\\-interval"), "{page}");
}

#[test]
fn a_variable_that_nothing_reads_is_named_with_the_one_that_was_meant() {
    let unknown = |variables: &[(&str, &str)]| config(&[], variables).unknown;
    assert_eq!(unknown(&[("CASTELLAN_FLUSH_INTERVAL", "2s"), ("PATH", "/bin"), ("CASTELLAN_CONFIG", "")]), [""; 0]);
    let of_kubernetes = [
        ("CASTELLAN_SERVICE_HOST", "10.0.0.1"),
        ("CASTELLAN_SERVICE_PORT_HTTP", "8080"),
        ("CASTELLAN_PORT", "tcp://10.0.0.1:8080"),
        ("CASTELLAN_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(unknown(&of_kubernetes), [""; 0]);
    assert_eq!(
        unknown(&[("CASTELLAN_FLUSH_INTERVALL", "2s"), ("CASTELLAN_NONSENSE", "")]),
        [
            "CASTELLAN_FLUSH_INTERVALL is set, but there is no such setting; did you mean CASTELLAN_FLUSH_INTERVAL?",
            "CASTELLAN_NONSENSE is set, but there is no such setting"
        ]
    );
}

#[test]
fn problems_of_files_come_with_those_of_settings() {
    let check = |arguments: &[&str]| {
        let arguments = std::iter::once("castellan").chain(arguments.iter().copied()).map(OsString::from);
        let named = |files: &Files| {
            let folder = files.catalogue.as_ref().and_then(|(folder, _)| folder.clone());
            folder.map(|folder| format!("{}: looked at", folder.display())).into_iter().collect()
        };
        match Config::with_files(arguments, &BTreeMap::new(), OPTIONS, named) {
            Err(ConfigErrors(problems)) => problems,
            Ok(_) => Vec::new(),
        }
    };
    let both = check(&["--catalogue", "here", "--listen", "nowhere"]);
    assert!(both.len() == 2 && both[0].starts_with("--listen") && both[1] == "here: looked at", "{both:?}");
    assert_eq!(check(&["check-config", "--catalogue", "here"]), ["here: looked at"]);
    assert_eq!(check(&["account", "list", "--catalogue", "here"]), [""; 0], "it needs no catalogue");
}

#[test]
fn notices_of_postgresql_are_logged_only_if_somebody_asks_for_them() {
    let directives = |filter: &str| config(&["--log-filter", filter], &[]).telemetry.log_filter.directives();
    assert_eq!(directives("info"), format!("info,{}=warn", crate::storage::NOTICES));
    let asked = format!("info,{}=info", crate::storage::NOTICES);
    assert_eq!(directives(&asked), asked);
    assert_eq!(directives("off"), "off", "nothing is added to silence");
}
