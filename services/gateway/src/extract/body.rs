//! JSON bodies: bounded, of the right type, read leniently.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::{error::Problem, lenient};

/// The largest JSON body, in bytes (server API, common HTTP rules: 1 MiB).
const MAX_BODY: usize = 1 << 20;

/// For a whole body to arrive: less than a request may take, so that who sends too slowly is
/// told so, and not that the answer is late.
const ARRIVAL: Duration = Duration::from_secs(45);

/// A JSON body, read as [`crate::lenient`] reads.
pub(crate) struct Lenient<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Lenient<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let body = read(&parts.headers, body).await?;
        if !body.is_empty() {
            expect_json(&parts.headers)?;
        }
        Ok(Self(lenient::from_slice(&body)?))
    }
}

/// A whole body of at most [`MAX_BODY`] bytes.
pub(crate) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced
        .and_then(|length| length.parse().ok())
        .is_some_and(|length: usize| length > MAX_BODY)
    {
        return Err(Problem::too_large(MAX_BODY as u64));
    }
    let arrived = tokio::time::timeout(ARRIVAL, Limited::new(body, MAX_BODY).collect()).await;
    let Ok(body) = arrived else {
        let error = "the request body did not arrive in time";
        return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, error));
    };
    match body {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Problem::too_large(MAX_BODY as u64)),
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
