//! The steps, and those that are possible in a state.

use castellan_cluster::gateway;
use castellan_cluster::node::State;

use super::cluster::{Cluster, Flush, Gateway, Late, Node, Reading, Transfer};
use super::link::{Pipe, ToGateway, ToNode};
use super::plan::Plan;
use super::rule::Rule;
use crate::client::Status;

/// A step. Numbers are those of clients, gateways and nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A client connects to its gateway.
    Connect {
        /// The client.
        client: usize,
    },
    /// A client sends its next intent, and the gateway reads it.
    Send {
        /// The client.
        client: usize,
    },
    /// A client reads an answer, if it does not read at once.
    Read {
        /// The client.
        client: usize,
    },
    /// A node reads the next word on a link.
    NodeReads {
        /// The other end.
        gateway: usize,
        /// The node.
        node: usize,
    },
    /// A gateway reads the next word on a link. Its clients read at once what it passes on.
    GatewayReads {
        /// The gateway.
        gateway: usize,
        /// The other end.
        node: usize,
    },
    /// A node notices that a link has broken. What was in transit to it is lost.
    NodeNotices {
        /// The other end.
        gateway: usize,
        /// The node.
        node: usize,
    },
    /// A gateway notices that a link has broken. What was in transit to it is lost.
    GatewayNotices {
        /// The gateway.
        gateway: usize,
        /// The other end.
        node: usize,
    },
    /// The handshake of a link ends: the node is the expected process, or the link is refused.
    Open {
        /// The gateway.
        gateway: usize,
        /// The node.
        node: usize,
    },
    /// A gateway reads the lease.
    GatewayAsks {
        /// The gateway.
        gateway: usize,
    },
    /// A flush is sent.
    SendFlush {
        /// The node.
        node: usize,
    },
    /// The database executes it.
    Flush {
        /// The node.
        node: usize,
    },
    /// The node learns the result.
    LearnFlush {
        /// The node.
        node: usize,
    },
    /// A node puts answers and notices that waited for a commit on the links.
    SendMail {
        /// The node.
        node: usize,
    },
    /// The database executes a transfer.
    Transfer {
        /// The node.
        node: usize,
    },
    /// The former owner learns the result.
    LearnTransfer {
        /// The node.
        node: usize,
    },
    /// A transfer without an answer is sent again.
    RepeatTransfer {
        /// The node.
        node: usize,
    },
    /// The database executes a read of the lease that an attachment needs.
    ReadLease {
        /// The node.
        node: usize,
    },
    /// The node learns the result.
    LearnLease {
        /// The node.
        node: usize,
    },
    /// A node reads all leases, as it does each second.
    CheckLease {
        /// The node.
        node: usize,
    },
    /// A node takes the shard: of a dead owner, of nobody, or (chance) of a live owner.
    Take {
        /// The node.
        node: usize,
    },
    /// A message from a former owner arrives.
    News {
        /// Which one.
        number: usize,
        /// Chance: it will arrive again.
        again: bool,
    },
    /// A move is called off: by chance, or because the other process died.
    Undo {
        /// The node.
        node: usize,
    },
    /// A node waits too long for markers.
    MarkerIsLate {
        /// The node.
        node: usize,
    },
    /// A gateway keeps frames for too long.
    KeptTooLong {
        /// The gateway.
        gateway: usize,
    },
    /// A new process starts on a node.
    Restart {
        /// The node.
        node: usize,
    },
    /// Chance: a planned move to the other node.
    Leave {
        /// The node.
        node: usize,
    },
    /// Chance: a node hands the shard to nobody.
    Release {
        /// The node.
        node: usize,
    },
    /// Chance: a node sends the character ahead.
    CopyAhead {
        /// The node.
        node: usize,
    },
    /// Chance: `kill -9` of a node.
    Kill {
        /// The node.
        node: usize,
    },
    /// Chance: `kill -9` of a gateway.
    KillGateway {
        /// The gateway.
        gateway: usize,
    },
    /// Chance: another process wants a gateway's sockets.
    Replace {
        /// The gateway.
        gateway: usize,
    },
    /// The other process goes on with them.
    HandOver {
        /// The gateway.
        gateway: usize,
    },
    /// The same, although the gateway has not parted in time: sockets close.
    PartsTooLong {
        /// The gateway.
        gateway: usize,
    },
    /// Chance: the other process dies first.
    Stay {
        /// The gateway.
        gateway: usize,
    },
    /// Chance: a link breaks.
    Cut {
        /// One end.
        gateway: usize,
        /// The other end.
        node: usize,
    },
    /// Chance: the answer of a flush is lost. It was executed, or never will be.
    LoseFlush {
        /// The node.
        node: usize,
    },
    /// Chance: the same for a transfer.
    LoseTransfer {
        /// The node.
        node: usize,
    },
    /// Chance: a node takes the shard, and does not learn it.
    TakeUnknowingly {
        /// The node.
        node: usize,
    },
    /// Chance: the next word on a link is lost.
    LoseWord {
        /// The gateway.
        gateway: usize,
        /// The node.
        node: usize,
        /// Its direction.
        to_node: bool,
    },
    /// Chance: the next word on a link will be said again.
    RepeatWord {
        /// The gateway.
        gateway: usize,
        /// The node.
        node: usize,
        /// Its direction.
        to_node: bool,
    },
    /// A repeated word arrives.
    LateWord,
    /// Only if a rule is left out: a gateway follows the database.
    FollowDatabase {
        /// The gateway.
        gateway: usize,
    },
}

