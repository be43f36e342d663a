//! What the platform's operator does at the database's side: tenants, and people in them.
//!
//! The commands speak to the service through its own gRPC routes, in this process.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use chrono::TimeDelta;
use clap::{Args, CommandFactory, Parser, Subcommand};
use rand::distr::{Alphanumeric, SampleString};
use rota_accounts::{Accounts, Config, Deps, SCHEMA};
use rota_proto::accounts::v1::{
    BootstrapRequest, CreateTenantRequest, CreateTenantUserRequest, CreateUserRequest,
    ListTenantsRequest, SetTenantSuspendedRequest, Tenant,
    internal_service_client::InternalServiceClient,
};
use rota_runtime::{Clock, Failure, Rpc, Service, SystemClock, rpc, with_caller};
use rota_store::{Database, DatabaseSettings};
use rota_types::{Caller, MAX_PER_PAGE, TenantId};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// How long a password is that is made here, in characters of 62 kinds.
const PASSWORD_LENGTH: usize = 20;

#[derive(Debug, Parser)]
#[command(name = "rota-accounts", version)]
struct Operator {
    /// The database: `postgres://user:password@host/database`.
    #[arg(
        long,
        global = true,
        env = "ROTA_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    database_url: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the default tenant and its first person, unless they are there.
    Bootstrap(NewPerson),
    /// Make a tenant, and print the token that its devices send.
    CreateTenant {
        /// The tenant's name.
        name: String,
    },
    /// Add a person to a tenant.
    CreateUser {
        /// The tenant's id.
        #[arg(long)]
        tenant: TenantId,
        #[command(flatten)]
        person: NewPerson,
        /// What the person may do, such as `RBAC_ROLE_OBSERVER`, and may be repeated; without
        /// any, everything.
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
    },
    /// List all tenants.
    ListTenants,
    /// Sign everybody of a tenant out, and let neither people nor devices in.
    SuspendTenant {
        /// The tenant's id.
        tenant: TenantId,
    },
    /// Take a suspension back.
    ResumeTenant {
        /// The tenant's id.
        tenant: TenantId,
    },
}

#[derive(Debug, Args)]
struct NewPerson {
    /// The address to sign in with.
    #[arg(long)]
    email: String,
    /// File with the password; without it one is made and printed.
    #[arg(long, env = "ROTA_PASSWORD_FILE", value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// The commands, as `--help` of the service lists them below its settings.
pub(crate) fn overview() -> String {
    let heading = "Commands of the operator (rota-accounts COMMAND --help):";
    let operator = Operator::command();
    let commands = operator.get_subcommands().map(|command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        format!("  {:<16}{about}", command.get_name())
    });
    std::iter::once(heading.to_owned()).chain(commands).collect::<Vec<_>>().join("\n")
}

/// Whether the command line names one of these commands; otherwise the service is meant.
pub(crate) fn is_asked() -> bool {
    let operator = Operator::command();
    std::env::args().skip(1).any(|word| word == "help" || operator.find_subcommand(word).is_some())
}

