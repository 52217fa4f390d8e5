//! Steps of the clients and gateways, and the effects of a routing.

use std::collections::VecDeque;
use std::time::Duration;

use castellan_cluster::gateway::{Effect, Routing, State};
use castellan_cluster::lease::Lease;
use castellan_cluster::word::Word;

use super::cluster::{Cluster, Late, Socket};
use super::link::{Ask, Frame, Pipe, ToGateway, ToNode};
use super::plan::Plan;
use super::rule::Rule;
use crate::client::Status;
use crate::connection::Link;

/// The effects of one input of a routing.
type Effects = Vec<Effect<u8, u8, Frame>>;

/// The clock stands still, except for deadlines that pass.
const NOW: Duration = Duration::ZERO;

impl Cluster {
    /// Feeds one input to a gateway's routing, and performs the effects.
    ///
    /// `because` is the process that is the reason why sockets may close.
    pub(super) fn route(
        &mut self,
        gateway: usize,
        because: Option<u8>,
        plan: &Plan,
        input: impl FnOnce(&mut Routing<u8, u8, Frame>, &mut Effects),
    ) {
        let mut effects = Vec::new();
        input(&mut self.gateways[gateway].routing, &mut effects);
        for effect in effects {
            match effect {
                Effect::ReadLease => {}
                Effect::Attach { to, number, epoch } => self.attach(gateway, to, ToNode::Attach(number, epoch), plan),
                Effect::Frame { to, number, socket, frame } => {
                    self.sockets[usize::from(socket)].home = Some(to);
                    self.send_to_node(gateway, to, ToNode::Frame(number, frame));
                }
                Effect::Marker { to, number } => {
                    let routing = &self.gateways[gateway].routing;
                    let ended = routing.number() != number || routing.state().process() != Some(to);
                    if !(ended && plan.lacks(Rule::MarkerAfterTheEnd)) {
                        self.send_to_node(gateway, to, ToNode::Marker(number));
                    }
                }
                Effect::Part { to, number } => self.send_to_node(gateway, to, ToNode::Part(number)),
                Effect::Close(client) => self.close(gateway, usize::from(client), because, plan),
            }
        }
    }

    /// Sends a word over a link that exists.
    fn send_to_node(&mut self, gateway: usize, to: u8, word: ToNode) {
        let pipe = &mut self.gateways[gateway].pipes[usize::from(to % 2)];
        if pipe.process == to && pipe.gateway_end && !pipe.broken {
            pipe.to_node.push_back(word);
        }
    }

    /// Sends the first word of an attachment; opens the link first if there is none.
    fn attach(&mut self, gateway: usize, to: u8, word: ToNode, plan: &Plan) {
        let node = usize::from(to % 2);
        let pipe = &mut self.gateways[gateway].pipes[node];
        if pipe.gateway_end && pipe.process != to {
            // The link to the predecessor has broken, and the gateway had not noticed yet.
            let process = pipe.process;
            pipe.drop_gateway_end();
            self.route(gateway, Some(process), plan, |routing, effects| routing.link_down(process, NOW, effects));
        }
        let pipe = &mut self.gateways[gateway].pipes[node];
        if pipe.gateway_end {
            return self.send_to_node(gateway, to, word);
        }
        // The node may still count on the old link. It stops doing so when the new one opens.
        let old = pipe.node_end;
        *pipe = Pipe { opening: true, node_end: old, to_node: VecDeque::from([word]), ..Pipe::new(to) };
    }

    /// The handshake of a link ends.
    pub(super) fn open(&mut self, gateway: usize, number: usize, plan: &Plan) {
        let pipe = &mut self.gateways[gateway].pipes[number];
        let process = pipe.process;
        pipe.opening = false;
        if pipe.node_end {
            self.node_loses_link(number, gateway as u8, plan);
        }
        let anybody = plan.lacks(Rule::ProcessesAreNamed);
        let found = self.nodes[number].as_ref().is_some_and(|node| node.process == process || anybody);
        let pipe = &mut self.gateways[gateway].pipes[number];
        pipe.node_end = found;
        if !found {
            *pipe = Pipe::none(process);
            self.route(gateway, Some(process), plan, |routing, effects| routing.link_down(process, NOW, effects));
        }
    }

    /// A gateway notices that a link has broken.
    pub(super) fn gateway_notices(&mut self, gateway: usize, node: usize, plan: &Plan) {
        let pipe = &mut self.gateways[gateway].pipes[node];
        let process = pipe.process;
        pipe.drop_gateway_end();
        self.route(gateway, Some(process), plan, |routing, effects| routing.link_down(process, NOW, effects));
    }

