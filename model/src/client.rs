//! A client: its kept intents, and its reactions to answers and lost connections (rules 3 to 9).

use crate::connection::{Answer, Link};
use crate::history::{History, INTENTS_MAX, IntentId};
use crate::rules::Rules;
use crate::scenario::{Scenario, Style};
use crate::server::{Base, Decision};

/// An intent's status at its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Not created yet.
    Unmade,
    /// Kept; must be sent on this connection.
    Unsent,
    /// Sent on this connection, unanswered.
    InFlight,
    /// Answered `applied` on this connection with this version; kept until the version is durable.
    Applied(u8),
    /// Answered `conflict` on this connection; a later answer may overrule it.
    Conflict {
        /// True if one of rule 9's four exceptions justifies it by now.
        justified: bool,
    },
    /// Rejected with `retry_after_ms`, or based on such an intent: must be sent again.
    Again,
    /// Rule 6: the client was told that it is applied and durable, and has forgotten it.
    Covered,
    /// Rule 8: the client was told that it is refused, and has forgotten it.
    Refused {
        /// True if one of rule 9's four exceptions is the reason.
        justified: bool,
    },
    /// Sent with `expect`; the connection ended before it was durable. The client must not send it again.
    GivenUp,
}

impl Status {
    /// Returns true if its status is final.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Covered | Self::Refused { .. } | Self::GivenUp)
    }

    /// Returns true without a final answer on this connection.
    fn is_unanswered(self) -> bool {
        matches!(self, Self::Unsent | Self::InFlight | Self::Again)
    }
}

/// An intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Intent {
    /// Its base, while that matters.
    pub base: Base,
    /// The newest own kept intent in the state that it is based on.
    ///
    /// This is not always the one in `after`: a state shown with an `applied` contains that intent, whoever produced
    /// the state.
    pub on_own: Option<u8>,
    /// Its status.
    pub status: Status,
}

impl Intent {
    fn bare(status: Status) -> Self {
        Self { base: Base::After(IntentId::NONE), on_own: None, status }
    }
}

/// One of the two clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client {
    /// 0 or 1.
    pub number: u8,
    /// Its intents, in the order of creation.
    pub intents: [Intent; INTENTS_MAX],
    /// The newest version shown to it.
    pub shown_version: u8,
    /// That state's `last`.
    pub shown_last: IntentId,
    /// Its connection.
    pub link: Option<Link>,
}

impl Client {
    /// A client that has not connected yet.
    pub fn new(number: u8) -> Self {
        let intent = Intent::bare(Status::Unmade);
        let intents = [intent; INTENTS_MAX];
        Self { number, intents, shown_version: 0, shown_last: IntentId::NONE, link: None }
    }

    /// The id of one of its intents.
    pub fn id(&self, intent: usize) -> IntentId {
        IntentId::new(usize::from(self.number), intent)
    }

    /// Returns true once it has created all its intents and knows the outcome of each.
    pub fn is_finished(&self, scenario: &Scenario) -> bool {
        self.intents[..scenario.intents[usize::from(self.number)]].iter().all(|intent| intent.status.is_settled())
    }

    /// Returns true if it will create more intents.
    pub fn has_more_to_make(&self, scenario: &Scenario) -> bool {
        let number = usize::from(self.number);
        self.intents[..scenario.intents[number]].iter().any(|intent| intent.status == Status::Unmade)
    }

    /// Remembers a state if its version is not older.
    pub fn show(&mut self, version: u8, state: History) {
        if version >= self.shown_version {
            self.shown_version = version;
            self.shown_last = state.last();
        }
    }

    /// The intent that the server reads next: first the kept unsent ones, in order, then a new one.
    pub fn next_intent(&self, scenario: &Scenario) -> Option<usize> {
        let made = self.intents.iter().take_while(|intent| intent.status != Status::Unmade).count();
        let in_flight = self.intents.iter().filter(|intent| intent.status == Status::InFlight).count();
        if in_flight >= scenario.in_flight_max {
            return None;
        }
        if let Some(unsent) = self.intents.iter().position(|intent| intent.status == Status::Unsent) {
            return Some(unsent);
        }
        let blocked = match scenario.styles[usize::from(self.number)] {
            Style::Asking | Style::AskingAny => in_flight > 0,
            Style::Chained | Style::ChainedDurable => self.intents.iter().any(|intent| intent.status == Status::Again),
        };
        (made < scenario.intents[usize::from(self.number)] && !blocked).then_some(made)
    }

    /// Sends an intent, after creating it if it is new, and returns its base (rule 4).
    pub fn send(&mut self, intent: usize, rules: &Rules, scenario: &Scenario) -> Base {
        if self.intents[intent].status == Status::Unmade {
            let kept = (0..intent).rev().find(|other| !self.intents[*other].status.is_settled());
            let unanswered = kept.filter(|own| self.intents[*own].status.is_unanswered());
            let base = match (scenario.styles[usize::from(self.number)], unanswered) {
                (Style::Asking, _) => Base::Expect(self.shown_version),
                (Style::AskingAny, _) => Base::Expect(0),
                (_, Some(own)) => Base::After(self.id(own)),
                (_, None) => Base::After(self.shown_last),
            };
            let on_own =
                if rules.shown_states_count { kept } else { kept.filter(|own| base == Base::After(self.id(*own))) };
            self.intents[intent] = Intent { base, on_own: on_own.map(|own| own as u8), status: Status::Unsent };
        }
        self.intents[intent].status = Status::InFlight;
        self.intents[intent].base
    }

