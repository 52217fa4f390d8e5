//! Turns typed lines into actions.

mod deals;

use std::collections::BTreeMap;

use castellan_srd::wire::{
    Ability, Action, AddCondition, AddItem, Attune, BuyItem, EndAttunement, EquipItem, GainExperience,
    GrantTemporaryHitpoints, HitPointChoice, LevelUp, LongRest, ModifyCurrency, ModifyHitpoints, RemoveCondition,
    RemoveItem, Rename, Revive, RollDeathSave, SellItem, ShortRest, Slot, Stabilize, UnequipItem, UseItem,
    decode_action,
};

/// The list of commands.
pub(super) const HELP: &str = "\
\x20 hurt N [critical]   heal N          temp N              damage, healing, temporary hit points
  save                stabilize       revive N            death saves and revival
  equip ITEM [SLOT]   unequip SLOT    attune ITEM         end-attunement ITEM
  add ITEM [N]        remove ITEM [N] use ITEM            the inventory
  buy ITEM [N]        sell ITEM [N]   earn N COIN         pay N COIN    (cp sp ep gp pp)
  xp N                level [roll] [str=1 dex=1]          rest short [DICE]   rest long
  condition NAME      cure NAME       rename NAME
  give ID [N] ITEM|COIN                   offer N THING for N THING [to ID]
  accept NUMBER of ID N THING for N THING                     cancel NUMBER
  show                the whole sheet                     {\"modify_hitpoints\": {\"delta\": -1}}   any action as JSON
  help                quit";

/// A parsed line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Act(Action),
    Show,
    Help,
    Quit,
    /// An empty line, or a comment.
    Nothing,
}

/// Parses a line. The error is a message for the player.
pub(super) fn parse(line: &str) -> Result<Command, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(Command::Nothing);
    }
    if line.starts_with('{') {
        let value = serde_json::from_str(line).map_err(|error| format!("not JSON: {error}"))?;
        return decode_action(&value).map(Command::Act).map_err(|(code, message)| format!("{code}: {message}"));
    }
    let words: Vec<_> = line.split_whitespace().collect();
    match words.as_slice() {
        ["show"] => Ok(Command::Show),
        ["help" | "?"] => Ok(Command::Help),
        ["quit" | "exit"] => Ok(Command::Quit),
        [name, rest @ ..] => action(name, rest).map(Command::Act),
        [] => Ok(Command::Nothing),
    }
}

