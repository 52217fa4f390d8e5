//! Whatever arrives on a link: nothing panics, and every frame of a living socket gets one answer or goes back.

use std::panic::AssertUnwindSafe;

use castellan_fuzz::bolero::{Driver, ValueGenerator, check};
use castellan_fuzz::{BRIEFLY, Encoding, Input, Spoiled, golden_frames, spoiled};
use tokio::io::AsyncWriteExt;

use super::*;

/// Most steps of one conversation.
const STEPS_MAX: usize = 40;

/// Sockets at a time.
const SOCKETS: usize = 3;

const MOMENT: Duration = Duration::from_millis(1);

/// A step of a gateway, or of the task that moves shards.
#[derive(Debug, Clone)]
enum Step {
    Hello { socket: usize, is_new: bool, is_game: bool },
    Frame { socket: usize, frame: Input },
    Gone(usize),
    Slow(usize, bool),
    Request,
    Leave,
    Attach,
    Wait,
}

struct Steps(Spoiled);

impl ValueGenerator for Steps {
    type Output = Vec<Step>;

    fn generate<D: Driver>(&self, driver: &mut D) -> Option<Vec<Step>> {
        let mut steps = Vec::new();
        for _ in 0..(1..=STEPS_MAX).generate(driver)? {
            let socket = (0..SOCKETS).generate(driver)?;
            steps.push(match (0..24_u8).generate(driver)? {
                0..5 => Step::Hello { socket, is_new: driver.gen_bool(None)?, is_game: driver.gen_bool(None)? },
                5 => Step::Gone(socket),
                6 => Step::Slow(socket, driver.gen_bool(None)?),
                7 => Step::Request,
                8 => Step::Leave,
                9 => Step::Attach,
                10 => Step::Wait,
                _ => Step::Frame { socket, frame: self.0.generate(driver)? },
            });
        }
        Some(steps)
    }
}

/// A socket as the gateway sees it.
#[derive(Debug, Default, Clone, Copy)]
struct Socket {
    is_known: bool,
    /// Frames without an answer.
    owed: i64,
    has_ended: bool,
}

/// A gateway and the task that moves shards.
struct Ends {
    stream: LinkStream<tokio::io::DuplexStream>,
    to_link: mpsc::Sender<ToLink>,
    shard: ShardId,
    number: u64,
    is_open: bool,
    /// By their ids, which are never used again.
    sockets: Vec<Socket>,
    /// The socket in each place.
    places: [usize; SOCKETS],
    requests: i64,
}

impl Ends {
    fn put(&mut self, socket: usize, said: Said<'_>) {
        let address = Address { shard: self.shard, number: self.number, socket: socket as u64 };
        self.stream.put(&Message::new(address, said));
    }

    /// Sends what was written, and hears what comes back.
    async fn settle(&mut self) {
        poll_fn(|cx| self.stream.poll_flush(cx)).await.expect("the node reads");
        let deadline = tokio::time::sleep(MOMENT);
        tokio::pin!(deadline);
        loop {
            while let Some(Message { address, said }) = self.stream.next_message().expect("messages") {
                let socket = self.sockets.get_mut(address.socket as usize);
                match said {
                    Said::Answer(_) | Said::FrameBack(_) => socket.expect("a socket").owed -= 1,
                    Said::Close(..) => socket.expect("a socket").has_ended = true,
                    Said::Response(_) | Said::RequestBack(_) => self.requests -= 1,
                    _ => {}
                }
            }
            tokio::select! {
                biased;
                read = poll_fn(|cx| self.stream.poll_read(cx)) => assert!(matches!(read, Ok(true)), "the link lives"),
                () = deadline.as_mut() => return,
            }
        }
    }

    async fn order(&mut self, order: ToLink) {
        self.settle().await;
        self.to_link.send(order).await.expect("the link lives");
        self.settle().await;
    }

    async fn word(&mut self, word: Word<Uuid>) {
        self.order(ToLink::Say { shard: self.shard, number: self.number, word }).await;
    }

    async fn attach(&mut self) {
        self.number += 1;
        self.put(0, Said::Attach(1));
        self.word(Word::Attached { epoch: 1 }).await;
        self.is_open = true;
        self.sockets.iter_mut().for_each(|socket| socket.is_known = false);
    }

