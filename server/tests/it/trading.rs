//! Gifts and trades between characters of two users.

use serde_json::{Value, json};

use crate::harness::{Http, Kind, Server, Socket};
use crate::play::{House, enter, id};

/// A player with one character and one socket.
struct Trader {
    name: &'static str,
    http: Http,
    socket: Socket,
    me: String,
}

impl Trader {
    /// With gold.
    fn enter(server: &Server, name: &'static str, gp: i64) -> Self {
        let (http, token, made) = enter(server, name);
        let mut trader = Self { name, http, socket: Socket::open(server.address(), &token), me: id(&made) };
        trader.does(json!({"modify_currency": {"gp": gp}}));
        trader
    }

    /// Comes back after a restart.
    fn again(self, server: &Server) -> Self {
        let (http, session) = Http::new(server.address()).login(self.name, "open sesame");
        let socket = Socket::open(server.address(), session["token"].as_str().expect("a token"));
        Self { http, socket, ..self }
    }

    /// Sends an intent that is applied, and returns the new state.
    fn does(&mut self, action: Value) -> Value {
        let (kind, fields) = self.socket.act(&self.me, action);
        assert_eq!(kind, "applied", "{fields}");
        fields["character"].clone()
    }

    /// Like `does`, but waits until it is durable.
    fn does_durably(&mut self, action: Value) -> Value {
        let intent = json!({"character": self.me, "expect": 0, "ack": "durable", "action": action});
        let (kind, fields) = self.socket.call("intent", intent);
        assert_eq!(kind, "applied", "{fields}");
        fields["character"].clone()
    }

    fn refused(&mut self, action: Value) -> (String, String) {
        let (kind, fields) = self.socket.act(&self.me, action);
        assert_eq!(kind, "rejected", "{fields}");
        let text = |field: &str| fields[field].as_str().expect("a text").to_owned();
        (text("code"), text("message"))
    }

    /// Watches its character until it is as wanted.
    fn until(&mut self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let (_, fields) = self.socket.call("watch", json!({"character": self.me}));
        let mut state = fields["character"].clone();
        while !is_so(&state) {
            let (kind, fields) = self.socket.next();
            if kind == "state" && fields["character"]["id"] == json!(self.me) {
                state = fields["character"].clone();
            }
            assert_ne!(kind, "closing", "{what}: {state}");
        }
        state
    }
}

fn gp(state: &Value) -> i64 {
    state["currency"]["gp"].as_i64().expect("coins")
}

/// Units of an item.
fn units(state: &Value, item: &str) -> i64 {
    let stacks = state["inventory"].as_array().expect("a list").iter();
    stacks.filter(|stack| stack["item"] == json!(item)).map(|stack| stack["quantity"].as_i64().expect("units")).sum()
}

fn has_no_books(state: &Value) -> bool {
    ["parcels", "offers", "waiting"].iter().all(|field| state.get(field).is_none())
}

fn gift_and_trade(kind: Kind) {
    let house = House::new(kind);
    let server = house.server(&["--flush-interval", "60s"]);
    let (mut ada, mut bob) = (Trader::enter(&server, "ada", 30), Trader::enter(&server, "bob", 5));
    ada.does(json!({"add_item": {"item": "longsword", "quantity": 2}}));
    let given = ada.does(json!({"give": {"to": bob.me, "goods": {"items": {"longsword": 1}, "currency": {"gp": 10}}}}));
    assert_eq!((gp(&given), units(&given, "longsword")), (20, 1));
    assert_eq!(given["parcels"][0]["to"], json!(bob.me));
    let got = bob.until("the gift", |state| gp(state) == 15);
    assert_eq!(units(&got, "longsword"), 1, "all at once");
    ada.until("everything is settled", has_no_books);

    let wants = json!({"currency": {"gp": 12}});
    let gives = json!({"items": {"longsword": 1}});
    let offered = ada.does(json!({"offer": {"to": bob.me, "gives": gives, "wants": wants, "seconds": 3600}}));
    assert_eq!(units(&offered, "longsword"), 0, "it is held");
    let number = offered["offers"][0]["number"].clone();
    bob.does(json!({"accept": {"from": ada.me, "offer": number, "gives": wants, "gets": gives}}));
    let sold = ada.until("the trade", |state| gp(state) == 32);
    assert!(sold.get("offers").is_none(), "{sold}");
    let bought = bob.until("the sword", |state| units(state, "longsword") == 2);
    assert_eq!(gp(&bought), 3);
    for trader in [&mut ada, &mut bob] {
        trader.until("everything is settled", has_no_books);
    }

    let offered = ada.does(json!({"offer": {"gives": wants, "wants": gives, "seconds": 60}}));
    assert_eq!(gp(&offered), 20);
    let back = ada.does(json!({"cancel": {"offer": offered["offers"][0]["number"]}}));
    assert_eq!(gp(&back), 32);
    assert!(server.terminate().success());
}

