//! A private Postgres: its own data, its own socket, no port.

mod cluster;
mod orphan;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::SecretString;

use crate::{
    StackError,
    account::Account,
    binaries::PostgresBinaries,
    guard::Guard,
    lock::{Lock, Mode},
};

/// The login that owns the database. No superuser: it creates roles and databases, as an
/// operator's login for Rota would.
pub(crate) const LOGIN: &str = "rota";

/// How long a start may take: after a crash the log is replayed first.
const START: Duration = Duration::from_mins(2);

/// How long an orderly stop may take before it is cut short (which costs a replay at the next
/// start, no data).
const STOP: Duration = Duration::from_secs(20);

/// Runs Postgres until nobody has held the users' lock for a while, then removes it. Whoever
/// wants to use it takes the starter's lock first, so that nobody comes while it goes.
const SHARED: &str = r#"
dir=$1 idle=$2; shift 2
exec 8<>"$dir/start.lock" 9<>"$dir/users.lock"
"$@" </dev/null 8>&- 9>&- &
server=$!
quiet=0
while kill -0 "$server" 2>/dev/null; do
    sleep 2
    if flock -n 8; then
        if flock -n 9; then quiet=$((quiet + 2)); else quiet=0; fi
        if [ "$quiet" -gt "$idle" ]; then
            kill -INT "$server"
            wait "$server"
            rm -rf "$dir/data" "$dir/run" "$dir/postgres.log"
            exit 0
        fi
        flock -u 9
        flock -u 8
    fi
done
"#;

/// Where Postgres lives, and how.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// A directory for it alone; made when it is not there. Data, log and socket are in it.
    pub dir: PathBuf,
    /// The database that [`Postgres::url`] names.
    pub database: String,
    /// What a power cut may cost.
    pub durability: Durability,
    /// When it ends.
    pub lifetime: Lifetime,
    /// Connections that it takes.
    pub max_connections: u32,
}

impl PostgresOptions {
    /// A durable Postgres in `dir` with the database `rota`, that ends with its owner.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            database: "rota".to_owned(),
            durability: Durability::Durable,
            lifetime: Lifetime::Owned,
            max_connections: 200,
        }
    }
}

/// What a power cut may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed.
    Durable,
    /// Everything, and no time is spent on the disk: for tests.
    Fast,
}

/// When the server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// With the process that started it, which has it alone.
    Owned,
    /// Some time after its last user, with its data: for the processes of a test run. A start
    /// finds the one that runs.
    Shared {
        /// How long it waits for another user, in whole seconds.
        idle: Duration,
    },
}

/// A running Postgres.
#[derive(Debug)]
pub struct Postgres {
    url: SecretString,
    sockets: PathBuf,
    data: PathBuf,
    guard: Option<Guard>,
    /// Holds the directory ([`Lifetime::Owned`]) or counts us in ([`Lifetime::Shared`]).
    _lock: Lock,
}

/// The parts of the directory, and who owns them.
struct Place {
    dir: PathBuf,
    data: PathBuf,
    sockets: PathBuf,
    log: PathBuf,
    account: Account,
}

impl Postgres {
    /// Starts Postgres, making its data at the first start. One of ours that was left behind by
    /// a crash is stopped first.
    pub async fn start(options: PostgresOptions) -> Result<Self, StackError> {
        let place = Place::prepare(&options.dir)?;
        match options.lifetime {
            Lifetime::Owned => Self::start_owned(&options, &place).await,
            Lifetime::Shared { idle } => Self::start_shared(&options, &place, idle).await,
        }
    }

    async fn start_owned(options: &PostgresOptions, place: &Place) -> Result<Self, StackError> {
        let lock = Lock::take(&place.dir.join("start.lock"), Mode::TryExclusive, &place.account)?
            .ok_or_else(|| StackError::InUse { path: place.dir.clone() })?;
        orphan::stop(&place.data, STOP).await;
        let command = prepare(options, place).await?;
        let mut guard = Guard::start(&command, "INT", &place.account, &place.log)?;
        guard.wait_ready(START, || orphan::ready(&place.data)).await?;
        Ok(Self::new(options, place, Some(guard), lock))
    }

