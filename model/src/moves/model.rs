//! The model as the search sees it: the first state, the possible steps, their results, and the properties.

use stateright::{Model, Property};

use super::cluster::{Cluster, Flush, Reading, Socket, Transfer};
use super::plan::Plan;
use super::step::{Step, head};
use super::{milestones, promises};
use crate::client::Client;
use crate::protocol::Quest;
use crate::scenario::Faults;

impl Model for Plan {
    type State = Cluster;
    type Action = Step;

    fn init_states(&self) -> Vec<Cluster> {
        self.bounds.clients.check();
        assert_eq!(self.bounds.clients.faults, Faults::default(), "faults are the cluster's");
        let mut cluster = Cluster::new(self);
        cluster.settle(self);
        vec![cluster]
    }

    fn actions(&self, cluster: &Cluster, steps: &mut Vec<Step>) {
        self.all_steps(cluster, steps);
    }

    fn next_state(&self, cluster: &Cluster, step: Step) -> Option<Cluster> {
        let mut next = cluster.clone();
        next.take_step(step, self);
        next.settle(self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        match self.quest {
            Quest::Promises => promises::ALL.iter().map(|(name, holds)| Property::always(name, *holds)).collect(),
            Quest::Milestones => {
                milestones::ALL.iter().map(|(name, is_reached)| Property::sometimes(name, *is_reached)).collect()
            }
        }
    }
}

impl Plan {
    /// All steps: those of progress first, then, until all clients are finished, those by chance.
    pub fn all_steps(&self, cluster: &Cluster, steps: &mut Vec<Step>) {
        cluster.progress(self, steps);
        if !cluster.is_finished(self) {
            cluster.chance(self, steps);
        }
    }
}

impl Step {
    /// Returns true if a deadline passes.
    pub(super) fn is_deadline(self) -> bool {
        matches!(self, Self::MarkerIsLate { .. } | Self::KeptTooLong { .. } | Self::PartsTooLong { .. })
    }
}

impl Cluster {
    fn take_step(&mut self, step: Step, plan: &Plan) {
        self.count(step, plan);
        match step {
            Step::Connect { client } => self.connect(client, plan),
            Step::Send { client } => self.send(client, plan),
            Step::Read { client } => self.read(client, plan),
            Step::NodeReads { gateway, node } => {
                if let Some(word) = self.gateways[gateway].pipes[node].to_node.pop_front() {
                    self.node_reads(node, gateway, word, plan);
                }
            }
            Step::GatewayReads { gateway, node } => {
                if let Some(word) = self.gateways[gateway].pipes[node].to_gateway.pop_front() {
                    self.gateway_reads(gateway, node, word, plan);
                }
            }
            Step::NodeNotices { gateway, node } => {
                self.gateways[gateway].pipes[node].drop_node_end();
                self.node_loses_link(node, gateway as u8, plan);
            }
            Step::GatewayNotices { gateway, node } => self.gateway_notices(gateway, node, plan),
            Step::Open { gateway, node } => self.open(gateway, node, plan),
            Step::GatewayAsks { gateway } => self.gateway_asks(gateway, plan),
            Step::SendFlush { node } => self.send_flush(node, plan),
            Step::Flush { node } => self.flush(node),
            Step::LearnFlush { node } => self.learn_flush(node, plan),
            Step::SendMail { node } => {
                for gateway in 0..self.gateways.len() as u8 {
                    if let Some(attachment) = self.nodes[node].as_ref().and_then(|node| node.life.attachment(gateway)) {
                        self.send_mail(node, gateway, attachment);
                    }
                }
            }
            Step::Transfer { node } => self.transfer(node, plan),
            Step::LearnTransfer { node } => self.learn_transfer(node, plan),
            Step::RepeatTransfer { node } => {
                self.live(node, plan, |life, effects| life.repeat(effects));
            }
            Step::ReadLease { node } => {
                let lease = self.lease;
                self.nodes[node].iter_mut().for_each(|node| node.reading = Reading::Executed(lease));
            }
            Step::LearnLease { node } => {
                let reading = self.nodes[node].as_mut().map(|node| std::mem::replace(&mut node.reading, Reading::Idle));
                if let Some(Reading::Executed(lease)) = reading {
                    self.live(node, plan, |life, effects| life.lease(lease, effects));
                }
            }
            Step::CheckLease { node } => {
                let lease = self.lease;
                self.live(node, plan, |life, effects| life.lease(lease, effects));
            }
            Step::Take { node } => self.take(node, true, plan),
            Step::TakeUnknowingly { node } => self.take(node, false, plan),
            Step::News { number, again } => {
                let news = if again { self.news[number] } else { self.news.remove(number) };
                self.hear_news(news, plan);
            }
            Step::Undo { node } => self.undo(node, plan),
            Step::MarkerIsLate { node } => {
                self.live(node, plan, |life, effects| life.markers_are_late(effects));
            }
            Step::KeptTooLong { gateway } => self.kept_too_long(gateway, plan),
            Step::Restart { node } => self.restart(node),
            Step::Leave { node } => self.leave(node, false, plan),
            Step::Release { node } => self.leave(node, true, plan),
            Step::CopyAhead { node } => self.copy_ahead(node),
            Step::Kill { node } => self.kill(node),
            Step::Replace { gateway } => self.gateways[gateway].leaving = true,
            Step::HandOver { gateway } | Step::PartsTooLong { gateway } => self.hand_over(gateway, plan),
            Step::Stay { gateway } => self.gateways[gateway].leaving = false,
            Step::KillGateway { gateway } => self.kill_gateway(gateway, plan),
            Step::Cut { gateway, node } => self.gateways[gateway].pipes[node].broken = true,
            Step::LoseFlush { node } => self.nodes[node].iter_mut().for_each(|node| node.flush = Flush::Idle),
            Step::LoseTransfer { node } => self.lose_transfer(node),
            Step::LoseWord { gateway, node, to_node } => {
                let pipe = &mut self.gateways[gateway].pipes[node];
                if to_node {
                    pipe.to_node.pop_front();
                } else {
                    pipe.to_gateway.pop_front();
                }
            }
            Step::RepeatWord { gateway, node, to_node } => {
                let word = head(&self.gateways[gateway].pipes[node], to_node);
                self.late = word.map(|word| (gateway as u8, node as u8, word));
            }
            Step::LateWord => self.late_word(plan),
            Step::FollowDatabase { gateway } => self.follow_database(gateway, plan),
        }
    }

