//! The client of the simulation, and what it must never see.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use castellan::shard::{Answered, Base, Change, Command, Mailbox, Shape, Shards};
use castellan::storage::faulty::MemoryStorage;
use castellan_srd::Srd;
use castellan_srd::wire::{Action, ModifyCurrency, RequestId, Version};

use super::process::Process;
use super::{CHARACTER, USER, gold_in};

/// An intent that the client keeps: it is based on the one before.
#[derive(Clone, Copy)]
pub(super) struct Kept {
    id: RequestId,
    after: RequestId,
    /// How much gold there is once it is applied.
    gold: i64,
}

/// A client that keeps rules 6 and 7 of `docs/protocol.md`: everything is kept until it is covered, and sent again in order.
pub(super) struct Client {
    pub(super) kept: VecDeque<Kept>,
    last: RequestId,
    pub(super) gold: i64,
    /// The server that it is connected to, and its mailbox there.
    connection: Option<(Arc<Shards<Srd>>, Mailbox)>,
    /// On this connection: the version that each kept intent was answered with.
    pub(super) answered: BTreeMap<RequestId, Version>,
    durable: Version,
    /// The gold of every version that was ever shown, or was found on the standby.
    shown: BTreeMap<u64, i64>,
    /// The most gold that was ever called durable.
    safe: i64,
}

impl Client {
    pub(super) fn new() -> Self {
        Self {
            kept: VecDeque::new(),
            last: RequestId::new(0),
            gold: 0,
            connection: None,
            answered: BTreeMap::new(),
            durable: Version::new(0),
            shown: BTreeMap::new(),
            safe: 0,
        }
    }

    /// Thinks of one more intent.
    pub(super) fn intend(&mut self) {
        let id = RequestId::new(self.last.get().max(1_000) + 1);
        self.gold += 1;
        self.kept.push_back(Kept { id, after: self.last, gold: self.gold });
        self.last = id;
    }

    /// The server is gone, and its connections with it.
    pub(super) fn lose(&mut self, server: &Process) {
        if self.connection.as_ref().is_some_and(|(shards, _)| Arc::ptr_eq(shards, &server.shards)) {
            self.disconnect();
        }
    }

    pub(super) fn disconnect(&mut self) {
        self.connection = None;
        self.answered.clear();
        self.durable = Version::new(0);
    }

    /// Sends what was not answered on this connection, in order; where there is none, connects to `server` first.
    pub(super) async fn send(&mut self, server: &Arc<Shards<Srd>>) {
        if self.connection.as_ref().is_none_or(|(_, mailbox)| mailbox.is_closing()) {
            self.disconnect();
            let mailbox = Mailbox::default();
            if server.welcome(USER, &mailbox).await.is_err() {
                return;
            }
            self.connection = Some((Arc::clone(server), mailbox));
        }
        let (shards, mailbox) = self.connection.clone().expect("connected just now");
        let mut in_conflict = false;
        for kept in self.kept.clone() {
            if self.answered.contains_key(&kept.id) {
                continue;
            }
            let action = gold_piece();
            let command = Command {
                owner: USER,
                character: CHARACTER,
                id: kept.id,
                base: Base { after: Some(kept.after), expect: None },
                change: Change::Action(&action),
                permitted: true,
                is_limited: false,
            };
            let mut body = Vec::new();
            match shards.change(&command, Some(&mailbox), Shape::Body, 0, &mut body).await {
                Answered::Applied { shown, .. } => {
                    self.see(shown.version, &body);
                    if kept.id.get().is_multiple_of(3) {
                        shards.hurry(USER, CHARACTER);
                    }
                    // Applied means that all it was based on is applied, overruling an earlier conflict.
                    for earlier in self.kept.iter().take_while(|earlier| earlier.id <= kept.id) {
                        self.answered.entry(earlier.id).or_insert(shown.version);
                    }
                    (self.durable, in_conflict) = (self.durable.max(shown.durable), false);
                }
                // More than 64 of its own may have been applied since: then a later one will say so.
                Answered::Conflict(_) => in_conflict = true,
                Answered::Refused(refusal) => {
                    assert!(refusal.retry_after_ms.is_some(), "refused for good: {refusal:?}");
                    return;
                }
                Answered::Closing => return self.disconnect(),
            }
        }
        assert!(!in_conflict, "an intent of the only client of a character was refused");
    }

    fn see(&mut self, version: Version, body: &[u8]) {
        self.note(version.get(), gold_in(&String::from_utf8_lossy(body)));
    }

    fn note(&mut self, version: u64, gold: i64) {
        let before = self.shown.insert(version, gold);
        assert!(before.is_none_or(|before| before == gold), "version {version} names two states");
    }

    /// Looks at what a failover would leave.
    pub(super) fn check(&mut self, memory: &MemoryStorage) {
        let Some(row) = memory.replicated_character(CHARACTER) else { return };
        let gold = gold_in(&row.state);
        assert!(gold >= self.safe, "gold that was called durable can be lost: {gold} of {}", self.safe);
        self.note(row.version, gold);
    }

    /// Reads the mail and forgets what is covered.
    pub(super) fn hear(&mut self) {
        let Some((_, mailbox)) = &self.connection else { return };
        if mailbox.is_closing() {
            return;
        }
        if let Some(version) = mailbox.take().durable.get(&CHARACTER) {
            self.durable = self.durable.max(*version);
        }
        while let Some(kept) = self.kept.front() {
            match self.answered.get(&kept.id) {
                Some(version) if *version <= self.durable => {
                    self.safe = self.safe.max(kept.gold);
                    self.kept.pop_front();
                }
                _ => break,
            }
        }
    }
}

fn gold_piece() -> Action {
    Action::ModifyCurrency(ModifyCurrency { cp: None, sp: None, ep: None, gp: Some(1), pp: None })
}
