//! What is left of a request when it has been answered: read on, and forgotten.
//!
//! A connection whose request is not read to its end has to be closed, and what arrives after
//! that makes systems throw the answer away unread. Clients that write before they read, as
//! small ones do, would meet a broken connection instead of the reason why they were refused.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Error,
    body::{Body, HttpBody},
    extract::Request,
    http::header,
};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::sync::oneshot;

/// How much is read for nothing, in bytes and time. What goes on longer is cut off.
const MAX_BYTES: usize = 64 << 20;
const DEADLINE: Duration = Duration::from_secs(30);

/// The body of a request, once whoever was to read it has let it go.
pub(crate) struct Leftover(Option<oneshot::Receiver<Body>>);

impl Leftover {
    /// Watches over the body of a request.
    pub(crate) fn of(request: Request) -> (Request, Self) {
        if request.body().is_end_stream() {
            return (request, Self(None));
        }
        // Who waits for permission to send sends nothing without it.
        let is_sent = !request.headers().contains_key(header::EXPECT);
        let (back, leftover) = oneshot::channel();
        let watch = |body| Body::new(Watched { body: Some(body), is_sent, back: Some(back) });
        (request.map(watch), Self(Some(leftover)))
    }

    /// Reads what has not been read, beside the answer.
    pub(crate) fn discard(self) {
        let Some(mut leftover) = self.0 else { return };
        if let Ok(body) = leftover.try_recv() {
            tokio::spawn(tokio::time::timeout(DEADLINE, read(body)));
        }
    }
}

async fn read(mut body: Body) {
    let mut taken = 0;
    while let Some(Ok(frame)) = body.frame().await {
        taken += frame.data_ref().map_or(0, Bytes::len);
        if taken > MAX_BYTES {
            return;
        }
    }
}

/// A body that comes back when it is dropped before its end.
struct Watched {
    body: Option<Body>,
    /// Whether there is anything to come.
    is_sent: bool,
    back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.is_sent = true;
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        if !matches!(frame, Poll::Pending | Poll::Ready(Some(Ok(_)))) {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let left = self.body.take().filter(|body| self.is_sent && !body.is_end_stream());
        if let (Some(body), Some(back)) = (left, self.back.take()) {
            // Nobody wants it where the whole request was given up.
            let _ = back.send(body);
        }
    }
}
