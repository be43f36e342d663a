//! A device's dealings with its servers: one token at a time, got anew when it no longer works.

use std::{fmt::Write, path::PathBuf, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::digest::{SHA256, digest};
use rota_rest::device::{
    Attribute, AuthRequest, DeploymentLog, DeviceProvides, Instructions, LogMessage, NextRequest,
    StatusReport,
};
use serde::Serialize;
use ureq::http::Method;

use super::{
    Server, ServerError, Trust,
    download::Download,
    http::{Answer, Http},
    status_word,
};
use crate::{
    config::{Paths, Settings, read_device_type},
    identity::identity,
    keys,
    log::{Log, chain},
    machine::{Deployment, DeploymentId, Status},
    modules::Source,
    records::Software,
    retry::Backoff,
    wake::Wake,
};

const AUTHENTICATION: &str = "/api/devices/v1/authentication/auth_requests";
const INVENTORY: &str = "/api/devices/v1/inventory/device/attributes";
const NEXT_V1: &str = "/api/devices/v1/deployments/device/deployments/next";
const NEXT_V2: &str = "/api/devices/v2/deployments/device/deployments/next";
const DEPLOYMENTS: &str = "/api/devices/v1/deployments/device/deployments";

const JSON: &str = "application/json";

/// What a session depends on.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    pub servers: Vec<String>,
    pub tenant_token: Option<String>,
    pub device_tier: String,
    pub device_key: PathBuf,
    /// A key of the configuration is never made or replaced here.
    pub is_key_static: bool,
    pub identity_script: PathBuf,
    pub device_type_file: PathBuf,
    pub retry_download_count: u32,
    pub trust: Trust,
}

impl SessionSettings {
    pub fn new(settings: &Settings, paths: &Paths) -> Self {
        Self {
            servers: settings.servers.clone(),
            tenant_token: settings.tenant_token.clone(),
            device_tier: settings.device_tier.clone(),
            device_key: paths.device_key(settings),
            is_key_static: settings.auth_private_key.is_some(),
            identity_script: paths.identity_script(),
            device_type_file: paths.device_type(settings),
            retry_download_count: settings.retry_download_count,
            trust: Trust::new(settings),
        }
    }
}

/// Speaks the device API.
#[derive(Debug)]
pub struct Session {
    settings: SessionSettings,
    /// Made with the first request: certificates that cannot be read must not keep the client from
    /// rolling back the update that broke them.
    http: Option<Http>,
    wake: Wake,
    log: Log,
    token: Option<Token>,
    /// Checksum of the inventory that the server has, under the current token.
    inventory_sent: Option<Vec<u8>>,
}