impl Cluster {
    /// Steps without faults. A state without any is quiet.
    pub fn progress(&self, plan: &Plan, steps: &mut Vec<Step>) {
        self.client_progress(plan, steps);
        for number in 0..2 {
            match &self.nodes[number] {
                Some(node) => self.node_progress(number, node, steps),
                None if self.events.restarts > 0 && !self.owner_lives() => steps.push(Step::Restart { node: number }),
                None => {}
            }
        }
        self.link_progress(plan, steps);
        for (number, news) in self.news.iter().enumerate() {
            if self.nodes[usize::from(news.to % 2)].is_some() {
                steps.push(Step::News { number, again: false });
            }
        }
        if steps.is_empty() {
            self.deadlines(plan, steps);
            let reads = (0..2).filter(|client| self.unread(*client) > 0);
            steps.extend(reads.map(|client| Step::Read { client }));
        }
    }

    /// Answers that a client has not read.
    fn unread(&self, client: usize) -> usize {
        self.clients[client].link.map_or(0, |link| link.inbox.iter().flatten().count())
    }

    /// Returns true if a gateway has no room for the next answer.
    fn is_stuck(&self, pipe: &Pipe, plan: &Plan) -> bool {
        let Some(ToGateway::Answer(_, client, ..)) = pipe.to_gateway.front() else { return false };
        plan.bounds.room == Some(self.unread(usize::from(*client)))
    }

    /// Returns true if nothing can happen without a fault, except that deadlines pass.
    pub(super) fn only_deadlines_pass(&self, plan: &Plan) -> bool {
        let mut steps = Vec::new();
        self.progress(plan, &mut steps);
        steps.iter().all(|step| step.is_deadline() || matches!(step, Step::Read { .. }))
    }

    fn client_progress(&self, plan: &Plan, steps: &mut Vec<Step>) {
        let scenario = &plan.bounds.clients;
        for (number, client) in self.clients.iter().enumerate() {
            if client.link.is_some() {
                let unanswered = client.intents.iter().filter(|intent| intent.status == Status::InFlight).count();
                let has_credit = plan.bounds.room.is_none_or(|room| unanswered < room) || plan.lacks(Rule::Credit);
                if client.next_intent(scenario).is_some() && has_credit {
                    steps.push(Step::Send { client: number });
                }
            } else if !self.sockets[number].open && !client.is_finished(scenario) {
                steps.push(Step::Connect { client: number });
            }
        }
    }

