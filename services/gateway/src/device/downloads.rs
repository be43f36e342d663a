//! Artifacts behind signed links, streamed through.

use std::{fmt::Write, io, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, stream};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rota_proto::deployments::v1::{
    DownloadHead, DownloadRequest, DownloadResponse, download_response::Part,
};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Streaming;
use uuid::Uuid;

use super::stall;
use crate::{
    app::App,
    convert::Malformed,
    edge::Arrival,
    error::Problem,
    extract::Who,
    metrics,
    shares::{Share, Shares},
};

/// What an Artifact calls itself.
const CONTENT_TYPE: &str = "application/vnd.mender-artifact";

/// A tenant gets none once it has more than so many times what is left: three quarters, where it
/// is the only one.
const TENANT_TIMES: usize = 3;

/// Who has the places of downloads. A link is that of every device that was told in the same
/// second, so that a place is its address's and its tenant's.
pub(crate) struct Downloads {
    addresses: Shares<IpAddr>,
    tenants: Shares<Uuid>,
}

impl Downloads {
    pub(crate) fn new() -> Self {
        Self { addresses: Shares::new(), tenants: Shares::new() }
    }
}

/// A place among the transfers.
struct Place {
    _transfer: OwnedSemaphorePermit,
    _address: Option<Share<IpAddr>>,
    tenant: Option<Share<Uuid>>,
}

impl Place {
    fn take(app: &App, extensions: &Extensions) -> Result<Self, Problem> {
        let transfer = Arc::clone(&app.transfers).try_acquire_owned();
        let transfer =
            transfer.map_err(|_| Problem::unavailable("too many transfers are under way"))?;
        let address = Arrival::of(extensions).and_then(|arrival| arrival.address);
        let address = address.map(|address| {
            let left = app.transfers.available_permits();
            app.downloads.addresses.take(address.for_limits(), left).ok_or_else(too_many)
        });
        Ok(Self { _transfer: transfer, _address: address.transpose()?, tenant: None })
    }

    /// Counts it as the tenant's, whose link has proven genuine.
    fn belongs_to(&mut self, app: &App, tenant: Option<Uuid>) -> Result<(), Problem> {
        let Some(tenant) = tenant else { return Ok(()) };
        let left = app.transfers.available_permits().saturating_mul(TENANT_TIMES);
        let share = app.downloads.tenants.take(tenant, left);
        self.tenant = Some(share.ok_or_else(too_many)?);
        Ok(())
    }
}

fn too_many() -> Problem {
    metrics::limited("downloads");
    Problem::too_many(Duration::from_secs(1))
}

/// The tenant that a link names.
fn tenant(query: &str) -> Option<Uuid> {
    query.split('&').find_map(|pair| pair.strip_prefix("tenant="))?.parse().ok()
}

/// Downloads an Artifact. The link is the permission; ranges are served, so that a download
/// that was cut goes on, and whoever has the file already is told so.
#[utoipa::path(get, path = "/api/devices/v1/deployments/download/artifacts/{id}", tag = "device",
    params(("id" = String, Path), ("signature" = String, Query, description = "And what else the link holds")),
    responses((status = 200, body = Vec<u8>, content_type = "application/vnd.mender-artifact"),
              (status = 206, description = "A range"),
              (status = 304, description = "The version that `If-None-Match` names"),
              (status = 416, description = "The range lies outside")))]
