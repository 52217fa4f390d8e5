//! Characters over HTTP: on a server, and behind a gateway.

use super::forwarding::behind_a_gateway;
use super::*;

macro_rules! on_a_server_and_behind_a_gateway {
    ($( $name:ident, $flags:expr; )+) => {
        mod on_a_server {
            use super::house;
            $( #[tokio::test] async fn $name() { super::$name(house($flags).await).await } )+
        }

        mod behind_a_gateway {
            use super::behind_a_gateway;
            $( #[tokio::test] async fn $name() { super::$name(behind_a_gateway($flags, $flags).await.gateway).await } )+
        }
    };
}

on_a_server_and_behind_a_gateway! {
    a_character_can_be_created_changed_and_deleted, &[];
    the_same_creation_sent_twice_makes_one_character, &[];
    a_stale_base_gets_the_latest_state, &[];
    each_path_performs_its_own_action, &[];
    a_bad_intent_names_the_problem_and_changes_nothing, &[];
    only_game_servers_see_another_users_character, &["--policy=strict"];
}

async fn a_character_can_be_created_changed_and_deleted(house: House) {
    let token = house.token("ada").await;
    let made = house.post("/characters", &token, brannor()).await;
    assert_eq!(made.status, 201, "{made:?}");
    let character = made.json();
    let id = character["id"].as_str().expect("an id");
    let path = format!("/characters/{id}");
    assert_eq!(made.header("location"), Some(path.as_str()));
    assert_eq!(made.header("castellan-durable"), Some("1"), "a new character is answered after its commit");
    let tag = made.header("etag").expect("a tag").to_owned();

    let shown = house.get(&path, &token, &[]).await;
    assert_eq!((shown.status, shown.header("etag")), (200, Some(tag.as_str())));
    assert_eq!(shown.json(), character);
    let known = house.get(&path, &token, &[&format!("If-None-Match: {tag}")]).await;
    assert_eq!((known.status, known.text.as_str()), (304, ""));
    assert_eq!(house.get("/characters", &token, &[]).await.json(), json!({"characters": [character]}));

    let hurt = format!("PATCH {path}/stats/hitpoints");
    let hit = house.write(&hurt, &token, &[], json!({"version": 1, "delta": -3, "ack": "durable", "id": 77})).await;
    assert_eq!((hit.status, hit.header("castellan-durable")), (200, Some("2")), "{hit:?}");
    assert_eq!((&hit.json()["version"], &hit.json()["last"]), (&json!(2), &json!(77)));
    assert_ne!(hit.header("etag"), Some(tag.as_str()));
    assert_eq!(hit.header("castellan-duplicate"), None);
    let again = house.write(&hurt, &token, &[], json!({"version": 1, "delta": -3, "id": 77})).await;
    assert_eq!((again.status, again.header("castellan-duplicate")), (200, Some("true")));
    assert_eq!(again.json(), hit.json());

    let gone = house.send(&format!("DELETE {path}"), &[&format!("Authorization: Bearer {token}")], "").await;
    assert_eq!(gone.problem(), (428, "version_required".to_owned()));
    let if_match = format!("If-Match: {}", hit.header("etag").expect("a tag"));
    let gone = house.send(&format!("DELETE {path}"), &[&format!("Authorization: Bearer {token}"), &if_match], "").await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_eq!(house.get(&path, &token, &[]).await.problem(), (404, "no_such_character".to_owned()));
    assert_eq!(house.get("/characters", &token, &[]).await.json(), json!({"characters": []}));
}

async fn the_same_creation_sent_twice_makes_one_character(house: House) {
    let token = house.token("ada").await;
    let mut wanted = brannor();
    wanted["id"] = json!(5);
    let first = house.post("/characters", &token, wanted.clone()).await;
    let second = house.post("/characters", &token, wanted.clone()).await;
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(second.header("castellan-duplicate"), Some("true"));
    assert_eq!(first.json(), second.json());
    wanted["version"] = json!(3);
    assert_eq!(house.post("/characters", &token, wanted.clone()).await.problem(), (400, "malformed".to_owned()));
    wanted["version"] = json!(0);
    wanted["class"] = json!("no-such-class");
    assert_eq!(house.post("/characters", &token, wanted).await.status, 201, "the id was applied before");
}

async fn a_stale_base_gets_the_latest_state(house: House) {
    let token = house.token("ada").await;
    let id = house.character(&token).await;
    let line = format!("PATCH /characters/{id}/currency/modify");
    let gain = |headers: &'static [&'static str], base: Value| {
        let mut body = json!({"gp": 5});
        body.as_object_mut().expect("a map").extend(base.as_object().cloned().unwrap_or_default());
        house.write(&line, &token, headers, body)
    };
    let first = gain(&[], json!({"version": 1, "id": 9})).await;
    assert_eq!((first.status, &first.json()["currency"]["gp"]), (200, &json!(5)));
    for (headers, base, status) in [
        (&[][..], json!({"version": 1}), 409),
        (&[], json!({"after": 8}), 409),
        (&["If-Match: \"1-x\""], json!({}), 412),
        (&["If-Match: \"nonsense\""], json!({}), 412),
    ] {
        let refused = gain(headers, base.clone()).await;
        assert_eq!(refused.problem(), (status, "version_conflict".to_owned()), "{base}");
        assert_eq!(refused.json()["error"], "Version mismatch. Please refresh.");
        assert_eq!(refused.json()["character"], first.json());
    }
    for (headers, base, status) in [
        (&[][..], json!({}), 428),
        (&["If-Match: \"2-x\""], json!({"version": 1}), 400),
        (&["If-Match: 2"], json!({}), 400),
    ] {
        assert_eq!(gain(headers, base.clone()).await.status, status, "{base}");
    }
    for (headers, base) in [
        (&[][..], json!({"after": 9, "id": 10})),
        (&[], json!({"version": 0, "id": 11})),
        (&["If-Match: *"], json!({"id": 12})),
        (&["If-Match: \"5-x\""], json!({"version": 5, "after": 12})),
    ] {
        let applied = gain(headers, base.clone()).await;
        assert_eq!(applied.status, 200, "{base} {applied:?}");
    }
}

async fn each_path_performs_its_own_action(house: House) {
    let token = house.token("ada").await;
    let id = house.character(&token).await;
    let steps = [
        ("POST", "equipment/add", json!({"item": "longsword", "quantity": 2})),
        ("POST", "equipment/equip", json!({"item": "longsword", "slot": "main_hand"})),
        ("POST", "equipment/unequip", json!({"slot": "main_hand"})),
        ("POST", "equipment/remove", json!({"item": "longsword", "quantity": 1})),
        ("PATCH", "stats/hitpoints", json!({"delta": -1, "critical": false})),
        ("PATCH", "currency/modify", json!({"gp": 7, "cp": null})),
        ("POST", "intents", json!({"action": {"rename": {"name": "Brunna"}}})),
    ];
    let mut last = Value::Null;
    for (number, (method, path, mut body)) in steps.into_iter().enumerate() {
        body["version"] = json!(number + 1);
        let answer = house.write(&format!("{method} /characters/{id}/{path}"), &token, &[], body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        last = answer.json();
        match path {
            "equipment/equip" => assert_eq!(last["equipment"]["main_hand"], "longsword"),
            "equipment/unequip" => assert_eq!(last["equipment"], json!({})),
            _ => {}
        }
    }
    assert_eq!((&last["name"], &last["currency"]["gp"]), (&json!("Brunna"), &json!(7)));
    let swords = last["inventory"].as_array().expect("a list").iter().find(|entry| entry["item"] == "longsword");
    assert_eq!(swords.expect("one is left")["quantity"], 1);
}

async fn a_bad_intent_names_the_problem_and_changes_nothing(house: House) {
    let token = house.token("ada").await;
    let id = house.character(&token).await;
    let before = house.get(&format!("/characters/{id}"), &token, &[]).await.json();
    let cases = [
        ("PATCH", "stats/hitpoints", json!({}), (400, "malformed"), "delta"),
        ("PATCH", "stats/hitpoints", json!({"delta": "3"}), (400, "malformed"), "delta"),
        ("PATCH", "stats/hitpoints", json!({"delta": 1.5}), (400, "malformed"), "delta"),
        ("PATCH", "stats/hitpoints", json!({"delta": -1, "hp": 1}), (400, "malformed"), "hp"),
        ("PATCH", "currency/modify", json!({"gp": -1}), (422, "insufficient_funds"), ""),
        ("POST", "equipment/add", json!({"item": "no-such-item", "quantity": 1}), (422, "unknown_item"), ""),
        ("POST", "equipment/equip", json!({"item": "longsword"}), (422, "not_in_inventory"), ""),
        ("POST", "equipment/unequip", json!({"slot": "tail"}), (400, "malformed"), "slot"),
        ("POST", "intents", json!({}), (400, "malformed"), "action"),
        ("POST", "intents", json!({"action": {"fly": {}}}), (400, "unknown_action"), "fly"),
        ("POST", "intents", json!({"action": {}}), (400, "malformed"), "action"),
        ("POST", "intents", json!({"action": "long_rest"}), (400, "malformed"), ""),
        ("POST", "intents", json!({"action": {"long_rest": {}}, "more": 1}), (400, "malformed"), "more"),
        ("POST", "intents", json!({"action": {"rename": {"name": ""}}}), (422, "invalid_name"), ""),
    ];
    for (method, path, mut body, expected, named) in cases {
        body["version"] = json!(1);
        let answer = house.write(&format!("{method} /characters/{id}/{path}"), &token, &[], body.clone()).await;
        let (status, code) = answer.problem();
        assert_eq!((status, code.as_str()), expected, "{path} {body}: {answer:?}");
        assert!(answer.text.contains(named), "{body}: {answer:?}");
    }
    assert_eq!(house.get(&format!("/characters/{id}"), &token, &[]).await.json(), before);
}

async fn only_game_servers_see_another_users_character(house: House) {
    let ada = house.session("ada", Role::Player).await;
    let bob = house.session("bob", Role::Player).await;
    let game = house.session("game", Role::Game).await;
    let operator = house.session("op", Role::Operator).await;
    let id = house.character(&ada.token).await;
    let owner = format!("?user={}", ada.session.user);
    let nobody = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let path = format!("/characters/{id}");
    for (path, token, status) in [
        (path.clone(), &bob.token, 404),
        (format!("{path}{owner}"), &bob.token, 404),
        (format!("{path}{owner}"), &operator.token, 404),
        (format!("{path}{owner}"), &ada.token, 200),
        (path.clone(), &game.token, 404),
        (format!("{path}{owner}"), &game.token, 200),
        (format!("/characters{owner}"), &game.token, 200),
        (format!("/characters{owner}"), &bob.token, 403),
        (format!("{path}?user=ada"), &game.token, 400),
        (format!("{path}?user={}", id.to_uppercase()), &game.token, 400),
        (format!("/characters/{nobody}"), &ada.token, 404),
        (format!("/characters/{}", id.to_uppercase()), &ada.token, 404),
        ("/characters/%ff".to_owned(), &ada.token, 404),
        ("/characters/7".to_owned(), &ada.token, 404),
    ] {
        assert_eq!(house.get(&path, token, &[]).await.status, status, "{path}");
    }
    let gold = json!({"version": 0, "gp": 5});
    let line = format!("PATCH {path}/currency/modify");
    assert_eq!(house.write(&line, &ada.token, &[], gold.clone()).await.problem(), (403, "not_permitted".to_owned()));
    let given = house.write(&format!("{line}{owner}"), &game.token, &[], gold).await;
    assert_eq!((given.status, &given.json()["user_id"]), (200, &json!(ada.session.user.to_string())));
    let made = house.post(&format!("/characters{owner}"), &game.token, brannor()).await;
    assert_eq!(made.json()["user_id"], json!(ada.session.user.to_string()));
    let unknown = house.post(&format!("/characters?user={nobody}"), &game.token, brannor()).await;
    assert_eq!(unknown.problem(), (400, "malformed".to_owned()));
}
