//! If a node cannot renew its lease, it asks the other nodes if the database is away for them, too.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;
use uuid::Uuid;

use crate::clock::Entropy;
use crate::link::{self, LinkStream, Message, Said, Secret, Trust};
use crate::node::View;
use crate::storage::{Node, NodeKind};

/// How long the others have for their answers.
const PATIENCE: Duration = Duration::from_secs(1);

/// Returns true if every other living node says that the database is away for it, too. Then none of them takes a shard
/// within the next expiry. Also true if there is no other node.
pub(super) async fn all_say_away(view: &View, me: Uuid, trust: Option<&Trust>, entropy: &Entropy) -> bool {
    let is_dead = |node: &Node| view.dead.iter().any(|dead| dead.process == node.process);
    let others = view.nodes.iter().map(|present| &present.node);
    let others = others.filter(|node| node.kind == NodeKind::Node && node.process != me && !is_dead(node));
    let answers = join_all(others.map(|other| timeout(PATIENCE, ask(other, me, trust, entropy)))).await;
    answers.into_iter().all(|answer| matches!(answer, Ok(Ok(true))))
}

/// Returns true if the database is away for another node.
async fn ask(other: &Node, me: Uuid, trust: Option<&Trust>, entropy: &Entropy) -> io::Result<bool> {
    let secret = other.link.as_ref().and_then(|link| Secret::new(&link.secret));
    let secret = secret.ok_or_else(|| io::Error::other("it takes no links"))?;
    let (stream, leftover) = link::dial(&other.address, other.process, me, &secret, trust, entropy).await?;
    let mut stream = LinkStream::new(stream, leftover);
    stream.put(&Message::about_nothing(Said::AskDatabase));
    poll_fn(|cx| stream.poll_flush(cx)).await?;
    loop {
        while let Some(message) = stream.next_message().map_err(io::Error::other)? {
            if let Said::Database(is_away) = message.said {
                return Ok(is_away);
            }
        }
        if !poll_fn(|cx| stream.poll_read(cx)).await? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
