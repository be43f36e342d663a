//! A device's dealings with its servers; a token that no longer works is got anew.

use std::{fmt::Write, path::PathBuf, time::Duration};

use ring::digest::{SHA256, digest};
use rota_rest::device::{
    Attribute, DeploymentLog, DeviceProvides, Instructions, LogMessage, NextRequest, StatusReport,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ureq::http::Method;

use super::{
    Authority, Server, ServerError, Token, Trust,
    download::Download,
    http::Answer,
    link::Link,
    patience::{Patience, SLOW},
};
use crate::{
    clock::TimeOfDay,
    config::{Paths, Settings, read_device_type},
    keys::KeyPlace,
    log::Log,
    machine::{Deployment, DeploymentId, Status},
    modules::Source,
    records::Software,
    wake::Wake,
};

const INVENTORY: &str = "/api/devices/v1/inventory/device/attributes";
const NEXT_V1: &str = "/api/devices/v1/deployments/device/deployments/next";
const NEXT_V2: &str = "/api/devices/v2/deployments/device/deployments/next";
const DEPLOYMENTS_V2: &str = "/api/devices/v2/deployments/device/deployments";
const DEPLOYMENTS: &str = "/api/devices/v1/deployments/device/deployments";

/// What each retry of `RetryDownloadCount` stands for: Mender's clients pause so long.
const DOWNLOAD_RETRY: Duration = Duration::from_mins(1);

pub(super) const JSON: &str = "application/json";

/// What a session depends on.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    pub servers: Vec<String>,
    pub tenant_token: Option<String>,
    pub device_tier: String,
    pub device_key: KeyPlace,
    /// A key of the configuration is never made or replaced here.
    pub is_key_static: bool,
    pub identity_script: PathBuf,
    pub device_type_file: PathBuf,
    /// Pauses of a download that gets nowhere add up to so much before it fails.
    pub download_patience: Duration,
    /// A download's connection that brings less than 64 KiB of the file in this time is as good as
    /// broken.
    pub download_slowness: Duration,
    /// A connection that brings nothing for so long is dead.
    pub connection_timeout: Duration,
    pub trust: Trust,
    pub time: TimeOfDay,
}

impl SessionSettings {
    pub fn new(settings: &Settings, paths: &Paths) -> Self {
        let key = paths.device_key(settings);
        Self {
            servers: settings.servers.clone(),
            tenant_token: settings.tenant_token.clone(),
            device_tier: settings.device_tier.clone(),
            device_key: key.place,
            is_key_static: key.is_static,
            identity_script: paths.identity_script(),
            device_type_file: paths.device_type(settings),
            download_patience: DOWNLOAD_RETRY * settings.retry_download_count,
            download_slowness: SLOW,
            connection_timeout: settings.connection_timeout,
            trust: Trust::new(settings),
            time: TimeOfDay::default(),
        }
    }
}

/// Speaks the device API. Clones share the token.
#[derive(Clone, Debug)]
pub struct Session {
    authority: Authority,
    wake: Wake,
    log: Log,
    /// Checksum of the inventory that the server has, and under which token it got it.
    inventory_sent: Option<(u64, Vec<u8>)>,
    /// The control map that the last poll brought, until somebody asks for it.
    offered_map: Option<(DeploymentId, Option<Value>)>,
}

/// What a server answers to a poll.
#[derive(Deserialize)]
struct Offer {
    #[serde(flatten)]
    instructions: Instructions,
    #[serde(flatten)]
    control: Control,
}

#[derive(Deserialize)]
struct Control {
    update_control_map: Option<Value>,
}

impl Session {
    pub fn new(authority: Authority, wake: Wake, log: Log) -> Self {
        Self { authority, wake, log, inventory_sent: None, offered_map: None }
    }

    /// Opens what lies at an address; reading it survives lost connections.
    pub fn download_url(&self, url: &str) -> Result<Source, ServerError> {
        self.open(Link::fixed(url))
    }

    fn open(&self, link: Link) -> Result<Source, ServerError> {
        let SessionSettings { download_patience, download_slowness, .. } = self.settings();
        let patience = Patience::new(*download_patience, *download_slowness);
        let (http, wake, log) = (self.authority.http()?, self.wake.clone(), self.log.clone());
        let download = Download::open(&http, link, patience, wake, log)?;
        Ok(Box::new(download))
    }

    fn settings(&self) -> &SessionSettings {
        self.authority.settings()
    }

    /// A request with a token. A token that no longer works is replaced once.
    fn call(&mut self, method: &Method, path: &str, body: &[u8]) -> Result<Answer, ServerError> {
        let had_token = self.authority.current().is_some();
        let (answer, token) = self.try_call(method, path, body)?;
        if answer.status != 401 {
            return Ok(answer);
        }
        self.authority.reject(&token);
        if had_token {
            let (answer, token) = self.try_call(method, path, body)?;
            if answer.status != 401 {
                return Ok(answer);
            }
            self.authority.reject(&token);
        }
        let reason = "the server gave a token and then refused it".to_owned();
        Err(ServerError::Unauthorized { reason })
    }

