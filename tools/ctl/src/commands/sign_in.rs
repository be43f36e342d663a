//! Signing in and out.

use anyhow::{Context, Result};
use reqwest::Method;
use rota_rest::users::User;
use secrecy::SecretString;
use serde_json::json;

use crate::{
    api::Api,
    cli::{Format, Login},
    output::{self, Table},
    session,
};

/// Signs in and remembers it.
pub(super) async fn login(format: Format, login: Login) -> Result<()> {
    let password = match &login.password_file {
        Some(path) => std::fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .trim_end_matches(['\r', '\n'])
            .to_owned(),
        None => output::ask_secret("Password")?,
    };
    let session = Api::sign_in(
        &login.server,
        login.certificate.as_deref(),
        &login.email,
        &SecretString::from(password),
    )
    .await?;
    session::save(&session::path()?, &session)?;
    let sentence = format!("Signed in at {} as {}.", session.server, login.email);
    output::done(format, &json!({ "server": session.server, "email": login.email }), &sentence)
}

/// Ends the sign-in, at the server and here.
pub(super) async fn logout(format: Format, api: &Api) -> Result<()> {
    api.send(api.request(Method::POST, "/api/management/v1/useradm/auth/logout")).await?;
    session::forget(&session::path()?)?;
    output::done(format, &json!({ "server": api.session().server }), "Signed out.")
}

/// Shows who is signed in, and where.
pub(super) async fn whoami(format: Format, api: &Api) -> Result<()> {
    let user: User = api.get("/api/management/v1/useradm/users/me").await?;
    let mut table = Table::new(&["email", "id", "server"]);
    table.row([user.email.clone(), user.id.clone(), api.session().server.clone()]);
    output::result(format, &user, &table)
}
