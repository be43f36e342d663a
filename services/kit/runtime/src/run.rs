//! The whole of a `main`: settings, telemetry, start, signals, shutdown, exit code.

use std::{
    ffi::OsString,
    io::Write,
    pin::Pin,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use clap::{Args, FromArgMatches, error::ErrorKind};
use tokio::net::TcpListener;

use crate::{
    Clock, Readiness, Rpc, Service, SystemClock, Tasks, admin,
    lifecycle::Signals,
    server,
    settings::{PeerSettings, ProcessSettings, ServeSettings},
    telemetry::Telemetry,
};

/// Exit code for settings that cannot work (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;

/// A setting that cannot work, in one sentence that names the setting. Returned from a
/// program's start, it ends the process with exit code 64.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    /// An error that says `sentence`.
    pub fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

/// What a program finds around it when it starts.
pub struct Env {
    /// Where its background tasks belong.
    pub tasks: Tasks,
    /// The checks behind `/readyz`.
    pub readiness: Readiness,
    /// The time.
    pub clock: Arc<dyn Clock>,
    peers: PeerSettings,
    last: Arc<Mutex<Vec<Last>>>,
}

/// Something to do when everything else has ended.
type Last = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Env {
    /// Has `work` done when all tasks have ended, or their time is up: stopping what they stand
    /// on. It is not bounded, so it bounds itself.
    pub fn last(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(work));
    }

    /// A transport to another service, from the setting `--<service>-url`. For services that
    /// [`run`] runs; other programs have [`PeerSettings`] among their own.
    pub fn rpc(&self, service: &'static str) -> Result<Rpc, ConfigError> {
        self.peers.rpc(service)
    }
}

/// Runs a service in a process of its own: the whole of `main`. `build` makes it from its
/// settings; no port is bound before it has.
pub fn run<C, S, F, Fut>(build: F) -> ExitCode
where
    C: Args,
    S: Service,
    F: FnOnce(C, Arc<Env>) -> Fut,
    Fut: Future<Output = anyhow::Result<S>>,
{
    run_program(S::NAME, async move |settings: ServiceSettings<C>, env: Arc<Env>| {
        let ServiceSettings { serve, peers, own } = settings;
        let security = serve.security(&peers)?;
        let env = Arc::new(Env { peers, ..env.share() });
        let service = build(own, Arc::clone(&env)).await?;
        env.readiness.add(service.checks());
        let address =
            server::serve(S::NAME, service.routes(), serve.listen, security, &env.tasks).await?;
        service.tasks(&env.tasks);
        tracing::info!(service = S::NAME, %address, "serving");
        Ok(())
    })
}

#[derive(Args)]
struct ServiceSettings<C: Args> {
    #[command(flatten)]
    serve: ServeSettings,
    #[command(flatten)]
    peers: PeerSettings,
    #[command(flatten)]
    own: C,
}

/// Runs a program that is not one service: the gateway, rota-server. `start` returns when
/// everything has been started as tasks of `env`; the process then lives until a signal comes
/// or a task panics.
///
/// Exit codes: 0 after a signal, 64 for settings that cannot work, 1 for anything else.
pub fn run_program<C, F>(name: &'static str, start: F) -> ExitCode
where
    C: Args,
    F: AsyncFnOnce(C, Arc<Env>) -> anyhow::Result<()>,
{
    match parse::<C>(name, std::env::args_os()) {
        Ok((process, settings)) => execute(name, &process, settings, start),
        Err(code) => code,
    }
}

/// Runs a program whose settings are known.
fn execute<C, F>(name: &'static str, process: &ProcessSettings, settings: C, start: F) -> ExitCode
where
    F: AsyncFnOnce(C, Arc<Env>) -> anyhow::Result<()>,
{
    install_crypto();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(name, &format!("cannot start threads: {error}"), 1),
    };
    let outcome = runtime.block_on(async {
        let telemetry = Telemetry::start(name, process)?;
        let outcome = live(process, settings, start).await;
        let _ = tokio::task::spawn_blocking(move || telemetry.finish()).await;
        outcome
    });
    // What has not ended by its deadline is dropped, not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<ConfigError>() => complain(name, &format!("{error}"), EXIT_USAGE),
        Err(error) => complain(name, &format!("{error:#}"), 1),
    }
}

