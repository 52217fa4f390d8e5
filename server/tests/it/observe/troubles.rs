//! Servers, each with a trouble of its own, and the alerts that it must raise.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::json;
use uuid::Uuid;
use xtask::postgres::{Cluster as Postgres, ClusterOptions, Stop};

use super::Over;
use crate::cluster::{Cluster, until_ready};
use crate::harness::{Http, Kind, Server, Socket, run_on};
use crate::play::{House, enter, id, paladin};
use crate::starting::free_address;

/// A pause between two requests of somebody who makes trouble.
const PAUSE: Duration = Duration::from_millis(20);

/// Characters whose changes wait for a database that is away: a few more than the alert tolerates.
const MANY: u128 = 5_100;

/// Makes trouble until it is over; with the haste of the test.
type Make = Box<dyn Fn(u32, &Over) + Send + Sync>;

/// One trouble.
pub(super) struct Trouble {
    /// The processes that Prometheus watches. The alerts are about the first.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) alerts: &'static [&'static str],
    make: Make,
}

impl Trouble {
    fn new(
        addresses: &[SocketAddr],
        alerts: &'static [&'static str],
        make: impl Fn(u32, &Over) + Send + Sync + 'static,
    ) -> Self {
        Self { addresses: addresses.to_vec(), alerts, make: Box::new(make) }
    }

    pub(super) fn make(&self, haste: u32, over: &Over) {
        (self.make)(haste, over);
    }
}

/// All of them.
pub(super) fn all() -> Vec<Trouble> {
    vec![stopped_database(), slow_database(), dead_letter(), strangers(), small_memory(), dead_node(), restarts()]
}

/// A server with nothing but players on it.
pub(super) fn sound() -> Trouble {
    let house = House::new(Kind::Postgres);
    let server = house.server(&[]);
    let (http, token, made) = enter(&server, "ada");
    let me = id(&made);
    let socket = Mutex::new(Socket::open(server.address(), &token));
    Trouble::new(&[server.address()], &[], move |_, over| {
        let _alive = (&house, &server);
        while !over.comes_within(PAUSE) {
            assert_eq!(http.get("/characters").status, 200);
            let (kind, _) = socket.lock().act(&me, json!({"modify_currency": {"cp": 1}}));
            assert_eq!(kind, "applied");
        }
    })
}

/// The database goes away while thousands play and some log in.
fn stopped_database() -> Trouble {
    let mut postgres = Postgres::start(ClusterOptions::default()).expect("a PostgreSQL");
    let house = House::at(postgres.url());
    make_game_server(&house);
    let server = house.server(&["--auth-logins-per-address", "1000000", "--http-anonymous-burst", "1000000"]);
    let address = server.address();
    let (game, session) = Http::new(address).login("gamora", "open sesame");
    run_on(
        house.url(),
        "INSERT INTO accounts (user_id, username, username_folded, password_hash, role, created_at) \
         SELECT lpad(to_hex(n), 32, '0')::uuid, 'player' || n, 'player' || n, '', 'player', now() \
         FROM generate_series(1, 5100) AS n",
    );
    let make = |user| {
        let mut sheet = paladin("Ada");
        sheet["ack"] = json!("applied");
        let made = game.post(&format!("/characters?user={user}"), &sheet);
        assert_eq!(made.status, 201, "{made:?}");
        (user, id(&made.json))
    };
    let characters: Vec<_> = std::thread::scope(|scope| {
        let make = &make;
        let halves = [1..=MANY / 2, MANY / 2 + 1..=MANY]
            .map(|half| scope.spawn(move || half.map(|n| make(Uuid::from_u128(n))).collect::<Vec<_>>()));
        halves.into_iter().flat_map(|half| half.join().expect("characters")).collect()
    });
    let mut socket = Socket::open(address, session["token"].as_str().expect("a token"));
    postgres.stop(Stop::Immediate).expect("it stops");
    // All of it is decided in memory.
    for (user, character) in characters {
        let action = json!({"modify_currency": {"cp": 1}});
        let intent = json!({"character": character, "user": user, "expect": 0, "action": action});
        assert_eq!(socket.call("intent", intent).0, "applied");
    }
    let alerts = &["CastellanServerErrors", "CastellanDatabaseWritesFail", "CastellanLoginsFail", "CastellanBacklog"];
    Trouble::new(&[address], alerts, move |_, over| {
        let _alive = (&house, &server, &postgres);
        while !over.comes_within(PAUSE) {
            let body = json!({"username": "bob", "password": "open sesame", "create": true});
            Http::new(address).post("/session/login", &body);
        }
    })
}

