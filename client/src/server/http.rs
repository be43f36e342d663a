//! HTTP requests with a limit on everything.

use std::{
    io::Read,
    time::{Duration, SystemTime},
};

use ureq::{
    Agent, Body, Error,
    http::{HeaderMap, Method, Request, Response, header},
    unversioned::{
        resolver::DefaultResolver,
        transport::{ConnectProxyConnector, Connector, TcpConnector},
    },
};

use super::{
    ServerError, TlsError, Trust,
    tls::{self, TlsConnector},
};
use crate::{log::Log, time::parse_http_date};

const CONNECT: Duration = Duration::from_secs(30);

/// A connection that brings nothing for so long is dead; Mender's client waits as long.
const SILENCE: Duration = Duration::from_mins(5);

/// For a whole request that is not a download.
const REQUEST: Duration = Duration::from_mins(5);

/// Answers other than downloads are small.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// What of an error answer is worth showing.
const MAX_MESSAGE_CHARS: usize = 300;

/// A server that asks for more than a day is taken to mean a day.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// The network or the server's side of HTTP failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {url}")]
pub struct HttpError {
    pub url: String,
    #[source]
    pub source: Box<Error>,
}

/// Makes requests.
#[derive(Clone, Debug)]
pub(super) struct Http {
    agent: Agent,
}

/// A request's answer, read completely.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

impl Http {
    /// Reads certificates; proxies come from the environment.
    pub(super) fn new(trust: &Trust, log: &Log) -> Result<Self, TlsError> {
        let tls = TlsConnector::new(tls::client_config(trust, log)?);
        let connector =
            ().chain(ConnectProxyConnector::default()).chain(TcpConnector::default()).chain(tls);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .timeout_per_write(Some(SILENCE))
            .user_agent(concat!("rota-client/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: Agent::with_parts(config, connector, DefaultResolver::default()) })
    }

    /// A request whose answer fits into memory.
    pub(super) fn request(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, HttpError> {
        let failed = |source| HttpError { url: url.to_owned(), source: Box::new(source) };
        let mut request = Request::builder().method(method.clone()).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_vec()).map_err(|error| failed(error.into()))?;
        let request = self.agent.configure_request(request).timeout_global(Some(REQUEST)).build();
        let mut response = self.agent.run(request).map_err(failed)?;
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        Ok(Answer {
            status: response.status().as_u16(),
            retry_after: retry_after(response.headers(), SystemTime::now()),
            body: body.map_err(failed)?,
        })
    }

    /// A download from `offset`; with an offset, only up to `total`.
    pub(super) fn get(
        &self,
        url: &str,
        range: Option<(u64, u64)>,
    ) -> Result<Response<Body>, HttpError> {
        let mut request = self.agent.get(url);
        // The file must arrive as it is: its length is known, and it is compressed already.
        request = request.header(header::ACCEPT_ENCODING, "identity");
        if let Some((offset, total)) = range {
            let last = total.saturating_sub(1);
            request = request.header(header::RANGE, format!("bytes={offset}-{last}"));
        }
        request.call().map_err(|source| HttpError { url: url.to_owned(), source: Box::new(source) })
    }
}

impl Answer {
    /// The error for an answer that is none of the expected ones.
    pub(super) fn refusal(&self, what: &'static str) -> ServerError {
        refusal(what, self.status, self.retry_after, &self.body)
    }
}

/// The error for a status that was not hoped for.
pub(super) fn refusal(
    what: &'static str,
    status: u16,
    retry_after: Option<Duration>,
    body: &[u8],
) -> ServerError {
    match status {
        429 | 500..=599 => ServerError::Busy { status, retry_after },
        _ => ServerError::Refused { what, status, message: message(body) },
    }
}

/// As [`refusal`], for an answer whose body has not been read.
pub(super) fn refused_response(what: &'static str, response: Response<Body>) -> ServerError {
    let status = response.status().as_u16();
    let retry_after = retry_after(response.headers(), SystemTime::now());
    let mut body = Vec::new();
    // The body is a courtesy; without it the status must do.
    let _ = response.into_body().into_reader().take(4096).read_to_end(&mut body);
    refusal(what, status, retry_after, &body)
}

/// The sentence in a JSON error, or the beginning of whatever came.
fn message(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<rota_rest::Error>(body) {
        Ok(error) if !error.error.is_empty() => error.error,
        _ => String::from_utf8_lossy(body).trim().to_owned(),
    };
    text.chars().take(MAX_MESSAGE_CHARS).collect()
}

/// `Retry-After`: seconds or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => parse_http_date(text)?.duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = parse_http_date("Sun, 06 Nov 1994 08:49:30 GMT").unwrap();
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(of("7"), Some(7));
        assert_eq!(of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(of("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(of("99999999999"), Some(86_400));
        assert_eq!(of("soon"), None);
    }

    #[test]
    fn messages_are_found_in_json_and_cut() {
        assert_eq!(message(br#"{"error":"no such thing","request_id":"1"}"#), "no such thing");
        assert_eq!(message(b" plain "), "plain");
        assert_eq!(message(&[b'x'; 1000]).len(), 300);
    }
}
