//! Hashes passwords on a pool of fixed size.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use argon2::password_hash::phc::{Output, ParamsString, Salt};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHash, Version, password_hash};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::Instrument;

use super::accounts::{NewPassword, Password};
use super::error::AuthError;
use crate::clock::Entropy;
use crate::priority;

/// Length of a salt, in bytes. Source: RFC 9106 recommends it.
const SALT_BYTES: usize = 16;

/// Shortest and longest wait that a refused login is told, in milliseconds.
const RETRY_MS: std::ops::RangeInclusive<u64> = 1_000..=30_000;

/// Argon2id on `parallel` threads, with room for `waiting_max` more logins to wait.
pub(super) struct Hasher {
    params: Params,
    entropy: Entropy,
    door: Arc<Semaphore>,
    threads: Threads,
    parallel: usize,
    waiting: AtomicUsize,
    waiting_max: usize,
    last_hash_ms: Arc<AtomicU64>,
    /// The hash to verify against as long as there is no account.
    nobody: Arc<str>,
}

impl Hasher {
    pub(super) fn new(
        memory_kib: u32,
        iterations: u32,
        parallel: usize,
        waiting_max: usize,
        entropy: Entropy,
    ) -> Result<Self, AuthError> {
        let params = Params::new(memory_kib, iterations, 1, None).map_err(|error| {
            AuthError::Fault(format!("these Argon2 settings do not work together: {error}; change auth.argon2_*"))
        })?;
        let mut password = [0; 32];
        entropy(&mut password);
        let nobody = hash(&params, &password, &entropy, &mut Memory::new())?.into();
        Ok(Self {
            params,
            entropy,
            door: Arc::new(Semaphore::new(parallel)),
            threads: Threads::start(parallel)?,
            parallel,
            waiting: AtomicUsize::new(0),
            waiting_max,
            last_hash_ms: Arc::new(AtomicU64::new(0)),
            nobody,
        })
    }

    /// Waits for a turn to hash once.
    ///
    /// # Errors
    ///
    /// `Overloaded` if too many logins are already waiting.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, AuthError> {
        let permit = match Arc::clone(&self.door).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let place = Place::take(self)?;
                let permit = Arc::clone(&self.door).acquire_owned().await.expect("the semaphore is never closed");
                drop(place);
                permit
            }
        };
        Ok(Turn { hasher: self, permit })
    }

    fn retry_after_ms(&self) -> u64 {
        let last_ms = self.last_hash_ms.load(Ordering::Relaxed);
        let turns = (self.waiting_max / self.parallel.max(1)) as u64 + 1;
        (last_ms * turns).clamp(*RETRY_MS.start(), *RETRY_MS.end())
    }
}

/// The working memory of a hash: some megabytes.
type Memory = Vec<Block>;

type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// Threads that only hash.
///
/// Each keeps its memory. Freeing and allocating it for every hash would fragment the heap.
struct Threads {
    jobs: SyncSender<Job>,
}

impl Threads {
    fn start(count: usize) -> Result<Self, AuthError> {
        let (jobs, taken) = std::sync::mpsc::sync_channel::<Job>(count);
        let taken = Arc::new(Mutex::new(taken));
        for number in 0..count {
            let taken = Arc::clone(&taken);
            let work = move || {
                priority::stand_back();
                let mut memory = Memory::new();
                loop {
                    let job = taken.lock().recv();
                    let Ok(job) = job else { return };
                    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(&mut memory))).is_err() {
                        tracing::error!("hashing a password panicked; the login was refused");
                    }
                }
            };
            let thread = std::thread::Builder::new().name(format!("hash-{number}")).spawn(work);
            thread.map_err(|error| AuthError::Fault(format!("cannot start a hashing thread: {error}")))?;
        }
        Ok(Self { jobs })
    }

    /// Hands a job to a free thread. There is always one, because there are no more turns than threads.
    fn run(&self, job: impl FnOnce(&mut Memory) + Send + 'static) -> Result<(), AuthError> {
        self.jobs.try_send(Box::new(job)).map_err(|_| AuthError::Fault("the hashing threads have ended".to_owned()))
    }
}

/// A place in the queue, given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(hasher: &'a Hasher) -> Result<Self, AuthError> {
        let place = Self(&hasher.waiting);
        if hasher.waiting.fetch_add(1, Ordering::Relaxed) >= hasher.waiting_max {
            return Err(AuthError::Overloaded { retry_after_ms: hasher.retry_after_ms() });
        }
        Ok(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the comparison of a password with a stored hash found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Another password.
    Different,
    /// The right password.
    Same,
    /// The right password, hashed with other settings or as it was typed. A hash by the present settings comes with it.
    Outdated(String),
}