#[test]
fn a_gift_and_a_trade_on_sqlite() {
    gift_and_trade(Kind::Sqlite);
}

#[test]
fn a_gift_and_a_trade_on_postgresql() {
    gift_and_trade(Kind::Postgres);
}

/// Kills the server as soon as a gift and an acceptance are durable. Nobody is online when it comes back.
fn a_killed_server_finishes_what_was_begun(kind: Kind) {
    let house = House::new(kind);
    let server = house.server(&[]);
    let (mut ada, mut bob) = (Trader::enter(&server, "ada", 30), Trader::enter(&server, "bob", 5));
    let (held, wanted) = (json!({"currency": {"gp": 7}}), json!({"currency": {"gp": 2}}));
    let offered = ada.does(json!({"offer": {"gives": held, "wants": wanted, "seconds": 3600}}));
    let number = offered["offers"][0]["number"].clone();
    ada.does_durably(json!({"give": {"to": bob.me, "goods": {"currency": {"gp": 10}}}}));
    bob.does_durably(json!({"accept": {"from": ada.me, "offer": number, "gives": wanted, "gets": held}}));
    server.kill();

    let server = house.server(&[]);
    let (mut ada, mut bob) = (ada.again(&server), bob.again(&server));
    bob.until("gift and trade", |state| gp(state) == 5 + 10 - 2 + 7 && has_no_books(state));
    ada.until("gift and trade", |state| gp(state) == 30 - 10 + 2 - 7 && has_no_books(state));
    assert!(server.terminate().success());
}

#[test]
fn a_killed_server_finishes_what_was_begun_on_sqlite() {
    a_killed_server_finishes_what_was_begun(Kind::Sqlite);
}

#[test]
fn a_killed_server_finishes_what_was_begun_on_postgresql() {
    a_killed_server_finishes_what_was_begun(Kind::Postgres);
}

#[test]
fn goods_reach_a_character_whose_player_is_away() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let bob = Trader::enter(&server, "bob", 5);
    assert!(server.terminate().success());
    let server = house.server(&[]);
    let mut ada = Trader::enter(&server, "ada", 30);
    ada.does(json!({"give": {"to": bob.me, "goods": {"currency": {"gp": 10}}}}));
    ada.until("it has arrived", has_no_books);
    let found = bob.again(&server);
    assert_eq!(gp(&found.http.get(&format!("/characters/{}", found.me)).json), 15);
}

#[test]
fn a_gift_to_a_character_that_is_deleted_meanwhile_comes_back() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let (mut ada, mut bob) = (Trader::enter(&server, "ada", 30), Trader::enter(&server, "bob", 5));
    // So that the server knows the receiver, and does not look again.
    ada.does(json!({"give": {"to": bob.me, "goods": {"currency": {"gp": 1}}}}));
    bob.until("the first", |state| gp(state) == 6);
    assert_eq!(bob.http.call("DELETE", &format!("/characters/{}", bob.me), &[("If-Match", "*")], None).status, 204);
    let given = ada.does(json!({"give": {"to": bob.me, "goods": {"currency": {"gp": 10}}}}));
    let back = ada.until("it comes back", |state| has_no_books(state) && gp(state) == 29);
    assert_eq!(back["last"], given["last"], "the last intent was hers");
    assert!(server.terminate().success());
}

