//! News for the connections of a link: notices, answers that waited for their commit, loads that these need, and closes.

use tracing::{Instrument, Span};

use super::*;

impl<G: Game, IO: AsyncRead + AsyncWrite + Unpin> Link<G, IO> {
    /// Looks after a connection that has news or an order. `now`: the client hears the news even if it does not read.
    pub(super) fn attend(&mut self, key: Key, now: bool) {
        let attachment = &mut self.attachments[usize::from(key.0.number())];
        let (stage, is_heard) = (attachment.stage, attachment.is_heard());
        let Some(connection) = attachment.connections.get_mut(&key.1) else { return };
        if !is_heard {
            // It is looked at again once the gateway has attached.
            let _ = connection.listen();
            return;
        }
        // If the attachment is closed, the gateway hears what becomes of the shard, and decides itself.
        if let Some(order) = connection.listen()
            && !(order == CloseOrder::SHARD_MOVED && stage == Stage::Closed)
        {
            return self.close(key, &order);
        }
        let notices = now || !connection.is_slow;
        if connection.busy != Busy::Welcome && (connection.mailbox().has_mail() || (notices && connection.has_news())) {
            connection.set_now(self.now, self.now_ms);
            let absent = connection.deliver(&mut self.stream, notices);
            self.note(key, absent);
        }
    }

    /// Remembers that a connection waits: for a commit, or for a load so that it can tell its news.
    pub(super) fn note(&mut self, key: Key, absent: Option<UserId>) {
        let Some(connection) = connection(&mut self.attachments, key) else { return };
        if connection.is_waiting() && !connection.is_noted {
            connection.is_noted = true;
            self.waiting.push(key);
        }
        if let Some(user) = absent
            && connection.loads_news.is_none()
        {
            connection.loads_news = Some(user);
            let id = connection.id;
            self.load(key, id, Missing::Characters(user), Span::none());
        }
    }

    pub(super) fn load(&mut self, key: Key, id: u64, missing: Missing, span: Span) {
        let shards = Arc::clone(&self.house.context.shards);
        self.working.push(Box::pin(async move {
            let result = shards.fetch(missing).instrument(span).await;
            Done::Loaded { key, id, missing, result }
        }));
    }

    /// Closes a connection's socket.
    pub(super) fn close(&mut self, key: Key, order: &CloseOrder) {
        let attachment = &mut self.attachments[usize::from(key.0.number())];
        if let Some(connection) = attachment.connections.remove(&key.1) {
            self.stream.put(&Message::new(connection.address, Said::Close(order.code.number(), order.reason)));
        }
    }
}
