//! Steps of the nodes and the database, and the effects of a shard's life.

use std::time::Duration;

use castellan_cluster::lease::{Held, Lease};
use castellan_cluster::node::{Effect, ShardLife, State};
use castellan_cluster::word::Word;

use super::cluster::{Cluster, Flush, Mail, News, Node, Reading, Transfer, Wait};
use super::link::{Ask, Frame, ToGateway, ToNode};
use super::plan::Plan;
use super::rule::Rule;
use crate::connection::Answer;
use crate::database;
use crate::history::IntentId;
use crate::scenario::Style;
use crate::server::{Base, Decision, Entry};

/// The effects of one input of a shard's life.
type Effects = Vec<Effect<u8, u8>>;

/// The epoch as the rows of the other model have it.
fn small(held: Held) -> database::Held {
    database::Held { epoch: held.epoch as u8, recoveries: held.recoveries as u8 }
}

impl Cluster {
    /// Feeds one input to the life of the shard on a node, and performs the effects.
    pub(super) fn live<T>(
        &mut self,
        node: usize,
        plan: &Plan,
        input: impl FnOnce(&mut ShardLife<u8, u8>, &mut Effects) -> T,
    ) -> Option<T> {
        let mut effects = Vec::new();
        let owner = self.nodes[node].as_mut()?;
        let before = plan.left_out.is_some().then(|| owner.life.clone());
        let result = input(&mut owner.life, &mut effects);
        let mut forgets = false;
        if let Some(before) = before {
            let transferring = matches!(owner.life.state(), State::Transferring { .. });
            forgets = plan.lacks(Rule::GoneIsGone) && owner.life.held().is_none() && before.held().is_some();
            if plan.lacks(Rule::NeverServesAgain) && transferring && matches!(before.state(), State::Leaving { .. }) {
                owner.before = Some(before);
            }
        }
        for effect in effects {
            self.perform(node, effect, plan);
        }
        if forgets {
            let owner = self.nodes[node].as_mut()?;
            owner.life = ShardLife::new(owner.process);
        }
        Some(result)
    }

    fn perform(&mut self, number: usize, effect: Effect<u8, u8>, plan: &Plan) {
        let Some(node) = &mut self.nodes[number] else { return };
        match effect {
            Effect::Say(gateway, attachment, word) => {
                // The gateway hears what becomes of the shard instead.
                node.parting.retain(|(link, ..)| *link != gateway);
                self.say(number, gateway, ToGateway::Word(attachment, word));
                if word == Word::Leaving && plan.lacks(Rule::Marker) {
                    self.live(number, plan, |life, effects| life.marker(gateway, attachment, effects));
                }
            }
            Effect::Tell(gateway, attachment) => {
                if !plan.lacks(Rule::AnswersBeforeMoved) {
                    self.send_mail(number, gateway, attachment);
                }
            }
            Effect::ReadLease if node.reading == Reading::Idle => node.reading = Reading::Sent,
            Effect::ReadLease | Effect::Flush | Effect::Serve => {}
            Effect::Transfer { epoch, to } => node.transfer = Transfer::Sent(epoch, to),
            Effect::Moved { to, held } => {
                self.news.push(News { to, held, version: node.entry.map(|entry| entry.version) });
            }
            Effect::Drop => {
                node.entry = None;
                node.waits.clear();
                node.mail.clear();
                node.parting.clear();
            }
            Effect::Cut(gateway) => {
                let pipe = &mut self.gateways[usize::from(gateway)].pipes[number];
                let lost_nothing = self.events.lost_words == plan.bounds.events.lost_words;
                self.breaches.cut_without_loss |= lost_nothing && pipe.is_quiet();
                pipe.drop_node_end();
                self.node_loses_link(number, gateway, plan);
            }
        }
    }

    /// Puts a word on a link.
    pub(super) fn say(&mut self, node: usize, gateway: u8, word: ToGateway) {
        let pipe = &mut self.gateways[usize::from(gateway)].pipes[node];
        if pipe.node_end && !pipe.broken {
            pipe.to_gateway.push_back(word);
        }
    }

    /// A node's end of a link is gone.
    pub(super) fn node_loses_link(&mut self, number: usize, gateway: u8, plan: &Plan) {
        if let Some(node) = &mut self.nodes[number] {
            node.waits.retain(|wait| wait.gateway != gateway);
            node.mail.retain(|(to, _)| *to != gateway);
            node.parting.retain(|(link, ..)| *link != gateway);
        }
        self.live(number, plan, |life, effects| life.link_down(gateway, effects));
    }

