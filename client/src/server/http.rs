//! HTTP requests with a limit on everything.

use std::{
    io::{self, ErrorKind, Read},
    time::{Duration, Instant},
};

use ureq::{
    Agent, Body, Error,
    http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header},
};

use super::{
    ServerError, Trust,
    dial::{ClockNotSet, Dialer, LeftToDialer},
    wire::ReadLimit,
};
use crate::{clock::TimeOfDay, log::Log, time::parse_http_date, wake::Wake};

/// For a whole request that is not a download, and its answer.
pub(super) const REQUEST: Duration = Duration::from_mins(5);

/// What comes on top for the bytes that are sent: slow links carry a kilobyte a second.
const REQUEST_PER_KIB: Duration = Duration::from_secs(1);

/// Answers other than downloads are small.
const MAX_ANSWER_BYTES: u64 = 1 << 20;

/// The head of an answer.
const MAX_HEAD_BYTES: usize = 32 << 10;

/// What of an error answer is worth reading, and how long to wait for more of it.
const MAX_ERROR_BYTES: usize = 4096;
const ERROR_PATIENCE: Duration = Duration::from_secs(10);

/// What of an error answer is worth showing.
const MAX_MESSAGE_CHARS: usize = 300;

/// A server that asks for more than a day is taken to mean a day.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// Between tries while the clock is not set.
const CLOCK_PAUSE: Duration = Duration::from_mins(1);

/// The network or the server's side of HTTP failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach {url}")]
pub struct HttpError {
    /// Without what may be secret in it.
    pub url: String,
    #[source]
    pub source: Box<Error>,
}

impl HttpError {
    pub(super) fn new(url: &str, source: Error) -> Self {
        Self { url: shown(url), source: Box::new(source) }
    }

    /// A clock may be set at any time, after which a request soon succeeds.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let Error::Io(error) = &*self.source else { return None };
        let cause = error.get_ref()?.downcast_ref::<ClockNotSet>();
        cause.map(|_| CLOCK_PAUSE)
    }

    /// Whether the same request might succeed in a while: a wrong address stays wrong.
    pub(super) fn may_pass(&self) -> bool {
        match &*self.source {
            Error::Io(error) => error.kind() != ErrorKind::InvalidInput,
            Error::BadUri(_) | Error::Http(_) => false,
            _ => true,
        }
    }
}

/// What the connections of a client have in common.
#[derive(Clone, Debug)]
pub(super) struct Circumstances {
    pub(super) trust: Trust,
    /// A connection that brings nothing for so long is dead.
    pub(super) silence: Duration,
    /// For a request and its answer, downloads excepted.
    pub(super) request: Duration,
    pub(super) time: TimeOfDay,
    pub(super) wake: Wake,
    pub(super) log: Log,
}

/// Makes requests, each over a connection of its own.
#[derive(Clone, Debug)]
pub(super) struct Http {
    agent: Agent,
    /// The agent's.
    dialer: Dialer,
    request: Duration,
    time: TimeOfDay,
}

/// A request's answer, read completely.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
}

/// What part of a file is wanted, and of which file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest<'a> {
    pub(super) offset: u64,
    pub(super) total: u64,
    /// Only of the file that has this strong entity tag.
    pub(super) etag: Option<&'a str>,
}

impl Http {
    /// Reads certificates; proxies come from the environment.
    pub(super) fn new(circumstances: &Circumstances) -> Result<Self, ServerError> {
        let Circumstances { request, time, .. } = circumstances;
        Ok(Self::over(Dialer::new(circumstances)?, *request, time.clone()))
    }

    /// One like it, for somebody who sets when reading ends that brings nothing.
    pub(super) fn limited(&self) -> (Self, ReadLimit) {
        let (dialer, limit) = self.dialer.limited();
        (Self::over(dialer, self.request, self.time.clone()), limit)
    }

