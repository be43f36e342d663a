//! A stream of bytes that ends well only if they are an Artifact.
//!
//! Each piece goes two ways: to the parser, which runs where it may block, and on to whoever
//! reads the stream. The parser is never more than a few pieces behind. When the source has
//! ended, the stream waits for its verdict before it ends, too; when the parser finds a fault
//! earlier, the stream fails at once.

use std::{
    io::{self, Read},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures::{Stream, StreamExt, stream};
use rota_artifact::{Limits, Summary};
use rota_blob::StdError;
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_blocking},
};

use super::Result;
use crate::error::Error;

/// How many pieces the parser may be behind.
const BEHIND: usize = 4;

/// How long the uploader may be silent.
const SILENCE: Duration = Duration::from_mins(2);

type Verdict = Result<Summary, rota_artifact::Error>;

/// The stream, before it is read.
pub(super) struct Verified<'a, S, C> {
    source: S,
    parser: Option<mpsc::Sender<Bytes>>,
    verdict: Option<JoinHandle<Verdict>>,
    announced_bytes: Option<u64>,
    size_bytes: u64,
    check_size: C,
    summary: &'a mut Option<Summary>,
}

impl<'a, S, C> Verified<'a, S, C>
where
    S: Stream<Item = Result<Bytes>> + Send + Unpin + 'a,
    C: Fn(u64) -> Result<()> + Send + 'a,
{
    /// A stream of what `source` yields, as long as `check_size` lets so many bytes pass. At
    /// its good end `summary` says what they were; they are `announced_bytes` then, where that
    /// was said.
    pub(super) fn new(
        source: S,
        limits: Limits,
        announced_bytes: Option<u64>,
        check_size: C,
        summary: &'a mut Option<Summary>,
    ) -> Self {
        let (parser, pieces) = mpsc::channel(BEHIND);
        let verdict = spawn_blocking(move || {
            rota_artifact::validate(Pieces { pieces, current: Bytes::new() }, &limits, None)
        });
        let (parser, verdict) = (Some(parser), Some(verdict));
        Self { source, parser, verdict, announced_bytes, size_bytes: 0, check_size, summary }
    }

    /// The stream. Its errors are [`Error`]s.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, StdError>> + Send + 'a {
        stream::try_unfold(self, |mut this| async move {
            let piece = this.next().await.map_err(|error| Box::new(error) as StdError)?;
            Ok(piece.map(|piece| (piece, this)))
        })
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        let piece = tokio::time::timeout(SILENCE, self.source.next()).await;
        let Some(piece) = piece.map_err(|_| Error::Cut)? else {
            self.end().await?;
            return Ok(None);
        };
        let piece = piece?;
        self.size_bytes += piece.len() as u64;
        (self.check_size)(self.size_bytes)?;
        if let Some(announced) = self.announced_bytes
            && self.size_bytes > announced
        {
            return Err(Error::Size { announced, found: self.size_bytes });
        }
        let heard = match &self.parser {
            Some(parser) => parser.send(piece.clone()).await.is_ok(),
            None => false,
        };
        if !heard {
            // The parser has hung up before the end: it found a fault.
            self.judge().await?;
            return Err(Error::Cut);
        }
        Ok(Some(piece))
    }

    /// The source has ended: so does what the parser reads.
    async fn end(&mut self) -> Result<()> {
        if let Some(announced) = self.announced_bytes
            && self.size_bytes != announced
        {
            return Err(Error::Size { announced, found: self.size_bytes });
        }
        self.parser = None;
        *self.summary = self.judge().await?;
        Ok(())
    }

    async fn judge(&mut self) -> Result<Option<Summary>> {
        match self.verdict.take() {
            Some(verdict) => verdict.await?.map(Some).map_err(Error::Artifact),
            None => Ok(None),
        }
    }
}

/// What the parser reads: the pieces, one after the other.
struct Pieces {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.current.len());
        self.current.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    async fn read(
        pieces: Vec<Result<Bytes>>,
        announced: Option<u64>,
    ) -> (Result<Vec<Bytes>, Error>, Option<Summary>) {
        let mut summary = None;
        let limit =
            |size| if size > 4096 { Err(Error::TooLarge { limit_bytes: 4096 }) } else { Ok(()) };
        let stream =
            Verified::new(stream::iter(pieces), Limits::default(), announced, limit, &mut summary);
        let read: Result<Vec<_>, StdError> = stream.into_stream().boxed().try_collect().await;
        (read.map_err(|error| *error.downcast().unwrap()), summary)
    }

    #[tokio::test]
    async fn rubbish_fails_though_the_source_ends_well() {
        let (read, summary) = read(vec![Ok(Bytes::from_static(b"rubbish"))], None).await;
        assert!(matches!(read, Err(Error::Artifact(_))), "{read:?}");
        assert_eq!(summary, None);
    }

    #[tokio::test]
    async fn a_cut_source_is_told_from_a_bad_one() {
        let (read, _) = read(vec![Ok(Bytes::from_static(b"begin")), Err(Error::Cut)], None).await;
        assert!(matches!(read, Err(Error::Cut)), "{read:?}");
    }

    #[tokio::test]
    async fn sizes_are_kept_to() {
        let piece = || Ok(Bytes::from_static(&[0; 1024]));
        let (too_much, _) = read(vec![piece(), piece()], Some(1500)).await;
        assert!(matches!(too_much, Err(Error::Size { announced: 1500, found: 2048 })));
        let (too_little, _) = read(vec![piece()], Some(1025)).await;
        assert!(matches!(too_little, Err(Error::Size { announced: 1025, found: 1024 })));
        let (too_large, _) = read((0..5).map(|_| piece()).collect(), None).await;
        assert!(matches!(too_large, Err(Error::TooLarge { .. })));
    }
}
