//! Gateways that part from a node.

use super::*;

#[tokio::test]
async fn a_gateway_has_parted_once_everything_is_stored_that_its_sockets_were_told() {
    let mut node = Node::new().await;
    let owner = user(1);
    node.character(owner, character(1), true).await;
    let shard = shard_of(owner);
    node.attach(shard, 1).await;
    node.welcome(1, 1, owner).await;
    node.gateway.hears_durable = true;
    node.frame(owner, 1, 1, &pay(1, character(1))).await;
    assert_eq!(node.gateway.told(1).await.answer(), ("applied", 1));
    node.gateway.say(shard, 1, 0, Said::Part).await;
    node.frame(owner, 1, 1, &pay(2, character(1))).await;
    let (mut is_stored, mut is_back) = (false, false);
    loop {
        match node.gateway.hear().await.expect("the link lives").1 {
            Told::Notice(notice) => is_stored = notice["durable"]["versions"][character(1).to_string()] == 2,
            Told::Back(frame) => is_back = frame == pay(2, character(1)),
            told => {
                assert_eq!(told, Told::Word(Word::Parted));
                break;
            }
        }
        if is_stored && is_back {
            assert_eq!(node.gateway.told(0).await, Told::Word(Word::Parted));
            break;
        }
    }
    assert!(is_stored, "the notice comes before the word");
    assert!(node.registry.is_empty(), "the connections are forgotten");
    node.stop().await;
}

#[tokio::test]
async fn a_gateway_that_parts_gets_back_the_frames_that_wait_for_a_load() {
    let mut node = Node::new().await;
    let owner = user(1);
    node.character(owner, character(1), false).await;
    let shard = shard_of(owner);
    node.attach(shard, 1).await;
    node.gateway.say(shard, 1, 1, Said::Hello(Box::new(game(user(3), false)))).await;
    let blocked = node.block();
    node.frame(owner, 1, 1, &pay_of(owner, 1, character(1))).await;
    node.gateway.say(shard, 1, 9, Said::Part).await;
    assert_eq!(node.gateway.told(1).await, Told::Back(pay_of(owner, 1, character(1))));
    drop(blocked);
    assert_eq!(node.gateway.told(0).await, Told::Word(Word::Parted), "nothing was told");
    node.frame(owner, 1, 1, &pay_of(owner, 1, character(1))).await;
    assert_eq!(node.gateway.told(1).await, Told::Back(pay_of(owner, 1, character(1))), "nothing counts any more");
    node.attach(shard, 2).await;
    node.gateway.say(shard, 2, 1, Said::Hello(Box::new(game(user(3), false)))).await;
    node.frame(owner, 2, 1, &pay_of(owner, 1, character(1))).await;
    assert_eq!(node.gateway.told(1).await.answer(), ("applied", 1));
    node.stop().await;
}

#[tokio::test]
async fn a_shard_that_leaves_says_so_to_a_gateway_that_parts() {
    let (answer, answers) = mpsc::channel::<Vec<u8>>(1);
    let answers = Arc::new(tokio::sync::Mutex::new(answers));
    let requests: RequestHandler = Arc::new(move |_| {
        let answers = Arc::clone(&answers);
        Box::pin(async move { answers.lock().await.recv().await })
    });
    let mut node = Node::answering(requests).await;
    let owner = user(1);
    node.character(owner, character(1), true).await;
    let shard = shard_of(owner);
    node.attach(shard, 1).await;
    node.welcome(1, 1, owner).await;
    node.gateway.say(shard, 1, 5, Said::Request(b"slow")).await;
    node.gateway.say(shard, 1, 0, Said::Part).await;
    node.frame(owner, 1, 1, &ping(1)).await;
    assert_eq!(node.gateway.told(1).await, Told::Back(ping(1)), "it has begun to part");
    node.word(shard, 1, Word::Leaving).await;
    assert_eq!(node.gateway.told(0).await, Told::Word(Word::Leaving));
    answer.send(b"answer".to_vec()).await.expect("it waits");
    assert_eq!(node.gateway.told(5).await, Told::Response(b"answer".to_vec()));
    // Called off: the gateway attaches again, and finds its socket.
    node.word(shard, 1, Word::Resume).await;
    assert_eq!(node.gateway.told(0).await, Told::Word(Word::Resume), "and not `parted`");
    node.attach(shard, 2).await;
    node.frame(owner, 2, 1, &pay(1, character(1))).await;
    assert_eq!(node.gateway.told(1).await.answer(), ("applied", 1));
    node.stop().await;
}
