//! The owners of the shards, as the database has them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use castellan_srd::wire::CharacterId;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::NodePlace;

/// How many shards each process owns; those of nobody are under the empty name.
const OWNERS: &str = "SELECT CASE WHEN released THEN '' ELSE coalesce(process::text, '') END, count(*) \
     FROM shard_leases GROUP BY 1";

/// The characters in the shards of a process.
const CHARACTERS: &str = "SELECT character.id::text FROM characters AS character JOIN shard_leases AS lease USING (shard) \
     WHERE lease.process = $1::uuid AND NOT lease.released";

pub(super) async fn characters_of(url: &str, process: Uuid) -> Result<BTreeSet<CharacterId>> {
    let mut connection = PgConnection::connect(url).await.context("cannot reach PostgreSQL")?;
    let query = sqlx::query_scalar(CHARACTERS).bind(process.to_string());
    let ids: Vec<String> = query.fetch_all(&mut connection).await?;
    connection.close().await?;
    ids.iter().map(|id| Ok(id.parse()?)).collect()
}

/// How many shards each process owns.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Owners(BTreeMap<String, i64>);

pub(super) async fn read(url: &str) -> Result<Owners> {
    let mut connection = PgConnection::connect(url).await.context("cannot reach PostgreSQL")?;
    let rows: Vec<(String, i64)> = sqlx::query_as(OWNERS).fetch_all(&mut connection).await?;
    connection.close().await?;
    Ok(Owners(rows.into_iter().collect()))
}

impl Owners {
    pub(super) fn of(&self, process: Uuid) -> i64 {
        self.0.get(&process.to_string()).copied().unwrap_or_default()
    }

    /// Shards with an owner, living or dead.
    pub(super) fn owned(&self) -> i64 {
        self.0.iter().filter(|(name, _)| !name.is_empty()).map(|(_, count)| count).sum()
    }

    /// Shards that none of these owns.
    pub(super) fn without(&self, living: &[Uuid]) -> i64 {
        self.0.values().sum::<i64>() - living.iter().map(|process| self.of(*process)).sum::<i64>()
    }

    /// True if each of these has its rounded share, and nobody else has anything.
    pub(super) fn are_even(&self, living: &[Uuid]) -> bool {
        let counts = || living.iter().map(|process| self.of(*process));
        let (least, most) = (counts().min().unwrap_or_default(), counts().max().unwrap_or_default());
        self.without(living) == 0 && most - least <= 1
    }

    /// For people.
    pub(super) fn tell(&self, nodes: &[NodePlace]) -> String {
        let name = |process: &str| {
            let is_it = |place: &&NodePlace| {
                let registered = place.running.as_ref().and_then(|server| server.registered);
                registered.is_some_and(|registered| registered.to_string() == process)
            };
            match nodes.iter().find(is_it) {
                Some(place) => place.name.to_owned(),
                None if process.is_empty() => "nobody".to_owned(),
                None => format!("the ended process {process}"),
            }
        };
        let told = self.0.iter().map(|(process, count)| format!("{} owns {count} shards", name(process)));
        told.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_even_if_the_living_have_them_all_and_none_has_two_more_than_another() {
        let [first, second] = [1, 2].map(Uuid::from_u128);
        let owners = |counts: &[(&str, i64)]| Owners(counts.iter().map(|(id, n)| ((*id).to_owned(), *n)).collect());
        let (one, two) = (first.to_string(), second.to_string());
        let even = owners(&[(&one, 127), (&two, 128), ("", 1)]);
        assert_eq!((even.without(&[first, second]), even.owned()), (1, 255));
        assert!(!even.are_even(&[first, second]), "one has no owner");
        assert!(owners(&[(&one, 127), (&two, 128)]).are_even(&[first, second]));
        assert!(!owners(&[(&one, 126), (&two, 128)]).are_even(&[first, second]));
        assert!(!owners(&[(&one, 128), (&two, 128)]).are_even(&[first]), "a dead one has half");
    }
}
