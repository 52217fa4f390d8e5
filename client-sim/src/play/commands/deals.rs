//! The commands for gifts and trades.

use std::collections::BTreeMap;

use castellan_srd::wire::{Accept, Action, Cancel, CharacterId, Coin, Give, Goods, Offer};

/// How long an offer is open, in seconds: an hour.
const OPEN_SECONDS: i64 = 3_600;

pub(super) fn parse(name: &str, rest: &[&str]) -> Result<Action, String> {
    match (name, rest) {
        ("give", [to, goods @ ..]) => Ok(Action::Give(Give { to: character(to)?, goods: read(goods)? })),
        ("offer", [rest @ .., "to", to]) => offer(rest, Some(character(to)?)),
        ("offer", rest) => offer(rest, None),
        ("accept", [number, "of", from, rest @ ..]) => {
            let (gives, gets) = both(rest)?;
            Ok(Action::Accept(Accept {
                from: character(from)?,
                offer: super::number(name, Some(number))?,
                gives,
                gets,
            }))
        }
        ("cancel", [number]) => Ok(Action::Cancel(Cancel { offer: super::number(name, Some(number))? })),
        _ => Err(format!("{name}: that is not how it is used; try help")),
    }
}

fn offer(rest: &[&str], to: Option<CharacterId>) -> Result<Action, String> {
    let (gives, wants) = both(rest)?;
    Ok(Action::Offer(Offer { to, gives, wants, seconds: OPEN_SECONDS }))
}

fn character(id: &str) -> Result<CharacterId, String> {
    id.parse().map_err(|_| format!("`{id}` is not the id of a character"))
}

/// Goods on both sides of `for`.
fn both(words: &[&str]) -> Result<(Goods, Goods), String> {
    let middle = words.iter().position(|word| *word == "for");
    let middle = middle.ok_or("say what it is for, as in `offer 2 gp for 1 club`")?;
    Ok((read(&words[..middle])?, read(&words[middle + 1..])?))
}

/// `3 gp`, `20 arrow`, or `club`.
fn read(words: &[&str]) -> Result<Goods, String> {
    let (count, name) = match words {
        [name] => (1, name),
        [count, name] => (super::number("goods", Some(count))?, name),
        _ => return Err("name one thing, as in `3 gp`, `20 arrow` or `club`".to_owned()),
    };
    Ok(match Coin::from_name(name) {
        Some(coin) => Goods { currency: [(coin, count)].into(), items: BTreeMap::new() },
        None => Goods { items: [((*name).to_owned(), count)].into(), currency: BTreeMap::new() },
    })
}