    /// Puts answers and notices for a gateway on its link.
    pub(super) fn send_mail(&mut self, number: usize, gateway: u8, attachment: u64) {
        let Some(node) = &mut self.nodes[number] else { return };
        let mail: Vec<_> = node.mail.extract_if(.., |(to, _)| *to == gateway).collect();
        for (_, item) in mail {
            let word = match item {
                Mail::Durable(version) => ToGateway::Durable(attachment, version),
                Mail::Answer(client, connection, answer) => ToGateway::Answer(attachment, client, connection, answer),
            };
            self.say(number, gateway, word);
        }
    }

    /// Says `parted` to gateways, as soon as everything that they were told is stored.
    pub(super) fn report_parted(&mut self, plan: &Plan) {
        for number in 0..2 {
            let Some(node) = &mut self.nodes[number] else { continue };
            let Node { entry, waits, mail, parting, .. } = node;
            let durable = entry.map_or(0, |entry| entry.durable);
            let parted: Vec<_> = parting
                .extract_if(.., |(gateway, _, version)| {
                    let is_stored = durable >= *version || plan.lacks(Rule::PartedWhenStored);
                    let owes =
                        waits.iter().any(|wait| wait.gateway == *gateway) || mail.iter().any(|(to, _)| to == gateway);
                    is_stored && (!owes || plan.lacks(Rule::AnswersBeforeParted))
                })
                .collect();
            for (gateway, attachment, _) in parted {
                if let Some(node) = self.nodes[number].as_mut().filter(|_| plan.lacks(Rule::AnswersBeforeParted)) {
                    // Nobody hears them any more.
                    node.mail.retain(|(to, _)| *to != gateway);
                }
                self.say(number, gateway, ToGateway::Word(attachment, Word::Parted));
            }
        }
    }

    /// A node reads a word.
    pub(super) fn node_reads(&mut self, number: usize, gateway: usize, word: ToNode, plan: &Plan) {
        let link = gateway as u8;
        match word {
            ToNode::Part(attachment) => {
                let Some(node) = &mut self.nodes[number] else { return };
                let is_known = node.parting.iter().any(|(other, ..)| *other == link);
                if node.owns() && node.life.attachment(link) == Some(attachment) && !is_known {
                    let version = node.entry.map_or(0, |entry| entry.version);
                    node.parting.push((link, attachment, version));
                }
            }
            ToNode::Attach(attachment, epoch) => {
                self.nodes[number].iter_mut().for_each(|node| {
                    // A repeated word changes nothing.
                    node.parting.retain(|(other, number, _)| *other != link || *number >= attachment);
                });
                let epoch = if plan.lacks(Rule::AttachNamesEpoch) { 0 } else { epoch };
                self.live(number, plan, |life, effects| life.attach(link, attachment, epoch, effects));
            }
            ToNode::Marker(attachment) => {
                self.live(number, plan, |life, effects| {
                    let present = life.attachment(link).unwrap_or(attachment);
                    let attachment = if plan.lacks(Rule::NumberedWords) { present } else { attachment };
                    life.marker(link, attachment, effects);
                });
            }
            ToNode::Frame(attachment, frame) => {
                let Some(node) = &self.nodes[number] else { return };
                let serves = node.life.serves(link, attachment)
                    || (plan.lacks(Rule::ExplicitAttach) && matches!(node.life.state(), State::Owned(_)));
                if serves {
                    self.serve(number, link, attachment, frame, plan);
                } else if !plan.lacks(Rule::HandBack) {
                    self.say(number, link, ToGateway::HandBack(attachment, frame));
                }
            }
        }
    }

    /// A node decides about a frame that counts.
    fn serve(&mut self, number: usize, gateway: u8, attachment: u64, frame: Frame, plan: &Plan) {
        let Some(entry) = self.entry(number, frame.ask == Ask::Hello, plan) else { return };
        match frame.ask {
            Ask::Hello => self.say(number, gateway, ToGateway::Welcome(attachment, frame, entry)),
            Ask::Intent { intent, base } => self.decide(number, gateway, attachment, (frame, intent, base), plan),
        }
    }

