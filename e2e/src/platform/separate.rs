//! Every service in two processes of its own, two gateways, mutual TLS between them, over a
//! real Postgres, a real nats-server and a real S3 server.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use rota_stack::{
    Authority, Durability, Identity, Nats, NatsOptions, Postgres, PostgresOptions, ReservedPort,
    S3, S3Options,
};
use secrecy::ExposeSecret;

use super::{Part, Platform, START_LIMIT};
use crate::{
    operator,
    process::{Process, Program},
    programs, wait,
};

/// Processes of each kind.
const REPLICAS: usize = 2;

/// The administrator that the story makes, as an operator of a real installation would.
const EMAIL: &str = "admin@example.com";
const PASSWORD: &str = "correct horse battery staple";

/// What the services stand on; everything ends with it.
pub(super) struct Backends {
    postgres: Postgres,
    nats: Nats,
    s3: S3,
    folder: PathBuf,
}

impl Backends {
    async fn start(folder: &Path) -> Result<Self> {
        let options = PostgresOptions {
            durability: Durability::Fast,
            max_connections: 400,
            ..PostgresOptions::new(folder.join("postgres"))
        };
        Ok(Self {
            postgres: Postgres::start(options).await?,
            nats: Nats::start(NatsOptions::new(folder.join("nats"))).await?,
            s3: S3::start(S3Options::new(folder.join("s3"))).await?,
            folder: folder.to_owned(),
        })
    }

    /// The operator's command, with the address of the database.
    pub(super) fn accounts_command(&self) -> Result<Program> {
        let program = Program::new("rota-accounts", programs::ours("rota-accounts")?, &self.folder);
        Ok(program.environment("ROTA_DATABASE_URL", self.postgres.url().expose_secret()))
    }

    /// What a service reads from its environment about the back-ends.
    fn environment(&self) -> Result<Vec<(&'static str, String)>> {
        let s3 = self.s3.options();
        let bucket = s3.buckets.first().context("an S3 server without a bucket")?;
        Ok(vec![
            ("ROTA_DATABASE_URL", self.postgres.url().expose_secret().to_owned()),
            ("ROTA_NATS_URL", self.nats.url().to_owned()),
            ("ROTA_S3_ENDPOINT", self.s3.endpoint().to_owned()),
            ("ROTA_S3_BUCKET", bucket.clone()),
            ("ROTA_S3_ACCESS_KEY", s3.access_key.clone()),
            ("ROTA_S3_SECRET_KEY", s3.secret_key.expose_secret().to_owned()),
        ])
    }
}

/// One replica's place.
struct Place {
    part: Part,
    index: usize,
    listen: ReservedPort,
    admin: ReservedPort,
}

/// Starts everything.
pub(super) async fn start(folder: &Path) -> Result<Platform> {
    let backends = Backends::start(folder).await?;
    let authority = Authority::open(folder.join("certificates"))?;
    let places = places()?;
    let mut environment = backends.environment()?;
    let link_keys = folder.join("link-keys");
    environment.push(("ROTA_LINK_KEYS", link_keys.to_string_lossy().into_owned()));
    environment.extend(addresses(&places));

    create_administrator(folder, backends.accounts_command()?)?;
    let mut processes = Vec::new();
    for part in Part::SEPARATE {
        let identity = authority.issue(part.name())?;
        for place in places.iter().filter(|place| place.part == part) {
            processes.push((part, program(folder, place, &identity, &environment)?.start()?));
        }
    }
    for (place, (_, process)) in places.iter().zip(&mut processes) {
        ready(place, process).await?;
    }
    let gateways: Vec<String> = places
        .iter()
        .filter(|place| place.part == Part::Gateway)
        .map(|place| format!("https://localhost:{}", place.listen.number()))
        .collect();
    let platform = Platform {
        processes,
        gateways,
        certificate: authority.certificate(),
        email: EMAIL.to_owned(),
        password: PASSWORD.to_owned(),
        backends: Some(backends),
        _ports: places.into_iter().flat_map(|place| [place.listen, place.admin]).collect(),
    };
    knows_whom_to_trust(&platform).await?;
    Ok(platform)
}

