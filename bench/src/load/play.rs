//! Play of any length: every answer is noted, and a lost connection does not end it.

use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Error, Result};
use rustix::event::epoll;

use super::{Load, Round, Schedule, Tally, nanoseconds};

/// Longest time until it is noticed that the play is over.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// The players' side of a play.
#[derive(Debug)]
pub(crate) struct Played {
    /// The moment from which the answers count their times.
    pub(crate) began: Instant,
    /// All answers, in the order of their arrival.
    pub(crate) answers: Vec<Answer>,
    /// Why connections were lost, one reason each.
    pub(crate) lost: Vec<String>,
    /// Intents that lost connections had sent, and that a client would have to send again.
    pub(crate) unanswered: usize,
}

/// An answer. Times are in nanoseconds since the start of the load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// The number of its connection.
    pub(crate) connection: usize,
    /// When its intent was due.
    pub(crate) due: u64,
    /// When it arrived.
    pub(crate) at: u64,
}

impl Load {
    /// Sends one intent per connection and period until `is_over`, and waits for the last answers.
    ///
    /// # Errors
    ///
    /// A missing answer.
    pub(crate) fn play(&mut self, period: Duration, is_over: &AtomicBool) -> Result<Played> {
        let played = Played { began: self.began, answers: Vec::new(), lost: Vec::new(), unanswered: 0 };
        let tally = Tally::new(Duration::ZERO);
        let mut round = Round { from: 0, until: u64::MAX, refills: false, unanswered: 0, tally, played: Some(played) };
        self.fill(&mut round, 1)?;
        let mut schedule = Schedule::new(self.now(), period, self.paced());
        while !is_over.load(Ordering::Relaxed) {
            let look_at = self.now() + nanoseconds(LOOK_PERIOD);
            let wake_at = self.send_due(&mut schedule, &mut round)?.min(look_at);
            self.hear_all(&mut round, wake_at)?;
        }
        self.finish(&mut round)?;
        Ok(round.played.take().expect("a play notes its answers"))
    }

    /// Goes on without a connection, or returns its error if the round does not allow that.
    pub(super) fn lose(&mut self, index: usize, round: &mut Round, error: Error) -> Result<()> {
        let Some(played) = &mut round.played else { return Err(error) };
        let connection = &mut self.connections[index];
        let unanswered = connection.stamps.drain(..).flatten().count();
        round.unanswered -= unanswered;
        played.unanswered += unanswered;
        played.lost.push(format!("{error:#}"));
        connection.is_lost = true;
        epoll::delete(&self.epoll, connection.stream.socket())?;
        // An error means that it has already ended.
        let _ = connection.stream.socket().shutdown(Shutdown::Both);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener, TcpStream};
    use std::thread;

    use castellan_srd::wire::{CharacterId, UserId};
    use uuid::Uuid;

    use super::*;
    use crate::frame::{APPLIED, take};
    use crate::load::{Player, Target, few_addresses};

    /// Accepts a connection and its upgrade.
    fn accept(listener: &TcpListener) -> TcpStream {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("an upgrade");
            request.extend(byte);
        }
        stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").expect("sent");
        stream
    }

    #[test]
    fn a_lost_connection_is_counted_with_its_intents_and_the_others_play_on() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let nobody = Player {
            token: String::new(),
            user: UserId::from_uuid(Uuid::from_u128(1)),
            character: CharacterId::from_uuid(Uuid::from_u128(1)),
        };
        let is_over = AtomicBool::new(false);
        let played = thread::scope(|scope| {
            let is_over = &is_over;
            scope.spawn(move || {
                let (lost, mut kept) = (accept(&listener), accept(&listener));
                // Closed after its first intent has arrived: it is never answered.
                lost.peek(&mut [0]).expect("an intent");
                drop(lost);
                let answer = [&[0x82, APPLIED.len() as u8], APPLIED].concat();
                let (mut bytes, mut chunk, mut answers) = (Vec::new(), [0; 4096], 0);
                while let Ok(read @ 1..) = kept.read(&mut chunk) {
                    bytes.extend_from_slice(&chunk[..read]);
                    let mut rest = bytes.as_slice();
                    while take(&mut rest).expect("a frame").is_some() {
                        answers += 1;
                        kept.write_all(&answer).expect("sent");
                    }
                    bytes = rest.to_vec();
                    if answers >= 3 {
                        is_over.store(true, Ordering::Relaxed);
                    }
                }
            });
            let target = Target { address, trust: None, source: few_addresses, is_castellan: false, ack: None };
            let mut load = Load::connect(target, &[nobody.clone(), nobody]).expect("connections");
            load.play(Duration::from_millis(50), is_over).expect("a play")
        });
        assert_eq!((played.lost.len(), played.unanswered), (1, 1), "{:?}", played.lost);
        assert!(played.answers.len() >= 3);
        assert!(played.answers.iter().all(|answer| answer.connection == 1 && answer.at >= answer.due));
    }
}