    fn over(dialer: Dialer, request: Duration, time: TimeOfDay) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(0)
            .max_response_header_size(MAX_HEAD_BYTES)
            .timeout_recv_response(Some(request))
            // The dialer knows its own.
            .proxy(None)
            .user_agent(concat!("rota-client/", env!("CARGO_PKG_VERSION")))
            .build();
        let agent = Agent::with_parts(config, dialer.clone(), LeftToDialer);
        Self { agent, dialer, request, time }
    }

    /// A request whose answer fits into memory.
    pub(super) fn request(
        &self,
        method: &Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, HttpError> {
        let failed = |source| HttpError::new(url, source);
        let mut request = Request::builder().method(method.clone()).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_vec()).map_err(|error| failed(error.into()))?;
        check_address(request.uri()).map_err(failed)?;
        let kib = u32::try_from(body.len().div_ceil(1024)).unwrap_or(u32::MAX);
        let limit = self.request + REQUEST_PER_KIB * kib;
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(Some(limit))
            .timeout_recv_response(None)
            .build();
        let mut response = self.agent.run(request).map_err(failed)?;
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec();
        Ok(Answer {
            status: response.status().as_u16(),
            retry_after: retry_after(response.headers(), &self.time),
            body: body.map_err(failed)?,
        })
    }

    /// A download, or the rest of one. Only the head of the answer has a limit in time.
    pub(super) fn get(
        &self,
        url: &str,
        rest: Option<Rest<'_>>,
    ) -> Result<Response<Body>, HttpError> {
        let failed = |source| HttpError::new(url, source);
        // The file must arrive as it is: its length is known, and it is compressed already.
        let mut request = Request::get(url).header(header::ACCEPT_ENCODING, "identity");
        if let Some(Rest { offset, total, etag }) = rest {
            let last = total.saturating_sub(1);
            request = request.header(header::RANGE, format!("bytes={offset}-{last}"));
            if let Some(etag) = etag {
                request = request.header(header::IF_RANGE, etag);
            }
        }
        let request = request.body(()).map_err(|error| failed(error.into()))?;
        check_address(request.uri()).map_err(failed)?;
        self.agent.run(request).map_err(failed)
    }

    /// The error for an answer that is not the file, whose body has not been read.
    pub(super) fn refused_response(
        &self,
        what: &'static str,
        response: Response<Body>,
    ) -> ServerError {
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers(), &self.time);
        let body = match response.headers().get(header::LOCATION) {
            Some(place) if response.status().is_redirection() => redirection(place),
            _ => beginning(response.into_body().into_reader()),
        };
        refusal(what, status, retry_after, &body)
    }
}

/// The library drops a user name silently, and takes more schemes than there are connections for.
fn check_address(uri: &Uri) -> Result<(), Error> {
    let wrong = |problem: &str| Err(Error::Io(io::Error::new(ErrorKind::InvalidInput, problem)));
    match uri.scheme_str() {
        Some("http" | "https") => {}
        _ => return wrong("only http:// and https:// addresses can be reached"),
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            wrong("user names in addresses are not supported")
        }
        _ => Ok(()),
    }
}

/// An address for the log: links are signed in their query, and passwords stand before the host.
fn shown(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (place, query) = url.split_at(end);
    let (scheme, rest) = place.split_once("://").unwrap_or(("", place));
    let path = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let more = if query.is_empty() { "" } else { "?..." };
    format!("{scheme}://{host}{path}{more}")
}

fn redirection(place: &HeaderValue) -> Vec<u8> {
    let place = shown(&String::from_utf8_lossy(place.as_bytes()));
    format!("redirections are not followed, this one leads to {place}").into_bytes()
}

/// The first bytes of a body, without waiting long for them. Without them the status must do.
fn beginning(mut body: impl Read) -> Vec<u8> {
    let started = Instant::now();
    let mut bytes = vec![0; MAX_ERROR_BYTES];
    let mut count = 0;
    while started.elapsed() < ERROR_PATIENCE {
        match body.read(bytes.get_mut(count..).unwrap_or_default()) {
            Ok(0) | Err(_) => break,
            Ok(more) => count += more,
        }
    }
    bytes.truncate(count);
    bytes
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
        408 | 425 | 429 | 500..=599 => ServerError::Busy { status, retry_after },
        407 => {
            let message = "the proxy wants other credentials".to_owned();
            ServerError::Refused { what, status, message }
        }
        _ => ServerError::Refused { what, status, message: message(body) },
    }
}

/// The sentence in a JSON error, or the beginning of whatever came.
fn message(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<rota_rest::Error>(body) {
        Ok(error) if !error.error.is_empty() => error.error,
        _ => String::from_utf8_lossy(body).trim().to_owned(),
    };
    text.chars().take(MAX_MESSAGE_CHARS).collect()
}

