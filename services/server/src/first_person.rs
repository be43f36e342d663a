//! The first person: made when there is nobody yet, with a password that is shown once.

use std::io::Write;

use anyhow::{Context, Result};
use chrono::TimeDelta;
use rand::distr::{Alphanumeric, SampleString};
use rota_proto::accounts::v1::{BootstrapRequest, internal_service_client::InternalServiceClient};
use rota_runtime::{Clock, Failure, Rpc, with_caller};
use rota_types::{Caller, TenantId};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// How long the password is, in characters of 62 kinds: about 119 bits.
const PASSWORD_LENGTH: usize = 20;
/// How long accounts may take.
const LIMIT: TimeDelta = TimeDelta::minutes(1);

/// Someone to sign in as.
pub(crate) struct FirstPerson {
    email: String,
    password: SecretString,
}

/// Makes the default tenant and its first person, unless they are there.
pub(crate) async fn make(
    accounts: Rpc,
    email: &str,
    clock: &dyn Clock,
) -> Result<Option<FirstPerson>> {
    let password = Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH);
    let request =
        BootstrapRequest { admin_email: email.to_owned(), admin_password: password.clone() };
    // No tenant exists yet that the call could be bound to.
    let caller = Caller::service("server", TenantId(Uuid::nil()), clock.now() + LIMIT);
    let answer = InternalServiceClient::new(accounts)
        .bootstrap(with_caller(request, &caller))
        .await
        .map_err(Failure::from)
        .context("cannot make the first person")?;
    let made = answer.into_inner().created;
    Ok(made.then(|| FirstPerson { email: email.to_owned(), password: password.into() }))
}

/// Says where the platform is, and how to sign in if that is new.
pub(crate) fn announce(
    person: Option<&FirstPerson>,
    port: u16,
    certificate: &std::path::Path,
    data: &std::path::Path,
) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Rota serves https://localhost:{port}")?;
    writeln!(out, "  data         {}", data.display())?;
    writeln!(out, "  certificate  {}", certificate.display())?;
    if let Some(person) = person {
        writeln!(out, "  e-mail       {}", person.email)?;
        writeln!(out, "  password     {}  (shown this once)", person.password.expose_secret())?;
    }
    Ok(out.flush()?)
}