    fn node_progress(&self, number: usize, node: &Node, steps: &mut Vec<Step>) {
        let held = node.life.held();
        match node.flush {
            Flush::Idle if node.is_dirty() && held.is_some() => steps.push(Step::SendFlush { node: number }),
            Flush::Idle => {}
            Flush::Sent(..) => steps.push(Step::Flush { node: number }),
            Flush::Executed(..) => steps.push(Step::LearnFlush { node: number }),
        }
        if node.mail.iter().any(|(gateway, _)| node.life.attachment(*gateway).is_some()) {
            steps.push(Step::SendMail { node: number });
        }
        match node.transfer {
            Transfer::Idle if matches!(node.life.state(), State::Transferring { .. }) => {
                steps.push(Step::RepeatTransfer { node: number });
            }
            Transfer::Idle => {}
            Transfer::Sent(..) => steps.push(Step::Transfer { node: number }),
            Transfer::Executed(_) => steps.push(Step::LearnTransfer { node: number }),
        }
        match node.reading {
            Reading::Idle => {}
            Reading::Sent => steps.push(Step::ReadLease { node: number }),
            Reading::Executed(_) => steps.push(Step::LearnLease { node: number }),
        }
        let absent = held.is_none();
        let mine = absent && self.lease.owner == Some(node.process) && self.lease.held.epoch > node.life.gone();
        if mine || held.is_some_and(|held| self.lease.is_after(held, node.process)) {
            steps.push(Step::CheckLease { node: number });
        }
        if absent && !self.owner_lives() {
            steps.push(Step::Take { node: number });
        }
        if let State::Leaving { to: Some(to), undo: false, .. } = node.life.state()
            && !self.is_alive(to)
        {
            steps.push(Step::Undo { node: number });
        }
    }

    fn link_progress(&self, plan: &Plan, steps: &mut Vec<Step>) {
        for (gateway, Gateway { routing, pipes, .. }) in self.gateways.iter().enumerate() {
            for (node, pipe) in pipes.iter().enumerate() {
                if pipe.opening {
                    steps.push(Step::Open { gateway, node });
                    continue;
                }
                if pipe.node_end && !pipe.to_node.is_empty() {
                    steps.push(Step::NodeReads { gateway, node });
                }
                if pipe.gateway_end && !pipe.to_gateway.is_empty() && !self.is_stuck(pipe, plan) {
                    steps.push(Step::GatewayReads { gateway, node });
                }
                if pipe.broken && pipe.node_end {
                    steps.push(Step::NodeNotices { gateway, node });
                }
                if pipe.broken && pipe.gateway_end {
                    steps.push(Step::GatewayNotices { gateway, node });
                }
            }
            if self.gateways[gateway].leaving && (routing.has_parted() || plan.lacks(Rule::PartBeforeGiving)) {
                steps.push(Step::HandOver { gateway });
            }
            let finds = self.owner_lives() || plan.lacks(Rule::ProcessesAreNamed);
            if routing.state() == gateway::State::Asking && finds {
                steps.push(Step::GatewayAsks { gateway });
            }
        }
    }

    /// Deadlines that pass. Without a fault they only do if nothing else can happen.
    fn deadlines(&self, plan: &Plan, steps: &mut Vec<Step>) {
        for (number, node) in self.nodes.iter().enumerate() {
            let waits = node.as_ref().is_some_and(|node| node.life.deadline().is_some());
            if waits && !plan.lacks(Rule::LateMarkerCutsLink) {
                steps.push(Step::MarkerIsLate { node: number });
            }
        }
        for (number, gateway) in self.gateways.iter().enumerate() {
            if gateway.routing.deadline().is_some() && !plan.lacks(Rule::KeepIsLimited) {
                steps.push(Step::KeptTooLong { gateway: number });
            }
            if gateway.leaving && !gateway.routing.has_parted() {
                steps.push(Step::PartsTooLong { gateway: number });
            }
        }
    }

