//! The network between processes, and processes that stand still.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::watch;

use super::super::pass;

/// Bytes that fit into each end of a connection.
const ROOM_BYTES: usize = 64 * 1_024;

/// Bytes that travel together.
const PACKET_BYTES: usize = 4 * 1_024;

/// Longest time that bytes travel, in milliseconds.
const LATENCY_MS: u64 = 4;

/// How a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Nothing arrives, until it is open again.
    Silent,
    Cut,
}

/// The network.
#[derive(Clone)]
pub(super) struct Network(Arc<Inner>);

struct Inner {
    chance: Mutex<StdRng>,
    /// Packets that have arrived.
    carried: AtomicU64,
}

/// A connection, as the network sees it.
#[derive(Clone)]
pub(super) struct Line(Arc<watch::Sender<Way>>);

impl Network {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Inner { chance: Mutex::new(StdRng::seed_from_u64(seed)), carried: AtomicU64::new(0) }))
    }

    pub(super) fn carried(&self) -> u64 {
        self.0.carried.load(Ordering::Relaxed)
    }

    /// A connection with its two ends.
    pub(super) fn connect(&self) -> (Line, DuplexStream, DuplexStream) {
        let ((one, near), (other, far)) = (duplex(ROOM_BYTES), duplex(ROOM_BYTES));
        let (way, _) = watch::channel(Way::Open);
        let ((near_in, near_out), (far_in, far_out)) = (split(near), split(far));
        tokio::spawn(carry(self.clone(), near_in, far_out, way.subscribe()));
        tokio::spawn(carry(self.clone(), far_in, near_out, way.subscribe()));
        (Line(Arc::new(way)), one, other)
    }

    /// Lets a connection break, or be silent for a while, or do neither.
    pub(super) async fn trouble(self, line: Line) {
        let (kind, wait_ms, silent_ms) = {
            let mut chance = self.0.chance.lock();
            (chance.random_range(0..10), chance.random_range(0..200), chance.random_range(1..1_500))
        };
        if kind > 1 {
            return;
        }
        pass(wait_ms).await;
        if kind == 0 {
            return line.cut();
        }
        line.set_silent(true);
        pass(silent_ms).await;
        line.set_silent(false);
    }

    fn latency_ms(&self) -> u64 {
        self.0.chance.lock().random_range(0..=LATENCY_MS)
    }
}

impl Line {
    pub(super) fn cut(&self) {
        self.0.send_replace(Way::Cut);
    }

    /// Nothing arrives any more, or all of it does again.
    pub(super) fn set_silent(&self, is_silent: bool) {
        self.0.send_if_modified(|way| {
            let is_cut = *way == Way::Cut;
            if !is_cut {
                *way = if is_silent { Way::Silent } else { Way::Open };
            }
            !is_cut
        });
    }

    /// True once neither end is there any more.
    pub(super) fn is_over(&self) -> bool {
        self.0.receiver_count() == 0
    }
}

/// Carries bytes in one direction.
async fn carry(
    network: Network,
    mut from: ReadHalf<DuplexStream>,
    mut to: WriteHalf<DuplexStream>,
    way: watch::Receiver<Way>,
) {
    let (mut cut, mut open) = (way.clone(), way);
    let carrying = async {
        let mut packet = vec![0; PACKET_BYTES];
        loop {
            let bytes = from.read(&mut packet).await.unwrap_or(0);
            let latency_ms = network.latency_ms();
            if latency_ms > 0 {
                pass(latency_ms).await;
            }
            if open.wait_for(|way| *way != Way::Silent).await.is_err() || bytes == 0 {
                break;
            }
            if to.write_all(&packet[..bytes]).await.is_err() {
                break;
            }
            network.0.carried.fetch_add(1, Ordering::Relaxed);
        }
        // The other end reads to the end.
        let _ = to.shutdown().await;
    };
    tokio::select! {
        biased;
        _ = cut.wait_for(|way| *way == Way::Cut) => {}
        () = carrying => {}
    }
}

/// Lets the tasks of a process stand still, as if the machine had stopped.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<Mutex<Shut>>);

#[derive(Default)]
struct Shut {
    is_shut: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    pub(super) fn shut(&self) {
        self.0.lock().is_shut = true;
    }

    pub(super) fn open(&self) {
        let mut shut = self.0.lock();
        shut.is_shut = false;
        shut.waiting.drain(..).for_each(Waker::wake);
    }

    /// A future that goes on only while the gate is open.
    pub(super) async fn behind<T>(self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        poll_fn(|cx| {
            let mut shut = self.0.lock();
            if shut.is_shut {
                shut.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
            drop(shut);
            future.as_mut().poll(cx)
        })
        .await
    }
}
