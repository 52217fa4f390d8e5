//! The task of a link: opens it, reads what the node says, and sends what the hub has put.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};
use uuid::Uuid;

use super::Hub;
use super::hear::NotForUs;
use crate::gateway::owners::NodeAddress;
use crate::link::{LinkId, LinkStream, Malformed, Message, Wire};
use crate::planted::{self, Bug};

/// How long opening a link may take.
const OPEN: Duration = Duration::from_secs(2);

/// A link that has said nothing for so long says that it lives.
const BEAT: Duration = Duration::from_millis(500);

/// A link on which nothing was read for so long is dead.
const DEAD: Duration = Duration::from_secs(2);

/// Reads in a row, before the others of the thread have their turn.
const READS_IN_A_ROW_MAX: u32 = 4;

/// Why a link ends.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the node closed it")]
    Closed,
    #[error("opening it takes too long")]
    NotOpened,
    #[error("nothing was heard of the node for 2 s")]
    Silent,
    #[error("the node does not read: too much waits for it")]
    Full,
    #[error("{0}")]
    Malformed(#[from] Malformed),
    #[error("{0}")]
    NotForUs(#[from] NotForUs),
}

/// Tells the hub that a link has ended, however it does.
struct Ended {
    hub: Hub,
    process: Uuid,
    id: LinkId,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.hub.with(|state| state.link_ended(self.process, self.id));
    }
}

/// Opens a link and serves it until it ends.
pub(super) async fn run(hub: Hub, id: LinkId, node: NodeAddress) {
    let (process, address) = (node.process, node.address.clone());
    let ended = Ended { hub, process, id };
    match open(&ended, node).await {
        Ok((stream, leftover)) => {
            let Err(error) = talk(&ended, stream, leftover).await;
            tracing::warn!(%process, address, %error, "the link to a node is broken");
        }
        Err(error) if ended.hub.with(|state| state.is_unreachable(process)) => {
            tracing::warn!(%process, address, %error, "cannot open a link to a node; trying again");
        }
        Err(_) => {}
    }
}

async fn open(of: &Ended, node: NodeAddress) -> Result<(Box<dyn Wire>, Vec<u8>), Broken> {
    let opening = timeout(OPEN, (of.hub.0.dial)(node)).await;
    let (stream, leftover) = opening.map_err(|_| Broken::NotOpened)??;
    Ok((stream, leftover))
}

async fn talk(of: &Ended, stream: Box<dyn Wire>, leftover: Vec<u8>) -> Result<Infallible, Broken> {
    if !of.hub.with(|state| state.link_opened(of.process, of.id)) {
        return Err(Broken::Closed);
    }
    let mut beats = interval_at(Instant::now() + BEAT, BEAT);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut talk = Talk {
        of,
        stream: LinkStream::new(stream, leftover),
        beats,
        heard_at: Instant::now(),
        has_spoken: false,
        output: Vec::new(),
    };
    poll_fn(|cx| talk.poll(cx)).await
}

/// A link that is open.
struct Talk<'a> {
    of: &'a Ended,
    stream: LinkStream<Box<dyn Wire>>,
    beats: Interval,
    heard_at: Instant,
    /// Something was said since the last beat.
    has_spoken: bool,
    /// Empty; kept for its memory.
    output: Vec<u8>,
}

impl Talk<'_> {
    /// Ready when the link ends.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Infallible, Broken>> {
        if let Err(error) = self.hear(cx).and_then(|()| self.keep_time(cx)).and_then(|()| self.send(cx)) {
            return Poll::Ready(Err(error));
        }
        Poll::Pending
    }

    fn hear(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        for _ in 0..READS_IN_A_ROW_MAX {
            match self.stream.poll_read(cx)? {
                Poll::Pending => return Ok(()),
                Poll::Ready(false) => return Err(Broken::Closed),
                Poll::Ready(true) => {}
            }
            self.heard_at = Instant::now();
            let (stream, process) = (&mut self.stream, self.of.process);
            self.of.hub.with(|state| {
                while let Some(message) = stream.next_message()? {
                    state.hear(process, &message)?;
                }
                Ok::<(), Broken>(())
            })?;
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn keep_time(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        while self.beats.poll_tick(cx).is_ready() {
            if self.heard_at.elapsed() > DEAD && !planted::is(Bug::FrozenNodeAnswers) {
                return Err(Broken::Silent);
            }
            if !std::mem::take(&mut self.has_spoken) {
                self.stream.put(&Message::beat());
            }
        }
        Ok(())
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        let Ended { hub, process, id } = self.of;
        loop {
            let unsent_bytes = self.stream.unsent_bytes();
            if !hub.with(|state| state.link_takes(*process, *id, &mut self.output, unsent_bytes)) {
                return Err(Broken::Full);
            }
            self.has_spoken |= !self.output.is_empty();
            self.stream.put_all(&mut self.output);
            if let Poll::Ready(sent) = self.stream.poll_flush(cx) {
                sent?;
            }
            let unsent_bytes = self.stream.unsent_bytes();
            if hub.with(|state| state.link_rests(*process, *id, unsent_bytes, cx.waker())) {
                return Ok(());
            }
        }
    }
}
