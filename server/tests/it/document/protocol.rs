//! The tables of `docs/protocol.md` against the lists in the code, in both directions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::fs;
use std::time::Duration;

use castellan::config::{Command, Config};
use castellan::http::{all_routes, status_of};
use castellan_game::Game;
use castellan_srd::wire::http::BODY_BYTES_MAX;
use castellan_srd::wire::limits::*;
use castellan_srd::wire::{Action, ClientFrame, CloseCode, RejectionCode};
use castellan_srd::{
    ATTUNED_MAX, CONDITIONS_MAX, CREATION_SCORE_MAX, CREATION_SCORE_MIN, EXHAUSTION_MAX, EXPERIENCE_MAX,
    INVENTORY_ENTRIES_MAX, LEVEL_MAX, MAGIC_SCORE_MAX, SCORE_MAX, Srd,
};
use serde_json::Value;

use super::markdown::{names, table};
use super::root;

fn rows(columns: &[&str]) -> Vec<Vec<String>> {
    let text = fs::read_to_string(root().join("docs/protocol.md")).expect("the document");
    table(&text, columns)
}

/// Compares what the document says with what the code has, and names what only one of them has.
#[track_caller]
fn check<T: Ord + Debug>(document: impl IntoIterator<Item = T>, code: impl IntoIterator<Item = T>) {
    let listed: Vec<_> = document.into_iter().collect();
    let rows = listed.len();
    let document: BTreeSet<_> = listed.into_iter().collect();
    let code: BTreeSet<_> = code.into_iter().collect();
    let only_document: Vec<_> = document.difference(&code).collect();
    let only_code: Vec<_> = code.difference(&document).collect();
    assert!(
        only_document.is_empty() && only_code.is_empty(),
        "only in docs/protocol.md: {only_document:#?}\nonly in the code: {only_code:#?}"
    );
    assert_eq!(rows, document.len(), "a row of docs/protocol.md stands there twice");
}

/// The name between the backticks of a cell.
fn name(cell: &str) -> String {
    let found = names(cell);
    let [(name, _)] = &found[..] else { panic!("one name between backticks: {cell}") };
    name.clone()
}

fn number(cell: &str) -> u64 {
    cell.replace(',', "").parse().unwrap_or_else(|_| panic!("a number: {cell}"))
}

/// Frame, field, and whether the field must be there.
type FrameField = (String, String, bool);

fn frame_fields(column: &str) -> Vec<FrameField> {
    let rows = rows(&["frame", "field", "type", column, "meaning"]);
    rows.iter().map(|row| (name(&row[0]), name(&row[1]), row[3] == "yes")).collect()
}

#[test]
fn frames_from_the_client_have_the_fields_of_the_document() {
    let fields = ClientFrame::fields().into_iter().flat_map(|(frame, fields)| {
        fields.into_iter().map(move |(field, is_needed)| (frame.to_owned(), field.to_owned(), is_needed))
    });
    check(frame_fields("needed"), fields);
}

/// The golden frames of one side: kind and fields. `srd/tests/wire/golden.rs` sees to it that every kind is among them.
fn golden_frames(side: &str) -> Vec<(String, Value)> {
    let folder = root().join("srd/tests/golden").join(side);
    let paths = fs::read_dir(folder).expect("golden frames").map(|entry| entry.expect("a file").path());
    let json = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    json.flat_map(|path| {
        let text = fs::read_to_string(path).expect("a golden frame");
        let frame: BTreeMap<String, Value> = serde_json::from_str(&text).expect("a golden frame is a map");
        frame
    })
    .collect()
}

/// Every frame of this kind has the field.
fn is_always_there(frames: &[(String, Value)], kind: &str, field: &str) -> bool {
    frames.iter().filter(|(other, _)| other == kind).all(|(_, fields)| fields.get(field).is_some())
}

#[test]
fn frames_from_the_server_have_the_fields_of_the_document() {
    let frames = golden_frames("server");
    let mut fields = Vec::new();
    for (kind, golden) in &frames {
        for field in golden.as_object().expect("fields are a map").keys() {
            fields.push((kind.clone(), field.clone(), is_always_there(&frames, kind, field)));
        }
    }
    check(frame_fields("always"), fields);
}

