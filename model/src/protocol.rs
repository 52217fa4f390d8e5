//! The model as the search sees it: which steps there are in a state, and what each leads to.

use stateright::{Model, Property};

use crate::promises;
use crate::rules::Rules;
use crate::scenario::Scenario;
use crate::server::Flush;
use crate::system::{System, VERSIONS_MAX};

/// The protocol under some rules, within some bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// What everybody keeps to.
    pub rules: Rules,
    /// How much may happen.
    pub scenario: Scenario,
}

/// A step. Servers and clients are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A client connects: proof of the lease, load where needed, `welcome`, `fetch`.
    Connect { client: usize, server: usize },
    /// The server reads and answers the client's next intent.
    Serve { client: usize },
    /// The client reads an answer.
    Read { client: usize },
    /// The client reads a `durable` notice.
    Hear { client: usize },
    /// The client notices that its connection has ended; what was still on its way is lost.
    Disconnect { client: usize },
    /// A flush begins: it proves the lease and locks its row, or finds the lease gone.
    BeginFlush { server: usize },
    /// It writes the row.
    Write { server: usize },
    /// It commits.
    Commit { server: usize },
    /// The server learns of the commit, and says `durable`.
    LearnCommit { server: usize },
    /// A process takes the lease over.
    TakeOver { server: usize },
    /// A stopping server gives its lease back.
    Release { server: usize },
    /// Fault: `kill -9`.
    Kill { server: usize },
    /// Fault: the transaction breaks off, committed or not; the server cannot know.
    LoseCommit { server: usize },
    /// Fault: a connection breaks.
    Cut { client: usize },
    /// A server is told to stop.
    Stop { server: usize },
    /// A server drops a character that nobody needs in memory.
    Evict { server: usize },
    /// An answer has waited for its commit for `durable_timeout`.
    TimeOut { client: usize, intent: usize },
}

impl Protocol {
    /// Steps that need no bad luck: a system without any has come to rest.
    pub fn progress(&self, system: &System, steps: &mut Vec<Step>) {
        for (number, client) in system.clients.iter().enumerate() {
            let Some(link) = &client.link else {
                if !client.is_finished(&self.scenario) {
                    let serving = (0..2).filter(|server| system.servers[*server].serves());
                    steps.extend(serving.map(|server| Step::Connect { client: number, server }));
                }
                continue;
            };
            if link.inbox[0].is_some() {
                steps.push(Step::Read { client: number });
            }
            if link.notice > 0 {
                steps.push(Step::Hear { client: number });
            }
            if !link.open {
                steps.push(Step::Disconnect { client: number });
            } else if system.servers[link.server()].serves() && client.next_intent(&self.scenario).is_some() {
                steps.push(Step::Serve { client: number });
            }
        }
        for (number, server) in system.servers.iter().enumerate() {
            match server.flush {
                Flush::Idle if server.is_dirty() => steps.push(Step::BeginFlush { server: number }),
                Flush::Idle => {}
                Flush::Proven(_) => steps.push(Step::Write { server: number }),
                Flush::Written(_) => steps.push(Step::Commit { server: number }),
                Flush::Committed(_) => steps.push(Step::LearnCommit { server: number }),
            }
            let may_release = !(self.rules.release_clean && server.is_dirty());
            if server.stopping && server.flush == Flush::Idle && may_release {
                steps.push(Step::Release { server: number });
            }
            if !(0..2).any(|holder| system.holds_lease(holder)) && self.may_take_over(system, number) {
                steps.push(Step::TakeOver { server: number });
            }
        }
    }

    /// Steps that somebody or something outside decides on, as many as the bounds allow.
    pub fn faults(&self, system: &System, steps: &mut Vec<Step>) {
        let left = system.faults;
        for (number, server) in system.servers.iter().enumerate() {
            if server.held.is_some() && left.kills > 0 {
                steps.push(Step::Kill { server: number });
            }
            if matches!(server.flush, Flush::Written(_) | Flush::Committed(_)) && left.lost_answers > 0 {
                steps.push(Step::LoseCommit { server: number });
            }
            if server.serves() && left.stops > 0 {
                steps.push(Step::Stop { server: number });
            }
            let may_evict = !(self.rules.evict_clean && server.is_dirty());
            if server.entry.is_some() && server.flush == Flush::Idle && may_evict && left.evictions > 0 {
                steps.push(Step::Evict { server: number });
            }
            if left.zombies > 0 && system.holds_lease(1 - number) && self.may_take_over(system, number) {
                steps.push(Step::TakeOver { server: number });
            }
        }
        for (number, client) in system.clients.iter().enumerate() {
            let Some(link) = client.link.as_ref().filter(|link| link.open) else { continue };
            if left.cuts > 0 {
                steps.push(Step::Cut { client: number });
            }
            if left.timeouts > 0 {
                let waiting = (0..link.waiting.len()).filter(|intent| link.waiting[*intent] > 0);
                steps.extend(waiting.map(|intent| Step::TimeOut { client: number, intent }));
            }
        }
    }

    fn may_take_over(&self, system: &System, server: usize) -> bool {
        // Of two processes that have nothing it does not matter which one it is, unless sockets outlived a lease.
        let double = server == 1
            && system.servers[0].held.is_none()
            && system.clients.iter().all(|client| client.link.is_none_or(|link| !link.open));
        system.servers[server].held.is_none() && !double && !system.lease_is_locked(self) && !system.is_finished(self)
    }
}

impl Model for Protocol {
    type State = System;
    type Action = Step;

    fn init_states(&self) -> Vec<System> {
        self.scenario.check();
        assert!(self.scenario.versions_max() <= VERSIONS_MAX, "versions stay within what the onlooker remembers");
        let mut system = System::new(self.scenario.faults);
        system.settle(self);
        vec![system]
    }

    fn actions(&self, system: &System, steps: &mut Vec<Step>) {
        self.progress(system, steps);
        if !system.is_finished(self) {
            self.faults(system, steps);
        }
    }

    fn next_state(&self, system: &System, step: Step) -> Option<System> {
        let mut next = *system;
        match step {
            Step::Connect { client, server } => next.connect(client, server, self),
            Step::Serve { client } => next.serve(client, self),
            Step::Read { client } => next.read(client, self),
            Step::Hear { client } => next.hear(client),
            Step::Disconnect { client } => next.clients[client].disconnect(&self.rules, &self.scenario),
            Step::Cut { client } => next.cut(client),
            Step::TimeOut { client, intent } => next.time_out(client, intent),
            Step::BeginFlush { server } => next.begin_flush(server, self),
            Step::Write { server } => next.write(server, self),
            Step::Commit { server } => next.commit(server),
            Step::LearnCommit { server } => next.learn_commit(server),
            Step::LoseCommit { server } => next.lose_commit(server, self),
            Step::TakeOver { server } => next.take_over(server),
            Step::Stop { server } => next.stop(server),
            Step::Release { server } => next.release(server),
            Step::Kill { server } => next.kill(server),
            Step::Evict { server } => next.evict(server),
        }
        next.settle(self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}
