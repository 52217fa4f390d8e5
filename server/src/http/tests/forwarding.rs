//! Requests that a gateway forwards to a node. `tests/characters.rs` runs behind a gateway, too.

use std::sync::atomic::{AtomicUsize, Ordering};

use castellan_protocol::CharacterId;

use super::*;
use crate::audit::{Actor, Event, Outcome, Target};
use crate::shard::shard_of;
use crate::storage::ShardId;

/// A gateway, and the node to which it forwards requests.
pub(super) struct Cluster {
    pub(super) gateway: House,
    node: Arc<House>,
    /// Each shard that was asked.
    asked: Arc<Mutex<Vec<ShardId>>>,
    /// How many requests came back.
    came_back: Arc<AtomicUsize>,
}

/// A gateway and a node with these flags, on one database.
pub(super) async fn behind_a_gateway(at_gateway: &[&str], at_node: &[&str]) -> Cluster {
    let node = Arc::new(house(at_node).await);
    let (asked, came_back) = (Arc::<Mutex<Vec<ShardId>>>::default(), Arc::<AtomicUsize>::default());
    let forward = Forward::new({
        let (node, asked, came_back) = (Arc::clone(&node), Arc::clone(&asked), Arc::clone(&came_back));
        let routes = for_gateways(&node.context);
        move |shard, request| {
            asked.lock().push(shard);
            let (answer, came_back) = (answer_forwarded(&routes, &request), Arc::clone(&came_back));
            Box::pin(async move {
                let answer = answer.await;
                came_back.fetch_add(usize::from(answer.is_none()), Ordering::Relaxed);
                answer
            })
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let gateway = house_on(at_gateway, Arc::clone(&node.storage), folder, Some(forward)).await;
    Cluster { gateway, node, asked, came_back }
}

#[tokio::test]
async fn a_request_goes_to_the_shard_of_the_characters_owner() {
    let Cluster { gateway, node, asked, .. } = behind_a_gateway(&["--policy=strict"], &["--policy=strict"]).await;
    let ada = gateway.session("ada", Role::Player).await;
    let game = gateway.session("game", Role::Game).await;
    let id = gateway.character(&ada.token).await;
    let path = format!("/characters/{id}?user={}", ada.session.user);
    assert_eq!(gateway.get(&path, &game.token, &[]).await.status, 200);
    assert_eq!(*asked.lock(), [shard_of(ada.session.user); 2]);
    assert_eq!(gateway.call("HEAD", &path, &game.token, &[]).await.status, 200);
    let id: CharacterId = id.parse().expect("an id");
    let body = &mut Vec::new();
    let reader = crate::shard::Reader::Passing;
    let shape = crate::shard::Shape::Body;
    node.shards.show(ada.session.user, id, reader, None, shape, body).await.expect("the node has the character");
}

#[tokio::test]
async fn the_node_records_who_the_gateways_client_is() {
    let Cluster { gateway, node, .. } = behind_a_gateway(&[], &[]).await;
    let ada = gateway.session("ada", Role::Player).await;
    let game = gateway.session("game", Role::Game).await;
    let made = gateway.post(&format!("/characters?user={}", ada.session.user), &game.token, brannor()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let row = loop {
        let rows = node.storage.audit(10).await.expect("rows");
        if let Some(row) = rows.into_iter().find(|row| row.action == "create") {
            break row;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((row.outcome.as_str(), row.address.as_deref()), ("applied", Some("127.0.0.1")));
    assert_eq!(row.actor, game.session.user.to_string());
}

#[tokio::test]
async fn refusals_that_need_no_character_come_from_the_gateway() {
    let Cluster { gateway, node: _node, asked, .. } = behind_a_gateway(&["--http-body-timeout=100ms"], &[]).await;
    let token = gateway.token("ada").await;
    let refused = gateway.get("/characters", "no token", &[]).await;
    assert_eq!(refused.problem(), (401, "unauthenticated".to_owned()));
    let large = json!({"name": "x".repeat(64 * 1024)});
    assert_eq!(gateway.post("/characters", &token, large).await.problem(), (413, "body_too_large".to_owned()));
    let head =
        format!("POST /characters HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n");
    let slow = gateway.raw(format!("{head}Content-Length: 9\r\n\r\n{{").as_bytes()).await;
    assert_eq!(slow.problem(), (408, "malformed".to_owned()));
    let wrong = gateway.call("PUT", "/characters", &token, &[]).await;
    assert_eq!(wrong.problem(), (405, "method_not_allowed".to_owned()));
    assert!(asked.lock().is_empty(), "the node was asked");
    assert_eq!(gateway.get("/session", &token, &[]).await.status, 200, "sessions are the gateway's own");
    assert!(asked.lock().is_empty(), "the node was asked");
}

#[tokio::test]
async fn requests_are_counted_at_the_gateway_alone() {
    let few = ["--http-rate-per-second=1", "--http-rate-burst=1"];
    let Cluster { gateway, node: _node, .. } = behind_a_gateway(&[], &few).await;
    let token = gateway.token("ada").await;
    for _ in 0..5 {
        assert_eq!(gateway.get("/characters", &token, &[]).await.status, 200);
    }
    let Cluster { gateway, node: _node, .. } = behind_a_gateway(&few, &[]).await;
    let token = gateway.token("ada").await;
    let mut left = 100;
    while gateway.get("/characters", &token, &[]).await.problem() != (429, "rate_limited".to_owned()) {
        left -= 1;
        assert!(left > 0, "the gateway does not count");
    }
}

#[tokio::test]
async fn a_request_for_a_shard_that_the_node_does_not_have_comes_back_and_leaves_no_trace() {
    let Cluster { gateway, node, came_back, .. } = behind_a_gateway(&[], &[]).await;
    let ada = gateway.session("ada", Role::Player).await;
    let game = gateway.session("game", Role::Game).await;
    let id = gateway.character(&ada.token).await;
    // Another process takes all shards; the node learns it from its leases.
    node.storage.take_over("another").await.expect("leases");
    node.shards.look_after_leases("test").await.expect("the leases");
    let user = format!("?user={}", ada.session.user);
    let (list, one) = (format!("/characters{user}"), format!("/characters/{id}{user}"));
    let intent = json!({"version": 1, "id": 7, "action": {"long_rest": {}}});
    let answers = [
        gateway.get(&list, &game.token, &[]).await,
        gateway.get(&one, &game.token, &[]).await,
        gateway.post(&list, &game.token, brannor()).await,
        gateway.post(&format!("/characters/{id}/intents{user}"), &game.token, intent).await,
        gateway.call("DELETE", &one, &game.token, &["If-Match: *"]).await,
    ];
    for answer in &answers {
        assert_eq!(answer.problem(), (503, "unavailable".to_owned()), "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(came_back.load(Ordering::Relaxed), answers.len());
    // Recorded after all of them: if they had left something behind, it would be in the table before this.
    let (actor, target) = (Actor::Server, Target::Named("the end".to_owned()));
    node.audit.record(Event { actor, address: None, target, action: "end", outcome: Outcome::Done });
    let rows = loop {
        let rows = node.storage.audit(100).await.expect("rows");
        if rows.iter().any(|row| row.action == "end") {
            break rows;
        }
        tokio::task::yield_now().await;
    };
    assert!(rows.iter().all(|row| !row.target.starts_with("character")), "{rows:#?}");
}

#[tokio::test]
async fn bytes_that_are_no_request_are_answered_as_a_fault() {
    let node = house(&[]).await;
    let answer = answer_forwarded(&for_gateways(&node.context), b"nonsense").await.expect("an answer");
    let response = crate::http::packed::unpack_response(&answer).expect("an answer");
    assert_eq!(response.status(), 500);
}
