//! Spoiled requests to every route: each is answered with a known status, and a refused one changes nothing.

use std::panic::AssertUnwindSafe;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use castellan_fuzz::bolero::{Driver, ValueGenerator, check};
use castellan_fuzz::{BRIEFLY, Input, Spoiled, spoiled};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::*;
use crate::http::client_address::ClientAddress;
use crate::http::reached::Reached;

/// A request; parts that HTTP itself refuses are left out when it is sent.
#[derive(Debug, Clone)]
struct Asked {
    route: usize,
    path: Input,
    content_type: Input,
    if_match: Option<Input>,
    body: Input,
}

struct Requests {
    /// For each route, good paths and good bodies.
    routes: Vec<(Spoiled, Spoiled)>,
    content_types: Spoiled,
    tags: Spoiled,
}

impl ValueGenerator for Requests {
    type Output = Asked;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Asked> {
        let route = (0..self.routes.len()).generate(driver)?;
        let (paths, bodies) = &self.routes[route];
        let has_tag = driver.gen_bool(None)?;
        Some(Asked {
            route,
            path: paths.generate(driver)?,
            content_type: self.content_types.generate(driver)?,
            if_match: if has_tag { Some(self.tags.generate(driver)?) } else { None },
            body: bodies.generate(driver)?,
        })
    }
}

/// Good bodies of a route.
fn bodies(path: &str) -> Vec<Value> {
    let write = |fields: Value| {
        let mut write = json!({"version": 0, "id": 7, "ack": "applied"});
        write.as_object_mut().expect("a map").extend(fields.as_object().expect("a map").clone());
        write
    };
    let action = |action: Value| write(json!({"action": action}));
    match path.trim_start_matches("/characters/{id}") {
        "/session/login" => vec![json!({"username": "ada", "password": "pw", "create": true})],
        "/session/refresh" => vec![json!({"refresh_token": "f81d4fae-7dec-11d0-a765-00a0c91e6bf6.0.AAAA"})],
        "/characters" => vec![brannor(), write(brannor())],
        "/intents" => vec![
            action(json!({"modify_hitpoints": {"delta": -1, "critical": true}})),
            action(json!({"level_up": {"hitpoints": "average", "abilities": {"str": 2}}})),
            action(json!({"rename": {"name": "Ada"}})),
            action(json!({"long_rest": {}})),
        ],
        "/stats/hitpoints" => vec![write(json!({"delta": -1, "critical": false}))],
        "/currency/modify" => vec![write(json!({"cp": 1, "sp": -1, "ep": 0, "gp": 2, "pp": 3}))],
        "/equipment/equip" => vec![write(json!({"item": "chain-mail", "slot": "armor"}))],
        "/equipment/unequip" => vec![write(json!({"slot": "armor"}))],
        "/equipment/add" | "/equipment/remove" => vec![write(json!({"item": "arrow", "quantity": 1}))],
        _ => vec![write(json!({})), json!({})],
    }
}

impl House {
    /// Sends a request past the network; `None` if it cannot even be written as one.
    async fn ask(&self, method: &axum::http::Method, token: &str, asked: &Asked) -> Option<(StatusCode, Vec<u8>)> {
        let mut request = Request::builder().method(method).uri(std::str::from_utf8(&asked.path.0).ok()?);
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        request = request.header(header::CONTENT_TYPE, asked.content_type.0.as_slice());
        if let Some(Input(tag)) = &asked.if_match {
            request = request.header(header::IF_MATCH, tag.as_slice());
        }
        let mut request = request.body(Body::from(asked.body.0.clone())).ok()?;
        let client = ClientAddress::of([127, 0, 0, 1].into(), request.headers(), &[]);
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(Reached { local: self.address, tls: None, server_name: None });
        let service = TowerToHyperService::new(self.routes.0.clone());
        let answer = service.call(request).await.expect("routes answer everything");
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a body").to_bytes();
        Some((status, body.to_vec()))
    }

    async fn characters(&self, owner: castellan_protocol::UserId) -> Vec<u8> {
        let mut body = Vec::new();
        self.shards.list(owner, &mut body).await.expect("in memory");
        body
    }
}

/// The statuses of `docs/protocol.md`, without those that only a fault or a full server sends.
const STATUSES: [u16; 19] =
    [200, 201, 204, 304, 400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 426, 428, 429, 101, 503];

#[test]
fn a_request_is_answered_as_the_document_says_or_changes_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let flags = [
        "--http-rate-per-second=1000000",
        "--http-rate-burst=1000000",
        "--http-anonymous-burst=10000000",
        "--http-creations-per-day=1000000",
        "--socket-handshakes-burst=10000000",
    ];
    let (house, grant, character) = runtime.block_on(async {
        let house = house(&flags).await;
        let grant = house.session("ada", Role::Player).await;
        let character = house.character(&grant.token).await;
        (house, grant, character)
    });
    let routes = all_routes::<Srd>();
    // The session must outlive the target.
    let routes: Vec<_> = routes.iter().filter(|route| route.path != "/session/logout").collect();
    let spoiling = |route: &&Route<Srd>| {
        let path = route.path.replace("{id}", &character);
        let paths = [path.clone(), format!("{path}?user={}", grant.session.user)].map(String::into_bytes);
        let bodies = bodies(&route.path).iter().map(|body| body.to_string().into_bytes()).collect();
        (spoiled(paths.into()), spoiled(bodies))
    };
    let texts = |texts: &[&str]| spoiled(texts.iter().map(|text| text.as_bytes().to_vec()).collect());
    let requests = Requests {
        routes: routes.iter().map(spoiling).collect(),
        content_types: texts(&["application/json", "application/json; charset=utf-8", "application/merge-patch+json"]),
        tags: texts(&["*", "\"1-rev-1\"", "\"0-x\"", "W/\"2-rev-1\", \"3-rev-1\""]),
    };
    let methods: Vec<_> = routes.iter().map(|route| route.method.clone()).collect();
    let shared = AssertUnwindSafe((house, runtime));
    check!().with_generator(requests).with_test_time(BRIEFLY).for_each(|asked: &Asked| {
        let (house, runtime) = &*shared;
        runtime.block_on(async {
            let before = house.characters(grant.session.user).await;
            let Some((status, body)) = house.ask(&methods[asked.route], &grant.token, asked).await else { return };
            assert!(STATUSES.contains(&status.as_u16()), "{status} {}", String::from_utf8_lossy(&body));
            if status.is_client_error() || status.is_server_error() {
                let problem: Value = serde_json::from_slice(&body).expect("every error is JSON");
                let code = problem["code"].as_str().expect("a code");
                assert_ne!(code, "internal");
                let sentence = problem["error"].as_str().expect("a sentence");
                assert!(!sentence.is_empty() && sentence.len() <= 400, "{sentence}");
                assert_eq!(house.characters(grant.session.user).await, before, "{status} {code}");
            }
        });
    });
}