/// Carries out the command that the command line names.
pub(crate) fn run() -> ExitCode {
    let operator = Operator::parse();
    rota_runtime::install_crypto();
    let done = tokio::runtime::Runtime::new()
        .context("cannot start threads")
        .and_then(|runtime| runtime.block_on(carry_out(operator)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "rota-accounts: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn carry_out(operator: Operator) -> anyhow::Result<()> {
    let Operator { database_url, command } = operator;
    let database_url = database_url.context("--database-url (ROTA_DATABASE_URL) is needed")?;
    let db = Database::connect(&DatabaseSettings::new(database_url), &SCHEMA).await?;
    let deps = Deps { db, clock: Arc::new(SystemClock) };
    let service = Accounts::new(Config::default(), deps).await?;
    let routes = rpc::in_process(Accounts::NAME, service.routes());
    let mut accounts = InternalServiceClient::new(routes);
    match command {
        Command::Bootstrap(person) => bootstrap(&mut accounts, &person).await,
        Command::CreateTenant { name } => {
            let tenant = accounts.create_tenant(asked(CreateTenantRequest { name })).await;
            show(&tenant.map_err(Failure::from)?.into_inner())
        }
        Command::CreateUser { tenant, person, roles } => {
            create_user(&mut accounts, tenant, &person, roles).await
        }
        Command::ListTenants => list(&mut accounts).await,
        Command::SuspendTenant { tenant } => set_suspended(&mut accounts, tenant, true).await,
        Command::ResumeTenant { tenant } => set_suspended(&mut accounts, tenant, false).await,
    }
}

async fn bootstrap(
    accounts: &mut InternalServiceClient<Rpc>,
    person: &NewPerson,
) -> anyhow::Result<()> {
    let password = password(person)?;
    let request = BootstrapRequest {
        admin_email: person.email.clone(),
        admin_password: password.expose_secret().to_owned(),
    };
    let made = accounts.bootstrap(asked(request)).await.map_err(Failure::from)?.into_inner();
    if made.created {
        reveal(person, &password)?;
    }
    say(&format!("tenant {}", made.tenant_id))
}

async fn create_user(
    accounts: &mut InternalServiceClient<Rpc>,
    tenant: TenantId,
    person: &NewPerson,
    roles: Vec<String>,
) -> anyhow::Result<()> {
    let password = password(person)?;
    let request = CreateTenantUserRequest {
        tenant_id: tenant.to_string(),
        user: Some(CreateUserRequest {
            email: person.email.clone(),
            password: password.expose_secret().to_owned(),
            roles,
        }),
    };
    let made = accounts.create_tenant_user(asked(request)).await.map_err(Failure::from)?;
    reveal(person, &password)?;
    say(&format!("user {}", made.into_inner().id))
}

async fn list(accounts: &mut InternalServiceClient<Rpc>) -> anyhow::Result<()> {
    for page in 1.. {
        let request = ListTenantsRequest { page, per_page: MAX_PER_PAGE };
        let tenants = accounts.list_tenants(asked(request)).await.map_err(Failure::from)?;
        let tenants = tenants.into_inner().tenants;
        tenants.iter().try_for_each(show)?;
        if tenants.len() < MAX_PER_PAGE as usize {
            break;
        }
    }
    Ok(())
}

async fn set_suspended(
    accounts: &mut InternalServiceClient<Rpc>,
    tenant: TenantId,
    suspended: bool,
) -> anyhow::Result<()> {
    let request = SetTenantSuspendedRequest { tenant_id: tenant.to_string(), suspended };
    let tenant = accounts.set_tenant_suspended(asked(request)).await.map_err(Failure::from)?;
    show(&tenant.into_inner())
}

/// The operator's requests belong to no tenant.
fn asked<T>(message: T) -> tonic::Request<T> {
    let expires = SystemClock.now() + TimeDelta::minutes(1);
    let caller = Caller::service("operator", TenantId(Uuid::nil()), expires);
    with_caller(tonic::Request::new(message), &caller)
}

/// The password from the file, or a new one.
fn password(person: &NewPerson) -> anyhow::Result<SecretString> {
    let Some(path) = &person.password_file else {
        let password = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH);
        return Ok(SecretString::from(password));
    };
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}

/// Prints a password that nobody knows yet.
fn reveal(person: &NewPerson, password: &SecretString) -> anyhow::Result<()> {
    if person.password_file.is_none() {
        say(&format!("password {}", password.expose_secret()))?;
    }
    Ok(())
}

fn show(tenant: &Tenant) -> anyhow::Result<()> {
    let standing = if tenant.suspended { "suspended" } else { "active" };
    say(&format!("tenant {} {standing} {}", tenant.id, tenant.name))?;
    say(&format!("token {}", tenant.tenant_token))
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{line}")?)
}
