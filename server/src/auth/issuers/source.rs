//! The keys of one issuer: read from a file, or fetched when a token needs them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use tokio::time::Instant;

use super::key_set::KeySet;
use crate::config::{KeySource, KeyUrl};
use crate::fetch::fetch;

/// Age at which fetched keys are fetched again while they are used. So a key that its issuer gives up is forgotten.
const FRESH: Duration = Duration::from_secs(600);

/// Age at which fetched keys are not used any more if the issuer does not answer.
const STALE: Duration = Duration::from_secs(86_400);

/// Shortest time between two fetches: strangers can name unknown keys as often as they like.
const AGAIN: Duration = Duration::from_secs(10);

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoKey {
    /// The issuer has no such key for such an algorithm.
    Unknown,
    /// The issuer does not answer, so nobody knows.
    Away {
        /// Time until the next try.
        retry_after: Duration,
    },
}

/// Where the keys of an issuer come from.
pub(super) enum Source {
    File(File),
    Url(Arc<Remote>),
}

impl Source {
    /// Reads a file at once. Keys at an address are fetched when they are needed, so that a start does not wait for them.
    pub(super) fn open(source: &KeySource) -> Result<Self, String> {
        match source {
            KeySource::File(path) => Ok(Self::File(File { path: path.clone(), keys: RwLock::new(read(path)?) })),
            KeySource::Url(url) => Ok(Self::Url(Arc::new(Remote { url: url.clone(), state: Mutex::default() }))),
        }
    }

    /// Reads a file again. If that fails, the old keys stay in use.
    pub(super) fn reload(&self) -> Result<(), String> {
        if let Self::File(file) = self {
            *file.keys.write() = read(&file.path)?;
        }
        Ok(())
    }

    /// The key with this id for this algorithm.
    pub(super) async fn key(&self, id: &str, algorithm: Algorithm) -> Result<DecodingKey, NoKey> {
        match self {
            Self::File(file) => file.keys.read().find(id, algorithm).cloned().ok_or(NoKey::Unknown),
            Self::Url(remote) => remote.key(id, algorithm).await,
        }
    }
}

/// Keys in a file.
pub(super) struct File {
    path: PathBuf,
    keys: RwLock<KeySet>,
}

fn read(path: &PathBuf) -> Result<KeySet, String> {
    let named = |why: &dyn std::fmt::Display| format!("jwks_file {}: {why}", path.display());
    let bytes = std::fs::read(path).map_err(|error| named(&error))?;
    KeySet::parse(&bytes).map_err(|why| named(&why))
}

/// Keys at an address.
pub(super) struct Remote {
    url: KeyUrl,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fetched: Option<(Instant, Arc<KeySet>)>,
    latest: Option<Attempt>,
}

/// A fetch: under way as long as nothing says how it ended.
struct Attempt {
    began: Instant,
    /// True if it has brought keys.
    ended: watch::Receiver<Option<bool>>,
}

impl Attempt {
    fn is_under_way(&self) -> bool {
        self.ended.borrow().is_none() && self.ended.has_changed().is_ok()
    }
}

impl Remote {
    async fn key(self: &Arc<Self>, id: &str, algorithm: Algorithm) -> Result<DecodingKey, NoKey> {
        if let Some((age, key)) = self.find(id, algorithm) {
            if age > FRESH {
                self.attempt();
            }
            return Ok(key);
        }
        let mut ended = self.attempt();
        // An error means that the task has panicked.
        let has_keys = ended.wait_for(Option::is_some).await.is_ok_and(|ended| *ended == Some(true));
        match self.find(id, algorithm) {
            Some((_, key)) => Ok(key),
            None if has_keys => Err(NoKey::Unknown),
            None => Err(NoKey::Away { retry_after: self.pause() }),
        }
    }

    /// A key that is known, and its age.
    fn find(&self, id: &str, algorithm: Algorithm) -> Option<(Duration, DecodingKey)> {
        let (at, keys) = self.state.lock().fetched.clone()?;
        let age = at.elapsed();
        keys.find(id, algorithm).filter(|_| age < STALE).map(|key| (age, key.clone()))
    }

    fn pause(&self) -> Duration {
        let began = self.state.lock().latest.as_ref().map(|attempt| attempt.began);
        began.map_or(AGAIN, |began| AGAIN.saturating_sub(began.elapsed()))
    }

    /// The fetch that is under way or has just ended; starts one if there is none.
    ///
    /// It runs on in a task of its own, whoever hangs up.
    fn attempt(self: &Arc<Self>) -> watch::Receiver<Option<bool>> {
        let mut state = self.state.lock();
        if let Some(latest) = &state.latest
            && (latest.is_under_way() || latest.began.elapsed() < AGAIN)
        {
            return latest.ended.clone();
        }
        let (end, ended) = watch::channel(None);
        state.latest = Some(Attempt { began: Instant::now(), ended: ended.clone() });
        let this = Arc::clone(self);
        tokio::spawn(async move { end.send_replace(Some(this.fetch().await)) });
        ended
    }

