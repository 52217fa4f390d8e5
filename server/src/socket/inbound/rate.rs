//! The rate of a connection's frames.

use std::time::Duration;

use castellan_game::Game;

use super::Inbound;
use crate::socket::end::End;

impl<G: Game> Inbound<G> {
    /// Counts a WebSocket frame of any kind. Returns how long the client must wait if it was above the rate.
    ///
    /// # Errors
    ///
    /// The end, if the client keeps sending above its rate.
    pub(in crate::socket) fn count(&mut self) -> Result<Option<Duration>, End> {
        match self.bucket.take(&self.context.settings.rate, self.now) {
            Ok(()) => Ok(None),
            Err(wait) => self.special.get_or_insert_default().excess.exceeds(wait, self.now),
        }
    }

    /// Counts a frame that asks for nothing, on top of [`Inbound::count`]: see
    /// [`Excess::count_chatter`](crate::socket::meter::Excess::count_chatter).
    ///
    /// # Errors
    ///
    /// As [`Inbound::count`].
    #[cold]
    pub(in crate::socket) fn count_chatter(&mut self) -> Result<Option<Duration>, End> {
        self.special.get_or_insert_default().excess.count_chatter(&self.context.settings, self.now)
    }
}