    /// A gateway reads a word, and passes on what is for its clients.
    pub(super) fn gateway_reads(&mut self, gateway: usize, node: usize, word: ToGateway, plan: &Plan) {
        let process = self.gateways[gateway].pipes[node].process;
        let routing = &self.gateways[gateway].routing;
        let present = routing.number();
        let heard = |number| if plan.lacks(Rule::NumberedWords) { present } else { number };
        let passes = |number| routing.passes(heard(number));
        match word {
            ToGateway::Word(number, word) => self.hear_word(gateway, process, heard(number), word, plan),
            ToGateway::HandBack(number, frame) => {
                let number = heard(number);
                self.route(gateway, None, plan, |routing, effects| {
                    if plan.lacks(Rule::HandedBackFirst) && routing.passes(number) {
                        routing.frame(frame.client, frame, effects);
                    } else {
                        routing.handed_back(process, number, frame.client, frame, NOW, effects);
                    }
                });
            }
            ToGateway::Welcome(number, frame, entry) => {
                let client = usize::from(frame.client);
                let socket = self.sockets[client];
                if passes(number) && socket.open && socket.connection == frame.connection {
                    let client = &mut self.clients[client];
                    client.link = Some(Link::new(gateway, &entry));
                    client.show(entry.version, entry.state);
                }
            }
            ToGateway::Answer(number, client, connection, answer) => {
                let client = usize::from(client);
                let socket = self.sockets[client];
                if passes(number) && socket.open && socket.connection == connection {
                    match &mut self.clients[client].link {
                        Some(link) if plan.bounds.room.is_some() => link.send(answer),
                        _ => self.clients[client].read(answer, plan.rules(), &plan.bounds.clients),
                    }
                }
            }
            ToGateway::Durable(number, version) if passes(number) => {
                for client in 0..2 {
                    if usize::from(plan.bounds.gateways[client]) == gateway && self.sockets[client].open {
                        self.clients[client].hear(version);
                    }
                }
            }
            ToGateway::Durable(..) => {}
        }
    }

    fn hear_word(&mut self, gateway: usize, process: u8, number: u64, word: Word<u8>, plan: &Plan) {
        let before = self.gateways[gateway].routing.state();
        let word = match word {
            Word::Attached { .. } if plan.lacks(Rule::AttachedNamesEpoch) => {
                Word::Attached { epoch: self.gateways[gateway].routing.epoch() }
            }
            word => word,
        };
        self.route(gateway, Some(process), plan, |routing, effects| routing.word(process, number, word, NOW, effects));
        let after = self.gateways[gateway].routing.state();
        let mine = (0..2).filter(|client| usize::from(plan.bounds.gateways[*client]) == gateway);
        for socket in mine {
            let socket = &mut self.sockets[socket];
            match (before, after, word) {
                (State::Attaching(_), State::Attached(to), _) if socket.open => socket.home = Some(to),
                (State::Held(_), State::Attaching(_) | State::Asking, Word::Moved { .. })
                | (State::Parting(_), State::Idle, Word::Parted) => socket.home = None,
                _ => {}
            }
        }
    }

    /// A repeated word arrives.
    pub(super) fn late_word(&mut self, plan: &Plan) {
        let Some((gateway, node, word)) = self.late.take() else { return };
        let (gateway, node) = (usize::from(gateway), usize::from(node));
        match word {
            Late::ToNode(word) if self.gateways[gateway].pipes[node].node_end => {
                self.node_reads(node, gateway, word, plan);
            }
            Late::ToGateway(word) if self.gateways[gateway].pipes[node].gateway_end => {
                self.gateway_reads(gateway, node, word, plan);
            }
            _ => {}
        }
    }

    /// A gateway reads the lease.
    pub(super) fn gateway_asks(&mut self, gateway: usize, plan: &Plan) {
        let lease = self.lease;
        self.route(gateway, None, plan, |routing, effects| routing.lease(lease, effects));
    }

    /// Only if a rule is left out: a gateway follows the database, as if the node had said `moved`.
    pub(super) fn follow_database(&mut self, gateway: usize, plan: &Plan) {
        let Lease { held, owner: Some(to) } = self.lease else { return };
        let routing = &self.gateways[gateway].routing;
        let (Some(process), number) = (routing.state().process(), routing.number()) else { return };
        for word in [Word::Leaving, Word::Moved { to: Some(to), epoch: held.epoch }] {
            self.hear_word(gateway, process, number, word, plan);
        }
    }

    /// Frames were kept for too long.
    pub(super) fn kept_too_long(&mut self, gateway: usize, plan: &Plan) {
        let because = self.gateways[gateway].routing.state().process();
        self.route(gateway, because, plan, |routing, effects| routing.kept_too_long(NOW, effects));
    }

    /// A client connects to its gateway.
    pub(super) fn connect(&mut self, client: usize, plan: &Plan) {
        let connection = (self.sockets[client].connection + 1) % 4;
        self.sockets[client] = Socket { open: true, connection, ..Socket::default() };
        let number = client as u8;
        let hello = Frame { client: number, connection, place: 0, ask: Ask::Hello };
        self.route(usize::from(plan.bounds.gateways[client]), None, plan, |routing, effects| {
            routing.open(number, NOW, effects);
            routing.frame(number, hello, effects);
        });
    }

