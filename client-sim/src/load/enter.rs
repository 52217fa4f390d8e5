//! Before the load: accounts, logins and characters.

use castellan_client::{Credentials, HttpClient, HttpError, Session};
use castellan_srd::wire::http::CharacterList;
use castellan_srd::wire::{Ability, CharacterId, NewCharacter};
use hyper::Method;
use serde::Deserialize;

/// The account of a party. The same seed and number give the same account.
pub(crate) fn credentials(seed: u64, party: u32) -> Credentials {
    let username = format!("sim-{seed}-{party}");
    Credentials { password: format!("the password of {username}"), username, create: true }
}

/// Logs in and finds or creates the party's character.
pub(crate) async fn enter(
    http: &HttpClient,
    credentials: Credentials,
) -> Result<(Credentials, Session, CharacterId), HttpError> {
    #[derive(Deserialize)]
    struct Found {
        id: CharacterId,
    }
    let session = Session::log_in(http, &credentials).await?;
    let token = Some(session.token());
    let list: CharacterList<Found> = http.call::<(), _>(Method::GET, "/characters", token, None).await?;
    let found = match list.characters.into_iter().next() {
        Some(found) => found,
        None => http.call(Method::POST, "/characters", token, Some(&new_character(&credentials.username))).await?,
    };
    Ok((credentials, session, found.id))
}

/// A sturdy dwarf.
pub(crate) fn new_character(name: &str) -> NewCharacter {
    let scores = [15, 13, 14, 8, 12, 10];
    NewCharacter {
        name: name.to_owned(),
        race: "dwarf".to_owned(),
        subrace: Some("hill-dwarf".to_owned()),
        class: "fighter".to_owned(),
        abilities: Ability::ALL.iter().copied().zip(scores).collect(),
        skills: Some(vec!["athletics".to_owned(), "perception".to_owned()]),
    }
}
