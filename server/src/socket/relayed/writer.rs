//! Writes the frames of one connection onto its link.

use castellan_protocol::Codec;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::link::{Address, InPlace, LinkStream};
use crate::shard::Refusal;
use crate::socket::outbound::Frames;

/// Writes frames of one kind.
pub(super) struct Writer<'a, IO> {
    stream: &'a mut LinkStream<IO>,
    what: InPlace,
    address: Address,
    /// Present if a request can go back to its gateway: true once it must.
    goes_back: Option<bool>,
}

impl<'a, IO> Writer<'a, IO> {
    /// Writes the answer to a frame, which can go back.
    pub(super) fn to_frame(stream: &'a mut LinkStream<IO>, address: Address) -> Self {
        Self { stream, what: InPlace::Answer, address, goes_back: Some(false) }
    }

    /// Writes something else, or the answer to a frame that was applied before.
    pub(super) fn of(what: InPlace, stream: &'a mut LinkStream<IO>, address: Address) -> Self {
        Self { stream, what, address, goes_back: None }
    }

    /// True if the shard refused the request because it leaves or is lost. Nothing was written.
    pub(super) fn goes_back(&self) -> bool {
        self.goes_back == Some(true)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Frames for Writer<'_, IO> {
    fn begin_frame(&mut self) -> &mut Vec<u8> {
        self.stream.begin(self.what, self.address)
    }

    fn end_frame(&mut self, _: Codec) {
        self.stream.end();
    }

    fn take_back_frame(&mut self) {
        self.stream.take_back();
    }

    fn hands_back(&mut self, refusal: &Refusal) -> bool {
        match &mut self.goes_back {
            Some(goes_back) if refusal.is_shard_lost() => {
                *goes_back = true;
                true
            }
            _ => false,
        }
    }
}