    /// Steps by chance, within the bounds.
    pub fn chance(&self, plan: &Plan, steps: &mut Vec<Step>) {
        let events = self.events;
        if events.early_deadlines > 0 {
            self.deadlines(plan, steps);
        }
        let reads = (0..2).filter(|client| self.unread(*client) > 0);
        steps.extend(reads.map(|client| Step::Read { client }));
        for (number, node) in self.nodes.iter().enumerate() {
            let other = self.nodes[1 - number].is_some();
            let Some(node) = node else {
                if events.restarts > 0 && other {
                    steps.push(Step::Restart { node: number });
                }
                continue;
            };
            if events.moves > 0 && other && node.owns() {
                steps.push(Step::Leave { node: number });
            }
            if events.releases > 0 && node.owns() {
                steps.push(Step::Release { node: number });
            }
            if events.copies > 0 && other && node.owns() && node.entry.is_some() {
                steps.push(Step::CopyAhead { node: number });
            }
            if events.undos > 0 && matches!(node.life.state(), State::Leaving { undo: false, .. }) {
                steps.push(Step::Undo { node: number });
            }
            if events.kills > 0 && (other || events.restarts > 0) {
                steps.push(Step::Kill { node: number });
            }
            let absent = node.life.state() == State::Absent && self.lease.owner != Some(node.process);
            if events.zombies > 0 && absent && self.owner_lives() {
                steps.push(Step::Take { node: number });
            }
            if events.lost_answers > 0 {
                if node.flush != Flush::Idle {
                    steps.push(Step::LoseFlush { node: number });
                }
                if node.transfer != Transfer::Idle {
                    steps.push(Step::LoseTransfer { node: number });
                }
                if node.life.state() == State::Absent && !self.owner_lives() {
                    steps.push(Step::TakeUnknowingly { node: number });
                }
            }
        }
        self.link_chance(plan, steps);
        if events.repeated_words > 0 {
            let news = self.news.iter().enumerate();
            let arriving = news.filter(|(_, news)| self.nodes[usize::from(news.to % 2)].is_some());
            steps.extend(arriving.map(|(number, _)| Step::News { number, again: true }));
        }
        if self.late.is_some() {
            steps.push(Step::LateWord);
        }
    }

    fn link_chance(&self, plan: &Plan, steps: &mut Vec<Step>) {
        let events = self.events;
        for (gateway, Gateway { routing, pipes, leaving }) in self.gateways.iter().enumerate() {
            if events.replacements > 0 && !leaving {
                steps.push(Step::Replace { gateway });
            }
            if events.undos > 0 && *leaving {
                steps.push(Step::Stay { gateway });
            }
            if events.gateway_kills > 0 {
                steps.push(Step::KillGateway { gateway });
            }
            let owner = self.lease.owner.filter(|_| self.owner_lives());
            let elsewhere = |to| owner.is_some() && Some(to) != owner;
            if plan.lacks(Rule::LeaveOnlyOnMoved)
                && matches!(routing.state(), gateway::State::Attached(to) if elsewhere(to))
            {
                steps.push(Step::FollowDatabase { gateway });
            }
            for (node, pipe) in pipes.iter().enumerate().filter(|(_, pipe)| !pipe.opening) {
                if events.cuts > 0 && !pipe.broken {
                    steps.push(Step::Cut { gateway, node });
                }
                if pipe.broken {
                    continue;
                }
                let to_node =
                    matches!(pipe.to_node.front(), Some(ToNode::Attach(..) | ToNode::Marker(_) | ToNode::Part(_)));
                let to_gateway = matches!(pipe.to_gateway.front(), Some(ToGateway::Word(..)));
                for (to_node, _) in [(true, to_node), (false, to_gateway)].into_iter().filter(|(_, found)| *found) {
                    if events.lost_words > 0 {
                        steps.push(Step::LoseWord { gateway, node, to_node });
                    }
                    if events.repeated_words > 0 && self.late.is_none() {
                        steps.push(Step::RepeatWord { gateway, node, to_node });
                    }
                }
            }
        }
    }
}

/// The word at the head of a link.
pub(super) fn head(pipe: &Pipe, to_node: bool) -> Option<Late> {
    if to_node {
        pipe.to_node.front().copied().map(Late::ToNode)
    } else {
        pipe.to_gateway.front().copied().map(Late::ToGateway)
    }
}
