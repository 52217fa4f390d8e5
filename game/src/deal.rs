//! Gifts and trades, as an action asks for them.

use castellan_protocol::CharacterId;

/// A gift, or a step of a trade. The authority carries it out: no game needs to know what becomes of the goods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deal<'a, G> {
    /// Gives goods away.
    Give {
        /// The receiver.
        to: CharacterId,
        /// The goods.
        goods: &'a G,
    },
    /// Holds goods for somebody who gives others for them.
    Offer {
        /// The only character that may accept; `None` if everybody may.
        to: Option<CharacterId>,
        /// The goods that it holds.
        gives: &'a G,
        /// The goods that it wants.
        wants: &'a G,
        /// How long it is open, in seconds: 1 to [`OFFER_SECONDS_MAX`].
        seconds: i64,
    },
    /// Accepts an offer.
    Accept {
        /// The owner of the offer.
        from: CharacterId,
        /// The number of the offer.
        offer: u64,
        /// The goods that it wants.
        gives: &'a G,
        /// The goods that it holds. If it holds others, nothing happens.
        gets: &'a G,
    },
    /// Ends an own offer.
    Cancel {
        /// The number of the offer.
        offer: u64,
    },
}

/// How long an offer may be open, in seconds: 30 days.
pub const OFFER_SECONDS_MAX: i64 = 30 * 24 * 60 * 60;

impl<G> Deal<'_, G> {
    /// The character that must exist for it.
    pub fn other(&self) -> Option<CharacterId> {
        match *self {
            Self::Give { to, .. } => Some(to),
            Self::Offer { to, .. } => to,
            Self::Accept { from, .. } => Some(from),
            Self::Cancel { .. } => None,
        }
    }
}