    /// Reads an answer.
    pub fn read(&mut self, answer: Answer, rules: &Rules, scenario: &Scenario) {
        let intent = usize::from(answer.intent);
        match answer.decision {
            Decision::Applied => self.read_applied(intent, answer.version, rules),
            // A later intent based on it was applied meanwhile.
            _ if self.intents[intent].status != Status::InFlight => {}
            Decision::Overloaded => self.intents[intent].status = Status::Again,
            Decision::Conflict => {
                let again = self.ancestors(intent).any(|other| self.intents[other].status == Status::Again);
                self.intents[intent].status = if again { Status::Again } else { Status::Conflict { justified: false } };
            }
        }
        if answer.decision != Decision::Overloaded {
            self.show(answer.version, answer.state);
        }
        self.hear(answer.durable);
        self.give_up_refused(answer.state, rules, scenario);
        if self.intents.iter().all(|intent| intent.status != Status::InFlight) {
            self.replace(|status| if status == Status::Again { Status::Unsent } else { status });
        }
    }

    /// Handles a durable version: intents applied up to it need not be kept (rule 6).
    pub fn hear(&mut self, durable: u8) {
        let Some(link) = &mut self.link else { return };
        link.heard = link.heard.max(durable);
        let heard = link.heard;
        self.replace(|status| match status {
            Status::Applied(version) if version <= heard => Status::Covered,
            _ => status,
        });
    }

    /// Rule 7: the connection has ended. All kept intents must be sent again, except those with `expect`.
    pub fn disconnect(&mut self, rules: &Rules, scenario: &Scenario) {
        self.link = None;
        let asking = rules.asked_once && !scenario.styles[usize::from(self.number)].is_chained();
        self.replace(|status| match status {
            Status::Applied(_) if !rules.forget_answers => status,
            Status::InFlight | Status::Applied(_) | Status::Conflict { .. } | Status::Again if asking => {
                Status::GivenUp
            }
            Status::InFlight | Status::Applied(_) | Status::Conflict { .. } | Status::Again => Status::Unsent,
            _ => status,
        });
    }

    /// Rule 8: an applied intent proves all that it is based on applied.
    fn read_applied(&mut self, intent: usize, version: u8, rules: &Rules) {
        let mut next = Some(intent);
        while let Some(intent) = next {
            let status = &mut self.intents[intent].status;
            if status.is_unanswered() || matches!(status, Status::Conflict { .. }) {
                *status = Status::Applied(version);
            }
            next = self.parent(intent).filter(|_| rules.applied_overrules_conflict);
        }
    }

    /// Rule 8: an intent with `conflict` is refused once nothing can overrule it.
    fn give_up_refused(&mut self, state: History, rules: &Rules, scenario: &Scenario) {
        for intent in 0..INTENTS_MAX {
            let Status::Conflict { justified } = self.intents[intent].status else { continue };
            let justified = justified || self.is_justified(intent, state, scenario);
            self.intents[intent] = if rules.refused_after_descendants && !self.descendants_are_answered(intent) {
                Intent { status: Status::Conflict { justified }, ..self.intents[intent] }
            } else {
                Intent::bare(Status::Refused { justified })
            };
        }
    }

    /// The own kept intents that an intent is based on, nearest first.
    fn ancestors(&self, intent: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.parent(intent), |ancestor| self.parent(*ancestor))
    }

    fn parent(&self, intent: usize) -> Option<usize> {
        let own = self.intents[intent].on_own.map(usize::from);
        own.filter(|own| !self.intents[*own].status.is_settled())
    }

    fn descendants_are_answered(&self, intent: usize) -> bool {
        let unanswered = |other: &usize| self.intents[*other].status.is_unanswered();
        !(0..INTENTS_MAX).filter(unanswered).any(|other| self.ancestors(other).any(|ancestor| ancestor == intent))
    }

    /// Returns true if rule 9 lets a server with this state refuse an intent.
    fn is_justified(&self, intent: usize, state: History, scenario: &Scenario) -> bool {
        let Base::After(base) = self.intents[intent].base else { return true };
        let mine = |id: IntentId| id.client() == Some(usize::from(self.number));
        if state.contains(self.id(intent)) {
            // (d) It is in the state, but its id has left the ring.
            return state.iter().rev().take_while(|id| !mine(*id)).count() >= scenario.ring;
        }
        if base == IntentId::NONE || state.contains(base) {
            // (a) Another client's intent was faster.
            return state.next_after(base).is_some_and(|next| !mine(next));
        }
        match base.index() {
            // (c) It is based on an own intent that was refused for these reasons.
            Some(own) if mine(base) => self.intents[own].status == Status::Refused { justified: true },
            // (b) It is based on another client's intent that was lost.
            _ => true,
        }
    }

    fn replace(&mut self, change: impl Fn(Status) -> Status) {
        for intent in &mut self.intents {
            let status = change(intent.status);
            *intent = if status.is_settled() { Intent::bare(status) } else { Intent { status, ..*intent } };
        }
    }
}