    /// A client reads an answer that waited for it.
    pub(super) fn read(&mut self, client: usize, plan: &Plan) {
        let answer = self.clients[client].link.as_mut().and_then(Link::receive);
        if let Some(answer) = answer {
            self.clients[client].read(answer, plan.rules(), &plan.bounds.clients);
        }
    }

    /// A client sends its next intent.
    pub(super) fn send(&mut self, client: usize, plan: &Plan) {
        let scenario = &plan.bounds.clients;
        let Some(intent) = self.clients[client].next_intent(scenario) else { return };
        let base = self.clients[client].send(intent, plan.rules(), scenario);
        let socket = &mut self.sockets[client];
        socket.sent += 1;
        let ask = Ask::Intent { intent: intent as u8, base };
        let frame = Frame { client: client as u8, connection: socket.connection, place: socket.sent, ask };
        self.route(usize::from(plan.bounds.gateways[client]), None, plan, |routing, effects| {
            routing.frame(client as u8, frame, effects);
        });
    }

    /// A socket is closed with 4401.
    fn close(&mut self, gateway: usize, client: usize, because: Option<u8>, plan: &Plan) {
        let socket = self.sockets[client];
        let unanswered = self.clients[client].intents.iter().any(|intent| intent.status == Status::InFlight);
        let welcomed = self.clients[client].link.is_some();
        if plan.lacks(Rule::BrokenLinkClosesAll) && welcomed && !unanswered {
            self.sockets[client].home = None;
            let number = client as u8;
            return self.route(gateway, None, plan, |routing, effects| routing.open(number, NOW, effects));
        }
        self.breaches.closed_in_peace |= !self.disturbed;
        self.breaches.closed_for_others |= because.is_some() && socket.home.is_some() && socket.home != because;
        self.sockets[client] = Socket { connection: socket.connection, ..Socket::default() };
        self.clients[client].disconnect(plan.rules(), &plan.bounds.clients);
    }

    /// Another process goes on with a gateway's sockets, except for those that must close.
    pub(super) fn hand_over(&mut self, gateway: usize, plan: &Plan) {
        let mut carried = Vec::new();
        for client in 0..2_usize {
            let number = client as u8;
            if usize::from(plan.bounds.gateways[client]) != gateway || !self.sockets[client].open {
                continue;
            }
            let frames = self.gateways[gateway].routing.take(number);
            match frames.or(plan.lacks(Rule::PartBeforeGiving).then(Vec::new)) {
                Some(frames) if plan.lacks(Rule::WaitingFramesTravel) => drop(frames),
                Some(frames) => {
                    carried.push((number, frames));
                    continue;
                }
                None => {
                    self.close(gateway, client, None, plan);
                    continue;
                }
            }
            carried.push((number, Vec::new()));
        }
        self.forget_gateway(gateway);
        self.late = self.late.filter(|(of, ..)| usize::from(*of) != gateway);
        // The next links have other ids, which this model does not have. So the nodes notice the end of the old ones first.
        for node in 0..2 {
            let pipe = &mut self.gateways[gateway].pipes[node];
            if pipe.node_end {
                pipe.drop_node_end();
                self.node_loses_link(node, gateway as u8, plan);
            }
        }
        for (client, frames) in carried {
            self.sockets[usize::from(client)].home = None;
            self.route(gateway, None, plan, |routing, effects| {
                routing.open(client, NOW, effects);
                frames.into_iter().for_each(|frame| routing.frame(client, frame, effects));
            });
        }
    }

    /// A gateway that will be replaced parts, as soon as it can. One that stays looks for the owner again.
    pub(super) fn part_or_stay(&mut self, plan: &Plan) {
        for gateway in 0..self.gateways.len() {
            if !self.gateways[gateway].leaving {
                self.route(gateway, None, plan, |routing, effects| routing.stay(NOW, effects));
            } else if !plan.lacks(Rule::PartBeforeGiving) {
                self.route(gateway, None, plan, |routing, effects| routing.part(effects));
            }
        }
    }

    /// A gateway's process ends, and another one begins.
    fn forget_gateway(&mut self, gateway: usize) {
        self.gateways[gateway].routing = Routing::default();
        self.gateways[gateway].leaving = false;
        for pipe in &mut self.gateways[gateway].pipes {
            if pipe.opening {
                *pipe = Pipe { node_end: pipe.node_end, ..Pipe::none(pipe.process) };
            }
            pipe.drop_gateway_end();
        }
    }

    /// A gateway dies, and starts again. Its clients lose their connections.
    pub(super) fn kill_gateway(&mut self, gateway: usize, plan: &Plan) {
        self.forget_gateway(gateway);
        for client in 0..2 {
            let socket = self.sockets[client];
            if usize::from(plan.bounds.gateways[client]) == gateway && socket.open {
                self.sockets[client] = Socket { connection: socket.connection, ..Socket::default() };
                self.clients[client].disconnect(plan.rules(), &plan.bounds.clients);
            }
        }
    }
}
