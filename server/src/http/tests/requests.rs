//! Sessions, errors, and the endpoints for operation.

use super::*;

#[tokio::test]
async fn a_session_works_from_login_to_logout() {
    let house = house(&[]).await;
    let body = json!({"username": "Ada", "password": "open sesame", "create": true}).to_string();
    let login = house.send("POST /session/login", &["Content-Type: application/json; charset=utf-8"], &body).await;
    assert_eq!((login.status, login.header("cache-control")), (200, Some("no-store")), "{login:?}");
    let tokens = login.json();
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 900);
    let socket_url = format!("ws://{}/socket", house.address);
    assert_eq!(tokens["socket_url"], socket_url, "the host that the request names is not believed");
    let token = tokens["token"].as_str().expect("a token");

    let who = house.get("/session", token, &[]).await.json();
    assert_eq!((&who["user_id"], &who["session_id"]), (&tokens["user_id"], &tokens["session_id"]));
    assert_eq!((&who["username"], &who["roles"]), (&json!("Ada"), &json!(["player"])));

    let refresh = house.post("/session/refresh", "", json!({"refresh_token": tokens["refresh_token"]})).await;
    assert_eq!(refresh.status, 200, "{refresh:?}");
    let newer = refresh.json()["token"].as_str().expect("a token").to_owned();
    assert_eq!(house.get("/session", token, &[]).await.status, 200, "the old token stays good");

    assert_eq!(house.send("POST /session/logout", &[&format!("authorization: bearer {newer}")], "").await.status, 204);
    for token in [token, &newer] {
        let refused = house.get("/session", token, &[]).await;
        assert_eq!(refused.problem(), (401, "unauthenticated".to_owned()));
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    let refresh = house.post("/session/refresh", "", json!({"refresh_token": refresh.json()["refresh_token"]})).await;
    assert_eq!(refresh.problem(), (401, "session_revoked".to_owned()));
}

#[tokio::test]
async fn an_expired_token_differs_from_a_bad_one_only_in_its_message() {
    let house = house(&[]).await;
    let token = house.token("ada").await;
    AHEAD_MS.set(901_000);
    let refused = house.get("/session", &token, &[]).await;
    assert_eq!(refused.problem(), (401, "unauthenticated".to_owned()));
    assert!(refused.text.contains("expired"), "{refused:?}");
}

#[tokio::test]
async fn a_refused_login_says_why_and_when_to_retry() {
    let house = house(&["--registration=closed", "--auth-failures-per-name=1"]).await;
    let login = |body: Value| house.post("/session/login", "", body);
    let wrong = login(json!({"username": "ada", "password": "no"})).await;
    assert_eq!(wrong.problem(), (401, "bad_credentials".to_owned()));
    let limited = login(json!({"username": "ada", "password": "no"})).await;
    assert_eq!(limited.problem(), (429, "too_many_attempts".to_owned()));
    assert_eq!(limited.header("retry-after"), Some("300"), "{limited:?}");
    assert!(limited.json()["retry_after_ms"].as_u64().is_some_and(|ms| ms > 299_000), "{limited:?}");
    let closed = login(json!({"username": "bob", "password": "open sesame", "create": true})).await;
    assert_eq!(closed.problem(), (403, "registration_closed".to_owned()));
    for body in [
        json!({"username": "bob"}),
        json!({"username": "bob", "password": 7}),
        json!({"username": "bob", "password": "open sesame", "admin": true}),
        json!({"username": " ", "password": "open sesame"}),
        json!({"username": "bob", "password": ""}),
    ] {
        let refused = login(body.clone()).await;
        assert_eq!(refused.problem(), (400, "malformed".to_owned()), "{body}");
        let names_field = ["password", "username", "admin"].iter().any(|field| refused.text.contains(field));
        assert!(names_field, "{refused:?}");
    }
}