/// The right to hash once. It is held until the hash is done, even if the login was cancelled.
pub(super) struct Turn<'a> {
    hasher: &'a Hasher,
    permit: OwnedSemaphorePermit,
}

impl Turn<'_> {
    /// Hashes a new password; the result is a PHC string.
    pub(super) async fn hash(self, password: NewPassword) -> Result<String, AuthError> {
        let params = self.hasher.params.clone();
        let entropy = Arc::clone(&self.hasher.entropy);
        self.run(move |memory| hash(&params, password.as_bytes(), &entropy, memory)).await?
    }

    /// Compares a password with a PHC string; without one it matches nothing, after the time of a present hash.
    ///
    /// How many forms of the password are tried depends only on what was typed.
    pub(super) async fn verify(self, password: Password, phc: Option<String>) -> Result<Outcome, AuthError> {
        let is_known = phc.is_some();
        let phc = phc.unwrap_or_else(|| self.hasher.nobody.to_string());
        let (params, entropy) = (self.hasher.params.clone(), Arc::clone(&self.hasher.entropy));
        let compare = move |memory: &mut Memory| {
            let unusable = |error| AuthError::Fault(format!("a stored password hash is unusable: {error}"));
            for (index, bytes) in password.candidates().enumerate() {
                if is_password_of(&phc, bytes, memory).map_err(unusable)? && is_known {
                    if index == 0 && is_made_with(&phc, &params) {
                        return Ok(Outcome::Same);
                    }
                    let best = password.candidates().next().unwrap_or(bytes);
                    return Ok(Outcome::Outdated(hash(&params, best, &entropy, memory)?));
                }
            }
            Ok(Outcome::Different)
        };
        self.run(compare).await?
    }

    #[allow(clippy::disallowed_methods, reason = "measures how long a hash takes; nothing is decided by it")]
    async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, AuthError> {
        let Self { hasher, permit } = self;
        let last_hash_ms = Arc::clone(&hasher.last_hash_ms);
        let (done, result) = oneshot::channel();
        hasher.threads.run(move |memory| {
            let began = Instant::now();
            let result = work(memory);
            let elapsed = began.elapsed().max(Duration::from_millis(1));
            last_hash_ms.store(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
            drop(permit);
            // An error means that the login was cancelled.
            let _ = done.send(result);
        })?;
        let result = result.instrument(tracing::info_span!("hash password")).await;
        result.map_err(|_| AuthError::Fault("hashing a password did not finish".to_owned()))
    }
}

fn hash(params: &Params, password: &[u8], entropy: &Entropy, memory: &mut Memory) -> Result<String, AuthError> {
    let mut salt = [0; SALT_BYTES];
    entropy(&mut salt);
    to_phc(params, password, &salt, memory)
        .map_err(|error| AuthError::Fault(format!("hashing a password failed: {error}")))
}

fn to_phc(params: &Params, password: &[u8], salt: &[u8], memory: &mut Memory) -> password_hash::Result<String> {
    let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
    let output_bytes = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    let argon2 = Argon2::new(algorithm, version, params.clone());
    let hash = PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: ParamsString::try_from(params)?,
        salt: Some(Salt::new(salt)?),
        hash: Some(output(&argon2, password, salt, output_bytes, memory)?),
    };
    Ok(hash.to_string())
}

/// Returns true if the password matches a PHC string. Uses the string's own parameters.
fn is_password_of(phc: &str, password: &[u8], memory: &mut Memory) -> password_hash::Result<bool> {
    let stored = PasswordHash::new(phc)?;
    let (Some(salt), Some(expected)) = (&stored.salt, &stored.hash) else {
        return Err(password_hash::Error::EncodingInvalid);
    };
    let algorithm = Algorithm::try_from(stored.algorithm.as_str())?;
    let version = stored.version.map(Version::try_from).transpose()?.unwrap_or_default();
    let argon2 = Argon2::new(algorithm, version, Params::try_from(&stored)?);
    // Outputs are compared in constant time.
    Ok(output(&argon2, password, salt, expected.len(), memory)? == *expected)
}

/// Returns true if a PHC string has the form that [`to_phc`] would give it.
fn is_made_with(phc: &str, params: &Params) -> bool {
    let Ok(stored) = PasswordHash::new(phc) else { return false };
    let output_bytes = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
    stored.algorithm == Algorithm::Argon2id.ident()
        && stored.version == Some(Version::V0x13.into())
        && ParamsString::try_from(params).is_ok_and(|params| params == stored.params)
        && stored.salt.is_some_and(|salt| salt.len() == SALT_BYTES)
        && stored.hash.is_some_and(|hash| hash.len() == output_bytes)
}

