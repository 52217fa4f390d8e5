//! Work of a link that is rarer than answering frames: attachments, introductions, requests, and the results of loads.

use super::*;

/// The result of work beside the link.
pub(super) enum Done {
    /// A load for frames or for news ended.
    Loaded { key: Key, id: u64, missing: Missing, result: Result<(), Refusal> },
    /// A welcome.
    Welcomed { key: Key, id: u64, user: UserId, mailbox: Mailbox, result: Result<Vec<CharacterSummary>, Refusal> },
    /// A request ended; with the request if it goes back.
    Responded { address: Address, result: Result<Vec<u8>, Vec<u8>> },
}

impl<G: Game, IO: AsyncRead + AsyncWrite + Unpin> Link<G, IO> {
    /// The gateway asks for a shard.
    pub(super) fn attach(&mut self, address: Address, epoch: u64) -> Result<(), Cut> {
        let Address { shard, number, .. } = address;
        let attachment = &mut self.attachments[usize::from(shard.number())];
        if number > attachment.number {
            attachment.renew(number, &mut self.stream);
        }
        if self.end.attach(shard, number, epoch) { Ok(()) } else { Err(Cut::Behind) }
    }

    /// The gateway parts: everything that its sockets were told is stored now.
    pub(super) fn part(&mut self, address: Address) {
        let Address { shard, number, .. } = address;
        let attachment = &mut self.attachments[usize::from(shard.number())];
        if !attachment.is_open(number) {
            // The gateway hears what becomes of the shard instead.
            return;
        }
        attachment.close(&mut self.stream);
        attachment.stage = Stage::Parting;
        // The gateway introduces these again as new ones.
        attachment.connections.retain(|_, connection| connection.busy != Busy::Welcome);
        attachment.connections.values_mut().for_each(|connection| connection.is_parting = true);
        self.parting.push(shard);
        self.house.context.shards.await_seen(shard, |mailbox| attachment.has(mailbox));
    }

    /// Says `parted` where everything is answered and stored, and told.
    pub(super) fn say_parted(&mut self) {
        let shards = Arc::clone(&self.house.context.shards);
        for shard in std::mem::take(&mut self.parting) {
            let attachment = &mut self.attachments[usize::from(shard.number())];
            if attachment.stage != Stage::Parting {
                continue;
            }
            if !attachment.owes_nothing() || shards.hurry_awaited(shard, |mailbox| attachment.has(mailbox)) {
                self.parting.push(shard);
                continue;
            }
            // Whatever they waited for is in their mailboxes by now. No answer can follow that shows a newer state.
            let sockets: Vec<_> = attachment.connections.keys().copied().collect();
            sockets.into_iter().for_each(|socket| self.attend((shard, socket), true));
            let attachment = &mut self.attachments[usize::from(shard.number())];
            attachment.forget(&mut self.stream, true);
            let address = Address { shard, number: attachment.number, socket: 0 };
            self.stream.put(&Message::new(address, Said::Word(Word::Parted)));
        }
    }

    /// The task that moves shards says something.
    pub(super) fn told(&mut self, said: ToLink) {
        let (ToLink::Say { shard, .. } | ToLink::Tell { shard, .. }) = said;
        let attachment = &mut self.attachments[usize::from(shard.number())];
        // Nothing follows these words, so every answer goes before them.
        let is_last = matches!(said, ToLink::Say { word: Word::Moved { .. } | Word::Resume, .. });
        if !attachment.held.is_empty() || (is_last && attachment.requests > 0) {
            attachment.held.push_back(said);
        } else {
            self.obey(said);
        }
    }

