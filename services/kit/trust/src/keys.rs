//! The keys that sign, as the table and this process hold them.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use rota_auth::{KeyError, SigningKeys};
use rota_proto::trust::v1::VerifyingKey;
use rota_store::PlatformTx;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::Trust;

/// How long a key is announced before it signs: far longer than a gateway takes to hear of it,
/// or to come back from a restart.
const ANNOUNCED: TimeDelta = TimeDelta::minutes(10);

/// What a service wants of its keys.
#[derive(Debug, Clone)]
pub struct KeySettings {
    /// The longest life that tokens are given.
    pub lifetime: TimeDelta,
    /// Whether some tokens have no end: their keys are then believed for good.
    pub endless: bool,
    /// A key that has signed for this long is replaced. Keys from a file are not.
    pub replace_after: TimeDelta,
    /// A PKCS#8 PEM file with the key to sign with, instead of one that is kept in the
    /// database.
    pub file: Option<PathBuf>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file with the key.
    #[error("cannot read the signing key {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{path} holds no signing key")]
    FileContent {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: KeyError,
    },
    /// A key in the table cannot be used.
    #[error("signing key {id} in the database cannot be used")]
    Row {
        /// The key's id.
        id: String,
        /// Why not.
        #[source]
        source: KeyError,
    },
    /// No key could be made.
    #[error("cannot make a signing key")]
    Make(#[source] KeyError),
    /// The table cannot be read or written.
    #[error("signing keys cannot be reached in the database")]
    Database(#[from] sqlx::Error),
}

/// This process has no private key: the one that signs lies in a file that it was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no key to sign with")]
pub struct NoKey;

/// The keys that this process holds.
pub(crate) struct Ring {
    from_file: Option<SecretString>,
    held: RwLock<Held>,
}

#[derive(Default)]
struct Held {
    /// The youngest first.
    signing: Vec<Signing>,
    verifying: Vec<VerifyingKey>,
}

struct Signing {
    keys: Arc<SigningKeys>,
    signs_from: DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    public_key: Vec<u8>,
    private_key: Option<String>,
    signs_from: DateTime<Utc>,
    retires_at: Option<DateTime<Utc>>,
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring").finish_non_exhaustive()
    }
}

impl Ring {
    /// An empty ring. Reads the key file, if one is set.
    pub(crate) fn new(settings: &KeySettings) -> Result<Self, OpenError> {
        let from_file = match &settings.file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| OpenError::File { path: path.clone(), source })?;
                let text = SecretString::from(text);
                SigningKeys::from_pem(&text)
                    .map_err(|source| OpenError::FileContent { path: path.clone(), source })?;
                Some(text)
            }
        };
        Ok(Self { from_file, held: RwLock::default() })
    }

    /// The youngest key that signs at `now`. Where none does yet, because this clock is behind
    /// that of the replica that made the first, the oldest.
    pub(crate) fn signing(&self, now: DateTime<Utc>) -> Result<Arc<SigningKeys>, NoKey> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let due = held.signing.iter().find(|key| key.signs_from <= now);
        let key = due.or_else(|| held.signing.last()).ok_or(NoKey)?;
        Ok(Arc::clone(&key.keys))
    }

    /// All keys that are believed.
    pub(crate) fn verifying(&self) -> Vec<VerifyingKey> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).verifying.clone()
    }

    /// Takes over what stands in the table.
    fn fill(&self, rows: Vec<Row>) -> Result<(), OpenError> {
        let mut held = Held::default();
        for row in rows {
            if let Some(keys) = self.private(&row)? {
                held.signing.push(Signing { keys: Arc::new(keys), signs_from: row.signs_from });
            }
            held.verifying.push(VerifyingKey { id: row.id, ed25519: row.public_key });
        }
        held.signing.sort_by_key(|key| std::cmp::Reverse(key.signs_from));
        *self.held.write().unwrap_or_else(PoisonError::into_inner) = held;
        Ok(())
    }

    /// The private half of a key, if this process has it.
    fn private(&self, row: &Row) -> Result<Option<SigningKeys>, OpenError> {
        let unusable = |source| OpenError::Row { id: row.id.clone(), source };
        if let Some(pem) = &row.private_key {
            let pem = SecretString::from(pem.clone());
            return SigningKeys::from_pem(&pem).map(Some).map_err(unusable);
        }
        let Some(pem) = &self.from_file else { return Ok(None) };
        let keys = SigningKeys::from_pem(pem).map_err(unusable)?;
        Ok((keys.key_id() == row.id).then_some(keys))
    }
}

