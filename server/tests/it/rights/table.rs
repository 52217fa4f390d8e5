//! Who gets which answer from which route and to which frame.
//!
//! An answer is a status or a kind of frame, followed by a code if it is an error.

/// The callers of a route, in the order of a row's answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// Without a token that this server made.
    Nobody,
    /// With a genuine token that has expired or was revoked.
    Dead,
    /// The user whose character the request is about.
    Owner,
    /// Anybody else, of any role, who names no user.
    Stranger,
    /// A player or an operator who names the owner.
    Pretender,
    /// A game server that names the owner.
    GameServer,
}

/// One route, a request that its owner may make there, and the answer to each [`Caller`].
pub(super) struct Row {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// JSON; empty for none.
    pub(super) body: &'static str,
    answers: [&'static str; 6],
}

const NOBODY: &str = "401 unauthenticated";
const NOT_THERE: &str = "404 no_such_character";

impl Row {
    /// A route that does not look at tokens.
    const fn open(method: &'static str, path: &'static str, body: &'static str, answer: &'static str) -> Self {
        Self { method, path, body, answers: [answer; 6] }
    }

    /// A route about the caller's own session.
    const fn own(method: &'static str, path: &'static str, body: &'static str, answer: &'static str) -> Self {
        Self { method, path, body, answers: [NOBODY, NOBODY, answer, answer, answer, answer] }
    }

    /// A route about all characters of a user.
    const fn user(method: &'static str, path: &'static str, body: &'static str, answer: &'static str) -> Self {
        Self { method, path, body, answers: [NOBODY, NOBODY, answer, answer, "403 not_permitted", answer] }
    }

    /// A route about one character.
    const fn character(method: &'static str, path: &'static str, body: &'static str, answer: &'static str) -> Self {
        Self { method, path, body, answers: [NOBODY, NOBODY, answer, NOT_THERE, NOT_THERE, answer] }
    }

    pub(super) fn answer(&self, caller: Caller) -> &'static str {
        self.answers[caller as usize]
    }

    /// Returns true if the answer leaves everything as it was.
    pub(super) fn changes_nothing(&self, caller: Caller) -> bool {
        self.method == "GET" || !self.answer(caller).starts_with('2')
    }
}

const PALADIN: &str = r#"{"name": "Yet another", "race": "human", "class": "paladin",
    "abilities": {"str": 15, "dex": 10, "con": 14, "int": 8, "wis": 12, "cha": 13}}"#;

