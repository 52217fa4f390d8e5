//! A client with one character, and what it must never see.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use castellan::auth::Session;
use castellan::config::Role;
use castellan::storage::faulty::MemoryStorage;
use castellan_srd::wire::{CharacterId, SessionId, UserId};
use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::super::gold_in;
use super::gateway::Gateway;
use super::socket::{Heard, Socket};

/// When tokens expire, in milliseconds: after the run.
const EXPIRES_AT_MS: i64 = 1_000_000_000;

/// Most intents without an answer.
const IN_FLIGHT_MAX: usize = 64;

/// An intent that the client keeps.
#[derive(Clone, Copy)]
struct Kept {
    id: u64,
    after: u64,
    /// How much gold there is once it is applied.
    gold: i64,
    /// Its answer is to follow the commit.
    is_durable: bool,
}

/// A client that keeps the rules of `docs/protocol.md`: everything is kept until it is covered, and sent again in order.
pub(super) struct Client {
    session: Session,
    pub(super) character: CharacterId,
    kept: VecDeque<Kept>,
    last: u64,
    pub(super) gold: i64,
    playing: Option<Socket>,
    /// Another connection, which only watches.
    watching: Option<Socket>,
    watches: bool,
    /// The gold that it saw last there.
    watched: i64,
    /// On the present connection: the last intent sent, the version that each kept one was answered with, and those in
    /// conflict.
    sent: u64,
    answered: BTreeMap<u64, u64>,
    conflicts: BTreeSet<u64>,
    durable: u64,
    /// When it connects again.
    retry_at: Instant,
    began_at: Instant,
    /// The gold of every version that was ever shown, or was found in the database.
    shown: BTreeMap<u64, i64>,
    /// The most gold that was ever called durable.
    safe: i64,
    /// Frames sent and heard.
    pub(super) frames: u64,
    /// How often a server ended a connection or sent it away.
    pub(super) closed: u32,
    pub(super) refused: u32,
    /// The server's words at its last close or refusal, and their time.
    last_words: String,
}

impl Client {
    pub(super) fn new(user: UserId, character: CharacterId, watches: bool) -> Self {
        let id = SessionId::from_uuid(user.uuid());
        Self {
            session: Session { id, user, role: Role::Player, expires_at_ms: EXPIRES_AT_MS },
            character,
            kept: VecDeque::new(),
            last: 0,
            gold: 0,
            playing: None,
            watching: None,
            watches,
            watched: 0,
            sent: 0,
            answered: BTreeMap::new(),
            conflicts: BTreeSet::new(),
            durable: 0,
            retry_at: Instant::now(),
            began_at: Instant::now(),
            shown: BTreeMap::new(),
            safe: 0,
            frames: 0,
            closed: 0,
            refused: 0,
            last_words: String::new(),
        }
    }

    /// Thinks of one more intent. While a conflict may still be overruled it must not.
    pub(super) fn intend(&mut self, is_durable: bool) {
        if self.conflicts.is_empty() {
            let id = self.last.max(1_000) + 1;
            self.gold += 1;
            self.kept.push_back(Kept { id, after: self.last, gold: self.gold, is_durable });
            self.last = id;
        }
    }

    /// Nothing that happened so far counts as a close or a refusal.
    pub(super) fn begin_to_count(&mut self) {
        (self.closed, self.refused) = (0, 0);
    }

    /// Everything is stored, and whoever watches has seen it.
    pub(super) fn is_done(&self) -> bool {
        self.kept.is_empty() && (!self.watches || self.watched == self.gold)
    }

    pub(super) fn state(&self) -> String {
        let Self { kept, sent, answered, conflicts, durable, watched, gold, last_words, .. } = self;
        let (is_connected, kept) = (self.playing.is_some(), kept.len());
        format!(
            "connected {is_connected}, kept {kept}, sent {sent}, answered {answered:?}, conflicts {conflicts:?}, durable \
             {durable}, watched {watched} of {gold}; {last_words}"
        )
    }

    pub(super) fn hang_up(&mut self) {
        if let Some(socket) = self.playing.take() {
            socket.line.cut();
        }
        self.sent = 0;
        self.answered.clear();
        self.conflicts.clear();
        self.durable = 0;
    }

    pub(super) fn watch_no_more(&mut self) {
        if let Some(socket) = self.watching.take() {
            socket.line.cut();
        }
    }

