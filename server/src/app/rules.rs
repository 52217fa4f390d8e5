//! The rules that all nodes follow: catalogue, options and policy, published in the database.
//!
//! Each process on a cluster's database follows what was published last, whatever its own files say. SIGHUP to a node
//! publishes that node's files. A process that cannot use what was published keeps what it has, and says why.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use castellan_game::{Game, RuleFiles, RuleOptions};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::start;
use crate::audit::{Actor, Audit, Event, Outcome, Target};
use crate::auth::Policy;
use crate::config::{Config, PolicyChoice};
use crate::http;
use crate::node::Renewed;
use crate::shard::Shards;
use crate::storage::{Agreed, InUse, Membership, Storage, StorageError, WITH_BOOKS, schema_name};

/// How often a gateway looks for other rules.
const LOOK: Duration = Duration::from_secs(1);

/// Largest document, in bytes. The built-in catalogue takes a fiftieth of it.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// Longest complaint that other processes read, in characters.
const COMPLAINT_CHARS_MAX: usize = 300;

/// Rules as they are published.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    files: RuleFiles,
    options: RuleOptions,
    policy: String,
}

impl Document {
    /// Reads the rules, as far as this program knows them.
    ///
    /// # Errors
    ///
    /// All mistakes, one per line.
    fn read<G: Game>(mut self) -> Result<(G::Rules, Policy), String> {
        for option in G::OPTIONS {
            let default = option.choices.split('|').next().unwrap_or_default();
            self.options.entry(option.name.to_owned()).or_insert_with(|| default.to_owned());
        }
        for (name, value) in &self.options {
            let known = G::OPTIONS.iter().find(|option| option.name == name);
            if !known.is_some_and(|option| option.choices.split('|').any(|choice| choice == value)) {
                return Err(format!("{name}: this program knows no option {name} with the value {value}"));
            }
        }
        let policy = Policy::parse::<G>(&self.policy).map_err(|error| format!("policy: {error}"))?;
        Ok((G::read_rules(&self.files, &self.options)?, policy))
    }
}

/// This process's own files.
struct Own {
    catalogue: Option<PathBuf>,
    policy: PolicyChoice,
    options: RuleOptions,
}

impl Own {
    /// Reads them as a document, and checks it.
    fn document<G: Game>(&self) -> Result<String, String> {
        let policy = Policy::text_of(&self.policy).map_err(|error| format!("policy: {error}"))?;
        let document =
            Document { files: G::rule_files(self.catalogue.as_deref())?, options: self.options.clone(), policy };
        let text = serde_json::to_string(&document).map_err(|error| error.to_string())?;
        if text.len() > DOCUMENT_BYTES_MAX {
            return Err(format!("the catalogue takes {} bytes; at most {DOCUMENT_BYTES_MAX} are possible", text.len()));
        }
        document.read::<G>()?;
        Ok(text)
    }
}

/// The rules of this process, as one among several.
pub(super) struct Rules<G: Game> {
    own: Own,
    name: String,
    storage: Arc<dyn Storage>,
    shards: Arc<Shards<G>>,
    policy: Arc<Policy>,
    published: Arc<RwLock<Arc<http::Published>>>,
    audit: Audit,
    in_use: Mutex<InUse>,
    /// The newest revision that was looked at.
    seen: Mutex<i64>,
    publish: Notify,
}

impl<G: Game> Rules<G> {
    /// The rules of the process of this name: its own ones, until it follows others.
    pub(super) fn new(
        config: &Config,
        name: &str,
        storage: &Arc<dyn Storage>,
        shards: &Arc<Shards<G>>,
        policy: &Arc<Policy>,
        published: &Arc<RwLock<Arc<http::Published>>>,
        audit: &Audit,
    ) -> Self {
        let rules = &config.rules;
        Self {
            own: Own {
                catalogue: rules.catalogue.clone(),
                policy: rules.policy.clone(),
                options: config.options.clone(),
            },
            name: name.to_owned(),
            storage: Arc::clone(storage),
            shards: Arc::clone(shards),
            policy: Arc::clone(policy),
            published: Arc::clone(published),
            audit: audit.clone(),
            in_use: Mutex::new(InUse::own(&published.read().revision)),
            seen: Mutex::new(0),
            publish: Notify::new(),
        }
    }

    fn membership(&self) -> Result<&dyn Membership, StorageError> {
        let alone = || StorageError::Unusable("this database can be used by one process only".to_owned());
        self.storage.membership().ok_or_else(alone)
    }

    /// The rules in use, as the others should know them.
    pub(super) fn in_use(&self) -> InUse {
        self.in_use.lock().clone()
    }

    /// Follows what was published. If nothing was, publishes the own files.
    ///
    /// # Errors
    ///
    /// The own files cannot be read; or the database's error.
    pub(super) async fn begin(&self) -> anyhow::Result<()> {
        let own = self.own.document::<G>().map_err(anyhow::Error::msg)?;
        let membership = self.membership()?;
        membership.publish(&own, &self.name, true).await?;
        self.follow().await?;
        if let Some(published) = membership.published().await?
            && published.rules != own
        {
            tracing::warn!(
                revision = published.revision,
                by = published.by,
                "the catalogue, the options or the policy of this node differ from those that the cluster uses, and are \
                 not used; SIGHUP publishes them"
            );
        }
        Ok(())
    }