    async fn perform(&mut self, step: &Step, user: UserId) {
        match step {
            Step::Hello { socket, is_new, is_game } => {
                let id = self.places[*socket];
                if self.is_open && !self.sockets[id].is_known {
                    self.sockets[id].is_known = true;
                    let role = if *is_game { "game" } else { "player" }.to_owned();
                    let hello = Hello { is_json: false, is_new: *is_new, role, ..hello(user) };
                    self.put(id, Said::Hello(Box::new(hello)));
                }
            }
            Step::Frame { socket, frame: Input(frame) } => {
                let id = self.places[*socket];
                if frame.len() <= castellan_protocol::limits::CLIENT_FRAME_BYTES_MAX {
                    self.sockets[id].owed += i64::from(!self.is_open || self.sockets[id].is_known);
                    self.put(id, Said::Frame(frame));
                }
            }
            Step::Gone(socket) => {
                self.put(self.places[*socket], Said::Gone);
                self.sockets[self.places[*socket]].has_ended = true;
                self.places[*socket] = self.sockets.len();
                self.sockets.push(Socket::default());
            }
            Step::Slow(socket, is_slow) => self.put(self.places[*socket], Said::Slow(*is_slow)),
            Step::Request => {
                self.requests += 1;
                self.put(0, Said::Request(b"request"));
            }
            Step::Leave => {
                self.word(Word::Leaving).await;
                self.is_open = false;
            }
            Step::Attach => {
                self.leave().await;
                self.attach().await;
            }
            Step::Wait => self.settle().await,
        }
    }

    /// Ends the attachment in a planned way.
    async fn leave(&mut self) {
        self.word(Word::Leaving).await;
        self.is_open = false;
        self.order(ToLink::Tell { shard: self.shard, number: self.number }).await;
        self.word(Word::Moved { to: None, epoch: 2 }).await;
    }
}

async fn converse(house: &House, steps: &[Step]) {
    let server = house.server().await;
    let (near, far) = tokio::io::duplex(1_024 * 1_024);
    let (links, mut from_link) = Links::new();
    let registry = Arc::new(Registry::new(SocketLimits { all_max: 9, per_user_max: 9, per_address_max: 9 }));
    let requests: RequestHandler = Arc::new(|request| Box::pin(async { Some(request) }));
    let shared = super::super::House { context: house.context(&server, 1_024), registry, requests };
    let end = links.open().expect("room");
    let Some((_, FromLink::Up(to_link))) = from_link.recv().await else { panic!("a link comes up") };
    let serving = tokio::spawn(Box::new(Link::<Srd, _>::new(LinkStream::new(near, Vec::new()), end, shared)).serve());
    let mut ends = Ends {
        stream: LinkStream::new(far, Vec::new()),
        to_link,
        shard: shard_of(house.session.user),
        number: 0,
        is_open: false,
        sockets: vec![Socket::default(); SOCKETS],
        places: std::array::from_fn(|place| place),
        requests: 0,
    };
    ends.attach().await;
    for step in steps {
        ends.perform(step, house.session.user).await;
    }
    ends.leave().await;
    for socket in &ends.sockets {
        assert!(socket.has_ended || socket.owed == 0, "{socket:?}");
        assert!(socket.owed >= 0, "{socket:?}");
    }
    assert_eq!(ends.requests, 0);
    let Ends { stream, to_link, .. } = ends;
    drop(stream);
    assert!(matches!(serving.await, Ok(Cut::Gone)));
    drop(to_link);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime")
}

#[test]
fn every_frame_on_a_link_gets_one_answer_or_goes_back() {
    let house = AssertUnwindSafe(runtime().block_on(House::new()));
    let steps = Steps(spoiled(golden_frames("client", Encoding::MessagePack)));
    let target = check!().with_generator(steps).with_test_time(BRIEFLY);
    target.for_each(|steps: &Vec<Step>| {
        let house = &house;
        runtime().block_on(converse(house, steps));
    });
}

#[test]
fn any_bytes_on_a_link_end_it_without_a_panic() {
    let house = AssertUnwindSafe(runtime().block_on(House::new()));
    let address = Address { shard: shard_of(house.session.user), number: 1, socket: 1 };
    let hello = Said::Hello(Box::new(hello(house.session.user)));
    let said =
        [Said::Attach(1), hello, Said::Frame(b"\x81\xa4ping\x80"), Said::Request(b"x"), Said::Marker, Said::Gone];
    let messages = said.into_iter().map(|said| {
        let mut bytes = Vec::new();
        Message::new(address, said).write(&mut bytes);
        bytes
    });
    let target = check!().with_generator(spoiled(messages.collect())).with_test_time(BRIEFLY);
    target.for_each(|Input(bytes): &Input| {
        let house = &house;
        runtime().block_on(async {
            let server = house.server().await;
            let (near, mut far) = tokio::io::duplex(1_024);
            let (links, _from_link) = Links::new();
            let registry = Arc::new(Registry::new(SocketLimits { all_max: 9, per_user_max: 9, per_address_max: 9 }));
            let requests: RequestHandler = Arc::new(|request| Box::pin(async { Some(request) }));
            let shared = super::super::House { context: house.context(&server, 1_024), registry, requests };
            let end = links.open().expect("room");
            let link = Box::new(Link::<Srd, _>::new(LinkStream::new(near, Vec::new()), end, shared));
            let serving = tokio::spawn(link.serve());
            // Fails if the node has heard enough.
            let _ = far.write_all(bytes).await;
            drop(far);
            serving.await.expect("it does not panic");
        });
    });
}