fn places() -> Result<Vec<Place>> {
    let mut places = Vec::new();
    for part in Part::SEPARATE {
        for index in 0..REPLICAS {
            let (listen, admin) = (ReservedPort::take()?, ReservedPort::take()?);
            places.push(Place { part, index, listen, admin });
        }
    }
    Ok(places)
}

/// Where each service is, for all others.
fn addresses(places: &[Place]) -> Vec<(&'static str, String)> {
    let of = |part: Part| {
        let urls = places.iter().filter(|place| place.part == part);
        urls.map(|place| format!("https://localhost:{}", place.listen.number()))
            .collect::<Vec<_>>()
            .join(",")
    };
    vec![
        ("ROTA_ACCOUNTS_URL", of(Part::Accounts)),
        ("ROTA_DEVICEAUTH_URL", of(Part::Deviceauth)),
        ("ROTA_INVENTORY_URL", of(Part::Inventory)),
        ("ROTA_DEPLOYMENTS_URL", of(Part::Deployments)),
        ("ROTA_WORKFLOWS_URL", of(Part::Workflows)),
    ]
}

fn program(
    folder: &Path,
    place: &Place,
    identity: &Identity,
    environment: &[(&str, String)],
) -> Result<Program> {
    let name = format!("rota-{}", place.part.name());
    let log = folder.join(format!("{}-{}", place.part.name(), place.index));
    std::fs::create_dir_all(&log)?;
    let listen = if place.part == Part::Gateway { "--https-listen" } else { "--listen" };
    let mut program = Program::new(&name, programs::ours(&name)?, &log)
        .flag(listen, place.listen.address().to_string())
        .flag("--admin-listen", place.admin.address().to_string())
        .flag("--tls-cert", &identity.certificate)
        .flag("--tls-key", &identity.key)
        .flag("--tls-ca", &identity.ca)
        .environment("ROTA_HTTPS_CERT", &identity.certificate.to_string_lossy())
        .environment("ROTA_HTTPS_KEY", &identity.key.to_string_lossy());
    for (variable, value) in environment {
        program = program.environment(variable, value);
    }
    Ok(program)
}

/// The default tenant and its first person, with the command that an operator has for it.
fn create_administrator(folder: &Path, command: Program) -> Result<()> {
    let password = folder.join("password");
    std::fs::write(&password, PASSWORD)?;
    let command = command.argument("bootstrap").flag("--email", EMAIL);
    command.flag("--password-file", &password).run()?;
    Ok(())
}

/// Waits until a process says that it is ready.
async fn ready(place: &Place, process: &mut Process) -> Result<()> {
    operator::install_crypto();
    let what = format!("{} {}", place.part.name(), place.index);
    let url = format!("http://{}/readyz", place.admin.address());
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
    let outcome = wait::until(&what, START_LIMIT, || {
        let (asked, runs) = (http.get(&url).send(), process.runs());
        async move {
            // One that has ended will not get ready any more.
            if !runs? {
                return Ok(Some(Err(anyhow!("it has ended"))));
            }
            Ok(asked.await?.status().is_success().then_some(Ok(())))
        }
    })
    .await;
    outcome.flatten().with_context(|| process.printed().unwrap_or_default())
}

/// Waits until every gateway lets the administrator in.
async fn knows_whom_to_trust(platform: &Platform) -> Result<()> {
    for gateway in &platform.gateways {
        wait::until(&format!("{gateway} to let the operator in"), START_LIMIT, || async {
            let (email, password) = platform.administrator();
            let certificate = platform.certificate();
            let operator =
                operator::Operator::sign_in(gateway, certificate, email, password).await?;
            operator.get("/api/management/v1/useradm/users/me").await.map(Some)
        })
        .await?;
    }
    Ok(())
}