fn output(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    bytes: usize,
    memory: &mut Memory,
) -> password_hash::Result<Output> {
    memory.resize(argon2.params().block_count(), Block::new());
    let mut out = [0; Output::MAX_LENGTH];
    let out = out.get_mut(..bytes).ok_or(password_hash::Error::OutputSize)?;
    argon2.hash_password_into_with_memory(password, salt, out, memory)?;
    Ok(Output::new(out)?)
}

#[cfg(test)]
mod tests {
    use argon2::PasswordHasher;

    use super::*;

    fn hasher(parallel: usize, waiting_max: usize) -> Hasher {
        Hasher::new(64, 1, parallel, waiting_max, crate::clock::system_entropy()).expect("a hasher")
    }

    fn password(text: &str) -> Password {
        Password::new(text).expect("a password")
    }

    async fn hashed(hasher: &Hasher, text: &str) -> String {
        let password = password(text).for_storing("password").expect("a new password");
        hasher.turn().await.expect("a turn").hash(password).await.expect("a hash")
    }

    #[tokio::test]
    async fn a_hash_matches_only_its_password() {
        let hasher = hasher(1, 0);
        let phc = hashed(&hasher, "open sesame").await;
        assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{phc}");
        for (tried, stored, expected) in [
            ("open sesame", Some(&phc), Outcome::Same),
            ("open Sesame", Some(&phc), Outcome::Different),
            ("open sesame", None, Outcome::Different),
        ] {
            let turn = hasher.turn().await.expect("a turn");
            assert_eq!(turn.verify(password(tried), stored.cloned()).await.expect("an answer"), expected);
        }
        assert_ne!(phc, hashed(&hasher, "open sesame").await, "each hash has its own salt");
    }

    #[tokio::test]
    async fn a_hash_of_other_settings_or_of_the_typed_form_is_outdated() {
        let hasher = hasher(1, 0);
        let other = Hasher::new(128, 1, 1, 0, crate::clock::system_entropy()).expect("a hasher");
        let typed = "cafe\u{301} au lait";
        let as_typed = hash(&hasher.params, typed.as_bytes(), &hasher.entropy, &mut Memory::new()).expect("a hash");
        for (tried, stored) in [("open sesame", hashed(&other, "open sesame").await), (typed, as_typed)] {
            let outcome = hasher.turn().await.expect("a turn").verify(password(tried), Some(stored)).await;
            let Ok(Outcome::Outdated(better)) = outcome else { panic!("{tried}: {outcome:?}") };
            let outcome = hasher.turn().await.expect("a turn").verify(password(tried), Some(better)).await;
            assert_eq!(outcome.expect("an answer"), Outcome::Same, "{tried}");
        }
    }

    #[test]
    fn reused_memory_does_not_change_a_hash() {
        let mut memory = Memory::new();
        for (kib, iterations) in [(64, 1), (256, 3), (8, 2)] {
            let params = Params::new(kib, iterations, 1, None).expect("parameters");
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
            let theirs = argon2.hash_password_with_salt(b"pw", &[9; SALT_BYTES]).expect("a hash").to_string();
            assert_eq!(to_phc(&params, b"pw", &[9; SALT_BYTES], &mut memory), Ok(theirs.clone()));
            assert_eq!(is_password_of(&theirs, b"pw", &mut memory), Ok(true));
            assert_eq!(is_password_of(&theirs, b"pW", &mut memory), Ok(false));
        }
        for strange in ["", "$argon2id$v=19$m=64,t=1,p=1", "$argon2x$v=19$m=64,t=1,p=1$CQkJCQkJCQk$CQkJCQkJCQk"] {
            assert!(is_password_of(strange, b"pw", &mut memory).is_err(), "{strange}");
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_a_login_and_keeps_those_that_wait() {
        let hasher = hasher(1, 1);
        let first = hasher.turn().await.expect("a turn");
        let mut second = Box::pin(hasher.turn());
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(matches!(hasher.turn().await, Err(AuthError::Overloaded { retry_after_ms: 1_000.. })));
        drop(first);
        drop(second.await.expect("its turn"));
        assert_eq!(hasher.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_cancelled_login_frees_its_place() {
        let hasher = hasher(1, 1);
        let _first = hasher.turn().await.expect("a turn");
        let mut second = Box::pin(hasher.turn());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(second);
        assert!(futures_util::poll!(Box::pin(hasher.turn())).is_pending());
    }
}