    async fn fetch(&self) -> bool {
        let fetched = fetch(&self.url).await.map_err(|error| error.to_string());
        match fetched.and_then(|bytes| KeySet::parse(&bytes)) {
            Ok(keys) => {
                self.state.lock().fetched = Some((Instant::now(), Arc::new(keys)));
                true
            }
            // At most once in ten seconds, and only while somebody comes with a token.
            Err(error) => {
                tracing::warn!(url = %self.url, error, "cannot fetch the keys of an outside issuer of tokens");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const SET: &str = r#"{"keys": [{"kty": "OKP", "kid": "KID", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    /// An issuer that answers with the text in `answer`, or hangs up if it is empty.
    struct House {
        remote: Arc<Remote>,
        answer: Arc<Mutex<String>>,
        fetches: Arc<AtomicUsize>,
    }

    async fn house(kid: &str) -> House {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
        let answer = Arc::new(Mutex::new(SET.replace("KID", kid)));
        let fetches = Arc::new(AtomicUsize::new(0));
        let (said, counted) = (Arc::clone(&answer), Arc::clone(&fetches));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.expect("a client");
                counted.fetch_add(1, Ordering::Relaxed);
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    assert!(stream.read_buf(&mut request).await.expect("a request") > 0);
                }
                let body = said.lock().clone();
                if !body.is_empty() {
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                    stream.write_all((head + &body).as_bytes()).await.expect("the client reads");
                }
            }
        });
        let remote = Remote { url: KeyUrl::new(&url).expect("a URL"), state: Mutex::default() };
        House { remote: Arc::new(remote), answer, fetches }
    }

    impl House {
        async fn key(&self, id: &str) -> Result<(), NoKey> {
            self.remote.key(id, Algorithm::EdDSA).await.map(drop)
        }

        fn fetches(&self) -> usize {
            self.fetches.load(Ordering::Relaxed)
        }

        fn make_older(&self, age: Duration) {
            let mut state = self.remote.state.lock();
            let fetched = state.fetched.take();
            state.fetched = fetched.map(|(at, keys)| (at.checked_sub(age).expect("a time"), keys));
            if let Some(attempt) = &mut state.latest {
                attempt.began = attempt.began.checked_sub(age).expect("a time");
            }
        }
    }

    #[tokio::test]
    async fn many_who_need_keys_cause_one_fetch() {
        let house = house("a").await;
        let wanted = (0..100).map(|number| house.key(if number % 2 == 0 { "a" } else { "b" }));
        for (number, outcome) in futures_util::future::join_all(wanted).await.into_iter().enumerate() {
            assert_eq!(outcome, if number % 2 == 0 { Ok(()) } else { Err(NoKey::Unknown) });
        }
        assert_eq!(house.fetches(), 1);
        *house.answer.lock() = SET.replace("KID", "b");
        assert_eq!(house.key("b").await, Err(NoKey::Unknown), "not so soon again");
        assert_eq!(house.fetches(), 1);
        house.make_older(AGAIN);
        assert_eq!(house.key("b").await, Ok(()), "a new key");
        assert_eq!(house.key("a").await, Err(NoKey::Unknown), "the issuer has given it up");
        assert_eq!(house.fetches(), 2);
    }

    #[tokio::test]
    async fn known_keys_outlast_an_issuer_that_is_away_but_not_for_ever() {
        let house = house("a").await;
        assert_eq!(house.key("a").await, Ok(()));
        house.answer.lock().clear();
        house.make_older(FRESH + AGAIN);
        assert_eq!(house.key("a").await, Ok(()), "nobody waits");
        let away = house.key("b").await;
        assert!(matches!(away, Err(NoKey::Away { retry_after }) if retry_after <= AGAIN), "{away:?}");
        assert_eq!(house.fetches(), 2, "one for both");
        house.make_older(STALE);
        assert!(matches!(house.key("a").await, Err(NoKey::Away { .. })));
        house.make_older(AGAIN);
        *house.answer.lock() = SET.replace("KID", "a");
        assert_eq!(house.key("a").await, Ok(()));
    }

    #[tokio::test]
    async fn a_fetch_goes_on_without_the_one_who_caused_it() {
        let house = house("a").await;
        assert!(futures_util::poll!(std::pin::pin!(house.key("a"))).is_pending());
        assert_eq!(house.key("a").await, Ok(()));
        assert_eq!(house.fetches(), 1);
    }
}