    fn decide(
        &mut self,
        number: usize,
        gateway: u8,
        attachment: u64,
        (frame, intent, base): (Frame, u8, Base),
        plan: &Plan,
    ) {
        let Frame { client, connection, place, .. } = frame;
        let socket = &mut self.sockets[usize::from(client)];
        if socket.open && socket.connection == connection {
            self.breaches.out_of_order |= place != socket.decided + 1;
            socket.decided = place;
        }
        let Some(node) = &mut self.nodes[number] else { return };
        let Some(entry) = &mut node.entry else { return };
        let id = IntentId::new(usize::from(client), usize::from(intent));
        let decision = entry.decide(id, base, plan.rules(), &plan.bounds.clients);
        let entry = *entry;
        let style = plan.bounds.clients.styles[usize::from(client)];
        if decision == Decision::Applied && style == Style::ChainedDurable && !entry.is_clean() {
            node.waits.push(Wait { gateway, client, connection, intent, version: entry.version });
        } else {
            let answer = Answer::new(usize::from(intent), decision, &entry);
            self.say(number, gateway, ToGateway::Answer(attachment, client, connection, answer));
        }
        self.name(entry.version, entry.state);
    }

    /// The character in memory, loaded if necessary. A load and a `welcome` prove the lease; `None` if it is lost.
    fn entry(&mut self, number: usize, prove: bool, plan: &Plan) -> Option<Entry> {
        let (lease, row) = (self.lease, self.row);
        let node = self.nodes[number].as_mut()?;
        if prove || node.entry.is_none() {
            if node.life.held()?.epoch != lease.held.epoch {
                self.live(number, plan, |life, effects| life.lease(lease, effects));
                return None;
            }
            if node.entry.is_none() {
                let held = small(node.life.held()?);
                let entry = Entry::load(row, held, plan.rules(), &plan.bounds.clients);
                node.entry = Some(entry);
                self.name(entry.version, entry.state);
            }
        }
        self.nodes[number].as_ref()?.entry
    }

    /// A flush is sent: one statement that locks the lease, compares the epoch, and writes the row.
    pub(super) fn send_flush(&mut self, number: usize, plan: &Plan) {
        let Some(node) = &mut self.nodes[number] else { return };
        if let Some((entry, held)) = node.entry.zip(node.life.held()) {
            node.flush = Flush::Sent(entry.row(small(held), plan.rules()), held.epoch);
        }
    }

    /// The database executes a flush.
    pub(super) fn flush(&mut self, number: usize) {
        let Some(node) = &mut self.nodes[number] else { return };
        let Flush::Sent(row, epoch) = node.flush else { return };
        let proven = self.lease.held.epoch == epoch;
        node.flush = Flush::Executed(row.version, epoch, proven);
        if proven {
            self.breaches.stranger_wrote |= self.lease.owner != Some(node.process);
            if self.row.version < row.version {
                self.row = row;
            }
        }
    }

    /// A node learns the result of a flush. It counts only under the epoch under which the flush was sent.
    pub(super) fn learn_flush(&mut self, number: usize, plan: &Plan) {
        let (lease, gateways) = (self.lease, self.gateways.len());
        let Some(node) = &mut self.nodes[number] else { return };
        let Flush::Executed(version, epoch, proven) = node.flush else { return };
        node.flush = Flush::Idle;
        if node.life.held().is_none_or(|held| held.epoch != epoch) {
            return;
        }
        if !proven {
            self.live(number, plan, |life, effects| life.lease(lease, effects));
            return;
        }
        let Some(entry) = &mut node.entry else { return };
        entry.durable = entry.durable.max(version);
        let entry = *entry;
        for gateway in (0..gateways).filter(|gateway| self.gateways[*gateway].pipes[number].node_end) {
            node.mail.push((gateway as u8, Mail::Durable(entry.durable)));
        }
        for wait in node.waits.extract_if(.., |wait| wait.version <= entry.durable) {
            let answer = Answer::new(usize::from(wait.intent), Decision::Applied, &entry);
            node.mail.push((wait.gateway, Mail::Answer(wait.client, wait.connection, answer)));
            // It shows the present state, which must be stored, too.
            for (_, _, version) in node.parting.iter_mut().filter(|(gateway, ..)| *gateway == wait.gateway) {
                *version = entry.version;
            }
        }
    }

    /// The database executes a transfer.
    pub(super) fn transfer(&mut self, number: usize, plan: &Plan) {
        let Some(node) = &mut self.nodes[number] else { return };
        let Transfer::Sent(epoch, to) = node.transfer else { return };
        if self.lease.held.epoch == epoch && self.lease.owner == Some(node.process) {
            let released = self.lease.released();
            let next = to.map_or(released, |to| self.lease.transferred_to(to));
            self.lease = if plan.lacks(Rule::TransferInOneStatement) { released } else { next };
            node.transfer = Transfer::Executed(next);
        } else {
            node.transfer = Transfer::Executed(self.lease);
        }
    }

    /// The former owner learns the result.
    pub(super) fn learn_transfer(&mut self, number: usize, plan: &Plan) {
        let Some(node) = &mut self.nodes[number] else { return };
        let Transfer::Executed(lease) = node.transfer else { return };
        node.transfer = Transfer::Idle;
        self.live(number, plan, |life, effects| life.lease(lease, effects));
    }