#[test]
fn a_deal_that_cannot_be_is_refused_with_the_field_at_fault() {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&[]);
    let (mut ada, bob) = (Trader::enter(&server, "ada", 30), Trader::enter(&server, "bob", 5));
    let (me, him) = (ada.me.clone(), bob.me.clone());
    let stranger = "00000000-0000-4000-8000-000000000000";
    let one = json!({"currency": {"gp": 1}});
    let nine: serde_json::Map<String, Value> = (0..9).map(|number| (format!("item-{number}"), json!(1))).collect();
    let refused = [
        (json!({"give": {"to": stranger, "goods": one}}), "no_such_receiver", "no such character"),
        (json!({"give": {"to": me, "goods": one}}), "malformed", "itself"),
        (json!({"give": {"to": "ada", "goods": one}}), "malformed", "to"),
        (json!({"give": {"goods": one}}), "malformed", "to"),
        (json!({"give": {"to": him, "goods": {}}}), "malformed", "goods"),
        (json!({"give": {"to": him, "goods": {"items": {}, "currency": {}}}}), "malformed", "goods"),
        (json!({"give": {"to": him, "goods": {"currency": {"gp": 0}}}}), "malformed", "gp"),
        (json!({"give": {"to": him, "goods": {"currency": {"gp": -5}}}}), "malformed", "gp"),
        (json!({"give": {"to": him, "goods": {"currency": {"xp": 5}}}}), "malformed", "xp"),
        (json!({"give": {"to": him, "goods": {"currency": {"gp": 1.5}}}}), "malformed", "gp"),
        (json!({"give": {"to": him, "goods": {"currency": {"gp": 31}}}}), "insufficient_funds", "gp"),
        (
            json!({"give": {"to": him, "goods": {"currency": {"gp": 9_007_199_254_740_991_u64}}}}),
            "insufficient_funds",
            "gp",
        ),
        (json!({"give": {"to": him, "goods": {"items": {"longsword": 1}}}}), "not_in_inventory", "longsword"),
        (json!({"give": {"to": him, "goods": {"items": nine}}}), "malformed", "kinds"),
        (json!({"give": {"to": him, "goods": {"souls": 1}}}), "malformed", "souls"),
        (
            json!({"offer": {"gives": one, "wants": {"items": {"no-such-thing": 1}}, "seconds": 5}}),
            "unknown_item",
            "no-such-thing",
        ),
        (json!({"offer": {"gives": one, "wants": {}, "seconds": 5}}), "malformed", "goods"),
        (json!({"offer": {"gives": one, "wants": one, "seconds": 0}}), "malformed", "seconds"),
        (json!({"offer": {"gives": one, "wants": one, "seconds": 2_592_001}}), "malformed", "seconds"),
        (json!({"offer": {"to": stranger, "gives": one, "wants": one, "seconds": 5}}), "no_such_receiver", "no such"),
        (json!({"accept": {"from": stranger, "offer": 1, "gives": one, "gets": one}}), "no_such_receiver", "no such"),
        (json!({"cancel": {"offer": 1}}), "no_such_offer", "offer"),
        (json!({"cancel": {"offer": -1}}), "no_such_offer", "offer"),
        (json!({"cancel": {}}), "malformed", "offer"),
    ];
    for (action, code, part) in refused {
        let (found, message) = ada.refused(action.clone());
        assert!(found == code && message.contains(part), "{action}: {found}: {message}");
    }
    let state = ada.http.get(&format!("/characters/{me}")).json;
    assert_eq!((gp(&state), state["version"].as_u64()), (30, Some(2)), "nothing has changed");
    assert!(server.terminate().success());
}
