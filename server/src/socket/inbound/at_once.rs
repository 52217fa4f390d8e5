//! Requests and news of a connection whose task must not wait, because it serves others too. If characters must be
//! loaded first, these functions do nothing and say so.

use castellan_game::Game;
use castellan_protocol::{Action, CharacterId, ClientFrame, CloseCode, UserId, Version};

use tracing::Span;

use super::{Inbound, Sender, Show, Slow, once_durable};
use crate::shard::{Answer, Answered, Mailbox, Missing, Reader, Refusal, Wait, trace_outcome};
use crate::socket::end::End;
use crate::socket::outbound::{Frames, Outbound};
use crate::socket::replies::About;
use crate::telemetry;

/// An answer that waited for its commit.
pub(in crate::socket) type Unanswered = Wait<Sender>;

impl<G: Game> Inbound<G> {
    /// The socket is at a gateway, which decides what is traced.
    pub(in crate::socket) fn follow_traces(&mut self) {
        if telemetry::is_tracing() {
            self.special.get_or_insert_default().is_relayed = true;
        }
    }

    /// The span of the intent that waits for its characters, if it is traced.
    pub(in crate::socket) fn loading_span(&self) -> Span {
        let loading = self.special.as_ref().and_then(|special| special.loading.as_ref());
        loading.map_or_else(Span::none, |(_, span)| span.clone())
    }

    /// The owner of the character that a frame is about, if the session may name it.
    pub(in crate::socket) fn owner_in<A: Action>(&self, frame: &ClientFrame<A>) -> Option<UserId> {
        let named = match frame {
            ClientFrame::Intent(intent) => intent.user,
            ClientFrame::Watch(watch) => watch.user,
            ClientFrame::Fetch(fetch) => fetch.user,
            ClientFrame::Unwatch(_) | ClientFrame::Refresh(_) | ClientFrame::Ping(_) => return None,
        };
        self.session.acts_for(named)
    }

    /// Answers a request that may have to wait. Returns what must be read first, if so.
    ///
    /// # Errors
    ///
    /// The end, if this is a request that a gateway answers itself.
    pub(in crate::socket) fn slow_at_once<F: Frames>(
        &mut self,
        out: &mut Outbound<F>,
        slow: Slow<G::Action>,
    ) -> Result<Option<Missing>, End> {
        match slow {
            Slow::Intent(intent) => {
                let owner = self.session.acts_for(intent.user);
                Ok(owner.map(|owner| self.context.shards.missing(owner, &intent.action)))
            }
            Slow::Show(show) => Ok((!self.show_at_once(out, &show)).then_some(Missing::Characters(show.owner))),
            Slow::Refresh(_) => {
                Err(End::order(CloseCode::ProtocolError, "a gateway passed on a frame that it answers itself"))
            }
        }
    }

    fn show_at_once<F: Frames>(&mut self, out: &mut Outbound<F>, show: &Show) -> bool {
        let Show { owner, character, id, watch } = *show;
        let reader = if watch { Reader::Watches(&self.mailbox) } else { Reader::Fetches(&self.mailbox) };
        let shape = out.shape();
        let mut draft = out.draft();
        let shown = self.context.shards.try_show(owner, character, reader, Some(id), shape, draft.buffer());
        let is_loaded = shown.is_some();
        if let Some(shown) = shown {
            self.finish_show(draft, show, shown);
        }
        is_loaded
    }

    /// Refuses a frame because its characters cannot be loaded.
    pub(in crate::socket) fn refuse<F: Frames>(
        &mut self,
        out: &mut Outbound<F>,
        frame: &ClientFrame<G::Action>,
        refusal: Refusal,
    ) {
        match (frame, self.owner_in(frame)) {
            (ClientFrame::Intent(intent), Some(owner)) => {
                let refused = Answered::Refused(refusal);
                if let Some((_, span)) = self.special.as_mut().and_then(|special| special.loading.take()) {
                    trace_outcome(&span, &refused);
                }
                self.finish(out.draft(), intent, owner, refused);
            }
            _ => out.refused(frame.id(), &refusal),
        }
    }

    /// Watches a character that the connection watched before it came here.
    pub(in crate::socket) fn watch_again(&mut self, character: CharacterId, owner: UserId) {
        self.watched.insert(character, owner);
    }

    /// Writes the newest state of a watched character. Returns false if it must be loaded first.
    pub(in crate::socket) fn changed_at_once<F: Frames>(
        &mut self,
        out: &mut Outbound<F>,
        owner: UserId,
        character: CharacterId,
    ) -> bool {
        if !self.watched.contains_key(&character) {
            return true;
        }
        let reader = Reader::Watches(&self.mailbox);
        let shape = out.shape();
        let mut draft = out.draft();
        let shown = self.context.shards.try_show(owner, character, reader, None, shape, draft.buffer());
        let is_loaded = shown.is_some();
        // If it fails, the character was deleted meanwhile, or the shard is leaving or lost.
        if let Some(Ok(shown)) = shown {
            draft.send(&About { character, durable: shown.durable, answer: Answer::State { id: None } });
        }
        is_loaded
    }

    /// Takes the answers that waited for this commit.
    pub(in crate::socket) fn take_covered(&mut self, character: CharacterId, version: Version) -> Vec<Unanswered> {
        self.waits.covered(character, version)
    }

    /// Takes the answers whose deadline has passed, or all of them: applied, not yet durable.
    pub(in crate::socket) fn take_overdue(&mut self, all: bool) -> Vec<Unanswered> {
        let now = self.now;
        let mut waits = if all { self.waits.take_all() } else { self.waits.overdue(now) };
        waits.iter_mut().for_each(|wait| wait.sender.prolonged = true);
        waits
    }

    /// Writes an answer that waited. Returns false if the character must be loaded first.
    pub(in crate::socket) fn answer_at_once<F: Frames>(&mut self, out: &mut Outbound<F>, wait: Unanswered) -> bool {
        let Wait { owner, character, sender: Sender { id, duplicate, prolonged }, .. } = wait;
        let shape = if prolonged { out.shape() } else { once_durable(out.shape()) };
        let answer = Answer::Applied { id, duplicate };
        let mut draft = out.draft();
        let mailbox: &Mailbox = &self.mailbox;
        let shown = self.context.shards.try_confirm(owner, character, mailbox, answer, shape, draft.buffer());
        let is_loaded = shown.is_some();
        if let Some(shown) = shown {
            self.finish_answer(draft, wait, shown);
        }
        is_loaded
    }

    /// Refuses an answer that waited: what was applied is not in memory, and cannot be loaded.
    pub(in crate::socket) fn refuse_wait<F: Frames>(out: &mut Outbound<F>, wait: &Unanswered, refusal: &Refusal) {
        out.refused(Some(wait.sender.id), refusal);
    }
}