    /// The answer of a transfer is lost.
    pub(super) fn lose_transfer(&mut self, number: usize) {
        let Some(node) = &mut self.nodes[number] else { return };
        node.transfer = Transfer::Idle;
        if let Some(before) = node.before.take()
            && let State::Leaving { held, .. } = before.state()
        {
            // Left out: it goes on as the owner.
            let mut life = ShardLife::new(node.process);
            life.lease(Lease { held, owner: Some(node.process) }, &mut Vec::new());
            node.life = life;
            for gateway in 0..self.gateways.len() as u8 {
                if let Some(attachment) = before.attachment(gateway) {
                    self.say(number, gateway, ToGateway::Word(attachment, Word::Resume));
                }
            }
        }
    }

    /// A node takes the shard, in one statement.
    pub(super) fn take(&mut self, number: usize, learns: bool, plan: &Plan) {
        let Some(node) = &self.nodes[number] else { return };
        let lease = self.lease.taken_by(node.process);
        self.lease = lease;
        if learns {
            self.live(number, plan, |life, effects| life.lease(lease, effects));
        }
    }

    /// A message from a former owner arrives. Characters that were sent ahead are installed if they are its newest.
    pub(super) fn hear_news(&mut self, news: News, plan: &Plan) {
        let number = usize::from(news.to % 2);
        let Some(node) = &self.nodes[number] else { return };
        let to = if plan.lacks(Rule::ProcessesAreNamed) { node.process } else { news.to };
        let installs = self.live(number, plan, |life, effects| life.moved(to, news.held, effects)) == Some(true);
        let Some(node) = &mut self.nodes[number] else { return };
        let Some(copied) = node.copied else { return };
        let newest = news.version == Some(copied.version) || plan.lacks(Rule::InstallComparesVersions);
        let over = plan.lacks(Rule::InstallNotOverMemory) && node.owns();
        if (installs || over) && newest {
            node.entry = Some(Entry { durable: copied.version, ..copied });
            node.copied = None;
        }
    }

    /// A node sends the character ahead.
    pub(super) fn copy_ahead(&mut self, number: usize) {
        let entry = self.nodes[number].as_ref().and_then(|node| node.entry);
        if let Some(other) = &mut self.nodes[1 - number] {
            other.copied = entry;
        }
    }

    /// A planned move starts, or a release.
    pub(super) fn leave(&mut self, number: usize, releases: bool, plan: &Plan) {
        let to = self.nodes[1 - number].as_ref().map(|other| other.process).filter(|_| !releases);
        self.live(number, plan, |life, effects| life.leave(to, Duration::ZERO, effects));
    }

    /// A move is called off.
    pub(super) fn undo(&mut self, number: usize, plan: &Plan) {
        if plan.lacks(Rule::UndoAfterMarker) {
            for gateway in 0..self.gateways.len() as u8 {
                self.live(number, plan, |life, effects| {
                    // One effect of the marker would be the transfer, so the end of the move is asked for first.
                    life.undo(effects);
                    if let Some(attachment) = life.attachment(gateway) {
                        life.marker(gateway, attachment, effects);
                    }
                });
            }
        }
        self.live(number, plan, |life, effects| life.undo(effects));
    }

    /// Tells a leaving shard that everything is stored and no statement is open.
    pub(super) fn report_quiet(&mut self, plan: &Plan) {
        for number in 0..2 {
            let Some(node) = &self.nodes[number] else { continue };
            let State::Leaving { quiet: false, .. } = node.life.state() else { continue };
            let sent = match node.flush {
                Flush::Sent(row, _) => node.entry.is_none_or(|entry| entry.version == row.version),
                _ => false,
            };
            let is_quiet = !node.is_dirty() && node.flush == Flush::Idle;
            if is_quiet || plan.lacks(Rule::StoredBeforeTransfer) || (sent && plan.lacks(Rule::StatementsEndFirst)) {
                self.live(number, plan, |life, effects| life.quiet(effects));
            }
        }
    }

    /// A process dies. What it sent may still arrive.
    pub(super) fn kill(&mut self, number: usize) {
        self.nodes[number] = None;
        for pipe in self.gateways.iter_mut().map(|gateway| &mut gateway.pipes[number]) {
            if !pipe.opening {
                pipe.drop_node_end();
            }
        }
    }

    /// A new process starts.
    pub(super) fn restart(&mut self, number: usize) {
        self.processes[number] += 2;
        self.nodes[number] = Some(Node::new(self.processes[number]));
    }
}
