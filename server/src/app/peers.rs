//! Links to other nodes. If a node cannot renew its lease, it asks the others if the database is away for them, too; and
//! before it gives a shard away, it sends copies of what is in it.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use tokio::time::timeout;
use uuid::Uuid;

use crate::clock::Entropy;
use crate::link::{self, LinkStream, Message, Said, Secret, Trust, Wire};
use crate::node::{Dial, View};
use crate::storage::{Node, NodeKind};

/// How long the others have for their answers.
const PATIENCE: Duration = Duration::from_secs(1);

/// Returns true if every other living node says that the database is away for it, too. Then none of them takes a shard
/// within the next expiry. Also true if there is no other node.
pub(super) async fn all_say_away(view: &View, me: Uuid, trust: Option<&Trust>, entropy: &Entropy) -> bool {
    let is_dead = |node: &Node| view.dead.iter().any(|dead| dead.process == node.process);
    let others = view.nodes.iter().map(|present| &present.node);
    let others = others.filter(|node| node.kind == NodeKind::Node && node.process != me && !is_dead(node));
    let is_away = |said: &Said<'_>| if let Said::Database(is_away) = said { Some(*is_away) } else { None };
    let ask = |other| timeout(PATIENCE, call(other, me, trust, entropy, Said::AskDatabase, is_away));
    let answers = join_all(others.map(ask)).await;
    answers.into_iter().all(|answer| matches!(answer, Ok(Ok(true))))
}

/// Tells a node that its shards are about to be taken. Returns true if it has heard that, and may still answer clients.
pub(super) async fn warn(other: &Node, me: Uuid, trust: Option<&Trust>, entropy: &Entropy) -> bool {
    let may_answer = |said: &Said<'_>| if let Said::Warned(may_answer) = said { Some(*may_answer) } else { None };
    matches!(timeout(PATIENCE, call(other, me, trust, entropy, Said::Warning, may_answer)).await, Ok(Ok(true)))
}

/// Says something to another node, and returns its answer.
async fn call<T>(
    other: &Node,
    me: Uuid,
    trust: Option<&Trust>,
    entropy: &Entropy,
    said: Said<'_>,
    answer: impl Fn(&Said<'_>) -> Option<T>,
) -> io::Result<T> {
    let mut stream = open(other, me, trust, entropy).await?;
    stream.put(&Message::about_nothing(said));
    poll_fn(|cx| stream.poll_flush(cx)).await?;
    loop {
        while let Some(message) = stream.next_message().map_err(io::Error::other)? {
            if let Some(answer) = answer(&message.said) {
                return Ok(answer);
            }
        }
        if !poll_fn(|cx| stream.poll_read(cx)).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// How this process opens links to other nodes.
pub(super) fn dialler(me: Uuid, trust: Option<Arc<Trust>>, entropy: &Entropy) -> Dial {
    let entropy = Arc::clone(entropy);
    Arc::new(move |other: &Node| {
        let (other, trust, entropy) = (other.clone(), trust.clone(), Arc::clone(&entropy));
        async move { open(&other, me, trust.as_deref(), &entropy).await }.boxed()
    })
}

async fn open(
    other: &Node,
    me: Uuid,
    trust: Option<&Trust>,
    entropy: &Entropy,
) -> io::Result<LinkStream<Box<dyn Wire>>> {
    let secret = other.link.as_ref().and_then(|link| Secret::new(&link.secret));
    let secret = secret.ok_or_else(|| io::Error::other("it takes no links"))?;
    let (stream, leftover) = link::dial(&other.address, other.process, me, &secret, trust, entropy).await?;
    Ok(LinkStream::new(stream, leftover))
}