pub(crate) async fn download(
    State(app): State<App>,
    who: Who,
    request: Request,
) -> Result<Response, Problem> {
    let mut place = Place::take(&app, request.extensions())?;
    let head_only = request.method() == Method::HEAD;
    let headers = request.headers();
    let wanted = DownloadRequest {
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        range: text(headers, &header::RANGE),
        if_range: text(headers, &header::IF_RANGE),
        if_none_match: list(headers, &header::IF_NONE_MATCH),
        head_only,
    };
    let (version, tenant) = (request.version(), tenant(&wanted.query));
    drop(request);
    let mut parts = app.artifacts().download(who.asks(wanted)).await?.into_inner();
    let Some(DownloadResponse { part: Some(Part::Head(head)) }) = parts.message().await? else {
        return Err(Malformed("download without a head").into());
    };
    if head_only || head.unsatisfiable || head.not_modified {
        return Ok(answer(&head, Body::empty()));
    }
    place.belongs_to(&app, tenant)?;
    let chunks = chunks(parts, place, app.config.transfer_idle_seconds);
    let body = match version {
        Version::HTTP_2 => Body::from_stream(stall::limit(chunks, app.config.client_stall_seconds)),
        // There the connection is the answer, and its listener has the same limit.
        _ => Body::from_stream(chunks),
    };
    Ok(answer(&head, body))
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// A header that is a list: its lines are one (RFC 9110, section 5.3).
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let lines: Vec<_> = headers.get_all(name).iter().filter_map(|it| it.to_str().ok()).collect();
    (!lines.is_empty()).then(|| lines.join(", "))
}

/// The bytes as they come. The client sets the pace: nothing is fetched that it does not take,
/// and what is counted against `idle` is the source's time alone.
fn chunks(
    parts: Streaming<DownloadResponse>,
    place: Place,
    idle: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    // The place is given back when the body is dropped, sent to its end or not.
    stream::try_unfold((parts, place), move |(mut parts, place)| async move {
        let part = tokio::time::timeout(idle, parts.message()).await;
        match part.map_err(io::Error::from)?.map_err(io::Error::other)? {
            Some(DownloadResponse { part: Some(Part::Chunk(chunk)) }) => {
                Ok(Some((Bytes::from(chunk), (parts, place))))
            }
            Some(_) => Err(io::Error::other("a download with two heads")),
            None => Ok(None),
        }
    })
}

fn answer(head: &DownloadHead, body: Body) -> Response {
    if head.unsatisfiable {
        let mut response =
            Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "the range lies outside")
                .into_response();
        let whole = format!("bytes */{}", head.total_size);
        insert(response.headers_mut(), header::CONTENT_RANGE, &whole);
        return response;
    }
    if head.not_modified {
        let mut response = StatusCode::NOT_MODIFIED.into_response();
        insert(response.headers_mut(), header::ETAG, &quoted(&head.etag));
        return response;
    }
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, head.length.into());
    insert(headers, header::ETAG, &quoted(&head.etag));
    insert(headers, header::CONTENT_DISPOSITION, &disposition(&head.file_name));
    if head.partial {
        let last = (head.first + head.length).saturating_sub(1);
        let range = format!("bytes {}-{last}/{}", head.first, head.total_size);
        insert(headers, header::CONTENT_RANGE, &range);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// Sets a header, if its value can be one.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn quoted(etag: &str) -> String {
    if etag.ends_with('"') { etag.to_owned() } else { format!("\"{etag}\"") }
}

/// A file name for those that know no other letters than ASCII's, and the whole for the rest
/// (RFC 6266).
fn disposition(name: &str) -> String {
    let plain = |letter: char| match letter {
        '"' | '\\' | '/' => '_',
        letter if letter.is_ascii_graphic() || letter == ' ' => letter,
        _ => '_',
    };
    let fallback: String = name.chars().map(plain).collect();
    let mut value = format!("attachment; filename=\"{fallback}\"");
    if fallback != name {
        // Writing to a String cannot fail.
        let _ = write!(value, "; filename*=UTF-8''{}", utf8_percent_encode(name, NON_ALPHANUMERIC));
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_written_so_that_every_client_can_read_them() {
        assert_eq!(disposition("a b.mender"), "attachment; filename=\"a b.mender\"");
        assert_eq!(
            disposition("a\"\r\né.mender"),
            "attachment; filename=\"a____.mender\"; filename*=UTF-8''a%22%0D%0A%C3%A9%2Emender"
        );
    }
}