    fn obey(&mut self, said: ToLink) {
        match said {
            ToLink::Tell { shard, number } => {
                let attachment = &self.attachments[usize::from(shard.number())];
                if attachment.number == number {
                    let sockets: Vec<_> = attachment.connections.keys().copied().collect();
                    sockets.into_iter().for_each(|socket| self.attend((shard, socket), true));
                }
                self.end.told(shard);
            }
            ToLink::Say { shard, number, word } => {
                let attachment = &mut self.attachments[usize::from(shard.number())];
                let mut kept = Vec::new();
                if attachment.number == number {
                    match word {
                        Word::Attached { .. } if attachment.stage == Stage::Waiting => {
                            attachment.stage = Stage::Open;
                            kept.extend(attachment.connections.keys().copied());
                        }
                        Word::Attached { .. } => {}
                        Word::Leaving => {
                            attachment.close(&mut self.stream);
                            if planted::is(Bug::TransferBeforeMarkers) {
                                let _ = self.end.marker(shard, number);
                            }
                        }
                        Word::Resume => {
                            attachment.close(&mut self.stream);
                            attachment.stage = Stage::Resumed;
                        }
                        Word::Moved { .. } => attachment.forget(&mut self.stream, true),
                        Word::NotMine => attachment.forget(&mut self.stream, false),
                        Word::Parted => {}
                    }
                }
                self.stream.put(&Message::new(Address { shard, number, socket: 0 }, Said::Word(word)));
                // Delivers the news that came for those that were kept.
                kept.into_iter().for_each(|socket| self.attend((shard, socket), false));
            }
        }
    }

    /// A gateway introduces a socket.
    pub(super) fn hello(&mut self, address: Address, hello: &Hello) {
        let Address { shard, socket, .. } = address;
        let key = (shard, socket);
        if !self.attachments[usize::from(shard.number())].is_open(address.number) {
            // The gateway introduces it again where it attaches next.
            return;
        }
        // It was kept through a move that was called off.
        if !hello.is_new
            && let Some(connection) = connection(&mut self.attachments, key)
        {
            connection.watch_again(hello);
            return self.attend(key, false);
        }
        let refuse = |stream: &mut LinkStream<IO>, code: CloseCode, reason| {
            stream.put(&Message::new(address, Said::Close(code.number(), reason)));
        };
        let is_at_home = shard_of(hello.user) == shard;
        let role = Role::from_name(&hello.role).filter(|role| is_at_home || *role == Role::Game);
        let Some(role) = role else {
            let reason = "the node does not know what this session may do here";
            return refuse(&mut self.stream, CloseCode::ProtocolError, reason);
        };
        let opener = Opener { session: hello.session, user: hello.user, limited_by: None };
        let registry = &self.house.registry;
        let seat = if hello.is_new {
            registry.take_seat(&opener, hello.client)
        } else {
            Ok(registry.keep_seat(&opener, hello.client, is_at_home))
        };
        let Ok(mut seat) = seat else {
            let reason = "this session or this server has no room for another socket; close one first, or try later";
            return refuse(&mut self.stream, CloseCode::RateLimit, reason);
        };
        self.next_id += 1;
        let (id, user) = (self.next_id, hello.user);
        let session = Session { id: hello.session, user, role, expires_at_ms: hello.expires_at_ms };
        let (mailbox, predecessors) = (seat.mailbox().clone(), seat.predecessors_ended());
        let parts = Parts { id, address, session, seat, bell: self.ready.bell(key) };
        let mut connection = Box::new(Connection::new(parts, hello, &self.house.context, self.now));
        if hello.is_new {
            connection.busy = Busy::Welcome;
            let shards = Arc::clone(&self.house.context.shards);
            self.working.push(Box::pin(async move {
                predecessors.await;
                let result = shards.welcome(user, &mailbox).await;
                Done::Welcomed { key, id, user, mailbox, result }
            }));
        }
        self.attachments[usize::from(shard.number())].connections.insert(socket, connection);
        // The newest states of the characters that it watches. An order may have come before the mailbox had a listener.
        self.attend(key, false);
    }

