//! A duel with cards: the smallest game that needs dice, a hand, and a rule that says no.
//!
//! A duellist holds three cards and plays one at a time. It strikes the foe for its value; the foe strikes back with
//! 1d6; a new card is drawn. `docs/your-own-game.md` walks through this file.

use std::collections::BTreeMap;
use std::path::Path;

use castellan_game::{Amounts, Corrupt, Deal, Dice, Game, Goods, RuleFiles, RuleOptions, Touched, Violation};
use castellan_protocol::wire::{Cursor, Wire};
use castellan_protocol::{CharacterId, GameTypes, actions, rejection_codes, wire_map};
use serde::{Deserialize, Serialize};

actions! {
    /// What a duellist may do.
    Action {
        /// Plays a card of the hand.
        "play" => Play(Play),
        /// Begins the next duel.
        "challenge" => Challenge(Challenge),
        /// Gives cards to another duellist.
        "give" => Give(Give),
        /// Offers cards for others.
        "offer" => Offer(Offer),
        /// Accepts an offer.
        "accept" => Accept(Accept),
        /// Ends an own offer.
        "cancel" => Cancel(Cancel),
    }
}

wire_map! {
    /// Fields of `play`.
    action Play {
        /// The card's place in the hand, from 0.
        card: i64,
    }
}

wire_map! {
    /// `challenge` has no fields.
    action Challenge {}
}

wire_map! {
    /// Fields of `give`.
    action Give {
        /// The receiver.
        to: CharacterId,
        /// The cards.
        cards: Cards,
    }
}

wire_map! {
    /// Fields of `offer`.
    action Offer {
        /// The only duellist that may accept; if it is missing, everybody may.
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<CharacterId>,
        /// The cards that it holds.
        gives: Cards,
        /// The cards that it wants.
        wants: Cards,
        /// How long it is open.
        seconds: i64,
    }
}

wire_map! {
    /// Fields of `accept`.
    action Accept {
        /// The duellist that has made the offer.
        from: CharacterId,
        /// The number of the offer.
        offer: i64,
        /// The cards that it wants.
        gives: Cards,
        /// The cards that it holds.
        gets: Cards,
    }
}

wire_map! {
    /// Fields of `cancel`.
    action Cancel {
        /// The number of the offer.
        offer: i64,
    }
}

wire_map! {
    /// What a client sends to make a duellist.
    action NewDuellist {
        /// 1 to 40 bytes.
        name: String,
    }
}

/// The codes that only this game has.
pub mod code {
    super::rejection_codes! {
        /// There is no such card in the hand.
        "no_such_card" => NO_SUCH_CARD,
        /// The duel is over; challenge somebody.
        "duel_is_over" => DUEL_IS_OVER,
        /// The duel is not over.
        "duel_goes_on" => DUEL_GOES_ON,
    }
}

/// Points of life at the start of a duel.
const LIFE: i64 = 20;

/// The cards that a new duellist holds.
const FIRST_HAND: [u8; 3] = [3, 5, 8];

/// Most cards in a hand.
const HAND_MAX: usize = 10;

/// Cards that leave one hand for another: how many of each value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cards(pub BTreeMap<String, i64>);

impl Goods for Cards {
    fn amounts(&self) -> Amounts {
        self.0.iter().map(|(card, count)| (card.clone(), u64::try_from(*count).unwrap_or_default())).collect()
    }
}

/// On the wire it is the map alone.
impl<'de> Wire<'de> for Cards {
    fn read<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::read(deserializer).map(Self)
    }

    fn quick(cursor: &mut Cursor<'de>) -> Option<Self> {
        BTreeMap::quick(cursor).map(Self)
    }
}

impl Cards {
    /// The value of each card.
    fn values(&self) -> Result<Vec<u8>, Violation> {
        let mut values = Vec::new();
        for (name, count) in &self.0 {
            let value = name.parse().ok().filter(|value: &u8| value.to_string() == *name);
            let value = value.ok_or_else(|| Violation::new(code::NO_SUCH_CARD, "cards: there is no such card"))?;
            let count = usize::try_from(*count).ok().filter(|count| (1..=HAND_MAX).contains(count));
            let count = count.ok_or_else(|| Violation::malformed("cards: 1 to 10 of each value"))?;
            values.resize(values.len() + count, value);
        }
        if values.is_empty() { Err(Violation::malformed("cards: at least one")) } else { Ok(values) }
    }
}

/// A duellist and the present duel.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Duellist {
    name: String,
    hand: Vec<u8>,
    life: i64,
    foe: i64,
    wins: i64,
    dice_rolled: u64,
}

castellan_game::fields! {
    /// A duellist, as clients see it.
    pub struct Sheet, of Duellist, derived ();
    struct Row, restored into Duellist;
    kept {
        /// 1 to 40 bytes.
        name: String = name,
    }
    fresh {
        /// The values of the cards in the hand.
        hand: Vec<u8> = hand,
        /// Points of life; 0 or less: lost.
        life: i64 = life [-LIFE..=LIFE],
        /// The foe's points of life; 0 or less: won.
        foe: i64 = foe [-LIFE..=LIFE],
        /// Duels won.
        wins: i64 = wins [0..=i64::MAX],
    }
    ;
    shown {}
    stored {
        /// Dice rolled so far.
        dice_rolled: u64 = dice_rolled,
    }
}

