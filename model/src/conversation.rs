//! Steps between clients and servers.

use crate::connection::{Answer, Link};
use crate::protocol::Protocol;
use crate::scenario::Style;
use crate::server::{Decision, Entry};
use crate::system::System;

impl System {
    /// A client connects and is shown the current state.
    ///
    /// Invariant 6: `welcome` follows a proof of the lease. A server that has lost it is fenced.
    pub(crate) fn connect(&mut self, client: usize, server: usize, protocol: &Protocol) {
        if protocol.rules.welcome_proves_lease && !self.holds_lease(server) {
            return self.fence(server, protocol);
        }
        let Some(entry) = self.entry(server, protocol) else { return };
        self.clients[client].link = Some(Link::new(server, &entry));
        self.clients[client].show(entry.version, entry.state);
    }

    /// The server reads and decides the client's next intent, then answers; with `ack: "durable"` after the commit.
    pub(crate) fn serve(&mut self, client: usize, protocol: &Protocol) {
        let Protocol { rules, scenario, .. } = protocol;
        let Some(intent) = self.clients[client].next_intent(scenario) else { return };
        let Some(server) = self.clients[client].link.map(|link| link.server()) else { return };
        let Some(mut entry) = self.entry(server, protocol) else { return };
        let base = self.clients[client].send(intent, rules, scenario);
        let decision = entry.decide(self.clients[client].id(intent), base, rules, scenario);
        self.name(entry.version, entry.state);
        self.servers[server].entry = Some(entry);
        let Some(link) = &mut self.clients[client].link else { return };
        let waits = scenario.styles[client] != Style::Chained && !entry.is_clean();
        if decision == Decision::Applied && waits {
            link.waiting[intent] = entry.version;
        } else {
            link.send(Answer::new(intent, decision, &entry));
        }
    }

    /// The client is shown the server's current state.
    pub(crate) fn look(&mut self, client: usize) {
        let client = &mut self.clients[client];
        let entry = client.link.and_then(|link| self.servers[link.server()].entry);
        if let Some(entry) = entry {
            client.show(entry.version, entry.state);
        }
    }

    /// The client reads the oldest arrived answer.
    pub(crate) fn read(&mut self, client: usize, protocol: &Protocol) {
        let client = &mut self.clients[client];
        if let Some(answer) = client.link.as_mut().and_then(Link::receive) {
            client.read(answer, &protocol.rules, &protocol.scenario);
        }
    }

    /// The client reads the arrived notice.
    pub(crate) fn hear(&mut self, client: usize) {
        let client = &mut self.clients[client];
        if let Some(link) = &mut client.link {
            let notice = std::mem::take(&mut link.notice);
            client.hear(notice);
        }
    }

    /// A connection breaks. Intents not yet read are lost; answers may or may not still arrive.
    pub(crate) fn cut(&mut self, client: usize) {
        self.faults.cuts -= 1;
        if let Some(link) = &mut self.clients[client].link {
            link.open = false;
            link.waiting = Default::default();
        }
    }

    /// The server answers before the commit: applied, not yet durable.
    pub(crate) fn time_out(&mut self, client: usize, intent: usize) {
        self.faults.timeouts -= 1;
        if let Some(link) = &mut self.clients[client].link
            && let Some(entry) = self.servers[link.server()].entry
        {
            link.answer_waiting(intent, &entry);
        }
    }

    /// Tells all clients of a server the durable version.
    pub(crate) fn tell_durable(&mut self, server: usize) {
        let Some(entry) = self.servers[server].entry else { return };
        for link in self.clients.iter_mut().filter_map(|client| client.link.as_mut()) {
            if link.open && link.server() == server {
                link.tell_durable(&entry);
            }
        }
    }

    /// The character in a server's memory, loaded if necessary; `None` if the lease is lost.
    fn entry(&mut self, server: usize, protocol: &Protocol) -> Option<Entry> {
        if self.servers[server].entry.is_none() {
            self.load(server, protocol);
        }
        self.servers[server].entry
    }
}
