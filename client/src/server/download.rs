//! A download that goes on where it broke off.

use std::{
    io::{self, ErrorKind, Read},
    time::Duration,
};

use ureq::{
    Body,
    http::{HeaderMap, Response, header},
};

use super::{
    ServerError,
    http::{Http, refused_response},
};
use crate::{
    log::{Log, chain},
    retry::{Backoff, jitter},
    wake::Wake,
};

const WHAT: &str = "a download";

/// Reads a file over HTTP. A lost connection is made anew with `Range`, until the retries are used
/// up; bytes that arrive earn new ones.
pub(super) struct Download {
    http: Http,
    url: String,
    /// As many as there are at the start of each outage.
    retries: Backoff,
    left: Backoff,
    wake: Wake,
    log: Log,
    body: Box<dyn Read + Send>,
    offset: u64,
    /// Without a length there is no telling a lost connection from the end, and no going on.
    total: Option<u64>,
}

impl Download {
    /// Sends the first request.
    pub(super) fn open(
        http: Http,
        url: &str,
        retries: Backoff,
        wake: Wake,
        log: Log,
    ) -> Result<Self, ServerError> {
        let mut left = retries.clone();
        let response = loop {
            match start(&http, url) {
                Ok(response) => break response,
                Err(error) => pause(&mut left, error, &wake, &log)?,
            }
        };
        let total = number(response.headers(), header::CONTENT_LENGTH).filter(|total| *total > 0);
        Ok(Self {
            http,
            url: url.to_owned(),
            left: retries.clone(),
            retries,
            wake,
            log,
            body: Box::new(response.into_body().into_reader()),
            offset: 0,
            total,
        })
    }

    /// Whether all bytes have come; without a known length the connection's end decides.
    fn is_complete(&self) -> bool {
        self.total.is_none_or(|total| self.offset >= total)
    }

    fn resume(&mut self, total: u64, reason: ServerError) -> Result<(), ServerError> {
        pause(&mut self.left, reason, &self.wake, &self.log)?;
        let (offset, url) = (self.offset, &self.url);
        self.log.info(format_args!("the download goes on at byte {offset} of {total}"));
        loop {
            match reopen(&self.http, url, offset, total) {
                Ok(body) => {
                    self.body = body;
                    return Ok(());
                }
                Err(error) => pause(&mut self.left, error, &self.wake, &self.log)?,
            }
        }
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            self.wake.check().map_err(io::Error::other)?;
            let reason = match self.body.read(buffer) {
                Ok(0) if self.is_complete() => return Ok(0),
                Ok(0) => io::Error::from(ErrorKind::UnexpectedEof),
                Ok(count) => {
                    self.offset += count as u64;
                    self.left = self.retries.clone();
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            let Some(total) = self.total else { return Err(reason) };
            let source = Box::new(reason.into());
            let reason = super::HttpError { url: self.url.clone(), source };
            self.resume(total, reason.into()).map_err(io::Error::other)?;
        }
    }
}

fn start(http: &Http, url: &str) -> Result<Response<Body>, ServerError> {
    let response = http.get(url, None)?;
    if response.status() == 200 { Ok(response) } else { Err(refused_response(WHAT, response)) }
}

/// The rest of the file, from `offset`.
fn reopen(
    http: &Http,
    url: &str,
    offset: u64,
    total: u64,
) -> Result<Box<dyn Read + Send>, ServerError> {
    let response = http.get(url, Some((offset, total)))?;
    let malformed = |problem: String| ServerError::Malformed { what: WHAT, problem };
    match response.status().as_u16() {
        206 => {
            let range = response.headers().get(header::CONTENT_RANGE);
            let range = range.and_then(|range| range.to_str().ok()).unwrap_or_default();
            if !is_rest(range, offset, total) {
                return Err(malformed(format!(
                    "asked for bytes {offset} to {total}, but got {range:?}"
                )));
            }
            Ok(Box::new(response.into_body().into_reader()))
        }
        // The server knows no ranges and starts over.
        200 => {
            let length = number(response.headers(), header::CONTENT_LENGTH);
            if length != Some(total) {
                return Err(malformed(format!("the file had {total} bytes, now {length:?}")));
            }
            let mut body = response.into_body().into_reader();
            let skipped = io::copy(&mut body.by_ref().take(offset), &mut io::sink());
            match skipped {
                Ok(skipped) if skipped == offset => Ok(Box::new(body)),
                _ => Err(ServerError::Busy { status: 200, retry_after: None }),
            }
        }
        _ => Err(refused_response(WHAT, response)),
    }
}

/// `bytes <offset>-<total - 1>/<total or *>`.
fn is_rest(range: &str, offset: u64, total: u64) -> bool {
    let parse = || {
        let (span, length) = range.strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = span.split_once('-')?;
        let length = if length == "*" { total } else { length.parse().ok()? };
        Some((first.parse().ok()?, last.parse().ok()?, length))
    };
    let expected: (u64, u64, u64) = (offset, total.saturating_sub(1), total);
    parse() == Some(expected)
}

/// Waits before the next try, or gives up with the error that led here.
fn pause(
    left: &mut Backoff,
    error: ServerError,
    wake: &Wake,
    log: &Log,
) -> Result<(), ServerError> {
    let may_pass = matches!(error, ServerError::Http(_) | ServerError::Busy { .. });
    let Some(pause) = left.next().filter(|_| may_pass) else { return Err(error) };
    let pause = jitter(pause).max(error.retry_after().unwrap_or(Duration::ZERO));
    log.warning(format_args!(
        "the download broke off: {}; next try in {:.0} s",
        chain(&error),
        pause.as_secs_f64()
    ));
    Ok(wake.sleep(pause)?)
}

fn number(headers: &HeaderMap, name: header::HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_rest_is_accepted() {
        for (range, good) in [
            ("bytes 10-99/100", true),
            ("bytes 10-99/*", true),
            ("bytes 9-99/100", false),
            ("bytes 11-99/100", false),
            ("bytes 10-98/100", false),
            ("bytes 10-99/101", false),
            ("bytes -10-99/100", false),
            ("bytes 10-99", false),
            ("10-99/100", false),
            ("bytes 10-99/x", false),
            ("", false),
        ] {
            assert_eq!(is_rest(range, 10, 100), good, "{range}");
        }
    }
}