impl Duellist {
    fn is_over(&self) -> bool {
        self.life <= 0 || self.foe <= 0
    }

    fn play(&mut self, card: i64, dice: &mut Dice<'_>) -> Result<(), Violation> {
        if self.is_over() {
            return Err(Violation::new(code::DUEL_IS_OVER, "the duel is over; challenge somebody"));
        }
        let place = usize::try_from(card).ok().filter(|place| *place < self.hand.len());
        let place = place.ok_or_else(|| Violation::new(code::NO_SUCH_CARD, "card: there is no card at this place"))?;
        self.foe -= i64::from(self.hand[place]);
        if self.foe > 0 {
            self.life -= dice.roll(6);
        } else {
            self.wins += 1;
        }
        self.hand[place] = u8::try_from(dice.roll(10)).expect("a d10");
        Ok(())
    }
}

/// The game.
#[derive(Debug)]
pub struct Duel;

impl GameTypes for Duel {
    type Action = Action;
    type Creation = NewDuellist;
    type Sheet = Sheet;
}

impl Game for Duel {
    type State = Duellist;
    type Derived = ();
    type Rules = ();
    type Goods = Cards;

    const SCHEMA_VERSION: i32 = 1;

    fn rule_files(_: Option<&Path>) -> Result<RuleFiles, String> {
        Ok(RuleFiles::new())
    }

    fn read_rules(_: &RuleFiles, _: &RuleOptions) -> Result<(), String> {
        Ok(())
    }

    fn catalogue((): &()) -> Vec<u8> {
        format!(r#"{{"life": {LIFE}, "cards": [1, 10]}}"#).into_bytes()
    }

    fn revision((): &()) -> &str {
        "1"
    }

    fn create((): &(), wanted: &NewDuellist) -> Result<Duellist, Violation> {
        if !(1..=40).contains(&wanted.name.len()) {
            return Err(Violation::malformed("name: must have 1 to 40 bytes"));
        }
        let hand = FIRST_HAND.to_vec();
        Ok(Duellist { name: wanted.name.clone(), hand, life: LIFE, foe: LIFE, ..Duellist::default() })
    }

    fn apply((): &(), state: &mut Duellist, action: &Action, dice: &mut Dice<'_>) -> Result<Touched, Violation> {
        let mut next = state.clone();
        match action {
            Action::Play(fields) => next.play(fields.card, dice)?,
            Action::Challenge(_) if !next.is_over() => {
                return Err(Violation::new(code::DUEL_GOES_ON, "finish this duel first"));
            }
            Action::Challenge(_) => (next.life, next.foe) = (LIFE, LIFE),
            Action::Give(_) | Action::Offer(_) | Action::Accept(_) | Action::Cancel(_) => {
                return Err(Violation::malformed("gifts and trades are no rules of the duel"));
            }
        }
        next.dice_rolled += dice.rolled();
        *state = next;
        Ok(Touched::Fresh)
    }

    fn deal(action: &Action) -> Option<Deal<'_, Cards>> {
        let number = |offer: i64| u64::try_from(offer).unwrap_or_default();
        match action {
            Action::Give(Give { to, cards }) => Some(Deal::Give { to: *to, goods: cards }),
            Action::Offer(Offer { to, gives, wants, seconds }) => {
                Some(Deal::Offer { to: *to, gives, wants, seconds: *seconds })
            }
            Action::Accept(Accept { from, offer, gives, gets }) => {
                Some(Deal::Accept { from: *from, offer: number(*offer), gives, gets })
            }
            Action::Cancel(Cancel { offer }) => Some(Deal::Cancel { offer: number(*offer) }),
            Action::Play(_) | Action::Challenge(_) => None,
        }
    }

    fn check_wanted((): &(), cards: &Cards) -> Result<(), Violation> {
        cards.values().map(|_| ())
    }

    fn holdings(state: &Duellist) -> Amounts {
        let mut cards = Amounts::new();
        for card in &state.hand {
            *cards.entry(card.to_string()).or_default() += 1;
        }
        cards
    }

    fn take_out((): &(), state: &mut Duellist, cards: &Cards) -> Result<Touched, Violation> {
        let mut hand = state.hand.clone();
        for value in cards.values()? {
            let place = hand.iter().position(|card| *card == value);
            hand.remove(place.ok_or_else(|| Violation::new(code::NO_SUCH_CARD, "cards: not in the hand"))?);
        }
        state.hand = hand;
        Ok(Touched::Fresh)
    }

    fn put_in((): &(), state: &mut Duellist, cards: &Cards) -> Result<Touched, Violation> {
        let values = cards.values()?;
        if state.hand.len() + values.len() > HAND_MAX {
            return Err(Violation::limit("cards: a hand holds at most 10"));
        }
        state.hand.extend(values);
        Ok(Touched::Fresh)
    }

    fn dice_rolled(state: &Duellist) -> u64 {
        state.dice_rolled
    }

    fn derive((): &(), _: &Duellist, (): &mut ()) {}

    fn name(state: &Duellist) -> &str {
        &state.name
    }

    fn restore(_: i32, stored: &str) -> Result<Duellist, Corrupt> {
        serde_json::from_str::<Row>(stored)?.restore()
    }
}
