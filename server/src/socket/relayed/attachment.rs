//! One shard on a link: the attachment, its connections, and the requests that run.

use std::collections::{HashMap, VecDeque};

use castellan_game::Game;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::{Busy, Connection};
use crate::link::{LinkStream, Message, Said, SocketId};
use crate::node::ToLink;
use crate::shard::{CloseOrder, Mailbox};

/// How far the attachment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Stage {
    /// Nothing was said about it yet.
    #[default]
    Waiting,
    /// Frames count.
    Open,
    /// Frames are handed back. Answers and notices still go out.
    Closed,
    /// The gateway parts. Frames are handed back; answers, and notices of what is stored, still go out.
    Parting,
    /// The shard stays after all. The connections are kept, and nothing is said until the gateway has attached again.
    Resumed,
}

/// One shard on one link.
pub(super) struct Attachment<G: Game> {
    /// The number of the newest attachment; 0 if there was none.
    pub(super) number: u64,
    pub(super) stage: Stage,
    /// The gateway numbers the sockets, so a fast hash is safe.
    pub(super) connections: HashMap<SocketId, Box<Connection<G>>, foldhash::fast::RandomState>,
    /// Requests that run.
    pub(super) requests: usize,
    /// Words that wait for these requests.
    pub(super) held: VecDeque<ToLink>,
}

impl<G: Game> Default for Attachment<G> {
    fn default() -> Self {
        let held = VecDeque::new();
        Self { number: 0, stage: Stage::default(), connections: HashMap::default(), requests: 0, held }
    }
}

impl<G: Game> Attachment<G> {
    /// The gateway attaches again. Connections that were kept go on under the new number.
    pub(super) fn renew<IO: AsyncRead + AsyncWrite + Unpin>(&mut self, number: u64, stream: &mut LinkStream<IO>) {
        if self.stage == Stage::Resumed {
            self.connections.values_mut().for_each(|connection| connection.address.number = number);
        } else {
            self.forget(stream, true);
        }
        (self.number, self.stage) = (number, Stage::Waiting);
    }

    /// Returns true if the gateway passes on answers and notices.
    pub(super) fn is_heard(&self) -> bool {
        matches!(self.stage, Stage::Open | Stage::Closed | Stage::Parting)
    }

    /// Returns true if everything was answered that the gateway has sent.
    pub(super) fn owes_nothing(&self) -> bool {
        self.requests == 0 && !self.connections.values().any(|connection| connection.owes_answers())
    }

    /// Returns true if this is the mailbox of a connection.
    pub(super) fn has(&self, mailbox: &Mailbox) -> bool {
        self.connections.values().any(|connection| connection.mailbox() == mailbox)
    }

    /// Returns true if frames under this number count.
    pub(super) fn is_open(&self, number: u64) -> bool {
        self.number == number && self.stage == Stage::Open
    }

    /// Ends the attachment for frames: hands back those that wait, each connection's in order.
    pub(super) fn close<IO: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut LinkStream<IO>) {
        self.stage = Stage::Closed;
        for connection in self.connections.values_mut() {
            connection.is_parting = false;
            if let Busy::Load(_) = connection.busy {
                connection.busy = Busy::No;
            }
            for frame in connection.queue.drain(..) {
                stream.put(&Message::new(connection.address, Said::FrameBack(&frame.bytes)));
            }
        }
    }

    /// Forgets the connections. If they are `answered`, intents that still wait for their commit are answered first.
    pub(super) fn forget<IO: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: &mut LinkStream<IO>, answered: bool) {
        self.close(stream);
        for (_, mut connection) in self.connections.drain() {
            if !answered || !connection.owes_answers() {
                continue;
            }
            if connection.mailbox().is_closing() {
                // Memory is gone, and with it the answers.
                let CloseOrder { code, reason, .. } = CloseOrder::SHARD_MOVED;
                stream.put(&Message::new(connection.address, Said::Close(code.number(), reason)));
            } else {
                connection.answer_overdue(stream, true);
            }
        }
    }
}
