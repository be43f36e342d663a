//! The body of a form, given to its reader in pieces that it can place.
//!
//! The reader keeps whatever it cannot place yet, and takes all that is there: a form without
//! a boundary, or with a part whose head has no end, would be kept whole.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use axum::{
    Error,
    body::{Body, HttpBody},
};
use bytes::Bytes;
use http_body::Frame;

/// What the reader may have without making anything of it, in bytes: many times the head of any
/// part.
const MAX_UNPLACED: usize = 16 << 10;

/// How far the reader is.
pub(super) struct Progress(Arc<AtomicUsize>);

impl Progress {
    /// The reader has made something of what it was given.
    pub(super) fn made(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The same body frame by frame, which ends with an error where the reader makes no progress.
pub(super) fn in_pieces(body: Body) -> (Body, Progress) {
    let unplaced = Arc::new(AtomicUsize::new(0));
    let progress = Progress(Arc::clone(&unplaced));
    (Body::new(Pieces { body, unplaced, pauses: PAUSES }), progress)
}

struct Pieces {
    body: Body,
    /// Bytes given since the reader made something of them.
    unplaced: Arc<AtomicUsize>,
    /// How often the reader got nothing since the last frame, so that it looks at what it has.
    pauses: u8,
}

/// Before the next frame.
const PAUSES: u8 = 1;

/// Before it is too late: the reader of a preamble takes a frame, looks, and takes another.
const LAST_PAUSES: u8 = 2;

#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("{MAX_UNPLACED} bytes outside of any part")]
struct Unplaced;

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let is_full = self.unplaced.load(Ordering::Relaxed) >= MAX_UNPLACED;
        let pauses = if is_full { LAST_PAUSES } else { PAUSES };
        if self.pauses < pauses {
            self.pauses += 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if is_full {
            return Poll::Ready(Some(Err(Error::new(Unplaced))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let taken = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref());
        self.unplaced.fetch_add(taken.map_or(0, Bytes::len), Ordering::Relaxed);
        self.pauses = 0;
        Poll::Ready(frame)
    }
}
