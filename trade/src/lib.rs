//! Gifts and trades: goods that leave one character and enter another.
//!
//! There is no lock over two characters, and no transaction over two rows. Every step changes one character, and is
//! stored in that character's own row: in its [`Books`]. The goods of a *parcel* take four steps; the last two only clear
//! up:
//!
//! ```text
//!   sender's row                                     receiver's row
//!
//!   1 send: goods out, parcel in  ── stored ──▶  2 receive: goods in, or not; receipt in
//!   3 settle: parcel out; goods in, ◀── stored ──┘
//!     if some come back           ── stored ──▶  4 forget: receipt out
//! ```
//!
//! Neither side believes the other. What a side does next depends on its own books and on what it has *read in the
//! database* of the other's ([`Books::tasks`]). A message between them is only a hint to look again, so it may get lost,
//! come late or come twice.
//!
//! A **gift** is a parcel. A **trade** is one too: the first player *offers*, which takes the goods out of the character
//! and holds them in its books. The second player *accepts* by sending a parcel with what is wanted, in the name of the
//! offer. If the offer is still open, its owner takes the parcel, and the receipt carries what was held: the sender gets
//! that when it settles. So a trade happens in one change of one row. A parcel that comes too late goes back.
//!
//! `docs/trades.md` has the rules and what happens without each of them. `model/` drives this code through every order of
//! steps, commits and crashes of two and three characters.
//!
//! `C` is the id of a character, `G` are goods.

mod books;

pub use books::{Accepts, Books, NoPlace, Offer, Parcel, Receipt, Task};

/// Most parcels that a character may have sent and not settled, with the goods that wait until they fit.
pub const SENT_MAX: usize = 16;

/// Most offers of a character that are open, with the goods that wait until they fit.
pub const OFFERS_MAX: usize = 16;

/// Most receipts that a character keeps. Further parcels wait at their senders until some are forgotten.
pub const RECEIPTS_MAX: usize = 64;

/// Most receipts for parcels of the same sender.
pub const RECEIPTS_OF_ONE_MAX: usize = 8;
