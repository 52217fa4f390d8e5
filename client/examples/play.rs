//! A character takes a blow and a drink: `cargo run -p castellan-client --example play -- http://127.0.0.1:8080`.
//!
//! Written like a game loop: only the login waits for the network.

use std::collections::BTreeMap;
use std::time::Duration;

use castellan_client::{Client, Credentials, Options, Outcome};
use castellan_srd::Srd;
use castellan_srd::wire::{Ability, Action, ModifyHitpoints, NewCharacter};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = std::env::args().nth(1).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let credentials =
        Credentials { username: "example".to_owned(), password: "correct horse battery".to_owned(), create: true };
    let client = Client::<Srd>::start(Options::new(server.parse()?, credentials)).await?;

    let scores = Ability::ALL.iter().zip([15, 13, 14, 8, 12, 10]).map(|(ability, score)| (*ability, score));
    let hero = match client.characters().await?.into_iter().next() {
        Some(character) => character,
        None => {
            let new = NewCharacter {
                name: "Brannor".to_owned(),
                race: "dwarf".to_owned(),
                subrace: Some("hill-dwarf".to_owned()),
                class: "fighter".to_owned(),
                abilities: scores.collect::<BTreeMap<_, _>>(),
                skills: Some(vec!["athletics".to_owned(), "perception".to_owned()]),
            };
            client.create_character(&new).await?
        }
    };
    println!("{} has {} of {} hit points", hero.name, hero.hitpoints, hero.max_hitpoints);

    let hitpoints = |delta| Action::ModifyHitpoints(ModifyHitpoints { delta, critical: false });
    let blow = client.send(hero.id, hitpoints(-3))?;
    let drink = client.send(hero.id, hitpoints(2))?;
    let mut frames = 0;
    while !(blow.outcome().is_final() && drink.outcome().is_final()) {
        while let Some(notice) = client.try_notice() {
            println!("frame {frames}: {}", brief(&format!("{notice:?}")));
        }
        tokio::time::sleep(Duration::from_millis(16)).await;
        frames += 1;
    }
    for (what, intent) in [("the blow", &blow), ("the drink", &drink)] {
        match intent.outcome() {
            Outcome::Durable(version) => println!("{what} is in the database with version {version}"),
            other => println!("{what}: {other:?}"),
        }
    }
    client.close();
    Ok(())
}

/// The beginning of a text.
fn brief(text: &str) -> &str {
    &text[..text.floor_char_boundary(100)]
}
