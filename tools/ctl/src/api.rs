//! The management API over HTTP: the only place that knows status codes and headers.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};

use crate::session::Session;

/// How long connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long a transfer may stand still; its whole length has no limit.
const SILENCE_LIMIT: Duration = Duration::from_mins(1);

/// What the server, or the way to it, refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// No session, or one that the server does not believe any more.
    #[error("not signed in; run: rotactl login --server URL --email ADDRESS")]
    NotSignedIn,
    /// The e-mail address or the password is wrong.
    #[error("the server does not know this e-mail address with this password")]
    WrongPassword,
    /// No connection.
    #[error("cannot reach {server}")]
    Unreachable {
        /// The address that was tried.
        server: String,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// The server asks to come again later.
    #[error("the server is busy ({status}); try again in {after} s")]
    Busy {
        /// 429 or 503.
        status: StatusCode,
        /// Seconds.
        after: u64,
    },
    /// Any other refusal.
    #[error("{message} ({status}, request {request_id})")]
    Refused {
        /// The status code.
        status: StatusCode,
        /// The server's words.
        message: String,
        /// For the operator of the server, who finds it in the log.
        request_id: String,
    },
}

/// The error body of every endpoint.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct ErrorBody {
    error: String,
    request_id: String,
}

/// Someone signed in at a server.
#[derive(Debug)]
pub(crate) struct Api {
    http: Client,
    session: Session,
}

fn client(certificate: Option<&Path>) -> Result<Client> {
    // Only this process sets a provider, and only once a command.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder().connect_timeout(CONNECT_LIMIT).read_timeout(SILENCE_LIMIT);
    let trusted = system_certificates()?;
    builder = match certificate {
        Some(path) => {
            let pem =
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let own = reqwest::Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("{} is no certificate", path.display()))?;
            builder.tls_certs_only(trusted.into_iter().chain(own))
        }
        None => builder.tls_certs_only(trusted),
    };
    builder.build().context("cannot make an HTTP client")
}

/// The certificates that the machine trusts, from where the distributions keep them.
fn system_certificates() -> Result<Vec<reqwest::Certificate>> {
    const BUNDLES: [&str; 3] = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/cert.pem",
    ];
    for bundle in BUNDLES {
        if let Ok(pem) = std::fs::read(bundle) {
            return reqwest::Certificate::from_pem_bundle(&pem)
                .with_context(|| format!("{bundle} is damaged"));
        }
    }
    Ok(Vec::new())
}

impl Api {
    /// Signs in and gives the session to keep.
    pub(crate) async fn sign_in(
        server: &str,
        certificate: Option<&Path>,
        email: &str,
        password: &SecretString,
    ) -> Result<Session> {
        let server = server.trim_end_matches('/');
        let answer = client(certificate)?
            .post(format!("{server}/api/management/v1/useradm/auth/login"))
            .basic_auth(email, Some(password.expose_secret()))
            .send()
            .await
            .map_err(|cause| ApiError::Unreachable { server: server.to_owned(), cause })?;
        if answer.status() == StatusCode::UNAUTHORIZED {
            return Err(ApiError::WrongPassword.into());
        }
        let token = accept(answer).await?.text().await?;
        let certificate = certificate.map(std::path::absolute).transpose()?;
        Ok(Session { server: server.to_owned(), certificate, token: token.trim().into() })
    }

    /// An API for a session.
    pub(crate) fn new(session: Session) -> Result<Self> {
        Ok(Self { http: client(session.certificate.as_deref())?, session })
    }

    /// The session in use.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// A request with the token; `path` begins with `/api`.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.session.server))
            .bearer_auth(self.session.token.expose_secret())
    }

    /// Sends a request; refusals become errors.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let server = self.session.server.clone();
        let sent = request.send().await;
        Ok(accept(sent.map_err(|cause| ApiError::Unreachable { server, cause })?).await?)
    }

    /// The JSON at a path.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.send(self.request(Method::GET, path)).await?;
        answer.json().await.with_context(|| format!("cannot understand the answer of {path}"))
    }

    /// Every page of a list; `path` holds its own query, if any.
    pub(crate) async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>> {
        /// The largest page that servers give.
        const PAGE: usize = 500;
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        for page in 1.. {
            let rows: Vec<T> =
                self.get(&format!("{path}{joint}page={page}&per_page={PAGE}")).await?;
            let last = rows.len() < PAGE;
            all.extend(rows);
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// Sends JSON.
    pub(crate) async fn send_json(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<Response> {
        self.send(self.request(method, path).json(body)).await
    }

    /// Deletes what is at a path.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.send(self.request(Method::DELETE, path)).await?;
        Ok(())
    }

    /// Follows a download link: no token goes with it.
    pub(crate) async fn follow(&self, uri: &str) -> Result<Response> {
        self.send(self.http.get(uri)).await
    }
}

/// The new thing's id: the last element of the Location header.
pub(crate) fn created(answer: &Response) -> Result<String> {
    let location = answer.headers().get(reqwest::header::LOCATION);
    let id =
        location.and_then(|value| value.to_str().ok()).and_then(|text| text.rsplit('/').next());
    Ok(id.context("the server did not say what it created")?.to_owned())
}

/// The answer, if it is a success.
async fn accept(answer: Response) -> Result<Response, ApiError> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let after = answer.headers().get(reqwest::header::RETRY_AFTER);
    let after = after.and_then(|value| value.to_str().ok()?.parse().ok());
    if let (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Some(after)) =
        (status, after)
    {
        return Err(ApiError::Busy { status, after });
    }
    if status == StatusCode::UNAUTHORIZED {
        return Err(ApiError::NotSignedIn);
    }
    // A body that is no error body still leaves the status to tell.
    let body: ErrorBody = answer.json().await.unwrap_or_default();
    let message = if body.error.is_empty() { "the server refused".to_owned() } else { body.error };
    Err(ApiError::Refused { status, message, request_id: body.request_id })
}