    fn try_call(
        &mut self,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Result<(Answer, Token), ServerError> {
        let token = self.authority.token()?;
        let headers = [("Authorization", &*token.bearer), ("Content-Type", JSON), ("Accept", JSON)];
        let headers = if body.is_empty() { &headers[..1] } else { &headers };
        let url = format!("{}{path}", token.server);
        let answer = self.authority.http()?.request(method, &url, headers, body);
        let is_gone = match &answer {
            Ok(answer) => matches!(answer.status, 500..=599),
            Err(_) => true,
        };
        if is_gone && self.settings().servers.len() > 1 {
            // The next try authenticates anew, at whichever server is there.
            self.authority.reject(&token);
        }
        Ok((answer?, token))
    }

    /// Servers without version 2, or without POST, say 404.
    fn ask_for_deployment(&mut self, provides: DeviceProvides) -> Result<Answer, ServerError> {
        const WHAT: &str = "a poll";
        let query = format!(
            "{NEXT_V1}?artifact_name={}&device_type={}",
            percent_encode(&provides.artifact_name),
            percent_encode(&provides.device_type)
        );
        let v1 = encode(WHAT, &provides)?;
        let v2 = NextRequest { device_provides: provides, update_control_map: true };
        let answer = self.call(&Method::POST, NEXT_V2, &encode(WHAT, &v2)?)?;
        if answer.status != 404 {
            return Ok(answer);
        }
        let answer = self.call(&Method::POST, NEXT_V1, &v1)?;
        if answer.status != 404 {
            return Ok(answer);
        }
        self.call(&Method::GET, &query, &[])
    }
}

impl Server for Session {
    fn poll(&mut self, software: &Software) -> Result<Option<Deployment>, ServerError> {
        let mut other = software.all_provides();
        let artifact_name = other.remove("artifact_name").unwrap_or_default();
        let device_type = read_device_type(&self.settings().device_type_file)?;
        let answer =
            self.ask_for_deployment(DeviceProvides { device_type, artifact_name, other })?;
        match answer.status {
            200 => {
                let (deployment, map) = read_offer(&answer.body)?;
                self.offered_map = Some((deployment.id.clone(), map));
                Ok(Some(deployment))
            }
            204 => Ok(None),
            _ => Err(answer.refusal("a poll")),
        }
    }

    fn control_map(&mut self, id: &DeploymentId) -> Result<Option<Value>, ServerError> {
        if let Some((_, map)) = self.offered_map.take().filter(|(offered, _)| offered == id) {
            return Ok(map);
        }
        let path = format!("{DEPLOYMENTS_V2}/{id}/update_control_map");
        let answer = self.call(&Method::GET, &path, &[])?;
        match answer.status {
            200 => {
                let read: Result<Control, _> = serde_json::from_slice(&answer.body);
                let malformed = |error: serde_json::Error| ServerError::Malformed {
                    what: "an update control map",
                    problem: error.to_string(),
                };
                read.map(|control| control.update_control_map).map_err(malformed)
            }
            204 => Ok(None),
            404 => Err(ServerError::Aborted),
            _ => Err(answer.refusal("an update control map")),
        }
    }

    fn report(&mut self, id: &DeploymentId, status: Status) -> Result<(), ServerError> {
        let report = StatusReport { status: status.as_str().to_owned(), substate: None };
        let body = encode("a status report", &report)?;
        let answer = self.call(&Method::PUT, &format!("{DEPLOYMENTS}/{id}/status"), &body)?;
        match answer.status {
            200 | 204 => Ok(()),
            409 => Err(ServerError::Aborted),
            _ => Err(answer.refusal("a status report")),
        }
    }

    fn upload_log(
        &mut self,
        id: &DeploymentId,
        messages: Vec<LogMessage>,
    ) -> Result<(), ServerError> {
        let body = encode("a deployment log", &DeploymentLog { messages })?;
        let answer = self.call(&Method::PUT, &format!("{DEPLOYMENTS}/{id}/log"), &body)?;
        match answer.status {
            200 | 204 => Ok(()),
            _ => Err(answer.refusal("a deployment log")),
        }
    }

    fn send_inventory(&mut self, inventory: Vec<Attribute>) -> Result<(), ServerError> {
        let body = encode("the inventory", &inventory)?;
        let sum = digest(&SHA256, &body).as_ref().to_vec();
        let token = self.authority.current().map_or(0, |token| token.number);
        if self.inventory_sent.as_ref().is_some_and(|sent| *sent == (token, sum.clone())) {
            self.log.debug("the inventory has not changed and is not sent");
            return Ok(());
        }
        let answer = self.call(&Method::PUT, INVENTORY, &body)?;
        match answer.status {
            200 | 204 => {
                let token = self.authority.current().map_or(0, |token| token.number);
                self.inventory_sent = Some((token, sum));
                Ok(())
            }
            _ => Err(answer.refusal("the inventory")),
        }
    }

    fn download(
        &mut self,
        deployment: &Deployment,
        software: &Software,
    ) -> Result<Source, ServerError> {
        let Deployment { id, uri } = deployment;
        self.open(Link::of_deployment(uri, self.clone(), id.clone(), software.clone()))
    }

    fn drop_token(&mut self) {
        self.authority.forget();
        self.inventory_sent = None;
    }
}

pub(super) fn encode(what: &'static str, body: &impl Serialize) -> Result<Vec<u8>, ServerError> {
    serde_json::to_vec(body)
        .map_err(|error| ServerError::Malformed { what, problem: error.to_string() })
}

fn read_offer(body: &[u8]) -> Result<(Deployment, Option<Value>), ServerError> {
    let malformed = |problem| ServerError::Malformed { what: "a poll", problem };
    let Offer { instructions, control } =
        serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    let id = DeploymentId::try_from(instructions.id).map_err(|e| malformed(e.to_string()))?;
    let uri = instructions.artifact.source.uri;
    if uri.starts_with("https://") || uri.starts_with("http://") {
        Ok((Deployment { id, uri }, control.update_control_map))
    } else {
        Err(malformed(format!("the download link {uri:?} is neither https nor http")))
    }
}

/// For a value in a query (RFC 3986): everything but unreserved characters is escaped.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
