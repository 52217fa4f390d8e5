//! How a gateway gives its listeners and connections to the process that replaces it: over a Unix socket.
//!
//! ```text
//!  new process                                   running gateway
//!    │ mark, version ────────────────────────────▶│ same user, same version?
//!    │◀──────────────────────────── mark, version │
//!    │◀───────────── listeners (with descriptors) │
//!    │ got it ───────────────────────────────────▶│ accepts no more, finishes its requests
//!    │◀─────────── connections (with descriptors) │ parts from its nodes
//!    │ got it ───────────────────────────────────▶│
//!    │◀────────────────────────────── end ─────── │
//!    │ got it ───────────────────────────────────▶│ exits
//! ```
//!
//! A parcel is its length in bytes (4, little-endian), with the descriptors beside it, and then its content as JSON. Each
//! is answered with one byte once it was read. If that does not come, the gateway stays and keeps all that it has not
//! sent; it never touches a descriptor after it was sent.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg, sockopt,
};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;

use super::carried::{Carried, CarriedState};

/// The first bytes of both sides.
const MARK: [u8; 4] = *b"cstl";

/// The version of everything that is said here. Two processes with different ones replace each other as before: the new
/// one starts, the old one stops, and its clients come back.
const VERSION: u32 = 1;

/// Most connections in one parcel. The kernel takes at most 253 descriptors at a time.
pub const PARCEL_MAX: usize = 64;

/// Longest content of a parcel, in bytes.
const PARCEL_BYTES_MAX: usize = 512 * 1_024 * 1_024;

/// How long one side waits for the other.
///
/// Before the first connections come, the running gateway finishes its requests and parts from its nodes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why another process on the socket is not served.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It belongs to another user.
    #[error("the process at the other end belongs to user {0}, and this one to user {1}")]
    Stranger(u32, u32),
    /// It is no gateway.
    #[error("the process at the other end is no gateway")]
    NoGateway,
    /// It speaks another version.
    #[error(
        "the other gateway hands over in version {0}, and this one in version {VERSION}; start the new one beside it, \
         then stop the old one"
    )]
    Version(u32),
    /// It is gone.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// What is handed over at a time, without the descriptors beside it.
#[derive(Debug, Serialize, Deserialize)]
enum Parcel {
    /// The listener for players, and true if the one for operators follows.
    Listeners {
        operators: bool,
    },
    Connections(Vec<CarriedState>),
    End,
}

/// The listeners of a gateway.
#[derive(Debug)]
pub struct Listeners {
    /// For players.
    pub players: std::net::TcpListener,
    /// For operators, if they have their own.
    pub operators: Option<std::net::TcpListener>,
}

/// The place where a gateway waits for the process that replaces it.
#[derive(Debug)]
pub struct Door(UnixListener);

impl Door {
    /// Listens on a Unix socket that only this user may use. If there is one already, takes its place.
    ///
    /// # Errors
    ///
    /// Any error of the operating system.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut own = path.as_os_str().to_owned();
        own.push(format!(".{}", std::process::id()));
        match fs::remove_file(&own) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&own)?;
        fs::set_permissions(&own, Permissions::from_mode(0o600))?;
        fs::rename(&own, path)?;
        Ok(Self(listener))
    }

    /// Waits for a process that may replace this one.
    pub async fn knock(&self) -> Offer {
        loop {
            let stream = match self.0.accept().await.and_then(|(stream, _)| stream.into_std()) {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a process that wants to replace this one");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            match tokio::task::spawn_blocking(move || Offer::to(stream)).await {
                Ok(Ok(offer)) => return offer,
                Ok(Err(error)) => tracing::error!(%error, "a process may not replace this gateway"),
                Err(error) => tracing::error!(%error, "cannot answer a process that wants to replace this one"),
            }
        }
    }
}

/// The running gateway's end. Its functions block.
#[derive(Debug)]
pub struct Offer(UnixStream);

impl Offer {
    fn to(stream: UnixStream) -> Result<Self, Refused> {
        prepare(&stream)?;
        let heard = read_greeting(&stream);
        // The other one hears our version also if it does not fit.
        (&stream).write_all(&greeting())?;
        heard?;
        Ok(Self(stream))
    }

    /// Hands over the listeners.
    ///
    /// # Errors
    ///
    /// The other process is gone, or does not answer.
    pub fn listeners(&self, listeners: &Listeners) -> io::Result<()> {
        let mut files = vec![listeners.players.as_fd()];
        files.extend(listeners.operators.as_ref().map(AsFd::as_fd));
        self.send(&Parcel::Listeners { operators: listeners.operators.is_some() }, &files)
    }

