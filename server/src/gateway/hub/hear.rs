//! Handles the messages of nodes.

use castellan_cluster::gateway::State as Stage;
use castellan_cluster::word::Word;
use tokio::time::Instant;
use uuid::Uuid;

use super::shard::Travelling;
use super::sockets::{Kind, Socket, order_of};
use super::state::State;
use crate::link::{Address, Message, Said, SocketId};
use crate::storage::ShardId;

/// A node said something that only gateways say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a node said something that only gateways say")]
pub(super) struct NotForUs;

impl State {
    /// A process said something.
    pub(super) fn hear(&mut self, from: Uuid, message: &Message<'_>) -> Result<(), NotForUs> {
        let Address { shard, number, socket } = message.address;
        // Every process has its own numbers: they are this routing's, and an attachment has one process.
        let is_theirs = self.shard(shard).routing.state().process() == Some(from);
        match &message.said {
            Said::Beat => {}
            Said::Attach(_)
            | Said::Marker
            | Said::Part
            | Said::Hello(_)
            | Said::Frame(_)
            | Said::TracedFrame(..)
            | Said::Request(_)
            | Said::Gone
            | Said::Slow(_)
            | Said::AskDatabase
            | Said::Warning
            | Said::Warned(_)
            | Said::Copy(_)
            | Said::Given(_)
            | Said::CalledOff
            | Said::Database(_) => return Err(NotForUs),
            Said::Word(word) => self.word(from, shard, number, *word),
            _ if !is_theirs => {}
            Said::FrameBack(frame) => {
                if let Some(connected) = self.sockets.get_mut(&socket).and_then(Socket::connected)
                    && number == self.shards[usize::from(shard.number())].routing.number()
                {
                    connected.client.outbox.came_back(frame.len());
                }
                self.handed_back(from, shard, number, socket, Travelling::Frame(frame.to_vec(), None));
            }
            Said::RequestBack(request) => {
                self.handed_back(from, shard, number, socket, Travelling::Request(request.to_vec()));
            }
            _ if !self.shard(shard).routing.passes(number) => {}
            Said::Welcome(frame) => self.welcome(shard, socket, frame),
            Said::Answer(frame) => {
                if let Some(connected) = self.sockets.get_mut(&socket).and_then(Socket::connected) {
                    connected.client.outbox.answered();
                    self.pass_on(socket, frame);
                }
            }
            Said::Notice(frame) => self.pass_on(socket, frame),
            Said::Response(response) => self.respond(socket, response),
            Said::Close(code, reason) => {
                tracing::debug!(code, reason, "a node closes a socket");
                self.forget_leg(socket, shard);
                self.close_by_order(socket, order_of(*code));
            }
        }
        Ok(())
    }

    fn word(&mut self, from: Uuid, shard: ShardId, number: u64, word: Word<Uuid>) {
        self.drive(shard, |routing, now, effects| routing.word(from, number, word, now, effects));
        if let (Word::Attached { .. }, Stage::Attached(_)) = (word, self.shard(shard).routing.state()) {
            let eager: Vec<SocketId> = self.shard(shard).eager.iter().copied().collect();
            for socket in eager {
                self.introduce(socket, shard);
            }
        }
        if word == Word::Parted && self.leaving.is_none() {
            self.drive(shard, |routing, now, effects| routing.stay(now, effects));
        }
    }

    fn handed_back(&mut self, from: Uuid, shard: ShardId, number: u64, socket: SocketId, travelling: Travelling) {
        self.drive(shard, |routing, now, effects| routing.handed_back(from, number, socket, travelling, now, effects));
        self.begin_to_hold(shard);
    }

    /// Frames of a shard may wait from now on.
    fn begin_to_hold(&mut self, shard: ShardId) {
        let shard = self.shard(shard);
        if shard.routing.waiting() > 0 {
            shard.held_since.get_or_insert_with(Instant::now);
        }
    }

    /// The first welcome is for the client; a later one only says that the node knows the socket.
    fn welcome(&mut self, shard: ShardId, id: SocketId, frame: &[u8]) {
        let Some(connected) = self.sockets.get_mut(&id).and_then(Socket::connected) else { return };
        if connected.home() != shard || !std::mem::take(&mut connected.is_new) {
            return;
        }
        connected.client.outbox.welcomed();
        self.forget_eager(id, shard);
        self.pass_on(id, frame);
    }

    fn pass_on(&mut self, id: SocketId, frame: &[u8]) {
        let Some(connected) = self.sockets.get_mut(&id).and_then(Socket::connected) else { return };
        if connected.client.outbox.push(frame) {
            self.say_slow(id, true);
        }
    }

    fn respond(&mut self, id: SocketId, response: &[u8]) {
        if !matches!(self.sockets.get(&id), Some(Socket { kind: Kind::Request(_), .. })) {
            return;
        }
        let Some(Socket { kind: Kind::Request(reply), legs }) = self.sockets.remove(&id) else { return };
        for leg in legs {
            self.shard(leg.shard).routing.close(id);
        }
        // Nobody may wait for it any more.
        let _ = reply.send(response.to_vec());
    }

    /// The node has forgotten a socket by itself, and needs no word about that.
    fn forget_leg(&mut self, id: SocketId, shard: ShardId) {
        if let Some(leg) = self.sockets.get_mut(&id).and_then(|socket| socket.leg(shard)) {
            leg.introduced = 0;
        }
    }
}