    /// Connects if it must, and sends what was not sent on this connection, in order.
    pub(super) fn send(&mut self, gateways: &[Gateway], chosen: usize) {
        let may_connect = Instant::now() >= self.retry_at && !gateways.is_empty();
        let connect = |chosen: usize| {
            let (line, stream) = gateways[chosen % gateways.len()].accept(self.session)?;
            Some(Socket::new(line, stream))
        };
        if self.playing.is_none() && may_connect {
            self.playing = connect(chosen);
        }
        if self.watching.is_none() && self.watches && may_connect {
            self.watching = connect(chosen + 1);
        }
        let character = self.character;
        if let Some(watching) = self.watching.as_mut().filter(|watching| watching.is_welcome && !watching.is_used) {
            watching.is_used = true;
            watching.send(&format!(r#"{{"watch":{{"id":1,"character":"{character}"}}}}"#));
            self.frames += 1;
        }
        let Some(playing) = self.playing.as_mut().filter(|playing| playing.is_welcome) else { return };
        let is_open = |kept: &&Kept| !self.answered.contains_key(&kept.id) && !self.conflicts.contains(&kept.id);
        let mut in_flight = self.kept.iter().filter(|kept| kept.id <= self.sent).filter(is_open).count();
        for Kept { id, after, is_durable, .. } in self.kept.iter().copied() {
            if id <= self.sent {
                continue;
            }
            if in_flight >= IN_FLIGHT_MAX {
                break;
            }
            let ack = if is_durable { r#","ack":"durable""# } else { "" };
            playing.send(&format!(
                r#"{{"intent":{{"id":{id},"character":"{character}","after":{after},"action":{{"modify_currency":{{"gp":1}}}}{ack}}}}}"#
            ));
            (self.sent, in_flight, self.frames) = (id, in_flight + 1, self.frames + 1);
        }
    }

    /// Reads what has arrived, and forgets what is covered.
    pub(super) fn hear(&mut self) {
        while let Some(heard) = self.playing.as_mut().and_then(Socket::next) {
            self.frames += 1;
            match heard {
                Heard::Text(text) => self.take(&text, true),
                Heard::End(code) => {
                    self.closed += u32::from(code.is_some());
                    self.retry_at = self.retry_at.max(Instant::now() + Duration::from_millis(50));
                    self.hang_up();
                }
            }
        }
        while let Some(heard) = self.watching.as_mut().and_then(Socket::next) {
            self.frames += 1;
            match heard {
                Heard::Text(text) => self.take(&text, false),
                Heard::End(code) => {
                    self.closed += u32::from(code.is_some());
                    self.watch_no_more();
                }
            }
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
        let is_answered = |kept: &Kept| self.answered.contains_key(&kept.id) || self.conflicts.contains(&kept.id);
        assert!(
            self.conflicts.is_empty() || !self.kept.iter().all(is_answered),
            "an intent of the only client of {} was refused: {:?}",
            self.character,
            self.conflicts
        );
    }

    fn take(&mut self, text: &str, is_playing: bool) {
        let frame: Value = serde_json::from_str(text).expect("a frame is JSON");
        let (kind, frame) = frame.as_object().and_then(|frame| frame.iter().next()).expect("a frame has a kind");
        let id = frame["id"].as_u64().unwrap_or_default();
        if matches!(kind.as_str(), "rejected" | "closing") {
            self.last_words = format!("at {:?}: {frame}", self.began_at.elapsed());
        }
        if let Some(character) = frame.get("character") {
            let (version, gold) = (character["version"].as_u64().expect("a version"), gold_of(character));
            self.note(version, gold);
            if !is_playing {
                self.watched = self.watched.max(gold);
            }
        }
        match kind.as_str() {
            "welcome" => {
                let socket = if is_playing { &mut self.playing } else { &mut self.watching };
                socket.as_mut().expect("it was heard").is_welcome = true;
            }
            "applied" => {
                let version = frame["character"]["version"].as_u64().expect("a version");
                // Applied means that all it was based on is applied, overruling an earlier conflict.
                for earlier in self.kept.iter().take_while(|earlier| earlier.id <= id) {
                    self.answered.entry(earlier.id).or_insert(version);
                }
                self.conflicts.retain(|conflict| *conflict > id);
                self.durable = self.durable.max(frame["durable"].as_u64().expect("a version"));
            }
            "conflict" => {
                self.conflicts.insert(id);
            }
            "rejected" => {
                let wait_ms = frame["retry_after_ms"].as_u64();
                self.refused += 1;
                let wait_ms = wait_ms.unwrap_or_else(|| panic!("refused for good: {frame}"));
                self.retry_at = Instant::now() + Duration::from_millis(wait_ms);
                if is_playing { self.hang_up() } else { self.watch_no_more() }
            }
            "durable" if is_playing => {
                let version = frame["versions"][self.character.to_string()].as_u64();
                self.durable = self.durable.max(version.unwrap_or_default());
            }
            "closing" => {
                let wait_ms = frame["retry_after_ms"].as_u64().expect("a time");
                self.retry_at = Instant::now() + Duration::from_millis(wait_ms);
            }
            _ => {}
        }
    }

    fn note(&mut self, version: u64, gold: i64) {
        let before = self.shown.insert(version, gold);
        assert!(before.is_none_or(|before| before == gold), "version {version} names two states");
    }

    /// Looks at the database.
    pub(super) fn check(&mut self, memory: &MemoryStorage) {
        let row = memory.character(self.character).expect("it was made");
        let gold = gold_in(&row.state);
        assert!(gold >= self.safe, "gold that was called durable is lost: {gold} of {}", self.safe);
        assert!(gold <= self.gold, "an intent was applied twice: {gold} of {}", self.gold);
        self.note(row.version, gold);
    }
}

fn gold_of(character: &Value) -> i64 {
    character["currency"]["gp"].as_i64().expect("a character has gold")
}