    /// Hands over connections, at most [`PARCEL_MAX`].
    ///
    /// # Errors
    ///
    /// The other process is gone, or does not answer. Returns the connections, unless it may have got them.
    pub fn connections(&self, mut carried: Vec<Carried>) -> Result<(), (Vec<Carried>, io::Error)> {
        let (streams, states): (Vec<_>, Vec<_>) =
            carried.drain(..).map(|Carried { stream, state }| (stream, state)).unzip();
        let files: Vec<_> = streams.iter().map(AsFd::as_fd).collect();
        let parcel = Parcel::Connections(states);
        let mut is_sent = false;
        let sent = self.try_send(&parcel, &files, &mut is_sent);
        let Parcel::Connections(states) = parcel else { return Ok(()) };
        sent.map_err(|error| {
            let unsent = streams.into_iter().zip(states).filter(|_| !is_sent);
            carried.extend(unsent.map(|(stream, state)| Carried { stream, state }));
            (carried, error)
        })
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    ///
    /// The other process is gone, or does not answer.
    pub fn end(&self) -> io::Result<()> {
        self.send(&Parcel::End, &[])
    }

    fn send(&self, parcel: &Parcel, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.try_send(parcel, files, &mut false)
    }

    /// Notes if the descriptors were sent: then they are not ours any more, whatever happens.
    fn try_send(&self, parcel: &Parcel, files: &[BorrowedFd<'_>], is_sent: &mut bool) -> io::Result<()> {
        let content = serde_json::to_vec(parcel)?;
        let length = u32::try_from(content.len()).map_err(io::Error::other)?.to_le_bytes();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PARCEL_MAX))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(files)) {
            return Err(io::Error::other("too many descriptors for one parcel"));
        }
        let sent = sendmsg(&self.0, &[IoSlice::new(&length)], &mut beside, SendFlags::NOSIGNAL)?;
        *is_sent = true;
        // The descriptors go with the first byte.
        (&self.0).write_all(&length[sent..])?;
        (&self.0).write_all(&content)?;
        (&self.0).read_exact(&mut [0])
    }
}

/// What the new process gets.
#[derive(Debug)]
pub enum Received {
    /// Connections.
    Connections(Vec<Carried>),
    /// That was all.
    End,
}

/// The new process's end. Its functions block.
#[derive(Debug)]
pub struct Arrival(UnixStream);

impl Arrival {
    /// Asks the gateway that waits at a Unix socket, if one does, to hand itself over. Returns its listeners.
    ///
    /// # Errors
    ///
    /// It may not be replaced by this process.
    pub fn ask(path: &Path) -> Result<Option<(Self, Listeners)>, Refused> {
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        prepare(&stream)?;
        (&stream).write_all(&greeting())?;
        read_greeting(&stream)?;
        let arrival = Self(stream);
        let (Parcel::Listeners { operators }, files) = arrival.read()? else { return Err(Refused::NoGateway) };
        let mut files = files.into_iter().map(std::net::TcpListener::from);
        let (Some(players), operators) = (files.next(), if operators { files.next() } else { None }) else {
            return Err(Refused::NoGateway);
        };
        Ok(Some((arrival, Listeners { players, operators })))
    }

    /// Says that the last parcel is here: the other process goes on.
    ///
    /// # Errors
    ///
    /// It is gone.
    pub fn got_it(&self) -> io::Result<()> {
        (&self.0).write_all(&[1])
    }

    /// The next parcel. Answer it with [`Arrival::got_it`].
    ///
    /// # Errors
    ///
    /// The other process is gone.
    pub fn next(&self) -> io::Result<Received> {
        match self.read()? {
            (Parcel::Connections(states), files) if states.len() == files.len() => {
                let carried = files.into_iter().zip(states);
                let carried = carried.map(|(file, state)| Carried { stream: TcpStream::from(file), state });
                Ok(Received::Connections(carried.collect()))
            }
            (Parcel::End, _) => Ok(Received::End),
            _ => Err(io::Error::other("a parcel has too few descriptors, or comes too late")),
        }
    }

    fn read(&self) -> io::Result<(Parcel, Vec<OwnedFd>)> {
        let mut length = [0; 4];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PARCEL_MAX))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let read = recvmsg(&self.0, &mut [IoSliceMut::new(&mut length)], &mut beside, flags)?.bytes;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut files = Vec::new();
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(received) = message {
                files.extend(received);
            }
        }
        (&self.0).read_exact(&mut length[read..])?;
        let length = u32::from_le_bytes(length) as usize;
        if length > PARCEL_BYTES_MAX {
            return Err(io::Error::other("a parcel is longer than any may be"));
        }
        let mut content = vec![0; length];
        (&self.0).read_exact(&mut content)?;
        Ok((serde_json::from_slice(&content)?, files))
    }
}

/// Checks that a process of the same user is at the other end.
fn prepare(stream: &UnixStream) -> Result<(), Refused> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let other = sockopt::socket_peercred(stream).map_err(io::Error::from)?.uid.as_raw();
    is_one_of_us(other, rustix::process::geteuid().as_raw())
}

fn is_one_of_us(other: u32, own: u32) -> Result<(), Refused> {
    if other == own { Ok(()) } else { Err(Refused::Stranger(other, own)) }
}

fn greeting() -> [u8; 8] {
    let mut greeting = [0; 8];
    greeting[..4].copy_from_slice(&MARK);
    greeting[4..].copy_from_slice(&VERSION.to_le_bytes());
    greeting
}

