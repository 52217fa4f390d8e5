//! The audit of logins, of ends of sessions, and of the role `game`.

use super::*;
use crate::storage::AuditRow;

/// The rows, oldest first, once there are so many.
async fn rows(house: &House, count: usize) -> Vec<AuditRow> {
    loop {
        let mut rows = house.storage.audit(1_000).await.expect("rows");
        assert!(rows.len() <= count, "{rows:#?}");
        if rows.len() == count {
            rows.reverse();
            return rows;
        }
        tokio::task::yield_now().await;
    }
}

fn told(row: &AuditRow) -> [&str; 4] {
    [&row.actor, &row.target, &row.action, &row.outcome]
}

async fn login(house: &House, name: &str, password: &str) -> Answer {
    let body = json!({"username": name, "password": password}).to_string();
    house.send("POST /session/login", &["Content-Type: application/json"], &body).await
}

/// Two events may happen in one millisecond, so the order of their rows says nothing.
fn sorted<'a>(events: impl IntoIterator<Item = [&'a str; 4]>) -> Vec<[&'a str; 4]> {
    let mut events: Vec<_> = events.into_iter().collect();
    events.sort_unstable();
    events
}

#[tokio::test]
async fn logins_and_the_ends_of_sessions_are_recorded_without_their_secrets() {
    let house = house(&["--auth-failures-per-name-and-address=2"]).await;
    let user = house.session("ada", Role::Player).await.session.user.to_string();
    let granted = login(&house, "ADA", "open sesame").await;
    let (session, refresh) = (granted.json()["session_id"].clone(), granted.json()["refresh_token"].clone());
    let session = session.as_str().expect("an id").to_owned();
    assert_eq!(login(&house, "hunter2-typed-into-the-wrong-field", "open sesame").await.status, 401);
    for status in [401, 401, 429] {
        assert_eq!(login(&house, "ada", "wrong-password").await.status, status);
    }
    let token = granted.json()["token"].as_str().expect("a token").to_owned();
    assert_eq!(house.post("/session/logout", &token, json!({})).await.status, 204);
    let body = json!({"refresh_token": refresh}).to_string();
    assert_eq!(house.send("POST /session/refresh", &["Content-Type: application/json"], &body).await.status, 401);

    let rows = rows(&house, 7).await;
    let (account, of_session) = (format!("account {user}"), format!("session {session}"));
    let expected = [
        [&user, &of_session, "login", "done"],
        ["stranger", "", "login", "refused"],
        ["stranger", &account, "login", "refused"],
        ["stranger", &account, "login", "refused"],
        ["stranger", &account, "login", "locked_out"],
        [&user, &of_session, "logout", "done"],
        ["stranger", &of_session, "refresh", "refused"],
    ];
    assert_eq!(sorted(rows.iter().map(told)), sorted(expected));
    let text = format!("{rows:?}");
    for secret in ["open sesame", "hunter2", "wrong-password", &token, refresh.as_str().expect("a token")] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    assert!(rows.iter().all(|row| row.address.as_deref() == Some("127.0.0.1")), "{text}");
}

#[tokio::test]
async fn writes_of_the_role_game_are_recorded_and_those_of_players_are_not() {
    let house = house(&[]).await;
    let player = house.session("ada", Role::Player).await;
    let game = house.session("bot", Role::Game).await;
    let (owner, actor) = (player.session.user.to_string(), game.session.user.to_string());
    let made = house.post(&format!("/characters?user={owner}"), &game.token, brannor()).await;
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let hurt = json!({"version": 0, "id": 7, "action": {"modify_hitpoints": {"delta": -1}}});
    for path in ["intents", "intents?user=here"] {
        let path = format!("/characters/{id}/{}", path.replace("here", &owner));
        let token = if path.contains('?') { &game.token } else { &player.token };
        assert_eq!(house.post(&path, token, hurt.clone()).await.status, 200);
    }
    let poor = json!({"version": 0, "action": {"modify_currency": {"gp": -1_000_000}}});
    let path = format!("/characters/{id}/intents?user={owner}");
    assert_eq!(house.post(&path, &game.token, poor).await.status, 422);
    let path = format!("DELETE /characters/{id}?user={owner}");
    assert_eq!(house.write(&path, &game.token, &["If-Match: *"], json!({})).await.status, 204);

    let rows = rows(&house, 4).await;
    let target = format!("character {id} of {owner}");
    let expected = [
        [&actor, &target, "create", "applied"],
        [&actor, &target, "modify_hitpoints", "duplicate"],
        [&actor, &target, "modify_currency", "insufficient_funds"],
        [&actor, &target, "delete", "applied"],
    ];
    assert_eq!(sorted(rows.iter().map(told)), sorted(expected));
}