async fn live<C, F>(process: &ProcessSettings, settings: C, start: F) -> anyhow::Result<()>
where
    F: AsyncFnOnce(C, Arc<Env>) -> anyhow::Result<()>,
{
    let env = Arc::new(Env::new());
    let outcome = live_in(&env, process, settings, start).await;
    let last = std::mem::take(&mut *env.last.lock().unwrap_or_else(PoisonError::into_inner));
    for work in last {
        work.await;
    }
    outcome
}

async fn live_in<C, F>(
    env: &Arc<Env>,
    process: &ProcessSettings,
    settings: C,
    start: F,
) -> anyhow::Result<()>
where
    F: AsyncFnOnce(C, Arc<Env>) -> anyhow::Result<()>,
{
    let mut signals = Signals::listen()?;
    tokio::select! {
        started = start(settings, Arc::clone(env)) => started?,
        signal = signals.next() => {
            tracing::info!(signal, "stopped before everything had started");
            env.tasks.stop_within(process.shutdown_seconds).await;
            return Ok(());
        }
    }
    let listener = TcpListener::bind(process.admin_listen).await.map_err(|error| {
        anyhow::Error::new(error).context(format!("cannot listen on {}", process.admin_listen))
    })?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "admin port open");
    }
    admin::spawn(listener, env.readiness.clone(), &env.tasks);
    let stop = env.tasks.token();
    tokio::select! {
        signal = signals.next() => tracing::info!(signal, "stopping"),
        () = stop.cancelled() => tracing::warn!("stopping"),
    }
    tokio::select! {
        ended = env.tasks.stop_within(process.shutdown_seconds) => if !ended {
            tracing::warn!("tasks that did not end in time are dropped");
        },
        signal = signals.next() => tracing::warn!(signal, "second signal: not waiting any longer"),
    }
    if env.tasks.any_panicked() {
        anyhow::bail!("a background task panicked");
    }
    Ok(())
}

impl Env {
    fn new() -> Self {
        Self {
            tasks: Tasks::new(),
            readiness: Readiness::default(),
            clock: Arc::new(SystemClock),
            peers: PeerSettings::default(),
            last: Arc::default(),
        }
    }

    /// The same surroundings once more.
    fn share(&self) -> Self {
        Self {
            tasks: self.tasks.clone(),
            readiness: self.readiness.clone(),
            clock: Arc::clone(&self.clock),
            peers: self.peers.clone(),
            last: Arc::clone(&self.last),
        }
    }
}

/// Makes ring the process's crypto provider for TLS. Every main gets this from [`run`]; tests
/// that touch TLS call it themselves, as often as they like.
pub fn install_crypto() {
    // Fails when it has been installed already, which is just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Reads flags and environment. What clap has to say to the person (help, version, a mistake)
/// is said here.
fn parse<C: Args>(
    name: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(ProcessSettings, C), ExitCode> {
    let command = clap::Command::new(name)
        .bin_name(format!("rota-{name}"))
        .version(env!("CARGO_PKG_VERSION"));
    let mut command = C::augment_args(ProcessSettings::augment_args(command));
    let parsed = command.try_get_matches_from_mut(arguments).and_then(|matches| {
        Ok((ProcessSettings::from_arg_matches(&matches)?, C::from_arg_matches(&matches)?))
    });
    parsed.map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        _ => complain(name, &mistake(&error), EXIT_USAGE),
    })
}

/// What is wrong with the settings, without clap's further paragraphs of advice.
fn mistake(error: &clap::Error) -> String {
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default();
    let words: Vec<_> = first.split_whitespace().collect();
    words.join(" ").trim_start_matches("error: ").to_owned()
}

/// Says why the process ends, in one line.
fn complain(name: &str, sentence: &str, code: u8) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "rota-{name}: {sentence}");
    ExitCode::from(code)
}

#[cfg(test)]
mod tests;