/// Makes the account `gamora` with the role `game`.
fn make_game_server(house: &House) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.current_dir(house.folder()).args(["account", "create", "gamora", "--role", "game", "--password-stdin"]);
    command.args(["--auth-argon2-memory", "64KiB", "--auth-argon2-iterations", "1", "--database-url", house.url()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    child.stdin.take().expect("a pipe").write_all(b"open sesame\n").expect("it is read");
    assert!(child.wait().expect("it ends").success());
}

/// Each write takes long.
fn slow_database() -> Trouble {
    let house = House::new(Kind::Postgres);
    let server = house.server(&[]);
    let players: Vec<_> = (0..8).map(|number| enter(&server, &format!("player{number}"))).collect();
    let slow = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
                'BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END'";
    run_on(house.url(), slow);
    run_on(
        house.url(),
        "CREATE TRIGGER slow AFTER INSERT OR UPDATE ON characters FOR EACH STATEMENT EXECUTE FUNCTION slow()",
    );
    let alerts = &["CastellanDatabaseWritesSlow", "CastellanPersistenceSlow"];
    Trouble::new(&[server.address()], alerts, move |_, over| {
        let _alive = (&house, &server);
        let open = players.iter().map(|(_, token, made)| (Socket::open(server.address(), token), id(made)));
        let mut sockets: Vec<_> = open.collect();
        while !over.comes_within(PAUSE) {
            for (socket, me) in &mut sockets {
                assert_eq!(socket.act(me, json!({"modify_currency": {"cp": 1}})).0, "applied");
            }
        }
    })
}

/// The database refuses a character.
fn dead_letter() -> Trouble {
    let house = House::new(Kind::Postgres);
    let server = house.server(&["--durable-timeout", "100ms"]);
    let (http, _, _) = enter(&server, "ada");
    run_on(house.url(), "ALTER TABLE characters ADD CONSTRAINT refused CHECK (name <> 'Bea')");
    http.post("/characters", &paladin("Bea"));
    Trouble::new(&[server.address()], &["CastellanDeadLetters"], move |_, over| {
        let _alive = &house;
        while !over.comes_within(PAUSE) {
            assert_eq!(Http::new(server.address()).get("/health/live").status, 200);
        }
    })
}

/// People who guess passwords and addresses.
fn strangers() -> Trouble {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--http-anonymous-burst", "1000000"]);
    let (http, _, _) = enter(&server, "ada");
    Trouble::new(&[server.address()], &["CastellanRequestErrors"], move |_, over| {
        let _alive = &house;
        while !over.comes_within(PAUSE) {
            http.get(&format!("/characters/{}", Uuid::new_v4()));
            let body = json!({"username": "ada", "password": "open says me"});
            Http::new(server.address()).post("/session/login", &body);
        }
    })
}

/// More characters are wanted than there is memory for.
fn small_memory() -> Trouble {
    let house = House::new(Kind::Sqlite);
    let server = house.server(&["--cache-characters-max", "6", "--flush-interval", "100ms"]);
    let players: Vec<_> = (0..8).map(|number| enter(&server, &format!("player{number}"))).collect();
    let alerts = &["CastellanCacheMisses", "CastellanCacheEvictions"];
    Trouble::new(&[server.address()], alerts, move |_, over| {
        let _alive = (&house, &server);
        loop {
            for (http, _, made) in &players {
                if over.comes_within(PAUSE) {
                    return;
                }
                // Any version. Refused while no place is free.
                http.patch(&format!("/characters/{}/stats/hitpoints", id(made)), &json!({"version": 0, "delta": 1}));
            }
        }
    })
}

/// A node dies, and another one takes its shards.
fn dead_node() -> Trouble {
    let cluster = Cluster::new();
    let (castor, pollux) = (cluster.node("castor"), cluster.node("pollux"));
    let gateway = cluster.gateway();
    until_ready(&gateway);
    cluster.until_owned("castor", 64..=192);
    let (_, token, made) = enter(&gateway, "ada");
    let addresses = [castor.address(), pollux.address(), gateway.address()];
    let castor = Mutex::new(Some(castor));
    Trouble::new(&addresses, &["CastellanDown"], move |haste, over| {
        let _alive = (&cluster, &pollux);
        let (mut socket, me) = (Some(Socket::open(gateway.address(), &token)), id(&made));
        // Prometheus has seen both.
        let dies_at = Instant::now() + Duration::from_secs(60) / haste + Duration::from_secs(3);
        while !over.comes_within(PAUSE) {
            if Instant::now() >= dies_at
                && let Some(castor) = castor.lock().take()
            {
                // Its player's socket may be closed then.
                socket = None;
                castor.kill();
            }
            if let Some(socket) = &mut socket {
                assert_eq!(socket.act(&me, json!({"modify_currency": {"cp": 1}})).0, "applied");
            }
        }
    })
}

/// A process that starts again and again.
fn restarts() -> Trouble {
    let (house, address) = (House::new(Kind::Sqlite), free_address());
    let start = move |house: &House| house.server(&["--listen", &address.to_string()]);
    let server: Mutex<Option<Server>> = Mutex::new(Some(start(&house)));
    Trouble::new(&[address], &["CastellanNodeFlaps"], move |haste, over| {
        // Each life is seen by Prometheus.
        let life = Duration::from_secs(45) / haste + Duration::from_secs(1);
        while !over.comes_within(life) {
            let mut server = server.lock();
            if let Some(old) = server.take() {
                old.kill();
            }
            *server = Some(start(&house));
        }
    })
}