pub(super) const ROUTES: &[Row] = &[
    Row::open("POST", "/session/login", r#"{"username": "ada"}"#, "400 malformed"),
    Row::open("POST", "/session/exchange", "{}", "400 malformed"),
    Row::open("POST", "/session/refresh", r#"{"refresh_token": "none"}"#, "401 unauthenticated"),
    Row::own("POST", "/session/logout", "", "204"),
    Row::own("GET", "/session", "", "200"),
    Row::own("GET", "/session/list", "", "200"),
    // A session is ended by its own user and nobody else, game servers included.
    Row {
        method: "DELETE",
        path: "/session/{id}",
        body: "",
        answers: [NOBODY, NOBODY, "204", "404 no_such_session", "404 no_such_session", "404 no_such_session"],
    },
    // With a wrong present password.
    Row::own(
        "POST",
        "/account/password",
        r#"{"password": "close sesame", "new_password": "open barley"}"#,
        "401 bad_credentials",
    ),
    // By somebody who is no guest.
    Row::own("POST", "/account/claim", r#"{"name": "eve", "password": "open barley"}"#, "409 already_claimed"),
    Row::user("POST", "/characters", PALADIN, "201"),
    Row::user("GET", "/characters", "", "200"),
    Row::character("GET", "/characters/{id}", "", "200"),
    Row::character("DELETE", "/characters/{id}", "", "204"),
    Row::character("POST", "/characters/{id}/intents", r#"{"action": {"modify_hitpoints": {"delta": -1}}}"#, "200"),
    Row::character("PATCH", "/characters/{id}/stats/hitpoints", r#"{"delta": -1}"#, "200"),
    Row::character("PATCH", "/characters/{id}/currency/modify", r#"{"gp": 1}"#, "200"),
    Row::character("POST", "/characters/{id}/equipment/equip", r#"{"item": "dagger"}"#, "200"),
    Row::character("POST", "/characters/{id}/equipment/unequip", r#"{"slot": "armor"}"#, "200"),
    Row::character("POST", "/characters/{id}/equipment/add", r#"{"item": "arrow", "quantity": 1}"#, "200"),
    Row::character("POST", "/characters/{id}/equipment/remove", r#"{"item": "dagger", "quantity": 1}"#, "200"),
    Row::open("GET", "/catalogue", "", "200"),
    Row::open("GET", "/.well-known/jwks.json", "", "200"),
    // Without a handshake. A dead token gets as far as a live one: only a close code can tell a browser.
    Row {
        method: "GET",
        path: "/socket",
        body: "",
        answers: [NOBODY, "426 malformed", "426 malformed", "426 malformed", "426 malformed", "426 malformed"],
    },
    Row::open("GET", "/health/live", "", "200"),
    Row::open("GET", "/health/ready", "", "200"),
    Row::open("GET", "/metrics", "", "200"),
];

/// One kind of frame, a frame that the character's owner may send, and the answer to owner, stranger, pretender and
/// game server. Nobody else has a socket.
pub(super) struct FrameRow {
    pub(super) kind: &'static str,
    /// JSON; the fields besides `id`, `character` and `user`. `TOKEN` stands for the owner's token.
    pub(super) fields: &'static str,
    answers: [&'static str; 4],
}

impl FrameRow {
    pub(super) fn answer(&self, caller: Caller) -> &'static str {
        self.answers[caller as usize - Caller::Owner as usize]
    }
}

const NOT_THERE_EITHER: &str = "rejected no_such_character";
const OTHER_SESSION: &str = "rejected wrong_session";

pub(super) const FRAMES: &[FrameRow] = &[
    FrameRow {
        kind: "intent",
        fields: r#"{"expect": 0, "action": {"modify_hitpoints": {"delta": -1}}}"#,
        answers: ["applied", NOT_THERE_EITHER, NOT_THERE_EITHER, "applied"],
    },
    FrameRow { kind: "watch", fields: "{}", answers: ["state", NOT_THERE_EITHER, NOT_THERE_EITHER, "state"] },
    FrameRow { kind: "unwatch", fields: "{}", answers: ["accepted"; 4] },
    FrameRow { kind: "fetch", fields: "{}", answers: ["state", NOT_THERE_EITHER, NOT_THERE_EITHER, "state"] },
    FrameRow {
        kind: "refresh",
        fields: r#"{"token": "TOKEN"}"#,
        answers: ["accepted", OTHER_SESSION, OTHER_SESSION, OTHER_SESSION],
    },
    FrameRow { kind: "ping", fields: "{}", answers: ["pong"; 4] },
];

/// An example of each kind of action, and of both signs of those that give or take.
///
/// True if it makes something from nothing: by the policy `strict` only game servers may send it.
pub(super) const ACTIONS: &[(&str, bool)] = &[
    (r#"{"modify_hitpoints": {"delta": -1}}"#, false),
    (r#"{"modify_hitpoints": {"delta": 1}}"#, true),
    (r#"{"grant_temporary_hitpoints": {"amount": 1}}"#, true),
    (r#"{"roll_death_save": {}}"#, false),
    (r#"{"stabilize": {}}"#, true),
    (r#"{"revive": {"hitpoints": 1}}"#, true),
    (r#"{"equip_item": {"item": "club"}}"#, false),
    (r#"{"unequip_item": {"slot": "head"}}"#, false),
    (r#"{"attune": {"item": "club"}}"#, false),
    (r#"{"end_attunement": {"item": "club"}}"#, false),
    (r#"{"add_item": {"item": "club", "quantity": 1}}"#, true),
    (r#"{"remove_item": {"item": "club", "quantity": 1}}"#, false),
    (r#"{"use_item": {"item": "club"}}"#, false),
    (r#"{"buy_item": {"item": "club", "quantity": 1}}"#, false),
    (r#"{"sell_item": {"item": "club", "quantity": 1}}"#, false),
    (r#"{"modify_currency": {"gp": -1}}"#, false),
    (r#"{"modify_currency": {"gp": -1, "cp": 1}}"#, true),
    (r#"{"gain_experience": {"amount": 1}}"#, true),
    (r#"{"level_up": {"hitpoints": "average"}}"#, false),
    (r#"{"short_rest": {"hit_dice": 0}}"#, true),
    (r#"{"long_rest": {}}"#, true),
    (r#"{"add_condition": {"condition": "prone"}}"#, false),
    (r#"{"remove_condition": {"condition": "prone"}}"#, true),
    (r#"{"rename": {"name": "Adah"}}"#, false),
    (r#"{"give": {"to": "00000000-0000-4000-8000-000000000001", "goods": {"currency": {"cp": 1}}}}"#, false),
    (r#"{"offer": {"gives": {"currency": {"cp": 1}}, "wants": {"currency": {"cp": 1}}, "seconds": 1}}"#, false),
    (
        r#"{"accept": {"from": "00000000-0000-4000-8000-000000000001", "offer": 1, "gives": {"currency": {"cp": 1}}, "gets": {"currency": {"cp": 1}}}}"#,
        false,
    ),
    (r#"{"cancel": {"offer": 1}}"#, false),
];
