//! Users of outside issuers: one account each, for ever.

use castellan::storage::{AccountChange, AccountRow, StorageError};

use super::accounts::account;
use super::rows::{time_ms, user};
use crate::harness::Database;

const ISSUER: &str = "https://id.example";

pub(super) async fn a_user_of_an_issuer_gets_one_account(database: &Database) {
    let storage = &database.storage;
    let (ada, bea) = (account("ada"), account("bea"));
    assert_eq!(storage.identity(ISSUER, "1").await.expect("an answer"), None);
    assert!(storage.bind_account(&ada, ISSUER, "1").await.expect("an answer"));
    assert_eq!(storage.identity(ISSUER, "1").await.expect("an answer"), Some(ada.user));
    assert_eq!(storage.account_of(ada.user).await.expect("an answer"), Some(ada.clone()));
    let found = storage.identity_of(ada.user).await.expect("an answer");
    assert_eq!(found, Some((ISSUER.to_owned(), "1".to_owned())));
    assert_eq!(storage.identity_of(user()).await.expect("an answer"), None);

    assert!(!storage.bind_account(&bea, ISSUER, "1").await.expect("an answer"), "the user has one");
    assert_eq!(storage.account_of(bea.user).await.expect("an answer"), None, "nothing was made");
    let taken = AccountRow { user: user(), ..ada.clone() };
    let outcome = storage.bind_account(&taken, ISSUER, "2").await;
    assert!(matches!(outcome, Err(StorageError::AlreadyExists)), "{outcome:?}");
    assert_eq!(storage.identity(ISSUER, "2").await.expect("an answer"), None, "nothing was bound");
    assert!(storage.bind_account(&bea, "https://other.example", "1").await.expect("an answer"), "another issuer");

    storage.change_account(ada.user, &AccountChange::Delete, time_ms()).await.expect("deleted");
    assert_eq!(storage.identity(ISSUER, "1").await.expect("an answer"), Some(ada.user), "remembered");
    assert!(!storage.bind_account(&account("carl"), ISSUER, "1").await.expect("an answer"));
}

pub(super) async fn of_two_first_logins_one_makes_the_account(database: &Database) {
    let other = database.open().await;
    for number in 0..20 {
        let [one, two] = ["one", "two"].map(|name| account(&format!("{name}-{number}")));
        let subject = number.to_string();
        let (first, second) = tokio::join!(
            database.storage.bind_account(&one, ISSUER, &subject),
            other.bind_account(&two, ISSUER, &subject),
        );
        let (first, second) = (first.expect("an answer"), second.expect("an answer"));
        assert_ne!(first, second);
        let winner = if first { one.user } else { two.user };
        assert_eq!(database.storage.identity(ISSUER, &subject).await.expect("an answer"), Some(winner));
        for account in [one, two] {
            let found = database.storage.account_of(account.user).await.expect("an answer");
            assert_eq!(found.is_some(), account.user == winner);
        }
    }
}
