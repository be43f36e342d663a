//! Clients that take nothing of an answer over HTTP/2 any more.
//!
//! There a connection moves on while one of its answers stands still, so that the limit of the
//! listener ([`rota_runtime::listen::Limits::stall`]) never comes to bear.

use std::{io, pin::pin, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// The same bytes, until one of them is not taken within `limit`. Then the source is dropped, with
/// all that it holds, though nobody asks for more; whoever does gets an error.
pub(super) fn limit<S>(chunks: S, limit: Duration) -> impl Stream<Item = io::Result<Bytes>> + Send
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let (offered, taken) = mpsc::channel(1);
    // Ends with the answer: it looks at nothing else.
    let offering = tokio::spawn(offer(chunks, offered, limit));
    let end = offering.map(|ended| match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(Err(error)),
        Err(panicked) => Some(Err(io::Error::other(panicked))),
    });
    ReceiverStream::new(taken).map(Ok).chain(stream::once(end).filter_map(std::future::ready))
}

async fn offer(
    chunks: impl Stream<Item = io::Result<Bytes>>,
    offered: mpsc::Sender<Bytes>,
    limit: Duration,
) -> io::Result<()> {
    let mut chunks = pin!(chunks);
    loop {
        let chunk = tokio::select! {
            () = offered.closed() => return Ok(()),
            chunk = chunks.next() => chunk,
        };
        let Some(chunk) = chunk.transpose()? else { return Ok(()) };
        match tokio::time::timeout(limit, offered.send(chunk)).await {
            Ok(Ok(())) => {}
            // The answer is gone.
            Ok(Err(_)) => return Ok(()),
            Err(elapsed) => return Err(elapsed.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LIMIT: Duration = Duration::from_mins(2);

    /// Endless chunks, and whether somebody still has them.
    fn endless() -> (impl Stream<Item = io::Result<Bytes>> + Send + 'static, Arc<()>) {
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let chunk = move |()| {
            let _ = &holds;
            Ok(Bytes::from_static(b"chunk"))
        };
        (stream::repeat(()).map(chunk), held)
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_any_more_holds_nothing_any_more() {
        let (chunks, held) = endless();
        let mut taken = pin!(limit(chunks, LIMIT));
        taken.next().await.unwrap().unwrap();
        let began = tokio::time::Instant::now();
        while Arc::strong_count(&held) > 1 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(began.elapsed() >= LIMIT && began.elapsed() < 2 * LIMIT);
        // What was offered already is still there; then the answer breaks off.
        let rest: Vec<_> = taken.collect().await;
        let last = rest.last().unwrap().as_ref().unwrap_err();
        assert_eq!(last.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_slow_gets_everything() {
        let (chunks, held) = endless();
        let mut taken = pin!(limit(chunks.take(20), LIMIT));
        let mut count = 0;
        while let Some(chunk) = taken.next().await {
            assert_eq!(chunk.unwrap(), "chunk");
            count += 1;
            tokio::time::sleep(LIMIT * 9 / 10).await;
        }
        assert_eq!((count, Arc::strong_count(&held)), (20, 1));
    }

    #[tokio::test]
    async fn what_breaks_off_breaks_off_and_what_is_dropped_is_let_go() {
        let broken = stream::iter([Ok(Bytes::from_static(b"a")), Err(io::Error::other("cut"))]);
        let all: Vec<_> = limit(broken, LIMIT).collect().await;
        assert!(matches!(all.as_slice(), [Ok(_), Err(_)]), "{all:?}");

        let (chunks, held) = endless();
        drop(limit(chunks, LIMIT));
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
