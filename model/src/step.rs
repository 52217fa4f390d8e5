//! The steps, and those that are possible in a state.

use std::fmt;

use crate::protocol::Protocol;
use crate::server::{Flush, Server};
use crate::system::System;

/// Client 0 or 1, `a` or `b` in print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ClientNo(pub usize);

/// Server 0 or 1.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ServerNo(pub usize);

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A client connects: proof of the lease, load if needed, `welcome`, `fetch`.
    Connect(ClientNo, ServerNo),
    /// The server reads the client's next intent and answers it.
    Serve(ClientNo),
    /// The client reads an answer.
    Read(ClientNo),
    /// The client reads a `durable` notice.
    Hear(ClientNo),
    /// The client notices the end of its connection; everything in transit is lost.
    Disconnect(ClientNo),
    /// A flush starts: it proves the lease and locks its row, or finds the lease lost.
    BeginFlush(ServerNo),
    /// The flush writes the row.
    Write(ServerNo),
    /// The flush commits.
    Commit(ServerNo),
    /// The server learns of the commit and sends `durable`.
    LearnCommit(ServerNo),
    /// A process takes the lease over: from a dead server, or (chance) from a live one, which becomes a zombie.
    TakeOver(ServerNo),
    /// Only if a takeover is not one statement: it writes the lease that follows from the one it read.
    FinishTakeOver(ServerNo),
    /// A stopping server gives its lease back.
    Release(ServerNo),
    /// Chance: `kill -9`.
    Kill(ServerNo),
    /// Chance: the transaction breaks, committed or not, and the server cannot know.
    LoseCommit(ServerNo),
    /// Chance: a connection breaks.
    Cut(ClientNo),
    /// Chance: a server is told to stop.
    Stop(ServerNo),
    /// Chance: a character leaves memory.
    Evict(ServerNo),
    /// Chance: an answer has waited for its commit longer than `durable_timeout`.
    TimeOut(ClientNo, usize),
    /// Chance: the client is shown a newer state, by `fetch` or because it watches.
    Look(ClientNo),
}

impl fmt::Debug for ClientNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", ["a", "b"][self.0])
    }
}

impl fmt::Debug for ServerNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {}", self.0)
    }
}

impl Protocol {
    /// Steps without faults. A system without any is quiet.
    pub fn progress(&self, system: &System, steps: &mut Vec<Step>) {
        for (number, client) in system.clients.iter().enumerate() {
            let Some(link) = &client.link else {
                if !client.is_finished(&self.scenario) {
                    let serving = (0..2).filter(|server| system.servers[*server].serves());
                    steps.extend(serving.map(|server| Step::Connect(ClientNo(number), ServerNo(server))));
                }
                continue;
            };
            if link.inbox[0].is_some() {
                steps.push(Step::Read(ClientNo(number)));
            }
            if link.notice > 0 {
                steps.push(Step::Hear(ClientNo(number)));
            }
            if !link.open {
                steps.push(Step::Disconnect(ClientNo(number)));
            } else if system.servers[link.server()].serves() && client.next_intent(&self.scenario).is_some() {
                steps.push(Step::Serve(ClientNo(number)));
            }
        }
        for (number, server) in system.servers.iter().enumerate() {
            match server.flush {
                Flush::Idle if server.is_dirty() => steps.push(Step::BeginFlush(ServerNo(number))),
                Flush::Idle => {}
                Flush::Proven(_) => steps.push(Step::Write(ServerNo(number))),
                Flush::Written(_) => steps.push(Step::Commit(ServerNo(number))),
                Flush::Committed(_) => steps.push(Step::LearnCommit(ServerNo(number))),
            }
            let may_release = !(self.rules.release_clean && server.is_dirty());
            if server.stopping && server.flush == Flush::Idle && may_release {
                steps.push(Step::Release(ServerNo(number)));
            }
            if server.taking.is_some() {
                steps.push(Step::FinishTakeOver(ServerNo(number)));
            }
            if !(0..2).any(|holder| system.holds_lease(holder)) && self.may_take_over(system, number) {
                steps.push(Step::TakeOver(ServerNo(number)));
            }
        }
    }

    /// Steps by chance, within the bounds.
    pub fn chance(&self, system: &System, steps: &mut Vec<Step>) {
        let remaining = system.faults;
        for (number, server) in system.servers.iter().enumerate() {
            if server.held.is_some() && remaining.kills > 0 {
                steps.push(Step::Kill(ServerNo(number)));
            }
            if matches!(server.flush, Flush::Written(_) | Flush::Committed(_)) && remaining.lost_answers > 0 {
                steps.push(Step::LoseCommit(ServerNo(number)));
            }
            if server.serves() && remaining.stops > 0 {
                steps.push(Step::Stop(ServerNo(number)));
            }
            let may_evict = !(self.rules.evict_clean && server.is_dirty());
            if server.entry.is_some() && server.flush == Flush::Idle && may_evict && remaining.evictions > 0 {
                steps.push(Step::Evict(ServerNo(number)));
            }
            if remaining.zombies > 0 && system.holds_lease(1 - number) && self.may_take_over(system, number) {
                steps.push(Step::TakeOver(ServerNo(number)));
            }
        }
        for (number, client) in system.clients.iter().enumerate() {
            let Some(link) = client.link.as_ref().filter(|link| link.open) else { continue };
            let shown = system.servers[link.server()].entry.filter(|entry| entry.version > client.shown_version);
            let news = shown.is_some_and(|entry| entry.state.last().client().is_some_and(|maker| maker != number));
            if news && client.has_more_to_make(&self.scenario) {
                steps.push(Step::Look(ClientNo(number)));
            }
            if remaining.cuts > 0 {
                steps.push(Step::Cut(ClientNo(number)));
            }
            if remaining.timeouts > 0 {
                let waiting = (0..link.waiting.len()).filter(|intent| link.waiting[*intent] > 0);
                steps.extend(waiting.map(|intent| Step::TimeOut(ClientNo(number), intent)));
            }
        }
    }

    fn may_take_over(&self, system: &System, server: usize) -> bool {
        // Two processes without state are interchangeable, unless sockets outlived a lease.
        let double = server == 1
            && system.servers[0] == Server::NOTHING
            && system.clients.iter().all(|client| client.link.is_none_or(|link| !link.open));
        let idle = system.servers[server] == Server::NOTHING;
        idle && !double && !system.lease_is_locked(self) && !system.is_finished(self)
    }
}