fn action(name: &str, rest: &[&str]) -> Result<Action, String> {
    let item =
        || rest.first().map(|item| (*item).to_owned()).ok_or_else(|| format!("{name}: which one? give its name"));
    let amount = || number(name, rest.first().copied());
    let quantity = || rest.get(1).map_or(Ok(1), |text| number(name, Some(text)));
    let most =
        |count: usize| rest.get(count).map_or(Ok(()), |word| Err(format!("{name}: unexpected `{word}`; try help")));
    Ok(match name {
        "hurt" => {
            let critical = match rest.get(1) {
                None => false,
                Some(&"critical") => true,
                Some(word) => return Err(format!("hurt: unexpected `{word}`; only `critical` may follow the number")),
            };
            Action::ModifyHitpoints(ModifyHitpoints { delta: -amount()?, critical })
        }
        "heal" => most(1).and(Ok(Action::ModifyHitpoints(ModifyHitpoints { delta: amount()?, critical: false })))?,
        "temp" => Action::GrantTemporaryHitpoints(GrantTemporaryHitpoints { amount: amount()? }),
        "save" => most(0).and(Ok(Action::RollDeathSave(RollDeathSave {})))?,
        "stabilize" => most(0).and(Ok(Action::Stabilize(Stabilize {})))?,
        "revive" => Action::Revive(Revive { hitpoints: amount()? }),
        "equip" => {
            Action::EquipItem(EquipItem { item: item()?, slot: rest.get(1).map(|word| slot(word)).transpose()? })
        }
        "unequip" => Action::UnequipItem(UnequipItem { slot: slot(&item()?)? }),
        "attune" => Action::Attune(Attune { item: item()? }),
        "end-attunement" => Action::EndAttunement(EndAttunement { item: item()? }),
        "add" => Action::AddItem(AddItem { item: item()?, quantity: quantity()? }),
        "remove" => Action::RemoveItem(RemoveItem { item: item()?, quantity: quantity()? }),
        "use" => Action::UseItem(UseItem { item: item()? }),
        "buy" => Action::BuyItem(BuyItem { item: item()?, quantity: quantity()? }),
        "sell" => Action::SellItem(SellItem { item: item()?, quantity: quantity()? }),
        "earn" => coins(name, amount()?, rest.get(1))?,
        "pay" => coins(name, -amount()?, rest.get(1))?,
        "xp" => Action::GainExperience(GainExperience { amount: amount()? }),
        "level" => level(rest)?,
        "rest" => match rest {
            ["long"] => Action::LongRest(LongRest {}),
            ["short"] => Action::ShortRest(ShortRest { hit_dice: 0 }),
            ["short", dice] => Action::ShortRest(ShortRest { hit_dice: number("rest short", Some(dice))? }),
            _ => return Err("rest: use `rest long` or `rest short DICE`".to_owned()),
        },
        "condition" => Action::AddCondition(AddCondition { condition: item()? }),
        "cure" => Action::RemoveCondition(RemoveCondition { condition: item()? }),
        "rename" => Action::Rename(Rename { name: rest.join(" ") }),
        "give" | "offer" | "accept" | "cancel" => deals::parse(name, rest)?,
        _ => return Err(format!("`{name}` is not a command; try help")),
    })
}

fn number(command: &str, text: Option<&str>) -> Result<i64, String> {
    let text = text.ok_or_else(|| format!("{command}: how many? give a number"))?;
    let number: u32 = text.parse().map_err(|_| format!("{command}: `{text}` is not a whole number"))?;
    Ok(i64::from(number))
}

fn slot(word: &str) -> Result<Slot, String> {
    Slot::from_name(word).ok_or_else(|| {
        let all: Vec<_> = Slot::ALL.iter().map(|slot| slot.as_str()).collect();
        format!("`{word}` is not a slot; use one of {}", all.join(", "))
    })
}

fn coins(command: &str, amount: i64, coin: Option<&&str>) -> Result<Action, String> {
    let of = |name| (coin.copied().unwrap_or("gp") == name).then_some(amount);
    let modify = ModifyCurrency { cp: of("cp"), sp: of("sp"), ep: of("ep"), gp: of("gp"), pp: of("pp") };
    let none = ModifyCurrency { cp: None, sp: None, ep: None, gp: None, pp: None };
    if modify == none {
        Err(format!("{command}: unknown coin; use cp, sp, ep, gp or pp"))
    } else {
        Ok(Action::ModifyCurrency(modify))
    }
}

