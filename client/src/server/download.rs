//! A download that goes on where it broke off.

use std::{
    io::{self, ErrorKind, Read},
    time::{Duration, Instant},
};

use ureq::{
    Body,
    http::{HeaderMap, Response},
};

use super::{
    HttpError, ServerError,
    http::{Http, Rest},
    link::Link,
    patience::Patience,
    range::{self, Fit},
    wire::ReadLimit,
};
use crate::{
    log::{Log, chain},
    modules::Stream,
    retry::{not_before, scatter},
    wake::Wake,
};

const WHAT: &str = "a download";

/// Fresh links in a row that may be refused: after the second, the server does not mean well.
const MAX_RENEWALS: u32 = 2;

/// Between two lines in the log about connections that break: a bad link breaks all the time.
const LOG_PAUSE: Duration = Duration::from_secs(30);

/// Reads a file over HTTP. A lost connection is made anew with `Range` as long as bytes come, and
/// for a while when none do; an expired link is replaced.
pub(super) struct Download {
    http: Http,
    limit: ReadLimit,
    link: Link,
    patience: Patience,
    wake: Wake,
    log: Log,
    /// The connection's; without one the next read makes one.
    body: Option<Part>,
    offset: u64,
    /// Without a length there is no telling a lost connection from the end, and no going on.
    total: Option<u64>,
    /// Of the file that was begun.
    etag: Option<String>,
    /// Since bytes came.
    renewals: u32,
    breaks: Breaks,
}

/// The body of an answer.
struct Part {
    body: Box<dyn Read + Send>,
    /// Bytes that come before the wanted ones.
    skip: u64,
    /// Bytes that then come; the rest of a body of unknown length is unlimited.
    new: u64,
}

/// What the log has not yet been told.
#[derive(Default)]
struct Breaks {
    logged: Option<Instant>,
    unlogged: u32,
}

impl Download {
    /// Sends the first request.
    pub(super) fn open(
        http: &Http,
        link: Link,
        patience: Patience,
        wake: Wake,
        log: Log,
    ) -> Result<Self, ServerError> {
        let (http, limit) = http.limited();
        let mut download = Self {
            http,
            limit,
            link,
            patience,
            wake,
            log,
            body: None,
            offset: 0,
            total: None,
            etag: None,
            renewals: 0,
            breaks: Breaks::default(),
        };
        download.connect()?;
        Ok(download)
    }

