//! Tenant tokens: a missing or a foreign one lets a device into the default tenant.

use anyhow::{Result, ensure};
use reqwest::{Method, StatusCode};
use rota_e2e::operator::{expect, text};
use serde_json::{Value, json};

use super::{Stage, paper::PaperDevice};

pub(super) async fn tell(stage: &mut Stage<'_>) -> Result<()> {
    let operator = stage.platform.operator().await?;
    let tenant = operator.get("/api/management/v1/tenantadm/user/tenant").await?;
    let own = text(&tenant, "tenant_token")?;
    let tokens = [None, Some("foreign"), Some("a.b.c"), Some(own.as_str())];
    for (serial, token) in tokens.into_iter().enumerate() {
        let mut device = PaperDevice::new(&operator, serial)?;
        if let Some(token) = token {
            device.belongs_to(token);
        }
        let answer = device.ask(operator.base()).await?;
        ensure!(answer.status() == StatusCode::UNAUTHORIZED, "{token:?}: {}", answer.status());
    }
    let pending = operator.devices("pending").await?;
    ensure!(pending.len() == 4, "{} pending devices in the default tenant", pending.len());

    // What a person may see of people is their own tenant's.
    let answer = operator
        .request(Method::POST, "/api/management/v1/useradm/users")
        .json(&json!({ "email": "Second@Example.com", "password": "a long enough phrase" }))
        .send()
        .await?;
    expect(answer, StatusCode::CREATED).await?;
    let users: Value = operator.get("/api/management/v1/useradm/users").await?;
    let emails: Vec<&str> =
        users.as_array().into_iter().flatten().filter_map(|user| user["email"].as_str()).collect();
    ensure!(emails.contains(&"second@example.com"), "people: {emails:?}");
    Ok(())
}