fn level(rest: &[&str]) -> Result<Action, String> {
    let mut hitpoints = HitPointChoice::Average;
    let mut abilities = BTreeMap::new();
    for word in rest {
        match word.split_once('=') {
            None if *word == "roll" => hitpoints = HitPointChoice::Roll,
            None if *word == "average" => hitpoints = HitPointChoice::Average,
            None => return Err(format!("level: unexpected `{word}`; use roll, average or an ability such as str=1")),
            Some((name, points)) => {
                let ability = Ability::from_name(name)
                    .ok_or_else(|| format!("level: `{name}` is not an ability; use str, dex, con, int, wis or cha"))?;
                abilities.insert(ability, number("level", Some(points))?);
            }
        }
    }
    let abilities = (!abilities.is_empty()).then_some(abilities);
    Ok(Action::LevelUp(LevelUp { hitpoints, abilities }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a line against its action as JSON, or against a part of its error.
    fn check(line: &str, expected: Result<&str, &str>) {
        match (parse(line), expected) {
            (Ok(Command::Act(action)), Ok(json)) => {
                assert_eq!(serde_json::to_string(&action).expect("an action is JSON"), json, "{line}");
            }
            (Err(said), Err(words)) => assert!(said.contains(words), "{line}: {said}"),
            (found, expected) => panic!("{line}: {found:?}, not {expected:?}"),
        }
    }

    #[test]
    fn a_line_becomes_an_action() {
        check("hurt 10", Ok(r#"{"modify_hitpoints":{"delta":-10}}"#));
        check("  hurt  3   critical ", Ok(r#"{"modify_hitpoints":{"delta":-3,"critical":true}}"#));
        check("heal 5", Ok(r#"{"modify_hitpoints":{"delta":5}}"#));
        check("equip chain-mail", Ok(r#"{"equip_item":{"item":"chain-mail"}}"#));
        check("equip dagger off_hand", Ok(r#"{"equip_item":{"item":"dagger","slot":"off_hand"}}"#));
        check("buy longsword", Ok(r#"{"buy_item":{"item":"longsword","quantity":1}}"#));
        check("sell arrow 20", Ok(r#"{"sell_item":{"item":"arrow","quantity":20}}"#));
        check("pay 3 sp", Ok(r#"{"modify_currency":{"sp":-3}}"#));
        check("earn 3", Ok(r#"{"modify_currency":{"gp":3}}"#));
        check("level roll str=1 cha=1", Ok(r#"{"level_up":{"hitpoints":"roll","abilities":{"str":1,"cha":1}}}"#));
        check("rest short 2", Ok(r#"{"short_rest":{"hit_dice":2}}"#));
        check("rename Brannor the Bold", Ok(r#"{"rename":{"name":"Brannor the Bold"}}"#));
        let id = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
        let given = format!(r#"{{"give":{{"to":"{id}","goods":{{"currency":{{"gp":3}}}}}}}}"#);
        check(&format!("give {id} 3 gp"), Ok(&given));
        let offered = r#"{"offer":{"gives":{"items":{"club":1}},"wants":{"currency":{"sp":2}},"seconds":3600}}"#;
        check("offer club for 2 sp", Ok(offered));
        let accepted = format!(
            r#"{{"accept":{{"from":"{id}","offer":7,"gives":{{"currency":{{"sp":2}}}},"gets":{{"items":{{"club":1}}}}}}}}"#
        );
        check(&format!("accept 7 of {id} 2 sp for club"), Ok(&accepted));
        check("cancel 7", Ok(r#"{"cancel":{"offer":7}}"#));
        check(r#"{"stabilize": {}}"#, Ok(r#"{"stabilize":{}}"#));
    }

    #[test]
    fn an_error_names_the_wrong_word() {
        check("dance", Err("`dance` is not a command"));
        check("hurt", Err("how many"));
        check("hurt much", Err("`much` is not a whole number"));
        check("hurt -5", Err("`-5` is not a whole number"));
        check("heal 5 6", Err("unexpected `6`"));
        check("equip dagger tail", Err("main_hand"));
        check("pay 3 euros", Err("unknown coin"));
        check("give ada 3 gp", Err("`ada` is not the id of a character"));
        check("give f81d4fae-7dec-11d0-a765-00a0c91e6bf6", Err("name one thing"));
        check("offer club", Err("say what it is for"));
        check("accept 7", Err("try help"));
        check("level luck=1", Err("not an ability"));
        check("{", Err("not JSON"));
        check(r#"{"dance": {}}"#, Err("unknown_action"));
        check(r#"{"add_item": {"item": "arrow"}}"#, Err("quantity"));
    }

    #[test]
    fn other_lines_are_commands_or_ignored() {
        assert_eq!(parse("show"), Ok(Command::Show));
        assert_eq!(parse("?"), Ok(Command::Help));
        assert_eq!(parse("quit"), Ok(Command::Quit));
        assert_eq!(parse("  # a comment"), Ok(Command::Nothing));
    }
}