#[tokio::test]
async fn every_route_answers_bad_requests_in_the_same_format() {
    let house = house(&[]).await;
    let token = house.token("ada").await;
    let id = house.character(&token).await;
    let writes = [
        "POST /session/login".to_owned(),
        "POST /session/refresh".to_owned(),
        "POST /characters".to_owned(),
        format!("PATCH /characters/{id}/stats/hitpoints"),
        format!("PATCH /characters/{id}/currency/modify"),
        format!("POST /characters/{id}/equipment/equip"),
        format!("POST /characters/{id}/equipment/unequip"),
        format!("POST /characters/{id}/equipment/add"),
        format!("POST /characters/{id}/equipment/remove"),
        format!("POST /characters/{id}/intents"),
    ];
    let bearer = format!("Authorization: Bearer {token}");
    let json = "Content-Type: application/json";
    let large = format!("\"{}\"", "x".repeat(64 * 1024));
    for line in &writes {
        for (headers, body, expected) in [
            (&[bearer.as_str(), json][..], "{", (400, "malformed")),
            (&[&bearer, json], "[]", (400, "malformed")),
            (&[&bearer, json], "", (400, "malformed")),
            (&[&bearer, json], r#"{"version": 1, "no_such_field": 1}"#, (400, "malformed")),
            (&[&bearer, "Content-Type: text/plain"], "{}", (415, "unsupported_media_type")),
            (&[&bearer], "{}", (415, "unsupported_media_type")),
            (&[&bearer, json], &large, (413, "body_too_large")),
        ] {
            let answer = house.send(line, headers, body).await;
            let (status, code) = answer.problem();
            assert_eq!((status, code.as_str()), expected, "{line} {}", &body[..body.len().min(60)]);
        }
        if !line.contains("/session/") {
            let answer = house.send(line, &[json], "{}").await;
            assert_eq!(answer.problem(), (401, "unauthenticated".to_owned()), "{line}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{line}");
        }
        let path = line.split(' ').nth(1).expect("a path");
        let answer = house.send(&format!("PUT {path}"), &[&bearer, json], "{}").await;
        assert_eq!(answer.problem(), (405, "method_not_allowed".to_owned()), "{line}");
        let method = line.split(' ').next().expect("a method");
        assert!(answer.header("allow").is_some_and(|allow| allow.contains(method)), "{answer:?}");
    }
    for path in ["/", "/nowhere", "/characters/", "/session/login/", "//characters"] {
        let answer = house.get(path, &token, &[]).await;
        assert_eq!(answer.problem(), (404, "no_such_route".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_key_given_twice_is_refused_in_every_body() {
    let house = house(&[]).await;
    let token = house.token("ada").await;
    let id = house.character(&token).await;
    let bearer = format!("Authorization: Bearer {token}");
    let abilities = r#"{"str": 16, "dex": 12, "con": 13, "int": 8, "wis": 12, "cha": 10, "str": 15}"#;
    let made = format!(
        r#"{{"name": "Twice", "race": "human", "class": "fighter", "skills": ["athletics", "perception"], "abilities": {abilities}}}"#
    );
    let level_up = r#"{"level_up": {"hitpoints": "roll", "abilities": {"str": 1, "str": 1}}}"#;
    let intent = format!(r#"{{"version": 1, "action": {level_up}}}"#);
    for (line, body, key) in [
        ("POST /session/login", r#"{"username": "eve", "username": "ada", "password": "open sesame"}"#, "username"),
        ("POST /session/refresh", r#"{"refresh_token": "a", "refresh_token": "b"}"#, "refresh_token"),
        ("POST /characters", &made, "str"),
        ("PATCH /characters/ID/stats/hitpoints", r#"{"version": 1, "delta": -1, "delta": -2}"#, "delta"),
        ("PATCH /characters/ID/stats/hitpoints", r#"{"version": 7, "delta": -1, "version": 1}"#, "version"),
        ("PATCH /characters/ID/currency/modify", r#"{"version": 1, "gp": 1, "gp": 2}"#, "gp"),
        ("POST /characters/ID/equipment/add", r#"{"version": 1, "item": "club", "item": "dagger"}"#, "item"),
        ("POST /characters/ID/intents", &intent, "str"),
        ("DELETE /characters/ID", r#"{"version": 7, "version": 1}"#, "version"),
    ] {
        let answer = house.send(&line.replace("ID", &id), &[&bearer, "Content-Type: application/json"], body).await;
        assert_eq!(answer.problem(), (400, "malformed".to_owned()), "{line} {body}");
        assert!(answer.text.contains(&format!("the key `{key}` is given twice")), "{answer:?}");
    }
    let kept = house.get(&format!("/characters/{id}"), &token, &[]).await.json();
    assert_eq!(kept["version"], 1, "{kept}");
}

#[tokio::test]
async fn a_body_sent_in_pieces_is_measured_as_it_comes() {
    let house = house(&[]).await;
    let piece = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    let head = "POST /session/login HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let request = format!("{head}Transfer-Encoding: chunked\r\n\r\n{piece}{piece}{piece}0\r\n\r\n");
    assert_eq!(house.raw(request.as_bytes()).await.problem(), (413, "body_too_large".to_owned()));
}

#[tokio::test]
async fn endpoints_for_operation_need_no_token() {
    let house = house(&[]).await;
    assert_eq!(house.send("GET /health/live", &[], "").await.status, 200);
    assert_eq!(house.send("GET /health/ready", &[], "").await.json(), json!({"status": "ready", "problems": []}));
    *house.health.lock() = Health { status: Standing::Degraded, problems: vec!["no database".to_owned()] };
    let degraded = house.send("GET /health/ready", &[], "").await;
    assert_eq!(degraded.status, 503);
    assert_eq!(degraded.json(), json!({"status": "degraded", "problems": ["no database"]}));
    let metrics = house.send("GET /metrics", &[], "").await;
    assert!(
        metrics.text.starts_with("castellan_")
            && metrics.header("content-type").is_some_and(|kind| kind.contains("0.0.4"))
    );
    let keys = house.send("GET /.well-known/jwks.json", &[], "").await.json();
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["alg"]), (&json!("EC"), &json!("ES256")));
    let catalogue = house.send("GET /catalogue", &[], "").await;
    assert_eq!((catalogue.status, catalogue.header("etag")), (200, Some("\"rev-1\"")));
    let again = house.send("GET /catalogue", &["If-None-Match: W/\"rev-1\""], "").await;
    assert_eq!((again.status, again.text.as_str()), (304, ""));
}

#[tokio::test]
async fn metrics_move_to_the_operators_address_if_there_is_one() {
    let house = house(&["--admin-listen=127.0.0.1:0"]).await;
    assert_eq!(house.send("GET /metrics", &[], "").await.problem(), (404, "no_such_route".to_owned()));
    assert_eq!(house.send("GET /health/live", &[], "").await.status, 200);
}

/// Login through a request with this `Host`.
async fn socket_url(house: &House, host: &str) -> Value {
    let body = json!({"username": "ada", "password": "open sesame", "create": true}).to_string();
    let head = format!("POST /session/login HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
    let request = format!("{head}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    house.raw(request.as_bytes()).await.json()["socket_url"].clone()
}

#[tokio::test]
async fn the_sockets_url_leads_only_to_this_server() {
    let house = house(&[]).await;
    let own = format!("ws://{}/socket", house.address);
    for host in ["evil", "evil:80", "127.0.0.1.evil", "localhost.evil:8080", "203.0.113.9:8080", "[2001:db8::1]", ""] {
        assert_eq!(socket_url(&house, host).await, own, "{host}");
    }
    for host in ["localhost:9000", "127.0.0.1:9000", "[::1]:9000", "localhost"] {
        assert_eq!(socket_url(&house, host).await, format!("ws://{host}/socket"), "a tunnel ends there");
    }
}

#[tokio::test]
async fn a_request_names_exactly_one_host() {
    let house = house(&[]).await;
    for (version, hosts, status) in [
        ("1.1", "", 400),
        ("1.1", "Host: a\r\nHost: a\r\n", 400),
        ("1.1", "Host: a\r\nHost: b\r\n", 400),
        ("1.1", "Host: a\r\n", 200),
        ("1.0", "", 200),
        ("1.0", "Host: a\r\n", 200),
        ("1.0", "Host: a\r\nHost: b\r\n", 400),
    ] {
        let request = format!("GET /health/live HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        let answer = house.raw(request.as_bytes()).await;
        assert_eq!(answer.status, status, "{request} {answer:?}");
        if status == 400 {
            assert_eq!(answer.problem().1, "malformed");
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        }
    }
}

#[tokio::test]
async fn every_answer_tells_browsers_and_caches_what_they_may_do() {
    let house = house(&["--origins=https://play.example.com"]).await;
    let token = house.token("ada").await;
    let id = house.character(&token).await;
    let mut seen = std::collections::BTreeSet::new();
    let origin = ["Origin: https://play.example.com"];
    for route in all_routes::<Srd>() {
        let path = route.path.replace("{id}", &id);
        for (method, token, headers) in [
            (route.method.as_str(), token.as_str(), &[][..]),
            (route.method.as_str(), "forged", &[]),
            ("BREW", &token, &[]),
            ("OPTIONS", &token, &[origin[0], "Access-Control-Request-Method: GET"]),
        ] {
            if path == "/session/logout" && token != "forged" && method == "POST" {
                continue;
            }
            let answer = house.call(method, &path, token, headers).await;
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{method} {path}");
            assert_eq!(answer.header("content-security-policy"), Some("frame-ancestors 'none'"), "{method} {path}");
            let cache = answer.header("cache-control").unwrap_or_default().to_owned();
            if cache != "no-store" {
                seen.insert((format!("{} {}", route.method, route.path), cache));
            }
        }
    }
    let expected = [
        ("GET /.well-known/jwks.json", "public, max-age=300"),
        ("GET /catalogue", "public, no-cache"),
        ("GET /characters/{id}", "private, no-cache"),
    ];
    assert_eq!(seen, expected.map(|(route, cache)| (route.to_owned(), cache.to_owned())).into());
    assert_eq!(house.get("/nowhere", "", &[]).await.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn tokens_of_game_servers_work_only_at_their_addresses() {
    for (addresses, expected) in [("203.0.113.0/24,::1", 403), ("203.0.113.0/24,127.0.0.1", 200)] {
        let house = house(&[&format!("--game-addresses={addresses}")]).await;
        let game = house.session("game", Role::Game).await.token;
        let ada = house.session("ada", Role::Player).await;
        let path = format!("/characters?user={}", ada.session.user);
        let answer = house.get(&path, &game, &[]).await;
        assert_eq!(answer.status, expected, "{answer:?}");
        let socket = house.upgrade("/socket", &game, &[]).await;
        assert_eq!(socket.status, if expected == 200 { 101 } else { expected }, "{socket:?}");
        if expected == 403 {
            assert_eq!(answer.problem().1, "not_permitted");
        }
        assert_eq!(house.get("/characters", &ada.token, &[]).await.status, 200, "players are not bound");
        assert_eq!(house.upgrade("/socket", &ada.token, &[]).await.status, 101);
    }
}

#[tokio::test]
async fn listed_origins_may_read_answers_and_others_may_not() {
    let flags = ["--origins=https://play.example.com", "--public-url=https://api.example.com", "--registration=open"];
    let house = house(&flags).await;
    let preflight = ["Origin: https://play.example.com", "Access-Control-Request-Method: PATCH"];
    let answer = house.send("OPTIONS /characters/x/stats/hitpoints", &preflight, "").await;
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://play.example.com"));
    assert!(answer.header("access-control-allow-methods").is_some_and(|methods| methods.contains("PATCH")));
    assert!(answer.header("access-control-allow-headers").is_some_and(|headers| headers.contains("if-match")));
    let answer = house.send("GET /characters", &["Origin: https://play.example.com"], "").await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://play.example.com"));
    let exposed = answer.header("access-control-expose-headers").unwrap_or_default().to_owned();
    for header in ["etag", "location", "retry-after", "castellan-durable", "castellan-duplicate"] {
        assert!(exposed.contains(header), "{exposed}");
    }
    for headers in [&["Origin: https://evil.example.com", preflight[1]][..], &["Origin: https://evil.example.com"]] {
        let answer = house.send("OPTIONS /characters", headers, "").await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, None));
        assert_eq!(answer.header("vary"), Some("origin"));
    }
    let body = json!({"username": "ada", "password": "open sesame", "create": true});
    let login = house.post("/session/login", "", body).await.json();
    assert_eq!(login["socket_url"], "wss://api.example.com/socket");
}

#[tokio::test]
async fn a_user_sees_and_ends_only_the_own_sessions() {
    let house = house(&[]).await;
    let (first, other, foreign) =
        (house.session("ada", Role::Player).await, house.session("ada", Role::Player).await, house.token("bob").await);
    let list = async |token: &str| {
        let listed = house.get("/session/list", token, &[]).await;
        assert_eq!((listed.status, listed.header("cache-control")), (200, Some("no-store")), "{listed:?}");
        listed.json()["sessions"].as_array().expect("a list").clone()
    };
    let sessions = list(&first.token).await;
    assert_eq!(sessions.len(), 2, "{sessions:?}");
    for session in &sessions {
        assert_eq!(session["current"], json!(session["session_id"] == json!(first.session.id)), "{session}");
        assert!(["started_at", "refreshed_at", "expires_at"].iter().all(|time| session[time].is_string()), "{session}");
    }
    assert_eq!(list(&foreign).await.len(), 1);

    let end = async |token: &str, session: &str| {
        let token = format!("Authorization: Bearer {token}");
        house.send(&format!("DELETE /session/{session}"), &[&token], "").await
    };
    for (token, session) in [
        (&foreign, other.session.id.to_string()),
        (&first.token, "f81d4fae-7dec-11d0-a765-00a0c91e6bf6".to_owned()),
        (&first.token, "nonsense".to_owned()),
    ] {
        let refused = end(token, &session).await;
        assert_eq!(refused.problem(), (404, "no_such_session".to_owned()), "{session}");
    }
    assert_eq!(house.get("/session", &other.token, &[]).await.status, 200, "nobody has ended it");
    assert_eq!(end(&first.token, &other.session.id.to_string()).await.status, 204);
    assert_eq!(house.get("/session", &other.token, &[]).await.problem(), (401, "unauthenticated".to_owned()));
    assert_eq!(end(&first.token, &other.session.id.to_string()).await.status, 404, "it has ended already");
    assert_eq!(list(&first.token).await.len(), 1);
    assert_eq!(end(&first.token, &first.session.id.to_string()).await.status, 204, "the current one");
    assert_eq!(house.get("/session", &first.token, &[]).await.status, 401);
}

#[tokio::test]
async fn a_new_password_needs_the_present_one_and_ends_the_other_sessions() {
    let house = house(&["--auth-failures-per-name-and-address=2"]).await;
    let (first, other) = (house.session("ada", Role::Player).await, house.session("ada", Role::Player).await);
    let change = |present: &str, new: &str| {
        let body = json!({"password": present, "new_password": new});
        let (house, token) = (&house, first.token.clone());
        async move { house.post("/account/password", &token, body).await }
    };
    let short = change("open sesame", "short").await;
    assert_eq!(short.problem(), (400, "malformed".to_owned()));
    assert!(short.text.contains("new_password"), "{short:?}");
    let wrong = change("shut sesame", "cafe\u{301} au lait").await;
    assert_eq!(wrong.problem(), (401, "bad_credentials".to_owned()));
    assert_eq!(change("open sesame", "cafe\u{301} au lait").await.status, 204);
    assert_eq!(house.get("/session", &first.token, &[]).await.status, 200);
    assert_eq!(house.get("/session", &other.token, &[]).await.status, 401);
    let refresh = house.post("/session/refresh", "", json!({"refresh_token": other.refresh_token})).await;
    assert_eq!(refresh.problem(), (401, "session_revoked".to_owned()));

    let login = |password: &str| house.post("/session/login", "", json!({"username": "ada", "password": password}));
    assert_eq!(login("caf\u{e9} au lait").await.status, 200);
    assert_eq!(login("open sesame").await.status, 401);
    let limited = change("caf\u{e9} au lait", "open sesame").await;
    assert_eq!(limited.problem(), (429, "too_many_attempts".to_owned()), "guesses count as failed logins");
}