#[test]
fn patches_stand_where_the_document_says() {
    let told: Vec<_> = rows(&["key", "value"]).iter().map(|row| name(&row[0])).collect();
    let beside: BTreeSet<_> = frame_fields("always").into_iter().map(|(_, field, _)| field).collect();
    let keys = golden_frames("reply").into_iter().flat_map(|(kind, fields)| {
        let Value::Object(fields) = fields else { panic!("fields are a map") };
        fields.into_iter().map(move |(key, _)| (kind.clone(), key))
    });
    let keys: Vec<_> = keys.filter(|(_, key)| !beside.contains(key) || key == "character").collect();
    check(told.clone(), keys.iter().map(|(_, key)| key.clone()));
    assert!(keys.iter().all(|(kind, key)| kind != "conflict" || key == "character"), "`conflict` is always whole");
}

#[test]
fn the_routes_of_the_document_are_those_that_are_served() {
    let rows = rows(&["method", "path", "body", "answer"]);
    let routes = all_routes::<Srd>().into_iter().map(|route| (route.method.to_string(), route.path.into_owned()));
    check(rows.iter().map(|row| (name(&row[0]), name(&row[1]))), routes);
}

#[test]
fn close_codes_have_the_numbers_of_the_document() {
    let rows = rows(&["code", "name", "why", "what to do"]);
    let codes = CloseCode::ALL.iter().map(|code| (u64::from(code.number()), code.as_str().to_owned()));
    check(rows.iter().map(|row| (number(&row[0]), name(&row[1]))), codes);
}

#[test]
fn rejection_codes_have_the_statuses_of_the_document() {
    let rows = rows(&["code", "HTTP", "socket", "meaning"]);
    let only_on_the_socket: BTreeSet<_> = rows.iter().filter(|row| row[1] == "–").map(|row| name(&row[0])).collect();
    let codes = RejectionCode::ALL.iter().chain(castellan_srd::code::ALL).map(|code| {
        let status = status_of(*code).as_u16().to_string();
        let status = if only_on_the_socket.contains(code.as_str()) { "–".to_owned() } else { status };
        (code.as_str().to_owned(), status)
    });
    check(rows.iter().map(|row| (name(&row[0]), row[1].clone())), codes);
}

#[test]
fn actions_have_the_fields_of_the_document() {
    let rows = rows(&["action", "fields", "types and bounds", "rule"]);
    let actions = Action::fields().into_iter().map(|(action, fields)| {
        let fields = fields.into_iter().map(|(field, is_needed)| (field.to_owned(), !is_needed));
        (action.to_owned(), fields.collect::<Vec<_>>())
    });
    check(rows.iter().map(|row| (name(&row[0]), names(&row[1]))), actions);
}

#[test]
fn routes_of_one_action_take_the_fields_of_that_action() {
    let actions: BTreeMap<_, _> = Action::fields().into_iter().collect();
    let mut checked = 0;
    for row in rows(&["method", "path", "body", "answer"]) {
        let Some(action) = row[3].strip_prefix("the action ").map(name) else { continue };
        let fields = actions[action.as_str()].iter().map(|(field, is_needed)| ((*field).to_owned(), !is_needed));
        check(names(&row[2]), fields);
        checked += 1;
    }
    assert_eq!(checked, 6);
}

macro_rules! limits {
    ($($limit:ident),* $(,)?) => { vec![$( (stringify!($limit).to_lowercase(), $limit.to_string()) ),*] };
}

/// The names of the numbers that a source of the protocol makes public.
fn public_numbers(source: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(source)).expect("a source");
    let constants = text.lines().filter_map(|line| line.strip_prefix("pub const ")?.split_once(": "));
    constants.filter(|(_, kind)| !kind.starts_with('&')).map(|(name, _)| name.to_lowercase()).collect()
}

#[test]
fn limits_have_the_values_of_the_document() {
    let limits = limits![
        PROTOCOL_VERSION,
        CLIENT_FRAME_BYTES_MAX,
        SERVER_FRAME_BYTES_MAX,
        BOOKS_BYTES_MAX,
        BODY_BYTES_MAX,
        DEPTH_MAX,
        IN_FLIGHT_MAX,
        REQUEST_IDS_MAX,
        INTEGER_MAX,
        CHARACTERS_PER_USER_MAX,
        SOCKETS_PER_SESSION_MAX,
        CHATTER_FRAMES_PER_SECOND,
        FRAMES_OVER_RATE_MAX,
        SLOW_CONSUMER_SECONDS,
        REFRESH_REPEAT_SECONDS,
        USERNAME_SCALARS_MAX,
        PASSWORD_BYTES_MAX,
        PASSWORD_SCALARS_MIN,
        COINS_MAX,
        QUANTITY_MAX,
        NAME_SCALARS_MAX,
    ];
    let rows = rows(&["name", "value", "unit", "meaning"]);
    check(
        rows.iter().map(|row| name(&row[0])),
        ["protocol/src/limits.rs", "protocol/src/http.rs", "srd/src/request/limits.rs"]
            .iter()
            .flat_map(|source| public_numbers(source)),
    );
    check(rows.iter().map(|row| (name(&row[0]), number(&row[1]).to_string())), limits);
}

