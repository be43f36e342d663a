//! Uploads and downloads: messages to bytes, and bytes to messages.

use bytes::Bytes;
use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use rota_proto::deployments::v1::{
    DownloadHead, DownloadRequest, DownloadResponse, UploadRequest, download_response,
    upload_request,
};
use rota_runtime::to_status;
use tonic::{Status, Streaming};

use crate::{
    app::download::{Asked, Download},
    error::Error,
    model::{artifact::UploadHead, range::Served},
};

/// The upload's first message.
pub(super) async fn head(messages: &mut Streaming<UploadRequest>) -> Result<UploadHead, Error> {
    let first = messages.message().await.map_err(|_| Error::Cut)?;
    let Some(UploadRequest { part: Some(upload_request::Part::Head(head)) }) = first else {
        return Err(Error::Field { field: "head", reason: "must be the first message" });
    };
    let id = head.artifact_id.as_deref().map(str::parse).transpose()?;
    Ok(UploadHead { description: head.description, size_bytes: head.size, id })
}

/// The bytes that follow the head. A stream that ends without saying so was cut.
pub(super) fn bytes(
    messages: Streaming<UploadRequest>,
) -> impl Stream<Item = Result<Bytes, Error>> + Send {
    stream::try_unfold(messages, |mut messages| async move {
        use upload_request::Part;
        loop {
            let message = messages.message().await.map_err(|_| Error::Cut)?;
            return match message.and_then(|message| message.part) {
                Some(Part::Chunk(chunk)) if chunk.is_empty() => continue,
                Some(Part::Chunk(chunk)) => Ok(Some((Bytes::from(chunk), messages))),
                Some(Part::End(_)) => Ok(None),
                Some(Part::Head(_)) => {
                    Err(Error::Field { field: "head", reason: "must come once" })
                }
                None => Err(Error::Cut),
            };
        }
    })
}

pub(super) fn asked(request: DownloadRequest) -> Asked {
    Asked {
        path: request.path,
        query: request.query,
        range: request.range,
        if_range: request.if_range,
        if_none_match: request.if_none_match,
        head_only: request.head_only,
    }
}

/// The head, and the bytes after it.
pub(super) fn download(download: Download) -> BoxStream<'static, Result<DownloadResponse, Status>> {
    use download_response::Part;
    let message = |part| DownloadResponse { part: Some(part) };
    let (first, length) = match download.served {
        Served::Whole => (0, download.total_bytes),
        Served::Part { first, length } => (first, length),
        Served::Unsatisfiable | Served::NotModified => (0, 0),
    };
    let head = DownloadHead {
        total_size: download.total_bytes,
        etag: download.etag,
        file_name: download.file_name,
        first,
        length,
        partial: matches!(download.served, Served::Part { .. }),
        unsatisfiable: download.served == Served::Unsatisfiable,
        not_modified: download.served == Served::NotModified,
    };
    let head = stream::once(std::future::ready(Ok(message(Part::Head(head)))));
    match download.body {
        None => head.boxed(),
        Some(body) => head
            .chain(body.map(move |bytes| match bytes {
                Ok(bytes) => Ok(message(Part::Chunk(bytes.into()))),
                Err(error) => Err(to_status(Error::Blobs(error))),
            }))
            .boxed(),
    }
}
