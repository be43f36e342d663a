//! An operator over the management API: a base address, a certificate to trust, a token.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::wait;

/// How long one request may take; uploads of test Artifacts included.
const REQUEST_LIMIT: Duration = Duration::from_mins(1);

/// How long after its report a device's log may come.
const LOG_LIMIT: Duration = Duration::from_secs(30);

/// Someone signed in.
#[derive(Debug, Clone)]
pub struct Operator {
    base: String,
    token: String,
    http: Client,
}

/// A device as deviceauth lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedDevice {
    /// The device's id.
    pub id: String,
    /// The status word.
    pub status: String,
    /// The newest auth set's id and status.
    pub auth_sets: Vec<(String, String)>,
    /// The identity data.
    pub identity: Value,
}

/// An HTTP client that trusts one certificate (PEM) besides nothing.
pub fn client(certificate: &Path) -> Result<Client> {
    install_crypto();
    let pem = std::fs::read(certificate)
        .with_context(|| format!("cannot read {}", certificate.display()))?;
    Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem)?])
        .timeout(REQUEST_LIMIT)
        .build()
        .context("cannot make an HTTP client")
}

/// Makes ring the process's crypto provider, which every HTTP client needs.
pub fn install_crypto() {
    // A second caller finds it set, which is what it wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

impl Operator {
    /// Signs in.
    pub async fn sign_in(
        base: &str,
        certificate: &Path,
        email: &str,
        password: &str,
    ) -> Result<Self> {
        let http = client(certificate)?;
        let answer = http
            .post(format!("{base}/api/management/v1/useradm/auth/login"))
            .basic_auth(email, Some(password))
            .send()
            .await?;
        ensure!(answer.status() == StatusCode::OK, "sign-in answered {}", answer.status());
        Ok(Self { base: base.to_owned(), token: answer.text().await?, http })
    }

    /// The same operator at another gateway.
    #[must_use]
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// The user token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The address of the gateway that is asked.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The HTTP client, for requests without a token.
    pub fn http(&self) -> &Client {
        &self.http
    }

    /// A request with the token; `path` begins with `/api`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token)
    }

    /// The JSON of a GET that must answer 200.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = expect(self.request(Method::GET, path).send().await?, StatusCode::OK).await?;
        Ok(answer.json().await?)
    }

    /// Every device of a status, with its auth sets.
    pub async fn devices(&self, status: &str) -> Result<Vec<ListedDevice>> {
        let path = format!("/api/management/v2/devauth/devices?per_page=500&status={status}");
        let listed = self.get(&path).await?;
        let devices = listed.as_array().context("the device list is no array")?;
        devices.iter().map(listed_device).collect()
    }

    /// Waits until `count` devices are pending and accepts them all; gives their ids.
    pub async fn accept(&self, count: usize, limit: Duration) -> Result<Vec<String>> {
        let pending = wait::until(&format!("{count} pending devices"), limit, || async {
            let devices = self.devices("pending").await?;
            Ok((devices.len() >= count).then_some(devices))
        })
        .await?;
        let mut ids = Vec::new();
        for device in pending {
            let (auth_set, _) = device.auth_sets.first().context("a device without auth sets")?;
            self.set_status(&device.id, auth_set, "accepted").await?;
            ids.push(device.id);
        }
        Ok(ids)
    }

    /// Sets an auth set's status.
    pub async fn set_status(&self, device: &str, auth_set: &str, status: &str) -> Result<()> {
        let path = format!("/api/management/v2/devauth/devices/{device}/auth/{auth_set}/status");
        let request = self.request(Method::PUT, &path).json(&json!({ "status": status }));
        expect(request.send().await?, StatusCode::NO_CONTENT).await?;
        Ok(())
    }

    /// Uploads an Artifact; gives its id.
    pub async fn upload(&self, file: &Path) -> Result<String> {
        let answer = self.try_upload(file).await?;
        location(&expect(answer, StatusCode::CREATED).await?)
    }

    /// Uploads an Artifact, whatever the answer.
    pub async fn try_upload(&self, file: &Path) -> Result<Response> {
        let bytes =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let part = reqwest::multipart::Part::bytes(bytes).file_name("artifact.mender");
        let form = reqwest::multipart::Form::new().part("artifact", part);
        let request = self.request(Method::POST, "/api/management/v1/deployments/artifacts");
        Ok(request.multipart(form).send().await?)
    }

    /// Deploys a release to devices; gives the deployment's id.
    pub async fn deploy(&self, name: &str, release: &str, devices: &[String]) -> Result<String> {
        let body = json!({ "name": name, "artifact_name": release, "devices": devices });
        self.create_deployment(&body).await
    }

    /// Creates a deployment from a whole body; gives its id.
    pub async fn create_deployment(&self, body: &Value) -> Result<String> {
        let path = "/api/management/v1/deployments/deployments";
        let answer = self.request(Method::POST, path).json(body).send().await?;
        location(&expect(answer, StatusCode::CREATED).await?)
    }

    /// A deployment's number of devices in each status.
    pub async fn statistics(&self, deployment: &str) -> Result<Value> {
        self.get(&format!("/api/management/v1/deployments/deployments/{deployment}/statistics"))
            .await
    }

    /// A deployment's status word.
    pub async fn deployment_status(&self, deployment: &str) -> Result<String> {
        let path = format!("/api/management/v1/deployments/deployments/{deployment}");
        text(&self.get(&path).await?, "status")
    }

    /// The status word of every device in a deployment, by device id.
    pub async fn device_statuses(&self, deployment: &str) -> Result<Vec<(String, String)>> {
        let path = format!(
            "/api/management/v1/deployments/deployments/{deployment}/devices/list?per_page=500"
        );
        let listed = self.get(&path).await?;
        let devices = listed.as_array().context("the device list is no array")?;
        devices.iter().map(|device| Ok((text(device, "id")?, text(device, "status")?))).collect()
    }

    /// Waits until a deployment is finished.
    pub async fn finished(&self, deployment: &str, limit: Duration) -> Result<()> {
        wait::until(&format!("deployment {deployment} to finish"), limit, || async {
            let status = self.deployment_status(deployment).await?;
            Ok((status == "finished").then_some(()))
        })
        .await
    }

    /// The log a device sent for a deployment. A device sends it after its report, so it may
    /// come a little after the deployment's end.
    pub async fn log(&self, deployment: &str, device: &str) -> Result<String> {
        let path =
            format!("/api/management/v1/deployments/deployments/{deployment}/devices/{device}/log");
        wait::until(&format!("the log of device {device}"), LOG_LIMIT, || async {
            let answer = self.request(Method::GET, &path).send().await?;
            Ok(Some(expect(answer, StatusCode::OK).await?.text().await?))
        })
        .await
    }
}

