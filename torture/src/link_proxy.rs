//! The proxy in front of a node's links. It delays each byte a little, can cut links and refuse them, and can
//! stop passing bytes on without a word.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Bytes moved at a time. Small, so that a cut falls into the middle of messages.
const CHUNK_BYTES: usize = 2 * 1024;

/// How long a byte takes: a cable, a switch, a busy machine. So frames are on their way when a shard leaves.
const LATENCY: Duration = Duration::from_millis(8);

/// Pieces on their way in one direction of a link.
const ON_THE_WAY_MAX: usize = 1_024;

/// The way in which links pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// They do.
    Open,
    /// They are cut, and new ones are refused.
    Closed,
    /// They stay, but no byte passes in either direction. Bytes that wait pass later.
    Silent,
}

/// Which links a fault concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// All.
    All,
    /// Every second one: some sockets of a gateway lose the node, others do not.
    Half,
}

/// The present rule for links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    passage: Passage,
    links: Links,
}

impl Rule {
    /// The rule for the link with this number.
    const fn of(self, number: u64) -> Passage {
        match self.links {
            Links::Half if number.is_multiple_of(2) => Passage::Open,
            Links::Half | Links::All => self.passage,
        }
    }
}

/// The proxy; it ends when dropped.
pub struct LinkProxy {
    address: SocketAddr,
    target: Arc<Mutex<Option<SocketAddr>>>,
    rule: watch::Sender<Rule>,
    task: JoinHandle<()>,
}

impl LinkProxy {
    /// Listens on a free port of loopback. Links lead nowhere yet.
    ///
    /// # Errors
    ///
    /// An error of the operating system.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let target = Arc::new(Mutex::new(None));
        let rule = watch::Sender::new(Rule { passage: Passage::Open, links: Links::All });
        let task = tokio::spawn(accept(listener, Arc::clone(&target), rule.subscribe()));
        Ok(Self { address, target, rule, task })
    }

    /// The address that a node advertises.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads new links to this node from now on; to none, they are closed at once.
    pub fn lead_to(&self, target: Option<SocketAddr>) {
        *self.target.lock() = target;
    }

    /// Lets links pass, or not.
    pub fn set(&self, passage: Passage, links: Links) {
        self.rule.send_replace(Rule { passage, links });
    }
}

impl Drop for LinkProxy {
    fn drop(&mut self) {
        self.task.abort();
        self.set(Passage::Closed, Links::All);
    }
}

async fn accept(listener: TcpListener, target: Arc<Mutex<Option<SocketAddr>>>, rule: watch::Receiver<Rule>) {
    let numbers = AtomicU64::new(0);
    loop {
        let Ok((gateway, _)) = listener.accept().await else { continue };
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let Some(target) = *target.lock() else { continue };
        if rule.borrow().of(number) == Passage::Closed {
            continue;
        }
        let rule = rule.clone();
        tokio::spawn(async move {
            let mut cut = rule.clone();
            tokio::select! {
                _ = carry(gateway, target, number, rule) => {}
                // An error says that the proxy is gone: then its links end as well.
                _ = cut.wait_for(|rule| rule.of(number) == Passage::Closed) => {}
            }
        });
    }
}

async fn carry(
    gateway: TcpStream,
    target: SocketAddr,
    number: u64,
    rule: watch::Receiver<Rule>,
) -> std::io::Result<()> {
    let node = TcpStream::connect(target).await?;
    gateway.set_nodelay(true)?;
    node.set_nodelay(true)?;
    let (gateway_read, gateway_write) = gateway.into_split();
    let (node_read, node_write) = node.into_split();
    tokio::try_join!(
        pass(gateway_read, node_write, number, rule.clone()),
        pass(node_read, gateway_write, number, rule),
    )
    .map(drop)
}

/// Bytes on their way, and when they arrive; no bytes at the end.
type OnTheWay = (Instant, Vec<u8>);

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    number: u64,
    mut rule: watch::Receiver<Rule>,
) -> std::io::Result<()> {
    let (send, mut on_the_way) = mpsc::channel::<OnTheWay>(ON_THE_WAY_MAX);
    let depart = async move {
        loop {
            let mut chunk = vec![0; CHUNK_BYTES];
            let count = from.read(&mut chunk).await?;
            chunk.truncate(count);
            if send.send((Instant::now() + LATENCY, chunk)).await.is_err() || count == 0 {
                return Ok(());
            }
        }
    };
    let arrive = async move {
        while let Some((at, bytes)) = on_the_way.recv().await {
            tokio::time::sleep_until(at).await;
            // The end of a link is not noticed either while it is silent.
            if rule.wait_for(|rule| rule.of(number) != Passage::Silent).await.is_err() {
                break;
            }
            if bytes.is_empty() {
                return to.shutdown().await;
            }
            to.write_all(&bytes).await?;
        }
        Ok(())
    };
    tokio::try_join!(depart, arrive).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node that says back what it hears, behind a proxy.
    async fn echo() -> LinkProxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let proxy = LinkProxy::start().await.expect("a port");
        proxy.lead_to(Some(listener.local_addr().expect("an address")));
        tokio::spawn(async move {
            while let Ok((mut link, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = link.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        proxy
    }

    async fn says_back(link: &mut TcpStream, what: u8) -> bool {
        let mut heard = [0];
        link.write_all(&[what]).await.is_ok() && link.read_exact(&mut heard).await.is_ok() && heard == [what]
    }

    #[tokio::test]
    async fn a_silent_link_passes_everything_later_and_a_closed_one_ends() {
        let proxy = echo().await;
        let mut link = TcpStream::connect(proxy.address()).await.expect("it listens");
        assert!(says_back(&mut link, 1).await);
        proxy.set(Passage::Silent, Links::All);
        let silent = tokio::time::timeout(Duration::from_millis(200), says_back(&mut link, 2)).await;
        assert!(silent.is_err(), "nothing comes");
        proxy.set(Passage::Open, Links::All);
        let mut heard = [0];
        link.read_exact(&mut heard).await.expect("it comes after all");
        assert_eq!(heard, [2]);
        proxy.set(Passage::Closed, Links::All);
        assert!(!says_back(&mut link, 3).await);
        let mut refused = TcpStream::connect(proxy.address()).await.expect("it listens");
        assert!(!says_back(&mut refused, 4).await);
    }

    #[tokio::test]
    async fn half_of_the_links_stay() {
        let proxy = echo().await;
        let mut links = Vec::new();
        for what in 0..4 {
            let mut link = TcpStream::connect(proxy.address()).await.expect("it listens");
            assert!(says_back(&mut link, what).await);
            links.push(link);
        }
        proxy.set(Passage::Closed, Links::Half);
        let mut left = Vec::new();
        for link in &mut links {
            left.push(says_back(link, 9).await);
        }
        assert_eq!(left, [true, false, true, false]);
    }
}