    /// Makes connections until one leads to the wanted bytes.
    fn connect(&mut self) -> Result<(), ServerError> {
        loop {
            let error = match self.request() {
                Ok(part) => {
                    self.patience.connected();
                    self.body = Some(part);
                    return Ok(());
                }
                Err(error) if is_of_link(&error) => match self.renew(error) {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if !may_pass(&error) {
                return Err(error);
            }
            self.pause(error)?;
        }
    }

    fn request(&mut self) -> Result<Part, ServerError> {
        let rest = match self.total {
            Some(total) if self.offset > 0 => {
                Some(Rest { offset: self.offset, total, etag: self.etag.as_deref() })
            }
            _ => None,
        };
        let response = self.http.get(&self.link.url, rest)?;
        let headers = response.headers();
        let Fit { skip, new } = match (response.status().as_u16(), rest) {
            (200, None) => {
                let fit = start(headers);
                self.total = range::content_length(headers).filter(|total| *total > 0);
                self.etag = range::strong_etag(headers).map(str::to_owned);
                fit
            }
            (206, Some(rest)) => range::of_part(headers, &rest)?,
            (200, Some(rest)) => range::of_whole(headers, &rest)?,
            (416, Some(Rest { offset, total, .. })) => {
                let problem = format!("it was to have {total} bytes, but ends at {offset}");
                return Err(ServerError::Changed { problem });
            }
            _ => return Err(self.refused(response)),
        };
        Ok(Part { body: Box::new(response.into_body().into_reader()), skip, new })
    }

    fn refused(&self, response: Response<Body>) -> ServerError {
        self.http.refused_response(WHAT, response)
    }

    /// Asks the server for a link that works. Fails with the refusal if there is none.
    fn renew(&mut self, refusal: ServerError) -> Result<(), ServerError> {
        if self.renewals >= MAX_RENEWALS {
            return Err(refusal);
        }
        self.log.info(format_args!("asking for a fresh link: {}", chain(&refusal)));
        if !self.link.renew()? {
            return Err(refusal);
        }
        self.renewals += 1;
        Ok(())
    }

    /// Waits before the next try, or gives up with the error that led here.
    fn pause(&mut self, error: ServerError) -> Result<(), ServerError> {
        let Some(pause) = self.patience.next_pause(error.retry_after()) else {
            let limit = self.total.map_or_else(String::new, |total| format!(" of {total}"));
            let offset = self.offset;
            self.log.error(format_args!("the download is given up at byte {offset}{limit}"));
            return Err(error);
        };
        // Not all devices come back at once to a server that was gone; nobody comes early.
        let pause = match error.retry_after() {
            Some(asked) => not_before(pause.max(asked)),
            None => scatter(pause),
        };
        self.say(&error, pause);
        Ok(self.wake.sleep(pause)?)
    }

    fn say(&mut self, error: &ServerError, pause: Duration) {
        let now = Instant::now();
        let said = self.breaks.logged;
        if said.is_some_and(|said| now.saturating_duration_since(said) < LOG_PAUSE) {
            self.breaks.unlogged += 1;
            return;
        }
        let more = match std::mem::take(&mut self.breaks.unlogged) {
            0 => String::new(),
            count => format!(", as {count} times since the last such line"),
        };
        self.breaks.logged = Some(now);
        self.log.warning(format_args!(
            "the download broke off at byte {}{more}: {}; next try in {:.1} s",
            self.offset,
            chain(error),
            pause.as_secs_f64()
        ));
    }

    /// Reads from the connection; `None` when the bytes were not new.
    fn read_part(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(part) = &mut self.body else { return Ok(None) };
        let left = if part.skip > 0 { part.skip } else { part.new };
        let limit = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..limit).unwrap_or_default();
        let started = Instant::now();
        self.limit.set(started.checked_add(self.patience.time_left()));
        let read = part.body.read(buffer);
        self.limit.set(None);
        let waited = started.elapsed();
        let count = read.inspect_err(|_| self.patience.received(0, 0, waited))?;
        let bytes = count as u64;
        if part.skip > 0 && count > 0 {
            part.skip -= bytes;
            self.patience.received(bytes, 0, waited);
            return Ok(None);
        }
        part.new -= bytes;
        self.offset += bytes;
        self.patience.received(bytes, bytes, waited);
        if count > 0 {
            self.renewals = 0;
        }
        Ok(Some(count))
    }

    /// Gives the connection up; fails if that ends the download.
    fn broke(&mut self, reason: io::Error) -> io::Result<()> {
        self.body = None;
        self.wake.check().map_err(io::Error::other)?;
        if self.total.is_none() {
            let problem = format!("{reason}; it cannot go on, since the server told no length");
            return Err(io::Error::new(reason.kind(), problem));
        }
        let url = self.link.url.clone();
        self.pause(HttpError::new(&url, reason.into()).into()).map_err(io::Error::other)
    }
}

impl Stream for Download {
    fn size_bytes(&self) -> Option<u64> {
        self.total
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.total.is_some_and(|total| self.offset >= total) {
            return Ok(0);
        }
        loop {
            self.wake.check().map_err(io::Error::other)?;
            if self.patience.is_too_slow() {
                self.broke(too_slow())?;
            }
            if self.body.is_none() {
                self.connect().map_err(io::Error::other)?;
            }
            let reason = match self.read_part(buffer) {
                Ok(Some(0)) if self.total.is_none() => return Ok(0),
                Ok(Some(0)) => ErrorKind::UnexpectedEof.into(),
                Ok(Some(count)) => return Ok(count),
                Ok(None) => continue,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) if self.patience.is_too_slow() => too_slow(),
                Err(error) => error,
            };
            self.broke(reason)?;
        }
    }
}

fn too_slow() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "it brings next to nothing")
}

/// The whole file.
fn start(headers: &HeaderMap) -> Fit {
    Fit { skip: 0, new: range::content_length(headers).unwrap_or(u64::MAX) }
}

/// Whether another link might work: this one is expired, or names what has moved.
fn is_of_link(error: &ServerError) -> bool {
    matches!(error, ServerError::Refused { status: 300..=407 | 409..=499, .. })
}

/// Whether the same request might succeed in a while.
fn may_pass(error: &ServerError) -> bool {
    match error {
        ServerError::Http(error) => error.may_pass(),
        ServerError::Busy { .. } | ServerError::Unauthorized { .. } => true,
        _ => false,
    }
}