    /// Stores states in the schema that all nodes read. This process has registered; if it fails, it leaves.
    ///
    /// # Errors
    ///
    /// This program cannot write it any more; or the database's error.
    pub(super) async fn agree_on_schema(&self, process: Uuid) -> anyhow::Result<()> {
        let membership = self.membership()?;
        let stored = membership.agreed().await?.stored_schema;
        if stored % WITH_BOOKS < G::OLDEST_STORED_SCHEMA {
            membership.leave(process).await?;
            anyhow::bail!(
                "characters are stored in schema {}, and this program writes only {} and newer; stop all nodes of the older \
                 version, or update them to one in between and run castellan upgrade finish",
                schema_name(stored),
                G::OLDEST_STORED_SCHEMA
            );
        }
        self.shards.store_in_schema(stored);
        Ok(())
    }

    /// Lets the own files be published.
    pub(super) fn ask_to_publish(&self) {
        self.publish.notify_one();
    }

    /// Follows what the heartbeat finds, and publishes when asked to; without end.
    pub(super) async fn stay(&self, mut renewals: watch::Receiver<Option<Renewed>>) {
        let mut schema = G::SCHEMA_VERSION;
        loop {
            tokio::select! {
                Ok(()) = renewals.changed() => {
                    let agreed = renewals.borrow_and_update().as_ref().map(|renewed| renewed.view.agreed);
                    let Agreed { revision, stored_schema, .. } = agreed.unwrap_or_default();
                    if stored_schema > std::mem::replace(&mut schema, stored_schema) {
                        self.shards.store_in_schema(stored_schema);
                    }
                    self.look(revision).await;
                }
                () = self.publish.notified() => self.publish().await,
            }
        }
    }

    /// Looks for other rules each second; without end.
    pub(super) async fn look_again_and_again(&self) {
        let mut ticks = tokio::time::interval(LOOK);
        loop {
            ticks.tick().await;
            let Ok(membership) = self.membership() else { return };
            match membership.agreed().await {
                Ok(agreed) => self.look(agreed.revision).await,
                Err(error) => tracing::debug!(%error, "cannot look for another catalogue"),
            }
        }
    }

    /// Follows a revision, unless that was tried before.
    async fn look(&self, revision: i64) {
        if revision == 0 || revision == *self.seen.lock() {
            return;
        }
        if let Err(error) = self.follow().await {
            tracing::warn!(%error, revision, "cannot read the catalogue that was published; trying again");
        }
    }

    /// Switches to what was published last. Whatever cannot be used changes nothing.
    pub(super) async fn follow(&self) -> Result<(), StorageError> {
        let Some(published) = self.membership()?.published().await? else { return Ok(()) };
        let (revision, by) = (published.revision, &published.by);
        if std::mem::replace(&mut *self.seen.lock(), revision) == revision {
            return Ok(());
        }
        let document = serde_json::from_str::<Document>(&published.rules).map_err(|error| error.to_string());
        match document.and_then(Document::read::<G>) {
            Ok((rules, policy)) => {
                let rules = Arc::new(rules);
                self.shards.use_rules(&rules);
                self.policy.become_like(&policy);
                *self.published.write() = start::publish::<G>(&rules);
                let catalogue = G::revision(&rules);
                *self.in_use.lock() = InUse { revision, ..InUse::own(catalogue) };
                tracing::info!(revision, catalogue, by, "follows the published catalogue");
            }
            Err(errors) => {
                let short: String = errors.chars().take(COMPLAINT_CHARS_MAX).collect();
                self.in_use.lock().complaint = Some(format!("revision {revision}: {short}"));
                tracing::error!(%errors, revision, by, "cannot use the published catalogue; the old one stays in use");
            }
        }
        Ok(())
    }

    /// Publishes the own files, and follows them at once. Bad ones change nothing.
    async fn publish(&self) {
        let published = self.try_to_publish().await;
        let outcome = if published.is_some() { Outcome::Done } else { Outcome::Failed };
        let target = match published {
            Some(revision) => format!("rules of {}, revision {revision}", self.name),
            None => format!("rules of {}", self.name),
        };
        let target = Target::Named(target);
        self.audit.record(Event { actor: Actor::Operator, address: None, target, action: "publish", outcome });
    }

    /// Returns the revision.
    async fn try_to_publish(&self) -> Option<i64> {
        let own = match self.own.document::<G>() {
            Ok(own) => own,
            Err(errors) => {
                tracing::error!(%errors, "nothing was published; the old catalogue stays in use");
                return None;
            }
        };
        let outcome = async {
            let revision = self.membership()?.publish(&own, &self.name, false).await?;
            self.follow().await?;
            Ok::<_, StorageError>(revision)
        };
        match outcome.await {
            Ok(revision) => {
                tracing::info!(revision, "the catalogue, the options and the policy are published");
                Some(revision)
            }
            Err(error) => {
                tracing::error!(%error, "cannot publish; send SIGHUP again");
                None
            }
        }
    }
}
