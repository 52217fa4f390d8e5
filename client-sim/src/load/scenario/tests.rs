use super::*;

/// A valid group with additional lines.
fn one(extra: &str) -> String {
    format!("[[group]]\nname = \"a\"\n{extra}\n[group.weights]\nheal = 1\n")
}

/// Checks that an invalid file's error contains some words.
fn refused(text: &str, words: &[&str]) {
    let error = Scenario::parse("test", text).expect_err(text);
    for word in words {
        assert!(error.contains(word), "`{word}` is not in:\n{error}\nfor\n{text}");
    }
}

#[test]
fn every_built_in_scenario_is_valid() {
    for (name, _) in DELIVERED {
        let scenario = Scenario::delivered(name).expect("built in").expect("valid");
        assert_eq!((scenario.name.as_str(), scenario.description.is_empty()), (name, false));
        let seats = seats(&scenario, 100).expect("all players have a seat");
        assert_eq!(seats.len(), 100, "{name}");
    }
    assert!(Scenario::delivered("none").is_none());
}

#[test]
fn missing_fields_come_from_the_scenario_in_like() {
    let text = "[[group]]\nname = \"a\"\nlike = \"raid\"\nintents_per_second = 7.5\n";
    let raid = Scenario::delivered("raid").expect("delivered").expect("good").groups.remove(0).conduct;
    let like = Scenario::parse("test", text).expect("good").groups.remove(0).conduct;
    assert_eq!(like, Conduct { intents_per_second: 7.5, ..raid });
    let plain = Scenario::parse("test", &one("")).expect("good").groups.remove(0).conduct;
    assert_eq!((plain.intents_per_second, plain.burst_intents, plain.based_on), (1.0, 1, BasedOn::After));
}

#[test]
fn a_field_out_of_bounds_is_named() {
    let cases = [
        ("intents_per_second = 0.0", "`intents_per_second`: must be 0.001 to 10000, not 0"),
        ("intents_per_second = 10001.0", "`intents_per_second`"),
        ("intents_per_second = nan", "`intents_per_second`"),
        ("burst_intents = 0", "`burst_intents`: must be 1 to 64, not 0"),
        ("burst_intents = 65", "`burst_intents`"),
        ("clients_per_character = 65\nbased_on = \"expect\"", "`clients_per_character`: must be 1 to 64"),
        ("clients_per_character = 2", "`clients_per_character`: a value above 1 needs"),
        ("ack_durable_share = 1.1", "`ack_durable_share`"),
        ("reconnect_every_seconds = 0.01", "`reconnect_every_seconds`: must be 0.1 to"),
        ("reconnect_every_seconds = 5.0\nbased_on = \"expect\"", "`reconnect_every_seconds`: needs"),
        ("away_seconds = -1.0", "`away_seconds`"),
        ("share = 0.0", "`share`: must be above 0"),
        ("share = 0.5", "`share`: the shares of all groups must add up to 1, not 0.5"),
        ("like = \"mixed\"", "`like`: `mixed` is not a built-in scenario with exactly one group"),
        ("like = \"nobody\"", "`like`"),
    ];
    for (extra, words) in cases {
        refused(&one(extra), &["test: ", words]);
    }
    let all = "[[group]]\nname = \"a\"\nburst_intents = 0\naway_seconds = -1.0\n";
    refused(all, &["group `a`", "`burst_intents`", "`away_seconds`", "`weights`: at least one must be above 0"]);
}

#[test]
fn an_unknown_field_or_a_wrong_type_is_named_with_its_line() {
    for (extra, words) in [
        ("intents_per_minute = 3", ["unknown field `intents_per_minute`", "line 3"]),
        ("intents_per_second = \"3\"", ["intents_per_second = \"3\"", "line 3"]),
        ("based_on = \"before\"", ["unknown variant `before`, expected `after` or `expect`", "line 3"]),
        ("burst_intents = -1", ["burst_intents = -1", "line 3"]),
        ("watch = 1", ["watch = 1", "line 3"]),
    ] {
        refused(&one(extra), &words);
    }
    refused("[[group]]\nname = \"a\"\n[group.weights]\nsing = 1\n", &["unknown variant `sing`", "line 4"]);
    refused("[[group]]\nname = \"a\"\n[group.weights]\nheal = 1001\n", &["`weights`: must be 0 to 1000, not 1001"]);
    for beside in ["give = 1\nbuy_item = 1", "sell_item = 1\ncancel = 1"] {
        let text = format!("[[group]]\nname = \"a\"\n[group.weights]\n{beside}\n");
        refused(&text, &["`weights`: `give`, `offer`, `accept` and `cancel` need"]);
    }
    refused("people = 3\n[[group]]\nname = \"a\"\n", &["unknown field `people`"]);
    refused("[[group]]\n[group.weights]\nheal = 1\n", &["missing field `name`"]);
    refused("description = \"nobody\"\n", &["missing field `group`"]);
    refused("group = []\n", &["`group`: must be 1 to 16 groups"]);
}

#[test]
fn several_groups_need_shares_and_different_names() {
    refused(&(one("share = 0.5") + &one("share = 0.5")), &["`name`: another group already has this name"]);
    refused(&(one("") + &one("share = 0.5")), &["`share`: missing"]);
}

#[test]
fn all_players_are_seated_by_share_and_party() {
    let mixed = Scenario::delivered("mixed").expect("delivered").expect("good");
    for players in [10, 97, 300] {
        let seats = seats(&mixed, players).expect("all players have a seat");
        assert_eq!(seats.len(), players as usize);
        for (number, group) in mixed.groups.iter().enumerate() {
            let count = seats.iter().filter(|seat| seat.group == number).count();
            let exact = group.share * f64::from(players);
            assert!((count as f64 - exact).abs() < 1.0, "{} has {count} of {players}", group.name);
        }
        for pair in seats.windows(2) {
            let next = if pair[0].member + 1 < pair[0].party_size {
                Seat { member: pair[0].member + 1, ..pair[0] }
            } else {
                Seat { member: 0, party: pair[0].party + 1, ..pair[1] }
            };
            assert_eq!(pair[1], next);
        }
    }
    assert!(seats(&mixed, 4).expect_err("too few").contains("would be empty"));
}