#[derive(Clone)]
struct Token {
    server: Arc<str>,
    bearer: Arc<str>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Session {
    pub fn new(settings: SessionSettings, wake: Wake, log: Log) -> Self {
        Self { settings, http: None, wake, log, token: None, inventory_sent: None }
    }

    fn http(&mut self) -> Result<Http, ServerError> {
        if let Some(http) = &self.http {
            return Ok(http.clone());
        }
        let http = Http::new(&self.settings.trust, &self.log)?;
        Ok(self.http.insert(http).clone())
    }

    /// Gets a token from the first server that gives one.
    pub fn authenticate(&mut self) -> Result<(), ServerError> {
        self.drop_token();
        let key_path = &self.settings.device_key;
        let key = if self.settings.is_key_static {
            keys::load(key_path, &self.log)?
        } else {
            keys::load_or_create(key_path, &self.log)?
        };
        let request = AuthRequest {
            id_data: identity(&self.settings.identity_script, &self.wake, &self.log)?,
            pubkey: key.public_pem(),
            tenant_token: self.settings.tenant_token.clone(),
            tier: Some(self.settings.device_tier.clone()),
        };
        let body = encode("authentication", &request)?;
        let signature = STANDARD.encode(key.sign(&body)?);
        let mut last = ServerError::NoServer;
        let http = self.http()?;
        for server in &self.settings.servers {
            match ask_for_token(&http, server, &signature, &body) {
                Ok(token) => {
                    self.log.info(format_args!("authenticated at {server}"));
                    self.token = Some(token);
                    return Ok(());
                }
                Err(error) => {
                    self.log.warning(format_args!("not authenticated: {}", chain(&error)));
                    last = error;
                }
            }
            self.wake.check()?;
        }
        Err(last)
    }

    /// A request with a token. A token that no longer works is replaced once.
    fn call(&mut self, method: &Method, path: &str, body: &[u8]) -> Result<Answer, ServerError> {
        let had_token = self.token.is_some();
        let answer = self.try_call(method, path, body)?;
        if answer.status != 401 {
            return Ok(answer);
        }
        self.drop_token();
        if had_token {
            let answer = self.try_call(method, path, body)?;
            if answer.status != 401 {
                return Ok(answer);
            }
            self.drop_token();
        }
        let reason = "the server gave a token and then refused it".to_owned();
        Err(ServerError::Unauthorized { reason })
    }

    fn try_call(
        &mut self,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Result<Answer, ServerError> {
        if self.token.is_none() {
            self.authenticate()?;
        }
        let Token { server, bearer } = self.token.clone().ok_or(ServerError::NoServer)?;
        let headers = [("Authorization", &*bearer), ("Content-Type", JSON), ("Accept", JSON)];
        let headers = if body.is_empty() { &headers[..1] } else { &headers };
        let answer = self.http()?.request(method, &format!("{server}{path}"), headers, body);
        if answer.is_err() && self.settings.servers.len() > 1 {
            // The next try authenticates anew, at whichever server is there.
            self.drop_token();
        }
        Ok(answer?)
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
        let v2 = NextRequest { device_provides: provides, update_control_map: false };
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
        let device_type = read_device_type(&self.settings.device_type_file)?;
        let answer =
            self.ask_for_deployment(DeviceProvides { device_type, artifact_name, other })?;
        match answer.status {
            200 => read_instructions(&answer.body).map(Some),
            204 => Ok(None),
            _ => Err(answer.refusal("a poll")),
        }
    }

    fn report(&mut self, id: &DeploymentId, status: Status) -> Result<(), ServerError> {
        let report = StatusReport { status: status_word(status).to_owned(), substate: None };
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
        if self.inventory_sent.as_ref() == Some(&sum) {
            self.log.debug("the inventory has not changed and is not sent");
            return Ok(());
        }
        let answer = self.call(&Method::PUT, INVENTORY, &body)?;
        match answer.status {
            200 | 204 => {
                self.inventory_sent = Some(sum);
                Ok(())
            }
            _ => Err(answer.refusal("the inventory")),
        }
    }

    fn download(&mut self, uri: &str) -> Result<Source, ServerError> {
        let retries = Backoff::downloads(self.settings.retry_download_count);
        let (http, wake, log) = (self.http()?, self.wake.clone(), self.log.clone());
        Ok(Box::new(Download::open(http, uri, retries, wake, log)?))
    }

    /// Certificates are read anew as well, in case they were renewed.
    fn drop_token(&mut self) {
        self.http = None;
        self.token = None;
        self.inventory_sent = None;
    }
}

fn ask_for_token(
    http: &Http,
    server: &str,
    signature: &str,
    body: &[u8],
) -> Result<Token, ServerError> {
    let headers = [
        ("X-MEN-Signature", signature),
        ("Authorization", "API_KEY"),
        ("Content-Type", JSON),
        ("Accept", JSON),
    ];
    let url = format!("{server}{AUTHENTICATION}");
    let answer = http.request(&Method::POST, &url, &headers, body)?;
    match answer.status {
        200 => {
            let token = String::from_utf8_lossy(&answer.body);
            Ok(Token { server: server.into(), bearer: format!("Bearer {}", token.trim()).into() })
        }
        401 => {
            Err(ServerError::Unauthorized { reason: format!("{server} has not accepted it (yet)") })
        }
        _ => Err(answer.refusal("the authentication")),
    }
}

fn encode(what: &'static str, body: &impl Serialize) -> Result<Vec<u8>, ServerError> {
    serde_json::to_vec(body)
        .map_err(|error| ServerError::Malformed { what, problem: error.to_string() })
}

fn read_instructions(body: &[u8]) -> Result<Deployment, ServerError> {
    let malformed = |problem| ServerError::Malformed { what: "a poll", problem };
    let instructions: Instructions =
        serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    let id = DeploymentId::try_from(instructions.id).map_err(|e| malformed(e.to_string()))?;
    let uri = instructions.artifact.source.uri;
    if uri.starts_with("https://") || uri.starts_with("http://") {
        Ok(Deployment { id, uri })
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