    async fn start_shared(
        options: &PostgresOptions,
        place: &Place,
        idle: Duration,
    ) -> Result<Self, StackError> {
        let starting = place.take("start.lock", Mode::Exclusive).await?;
        // Taken while we hold the other, so that the server does not leave now.
        let users = place.take("users.lock", Mode::Shared).await?;
        if orphan::running(&place.data).is_none() {
            let command = prepare(options, place).await?;
            let arguments = [place.dir.display().to_string(), idle.as_secs().to_string()];
            let (account, log) = (&place.account, &place.log);
            let mut guard = Guard::start_with(SHARED, &arguments, &command, account, log)?;
            guard.wait_ready(START, || orphan::ready(&place.data)).await?;
        }
        drop(starting);
        Ok(Self::new(options, place, None, users))
    }

    fn new(options: &PostgresOptions, place: &Place, guard: Option<Guard>, lock: Lock) -> Self {
        Self {
            url: url(&place.sockets, &options.database),
            sockets: place.sockets.clone(),
            data: place.data.clone(),
            guard,
            _lock: lock,
        }
    }

    /// The URL of the database, through the socket: `postgres://rota@localhost/rota?host=…`.
    /// The login owns the database, and may create databases and roles.
    pub fn url(&self) -> &SecretString {
        &self.url
    }

    /// The URL of another database of the same server, with the same login.
    pub fn url_of(&self, database: &str) -> SecretString {
        url(&self.sockets, database)
    }

    /// Stops the server in an orderly way and waits for it; one that does not end in time is
    /// cut short, and recovers at its next start. A shared one is only left.
    pub async fn stop(mut self) {
        if let Some(guard) = &mut self.guard
            && !guard.stop(STOP).await
        {
            tracing::warn!(data = %self.data.display(), "Postgres does not stop: cutting it short");
            orphan::stop(&self.data, Duration::ZERO).await;
            guard.stop(STOP).await;
        }
    }
}

impl Place {
    /// Makes the directories.
    fn prepare(dir: &Path) -> Result<Self, StackError> {
        let account = Account::unprivileged()?;
        if let Some(parent) = dir.parent() {
            std::fs::create_dir_all(parent).map_err(StackError::file("create", parent))?;
        }
        let dir = std::path::absolute(dir).map_err(StackError::file("find", dir))?;
        account.check_reach(&dir)?;
        account.create_dir(&dir, 0o755)?;
        let sockets = cluster::socket_dir(&dir);
        account.create_dir(&sockets, 0o700)?;
        Ok(Self { data: dir.join("data"), log: dir.join("postgres.log"), dir, sockets, account })
    }

    /// Takes a lock that somebody may hold for as long as a start takes, off the runtime.
    async fn take(&self, name: &str, mode: Mode) -> Result<Lock, StackError> {
        let (path, account) = (self.dir.join(name), self.account.clone());
        let taking = tokio::task::spawn_blocking(move || Lock::take(&path, mode, &account));
        let in_use = || StackError::InUse { path: self.dir.clone() };
        taking.await.map_err(|_| in_use())??.ok_or_else(in_use)
    }
}

fn url(sockets: &Path, database: &str) -> SecretString {
    let sockets = cluster::percent_encode(sockets);
    format!("postgres://{LOGIN}@localhost/{database}?host={sockets}").into()
}

/// Makes the data if there is none; returns the command that serves it.
async fn prepare(options: &PostgresOptions, place: &Place) -> Result<Vec<String>, StackError> {
    let binaries = PostgresBinaries::find(&place.data)?;
    // A shared server removes its socket directory when it goes.
    place.account.create_dir(&place.sockets, 0o700)?;
    if !place.data.exists() {
        cluster::create(&binaries, options, place).await?;
    }
    Ok(cluster::command(&binaries, options, place))
}