fn read_greeting(mut stream: &UnixStream) -> Result<(), Refused> {
    let mut mark = [0; 4];
    let mut version = [0; 4];
    stream.read_exact(&mut mark)?;
    stream.read_exact(&mut version)?;
    match (mark, u32::from_le_bytes(version)) {
        (MARK, VERSION) => Ok(()),
        (MARK, version) => Err(Refused::Version(version)),
        _ => Err(Refused::NoGateway),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use castellan_protocol::{CharacterId, SessionId, UserId};
    use uuid::Uuid;

    use super::*;
    use crate::auth::Session;
    use crate::config::Role;
    use crate::gateway::carried::{Blob, CarriedPlace};

    fn state(role: Role) -> CarriedState {
        let id = SessionId::from_uuid(Uuid::from_u128(1));
        let user = UserId::from_uuid(Uuid::from_u128(2));
        CarriedState {
            session: Session { id, user, role, expires_at_ms: 3 }.into(),
            address: "2001:db8::1".parse().expect("an address"),
            client: Some(Uuid::from_u128(4)),
            is_json: true,
            wants_changes: true,
            place: CarriedPlace {
                is_new: false,
                watched: vec![(CharacterId::from_uuid(Uuid::from_u128(5)), user)],
                kept: vec![(255, Blob(b"first".to_vec())), (255, Blob(vec![0, 255]))],
            },
            unheard: Blob(b"half a fra".to_vec()),
            unsent: Blob(Vec::new()),
        }
    }

    /// Both ends of a connection.
    fn connection() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let near = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        (near, listener.accept().expect("a connection").0)
    }

    #[test]
    fn listeners_and_connections_arrive_with_their_state() {
        let (here, there) = UnixStream::pair().expect("a pair");
        let listeners = Listeners {
            players: TcpListener::bind("127.0.0.1:0").expect("a port"),
            operators: Some(TcpListener::bind("127.0.0.1:0").expect("a port")),
        };
        let addresses = [&listeners.players, listeners.operators.as_ref().expect("it is there")]
            .map(|listener| listener.local_addr().expect("an address"));
        let ends: Vec<_> = (0..PARCEL_MAX).map(|_| connection()).collect();
        let (mut near, far): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
        let sending = thread::spawn(move || {
            let offer = Offer::to(there).expect("the same user and version");
            offer.listeners(&listeners).expect("they are taken");
            let states = [Role::Player, Role::Game].into_iter().cycle().map(state);
            let carried = far.into_iter().zip(states).map(|(stream, state)| Carried { stream, state });
            offer.connections(carried.collect()).expect("they are taken");
            offer.end().expect("it ends");
        });
        prepare(&here).expect("the same user");
        (&here).write_all(&greeting()).expect("it reads");
        read_greeting(&here).expect("the same version");
        let arrival = Arrival(here);
        let (Parcel::Listeners { operators: true }, files) = arrival.read().expect("listeners") else { panic!() };
        let received =
            files.into_iter().map(TcpListener::from).map(|listener| listener.local_addr().expect("it listens"));
        assert_eq!(received.collect::<Vec<_>>(), addresses);
        arrival.got_it().expect("it waits");
        let Received::Connections(carried) = arrival.next().expect("connections") else { panic!() };
        arrival.got_it().expect("it waits");
        assert!(matches!(arrival.next(), Ok(Received::End)));
        arrival.got_it().expect("it waits");
        sending.join().expect("it ends");
        assert_eq!(carried.len(), PARCEL_MAX);
        for (number, Carried { mut stream, state: arrived }) in carried.into_iter().enumerate() {
            assert_eq!(arrived, state(if number % 2 == 0 { Role::Player } else { Role::Game }));
            // Our own end of this one, although the other process has closed its descriptor.
            stream.write_all(&[7]).expect("it is open");
            let mut byte = [0];
            near[number].read_exact(&mut byte).expect("it is open");
            assert_eq!(byte, [7]);
        }
    }

    #[test]
    fn a_process_of_another_user_is_refused() {
        is_one_of_us(7, 7).expect("the same user");
        let refused = is_one_of_us(8, 7).expect_err("another user");
        assert!(refused.to_string().contains("user 8"), "{refused}");
    }

    #[test]
    fn a_process_of_another_version_is_refused_and_hears_ours() {
        let (here, there) = UnixStream::pair().expect("a pair");
        (&here).write_all(&MARK).expect("it reads");
        (&here).write_all(&(VERSION + 1).to_le_bytes()).expect("it reads");
        let refused = Offer::to(there).expect_err("another version");
        assert!(matches!(refused, Refused::Version(version) if version == VERSION + 1), "{refused}");
        read_greeting(&here).expect("ours");

        let (here, there) = UnixStream::pair().expect("a pair");
        (&here).write_all(b"GET / HTTP/1.1\r\n").expect("it reads");
        assert!(matches!(Offer::to(there), Err(Refused::NoGateway)));
    }

    #[tokio::test]
    async fn only_the_user_may_use_the_socket_and_a_newer_one_takes_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gateway.sock");
        assert!(matches!(Arrival::ask(&path), Ok(None)), "nobody is there");
        let _old = Door::open(&path).expect("a socket");
        let _new = Door::open(&path).expect("another one");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