impl Trust {
    /// Makes the first key, replaces one that is due, and drops those whose tokens have ended;
    /// then holds what there is. Of replicas that do so at once one acts.
    pub(crate) async fn tend_keys(&self) -> Result<(), OpenError> {
        let now = self.0.clock.now();
        let mut tx = self.0.db.platform().await?;
        sqlx::query(
            "select pg_advisory_xact_lock(hashtextextended('rota.signing_keys.' || $1, 0))",
        )
        .bind(self.0.db.schema())
        .execute(&mut *tx)
        .await?;
        sqlx::query("delete from signing_keys where retires_at <= $1")
            .bind(now)
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "update signing_keys set longest_lifetime_seconds = $1
             where retires_at is null and longest_lifetime_seconds < $1",
        )
        .bind(self.0.settings.lifetime.num_seconds())
        .execute(&mut *tx)
        .await?;
        let rows = rows(&mut tx).await?;
        if let Some(fresh) = self.successor(&rows, now)? {
            self.install(&mut tx, fresh, now).await?;
        }
        let rows = self::rows(&mut tx).await?;
        tx.commit().await?;
        self.0.ring.fill(rows)
    }

    /// Holds what stands in the table now.
    pub(crate) async fn load_keys(&self) -> Result<(), OpenError> {
        let mut tx = self.0.db.platform().await?;
        let rows = rows(&mut tx).await?;
        self.0.ring.fill(rows)
    }

    /// The key that must be added, if one must.
    fn successor(&self, rows: &[Row], now: DateTime<Utc>) -> Result<Option<Fresh>, OpenError> {
        let settings = &self.0.settings;
        let mut usable = Vec::new();
        for row in rows.iter().filter(|row| row.retires_at.is_none()) {
            if self.0.ring.private(row)?.is_some() {
                usable.push(row);
            }
        }
        let youngest = usable.iter().max_by_key(|row| row.signs_from);
        // A key that nobody has to wait for is announced before it signs.
        let signs_from = if usable.is_empty() { now } else { now + ANNOUNCED };
        if let Some(pem) = &self.0.ring.from_file {
            let fresh = Fresh::new(pem.clone(), Kept::Outside, signs_from)?;
            return Ok(rows.iter().all(|row| row.id != fresh.id).then_some(fresh));
        }
        if youngest.is_some_and(|row| now < row.signs_from + settings.replace_after) {
            return Ok(None);
        }
        let pem = SigningKeys::generate_pem().map_err(OpenError::Make)?;
        Fresh::new(pem, Kept::InTable, signs_from).map(Some)
    }

    /// Adds a key; those before it retire when their last token has ended.
    async fn install(
        &self,
        tx: &mut PlatformTx,
        fresh: Fresh,
        now: DateTime<Utc>,
    ) -> Result<(), OpenError> {
        if !self.0.settings.endless {
            sqlx::query(
                "update signing_keys
                 set retires_at = $1 + make_interval(secs => longest_lifetime_seconds)
                 where retires_at is null",
            )
            .bind(fresh.signs_from)
            .execute(&mut **tx)
            .await?;
        }
        let private = match fresh.kept {
            Kept::InTable => Some(fresh.pem.expose_secret()),
            Kept::Outside => None,
        };
        sqlx::query(
            "insert into signing_keys
                 (id, public_key, private_key, created_at, signs_from, longest_lifetime_seconds)
             values ($1, $2, $3, $4, $5, $6)",
        )
        .bind(&fresh.id)
        .bind(&fresh.public)
        .bind(private)
        .bind(now)
        .bind(fresh.signs_from)
        .bind(self.0.settings.lifetime.num_seconds())
        .execute(&mut **tx)
        .await?;
        tracing::info!(
            schema = self.0.db.schema(), key = fresh.id, signs_from = %fresh.signs_from,
            "new signing key",
        );
        Ok(())
    }
}

async fn rows(tx: &mut PlatformTx) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as("select id, public_key, private_key, signs_from, retires_at from signing_keys")
        .fetch_all(&mut **tx)
        .await
}

/// A key that is not in the table yet.
struct Fresh {
    id: String,
    public: Vec<u8>,
    pem: SecretString,
    kept: Kept,
    signs_from: DateTime<Utc>,
}

/// Where the private half of a key is kept.
#[derive(Clone, Copy)]
enum Kept {
    InTable,
    Outside,
}

impl Fresh {
    fn new(pem: SecretString, kept: Kept, signs_from: DateTime<Utc>) -> Result<Self, OpenError> {
        let keys = SigningKeys::from_pem(&pem).map_err(OpenError::Make)?;
        let id = keys.key_id().to_owned();
        let public = public_half(&keys).ok_or(OpenError::Make(KeyError::Private))?;
        Ok(Self { id, public, pem, kept, signs_from })
    }
}

/// The raw public half of the key that signs, out of the set's JSON (RFC 8037).
fn public_half(keys: &SigningKeys) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Key>,
    }
    #[derive(Deserialize)]
    struct Key {
        kid: String,
        x: String,
    }
    let set: Set = serde_json::from_str(&keys.key_set().to_json()).ok()?;
    let key = set.keys.into_iter().find(|key| key.kid == keys.key_id())?;
    URL_SAFE_NO_PAD.decode(key.x).ok()
}