    /// A request of a client over HTTP.
    pub(super) fn request(&mut self, address: Address, request: Vec<u8>) {
        let attachment = &mut self.attachments[usize::from(address.shard.number())];
        if !attachment.is_open(address.number) {
            self.stream.put(&Message::new(address, Said::RequestBack(&request)));
            return;
        }
        attachment.requests += 1;
        let running = (self.house.requests)(request.clone());
        self.working.push(Box::pin(async move {
            let result = running.await.ok_or(request);
            Done::Responded { address, result }
        }));
    }

    /// Work beside the link has ended.
    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Loaded { key, id, missing, result } => self.loaded(key, id, missing, result),
            Done::Welcomed { key, id, user, mailbox, result } => {
                match connection(&mut self.attachments, key).filter(|connection| connection.id == id) {
                    Some(_) => self.welcomed(key, result),
                    // It ended meanwhile, and the shard must not remember it.
                    None => self.house.context.shards.farewell(user, &mailbox),
                }
            }
            Done::Responded { address, result } => {
                match &result {
                    Ok(response) => self.stream.put(&Message::new(address, Said::Response(response))),
                    Err(request) => self.stream.put(&Message::new(address, Said::RequestBack(request))),
                }
                let index = usize::from(address.shard.number());
                self.attachments[index].requests -= 1;
                if self.attachments[index].requests == 0 {
                    let held = std::mem::take(&mut self.attachments[index].held);
                    held.into_iter().for_each(|said| self.obey(said));
                }
            }
        }
    }

    fn welcomed(&mut self, key: Key, result: Result<Vec<CharacterSummary>, Refusal>) {
        let attachment = &mut self.attachments[usize::from(key.0.number())];
        if !attachment.is_heard() {
            // The gateway introduces it again as a new one.
            attachment.connections.remove(&key.1);
            return;
        }
        let Some(connection) = attachment.connections.get_mut(&key.1) else { return };
        match result {
            // The order to close follows.
            _ if connection.mailbox().is_closing() => {}
            Ok(characters) => {
                connection.busy = Busy::No;
                connection.set_now(self.now, self.now_ms);
                connection.welcome(&mut self.stream, characters);
                self.attend(key, false);
                self.go_on(key);
            }
            // The gateway introduces it again where it attaches next.
            Err(refusal) if refusal.is_shard_lost() => attachment.close(&mut self.stream),
            Err(refusal) => {
                tracing::debug!(code = %refusal.code, "cannot welcome a connection");
                self.close(key, &CANNOT_LOAD);
            }
        }
    }

    fn loaded(&mut self, key: Key, id: u64, missing: Missing, result: Result<(), Refusal>) {
        let attachment = &mut self.attachments[usize::from(key.0.number())];
        let is_heard = attachment.is_heard();
        let Some(connection) = attachment.connections.get_mut(&key.1).filter(|connection| connection.id == id) else {
            return;
        };
        if !is_heard {
            // It looks for its news once the gateway has attached again.
            connection.loads_news = None;
            return;
        }
        connection.set_now(self.now, self.now_ms);
        let refusal = result.err();
        if let Missing::Characters(user) = missing
            && connection.loads_news == Some(user)
        {
            connection.loads_news = None;
            if let Some(refusal) = &refusal
                && !connection.give_up_news(&mut self.stream, user, refusal)
            {
                return self.close(key, &CANNOT_LOAD);
            }
            let notices = !connection.is_slow;
            let absent = connection.deliver(&mut self.stream, notices);
            self.note(key, absent);
        }
        let attachment = &mut self.attachments[usize::from(key.0.number())];
        let Some(connection) = attachment.connections.get_mut(&key.1) else { return };
        if connection.busy != Busy::Load(missing) {
            return;
        }
        connection.busy = Busy::No;
        if let Some(refusal) = refusal {
            if refusal.is_shard_lost() && !connection.mailbox().is_closing() {
                return attachment.close(&mut self.stream);
            }
            if let Some(frame) = connection.queue.pop_front() {
                connection.refuse(&mut self.stream, &frame.bytes, refusal);
            }
        }
        self.go_on(key);
    }
}