#[test]
fn the_game_has_the_bounds_of_the_document() {
    let bounds = limits![
        CREATION_SCORE_MIN,
        CREATION_SCORE_MAX,
        SCORE_MAX,
        MAGIC_SCORE_MAX,
        LEVEL_MAX,
        EXPERIENCE_MAX,
        CONDITIONS_MAX,
        EXHAUSTION_MAX,
        ATTUNED_MAX,
        INVENTORY_ENTRIES_MAX,
    ];
    let rows = rows(&["bound", "value", "unit", "meaning"]);
    check(rows.iter().map(|row| (name(&row[0]), number(&row[1]).to_string())), bounds);
}

/// The settings that the document tells of, as they are without any configuration.
fn settings_as_delivered() -> Vec<(&'static str, u64)> {
    let command =
        Config::from_args(["castellan".into()], &BTreeMap::new(), Srd::OPTIONS).expect("the settings as delivered");
    let Command::Run(config, _) = command else { panic!("a server without arguments runs") };
    let seconds = |time: Duration| {
        assert_eq!(time.subsec_nanos(), 0, "the document has whole seconds");
        time.as_secs()
    };
    let Config { socket, listen, flush, auth, .. } = *config;
    vec![
        ("socket.rate_per_second", socket.rate_per_second.into()),
        ("socket.rate_burst", socket.rate_burst.into()),
        ("http.rate_per_second", listen.rate_per_second.into()),
        ("http.rate_burst", listen.rate_burst.into()),
        ("socket.ping_interval", seconds(socket.ping_interval)),
        ("socket.watch_max", socket.watch_max as u64),
        ("socket.connections_max", socket.connections_max as u64),
        ("socket.connections_per_user", socket.connections_per_user.into()),
        ("socket.connections_per_address", socket.connections_per_address.into()),
        ("socket.handshakes_per_second", socket.handshakes_per_second.into()),
        ("socket.handshakes_burst", socket.handshakes_burst.into()),
        ("http.connections_max", listen.connections_max as u64),
        ("http.connections_per_address", listen.connections_per_address as u64),
        ("http.anonymous_per_second", listen.anonymous_per_second.into()),
        ("http.anonymous_burst", listen.anonymous_burst.into()),
        ("http.creations_per_day", listen.creations_per_day.into()),
        ("http.guests_per_day", listen.guests_per_day.into()),
        ("send_buffer", listen.send_buffer.0),
        ("durable_timeout", seconds(flush.durable_timeout)),
        ("flush.interval", seconds(flush.interval)),
        ("auth.access_ttl", seconds(auth.access_ttl)),
        ("auth.refresh_ttl", seconds(auth.refresh_ttl)),
        ("auth.failures_per_name_and_address", auth.failures_per_name_and_address.into()),
        ("auth.sessions_per_user", auth.sessions_per_user.into()),
        ("auth.logins_per_name", auth.logins_per_name.into()),
        ("auth.logins_per_address", auth.logins_per_address.into()),
        ("auth.failures_per_name", auth.failures_per_name.into()),
        ("auth.failures_per_address", auth.failures_per_address.into()),
        ("auth.failures_window", seconds(auth.failures_window)),
    ]
}

#[test]
fn settings_have_the_values_of_the_document() {
    let rows = rows(&["setting", "value", "unit", "meaning"]);
    let settings = settings_as_delivered().into_iter().map(|(key, value)| (key.to_owned(), value));
    check(rows.iter().map(|row| (name(&row[0]), number(&row[1]))), settings);
    let command =
        Config::from_args(["castellan".into(), "--help-all".into()], &BTreeMap::new(), Srd::OPTIONS).expect("the help");
    let Command::Show(help) = command else { panic!("`--help-all` is shown") };
    for row in rows {
        let flag = format!("--{} ", name(&row[0]).replace(['.', '_'], "-"));
        assert!(help.contains(&flag), "there is no setting {}", row[0]);
    }
}
