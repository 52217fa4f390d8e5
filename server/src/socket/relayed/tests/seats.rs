//! Which sockets a node takes, and when it closes them.

use super::*;

#[tokio::test]
async fn a_session_that_ends_closes_its_sockets() {
    let mut node = Node::new().await;
    let owner = user(1);
    node.character(owner, character(1), true).await;
    node.attach(shard_of(owner), 1).await;
    node.welcome(1, 1, owner).await;
    let session = hello(owner).session;
    let order = CloseOrder::new(CloseCode::SessionRevoked, "the session was ended");
    node.registry.close_session(owner, session, &order);
    assert_eq!(node.gateway.told(1).await, Told::Close(CloseCode::SessionRevoked.number()));
    assert!(node.registry.is_empty());
    node.stop().await;
}

#[tokio::test]
async fn a_new_socket_is_refused_above_the_limit_and_one_that_moved_is_not() {
    let mut node = Node::new().await;
    let owner = user(1);
    node.character(owner, character(1), true).await;
    node.attach(shard_of(owner), 1).await;
    for socket in 1..=4 {
        node.welcome(1, socket, owner).await;
    }
    node.hello(1, 5, &hello(owner)).await;
    assert_eq!(node.gateway.told(5).await, Told::Close(CloseCode::RateLimit.number()));
    node.hello(1, 6, &Hello { is_new: false, ..hello(owner) }).await;
    node.frame(owner, 1, 6, &ping(1)).await;
    assert_eq!(node.gateway.told(6).await.answer(), ("pong", 1));
    node.stop().await;
}

#[tokio::test]
async fn a_newer_socket_of_a_client_is_welcomed_once_the_older_one_is_closed() {
    let mut node = Node::new().await;
    let owner = user(1);
    node.character(owner, character(1), true).await;
    node.attach(shard_of(owner), 1).await;
    let named = Hello { client: Some(Uuid::from_u128(5)), ..hello(owner) };
    for socket in [1, 2] {
        node.hello(1, socket, &named).await;
        if socket == 2 {
            assert_eq!(node.gateway.told(1).await, Told::Close(CloseCode::Normal.number()));
        }
        assert!(matches!(node.gateway.told(socket).await, Told::Welcome(_)));
    }
    node.stop().await;
}

#[tokio::test]
async fn a_socket_that_moved_here_gets_the_newest_states_of_what_it_watches() {
    let mut node = Node::new().await;
    let owner = user(1);
    node.character(owner, character(1), false).await;
    let shard = shard_of(owner);
    node.attach(shard, 1).await;
    let moved = Hello { watched: vec![(character(1), owner)], ..game(user(3), false) };
    node.gateway.say(shard, 1, 1, Said::Hello(Box::new(moved))).await;
    let Told::Notice(state) = node.gateway.told(1).await else { panic!("a state") };
    assert_eq!(state["state"]["character"]["id"], json!(character(1)));
    node.gateway.say(shard, 1, 2, Said::Hello(Box::new(game(user(3), false)))).await;
    node.frame(owner, 1, 2, &pay_of(owner, 1, character(1))).await;
    let mut heard = [node.gateway.hear().await, node.gateway.hear().await].map(|heard| heard.expect("the link lives"));
    heard.sort_by_key(|(address, _)| address.socket);
    let [(_, Told::Notice(state)), (_, answer)] = &heard else { panic!("{heard:?}") };
    assert_eq!((&state["state"]["character"]["version"], answer.answer()), (&json!(2), ("applied", 1)));
    node.stop().await;
}
