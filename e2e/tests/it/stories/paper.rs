//! A device on paper: a key and a token, for stories about what the server answers.

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use rota_e2e::operator::{Operator, expect, location};
use rota_fleet::device::SimulatedDevice;
use serde_json::{Value, json};

/// A device that exists on paper only.
pub(super) struct PaperDevice {
    paper: SimulatedDevice,
    http: Client,
    tenant_token: Option<String>,
    /// Its token, once it was let in.
    pub(super) token: String,
    /// Its id, once it was preauthorised.
    pub(super) id: String,
}

impl PaperDevice {
    /// A device that nobody knows yet.
    pub(super) fn new(operator: &Operator, serial: usize) -> Result<Self> {
        Ok(Self {
            paper: SimulatedDevice::new(0, serial)?,
            http: operator.http().clone(),
            tenant_token: None,
            token: String::new(),
            id: String::new(),
        })
    }

    /// A device that is let in.
    pub(super) async fn admitted(operator: &Operator, serial: usize) -> Result<Self> {
        let mut device = Self::new(operator, serial)?;
        let body = json!({ "identity_data": device.paper.identity(), "pubkey": device.paper.public_key() });
        let path = "/api/management/v2/devauth/devices";
        let answer = operator.request(Method::POST, path).json(&body).send().await?;
        device.id = location(&expect(answer, StatusCode::CREATED).await?)?;
        device.sign_in(operator.base()).await?;
        Ok(device)
    }

    /// It says from now on that it belongs to a tenant.
    pub(super) fn belongs_to(&mut self, tenant_token: &str) {
        self.tenant_token = Some(tenant_token.to_owned());
    }

    /// Asks to be let in, whatever the answer.
    pub(super) async fn ask(&self, base: &str) -> Result<Response> {
        let (mut body, mut signature) = self.paper.authentication();
        if let Some(token) = &self.tenant_token {
            (body, signature) = self.paper.authentication_with(token);
        }
        let request = self
            .http
            .post(format!("{base}/api/devices/v1/authentication/auth_requests"))
            .header("Content-Type", "application/json")
            .header("X-MEN-Signature", signature)
            .body(body);
        Ok(request.send().await?)
    }

    /// Asks to be let in; it must be.
    pub(super) async fn sign_in(&mut self, base: &str) -> Result<()> {
        let answer = expect(self.ask(base).await?, StatusCode::OK).await?;
        let kind = answer.headers().get("content-type").context("no content type")?.to_str()?;
        ensure!(kind.starts_with("application/jwt"), "the token came as {kind}");
        self.token = answer.text().await?;
        Ok(())
    }

    /// A request with its token.
    pub(super) fn request(&self, method: Method, base: &str, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{base}{path}")).bearer_auth(&self.token)
    }

    /// A poll, whatever the answer.
    pub(super) async fn poll(&self, base: &str, provides: Value) -> Result<Response> {
        let path = "/api/devices/v2/deployments/device/deployments/next";
        let body = json!({ "device_provides": provides });
        Ok(self.request(Method::POST, base, path).json(&body).send().await?)
    }

    /// A poll that finds instructions.
    pub(super) async fn instructions(&self, base: &str, provides: Value) -> Result<Value> {
        let answer = expect(self.poll(base, provides).await?, StatusCode::OK).await?;
        Ok(answer.json().await?)
    }
}