    /// Counts an event of chance, and remembers if it is a fault.
    fn count(&mut self, step: Step, plan: &Plan) {
        let (zombie, in_time) = (self.owner_lives(), self.only_deadlines_pass(plan));
        let events = &mut self.events;
        let (event, is_fault) = match step {
            Step::Leave { .. } => (&mut events.moves, false),
            Step::Release { .. } => (&mut events.releases, false),
            Step::CopyAhead { .. } => (&mut events.copies, false),
            Step::Undo { .. } | Step::Stay { .. } => (&mut events.undos, false),
            Step::Replace { .. } => (&mut events.replacements, false),
            Step::Take { .. } if zombie => (&mut events.zombies, true),
            Step::Kill { .. } => (&mut events.kills, true),
            Step::Restart { .. } => (&mut events.restarts, true),
            Step::KillGateway { .. } => (&mut events.gateway_kills, true),
            Step::Cut { .. } => (&mut events.cuts, true),
            Step::LoseFlush { .. } | Step::LoseTransfer { .. } | Step::TakeUnknowingly { .. } => {
                (&mut events.lost_answers, true)
            }
            Step::LoseWord { .. } => (&mut events.lost_words, true),
            // Words that are said again are harmless: the promises of a planned move hold with them too.
            Step::RepeatWord { .. } | Step::News { again: true, .. } => (&mut events.repeated_words, false),
            step if step.is_deadline() && !in_time => (&mut events.early_deadlines, true),
            _ => return,
        };
        *event = event.saturating_sub(1);
        self.disturbed |= is_fault;
    }

    /// Performs steps without visible effect at once, which reduces the number of states.
    pub(super) fn settle(&mut self, plan: &Plan) {
        self.report_quiet(plan);
        self.part_or_stay(plan);
        self.report_parted(plan);
        for number in 0..2 {
            let client = &mut self.clients[number];
            if client.is_finished(&plan.bounds.clients) {
                // It leaves; what it was shown no longer matters.
                *client = Client { intents: client.intents, ..Client::new(client.number) };
                self.gateways[usize::from(plan.bounds.gateways[number])].routing.close(number as u8);
                self.sockets[number] = Socket::default();
            }
        }
        for node in self.nodes.iter_mut().flatten() {
            // Flushes of an epoch that is over change nothing, once the database has a newer one.
            let over = |epoch| epoch < self.lease.held.epoch && node.life.held().is_none_or(|held| held.epoch != epoch);
            match node.flush {
                Flush::Sent(_, epoch) | Flush::Executed(_, epoch, _) if over(epoch) => node.flush = Flush::Idle,
                _ => {}
            }
            if node.life.held().is_none() {
                node.transfer = Transfer::Idle;
            }
        }
        // Versions below all of these are never used again.
        let memories = self.nodes.iter().flatten().flat_map(|node| [node.entry, node.copied]).flatten();
        let lowest = memories.map(|entry| entry.version).chain([self.row.version]).min().unwrap_or_default();
        self.names[..usize::from(lowest)].fill(None);
    }
}
