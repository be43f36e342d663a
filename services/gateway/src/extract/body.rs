//! JSON bodies: bounded, of the right type, read leniently.

use std::{net::IpAddr, num::NonZeroUsize, pin::pin, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use bytes::Bytes;
use futures::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{
    app::App,
    edge::Arrival,
    error::Problem,
    lenient, metrics,
    shares::{Share, Shares},
};

/// How large a body may be, and for how long it is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Allowance {
    /// In bytes.
    size: usize,
    /// For the whole body: less than a request may take, so that who sends too slowly is told
    /// so, and not that the answer is late.
    arrival: Duration,
}

impl Allowance {
    /// What somebody sends who is known (server API, common HTTP rules: 1 MiB).
    const DOCUMENT: Self = Self { size: 1 << 20, arrival: Duration::from_secs(45) };
    /// What anybody sends who wants a token: as much as deviceauth takes, and some 5 kB/s.
    pub(crate) const PROOF: Self = Self { size: 64 << 10, arrival: Duration::from_secs(15) };
}

/// Bodies that are waited for. Each keeps a place among the requests under way.
///
/// Most bodies come with their head and are not waited for; of the others one takes as long as
/// its way does, so that thousands a second pass through these places. Who fills them sends too
/// slowly, and keeps nobody away who does not: half of the requests never wait here.
pub(crate) struct Awaited {
    places: Semaphore,
    addresses: Shares<IpAddr>,
}

impl Awaited {
    /// Bodies of so many requests.
    pub(crate) fn new(requests: NonZeroUsize) -> Self {
        let places = (requests.get() / 2).clamp(1, Semaphore::MAX_PERMITS);
        Self { places: Semaphore::new(places), addresses: Shares::new() }
    }

    /// A place for the body of this request, to be kept until it has arrived.
    fn place(&self, parts: &Parts) -> Result<Place<'_>, Problem> {
        let Ok(place) = self.places.try_acquire() else {
            metrics::shed();
            return Err(Problem::unavailable("too many requests are under way"));
        };
        // Without an address the request comes from within this process.
        let Some(address) = Arrival::of(&parts.extensions).and_then(|arrival| arrival.address)
        else {
            return Ok((place, None));
        };
        let share = self.addresses.take(address.for_limits(), self.places.available_permits());
        if share.is_none() {
            metrics::limited("bodies");
            return Err(Problem::too_many(Duration::from_secs(1)));
        }
        Ok((place, share))
    }
}

type Place<'a> = (SemaphorePermit<'a>, Option<Share<IpAddr>>);

/// A JSON body, read as [`crate::lenient`] reads.
pub(crate) struct Lenient<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Lenient<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let body = read(app, &parts, body, Allowance::DOCUMENT).await?;
        if !body.is_empty() {
            expect_json(&parts.headers)?;
        }
        Ok(Self(lenient::from_slice(&body)?))
    }
}

/// A whole body.
pub(crate) async fn read(
    app: &App,
    parts: &Parts,
    body: Body,
    allowed: Allowance,
) -> Result<Bytes, Problem> {
    let too_large = || Problem::too_large(allowed.size as u64);
    let announced =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: usize| length > allowed.size)
    {
        return Err(too_large());
    }
    let mut body = pin!(Limited::new(body, allowed.size).collect());
    let arrived = if let Some(arrived) = body.as_mut().now_or_never() {
        arrived
    } else {
        let _place = app.awaited.place(parts)?;
        let arrived = tokio::time::timeout(allowed.arrival, body).await;
        arrived.map_err(|_| {
            let error = "the request body did not arrive in time";
            Problem::new(StatusCode::REQUEST_TIMEOUT, error)
        })?
    };
    match arrived {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::invalid("request body ends before its end")),
    }
}

/// Refuses (415) what does not call itself JSON in UTF-8.
pub(crate) fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let mut parameters = kind.unwrap_or_default().split(';').map(str::trim);
    let is_json =
        parameters.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let is_utf8 = parameters.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    });
    if is_json && is_utf8 {
        return Ok(());
    }
    let error = "bad Content-Type or charset, expected application/json";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn json_is_what_says_so_in_utf8() {
        let accepted = |kind: &'static str| {
            expect_json(&HeaderMap::from_iter([(
                header::CONTENT_TYPE,
                HeaderValue::from_static(kind),
            )]))
            .is_ok()
        };
        for kind in ["application/json", "Application/JSON; charset=UTF-8", "application/json;x"] {
            assert!(accepted(kind), "{kind}");
        }
        for kind in ["text/plain", "", "application/json; charset=latin1", "application/jsonx"] {
            assert!(!accepted(kind), "{kind}");
        }
        assert!(expect_json(&HeaderMap::new()).is_err());
    }
}