/// The answer, if it has the status; otherwise an error that quotes its body.
pub async fn expect(answer: Response, status: StatusCode) -> Result<Response> {
    if answer.status() == status {
        return Ok(answer);
    }
    let (got, url) = (answer.status(), answer.url().clone());
    let body = answer.text().await.unwrap_or_default();
    bail!("{url} answered {got} instead of {status}: {body}")
}

/// The last element of the Location header: the new thing's id.
pub fn location(answer: &Response) -> Result<String> {
    let header = answer.headers().get("location").context("no Location header")?;
    let id = header.to_str()?.rsplit('/').next().context("an empty Location header")?;
    Ok(id.to_owned())
}

/// A string member of a JSON object.
pub fn text(object: &Value, member: &str) -> Result<String> {
    let value = object.get(member).and_then(Value::as_str);
    Ok(value.with_context(|| format!("no text {member:?} in {object}"))?.to_owned())
}

fn listed_device(device: &Value) -> Result<ListedDevice> {
    let sets = device["auth_sets"].as_array().context("no auth_sets")?;
    let auth_sets = sets
        .iter()
        .map(|set| Ok((text(set, "id")?, text(set, "status")?)))
        .collect::<Result<Vec<_>>>()?;
    Ok(ListedDevice {
        id: text(device, "id")?,
        status: text(device, "status")?,
        auth_sets,
        identity: device["identity_data"].clone(),
    })
}