/// `Retry-After`: seconds or a date. Dates mean nothing while the clock is wrong.
fn retry_after(headers: &HeaderMap, time: &TimeOfDay) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a long time as well.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        let date = parse_http_date(text)?;
        date.duration_since(time.plausible_now()?).unwrap_or_default()
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use std::{io::Write, net::TcpListener, thread, time::SystemTime};

    use super::*;
    use crate::log::Level;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = parse_http_date("Tue, 06 Nov 2029 08:49:30 GMT").unwrap();
        let time = TimeOfDay::new(move || now);
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, &time).map(|wait| wait.as_secs())
        };
        assert_eq!(of("7"), Some(7));
        assert_eq!(of("Tue, 06 Nov 2029 08:49:37 GMT"), Some(7));
        assert_eq!(of("Tue, 06 Nov 2029 08:00:00 GMT"), Some(0));
        assert_eq!(of("99999999999"), Some(86_400));
        assert_eq!(of("99999999999999999999999"), Some(86_400));
        assert_eq!(of("Tue, 06 Nov 2979 08:49:37 GMT"), Some(86_400));
        for nonsense in ["soon", "", "-1", "1.5", "+7", "Tue, 99 Nov 2029 08:49:37 GMT"] {
            assert_eq!(of(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_date_says_nothing_to_a_clock_that_was_never_set() {
        let time = TimeOfDay::new(|| SystemTime::UNIX_EPOCH);
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, "Tue, 06 Nov 2029 08:49:37 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers, &time), None);
        headers.insert(header::RETRY_AFTER, "9".parse().unwrap());
        assert_eq!(retry_after(&headers, &time), Some(Duration::from_secs(9)));
    }

    /// A server that says this over and over, a byte at a time, and never comes to an end.
    fn trickle(start: &'static str, more: u8) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let mut client = listener.accept().unwrap().0;
            let mut alive = client.write_all(start.as_bytes()).is_ok();
            while alive {
                alive = client.write_all(&[more]).is_ok();
                thread::sleep(Duration::from_millis(5));
            }
        });
        format!("http://{address}/")
    }

    #[test]
    fn a_server_that_never_comes_to_an_end_is_cut_off() {
        let http = Http::new(&Circumstances {
            trust: Trust::default(),
            silence: Duration::from_mins(5),
            request: Duration::from_millis(300),
            time: TimeOfDay::default(),
            wake: Wake::default(),
            log: Log::new(Level::Error, Box::new(io::sink())),
        })
        .unwrap();
        let head = "HTTP/1.1 200 OK\r\nX: ";
        let body = "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n";
        for url in [trickle(head, b'x'), trickle(body, b'x'), trickle("", b'H')] {
            assert!(http.request(&Method::GET, &url, &[], &[]).is_err());
        }
        assert!(http.get(&trickle(head, b'x'), None).is_err());
        // The body of a download may take as long as it likes.
        let mut answer = http.get(&trickle(body, b'x'), None).unwrap();
        let mut bytes = [0; 200];
        answer.body_mut().as_reader().read_exact(&mut bytes).unwrap();
    }

    #[test]
    fn secrets_in_addresses_are_not_shown() {
        for (url, expected) in [
            ("https://a.example/x/y?sig=1#z", "https://a.example/x/y?..."),
            ("http://u:p@a:1/x", "http://a:1/x"),
            ("http://a", "http://a"),
            ("http://a?q", "http://a?..."),
        ] {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn addresses_that_cannot_be_reached_are_refused() {
        let of = |url: &str| check_address(&url.parse().unwrap()).map_err(|e| e.to_string());
        assert_eq!(of("https://a/b@c"), Ok(()));
        assert!(of("https://u:p@a/").unwrap_err().contains("user names"));
        for url in ["ftp://a/", "/a", "a:80"] {
            assert!(of(url).unwrap_err().contains("http://"), "{url}");
        }
    }

    #[test]
    fn messages_are_found_in_json_and_cut() {
        assert_eq!(message(br#"{"error":"no such thing","request_id":"1"}"#), "no such thing");
        assert_eq!(message(b" plain "), "plain");
        assert_eq!(message(&[b'x'; 1000]).len(), 300);
    }
}
