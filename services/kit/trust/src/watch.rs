//! The gRPC service: what is known, what is new, and heartbeats in between.

use std::{iter, time::Duration};

use futures::{Stream, StreamExt, stream, stream::BoxStream};
use rota_proto::trust::v1::{
    Heartbeat, Revocation, Snapshot, TrustUpdate, WatchRequest, trust_service_server::TrustService,
    trust_update::Update,
};
use rota_types::Permission;
use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError};
use tonic::{Request, Response, Status};

use crate::{
    Trust,
    known::{Everything, News},
};

/// The most revocations in one message, so that it stays far below the size that gRPC takes
/// (4 MiB; one is about 60 bytes). More of them follow one by one, before the first heartbeat.
const CHUNK: usize = 20_000;

/// A stream on which nothing was said for this long ends: this replica does not know, another
/// may.
const SILENCE: Duration = Duration::from_secs(2);

/// Serves `rota.trust.v1.TrustService`.
#[derive(Debug)]
pub struct Watch {
    trust: Trust,
}

impl Watch {
    pub(crate) fn new(trust: Trust) -> Self {
        Self { trust }
    }
}

#[tonic::async_trait]
impl TrustService for Watch {
    type WatchStream = BoxStream<'static, Result<TrustUpdate, Status>>;

    async fn watch(
        &self,
        request: Request<WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !rota_runtime::caller(&request)?.may(Permission::Internal) {
            return Err(Status::permission_denied("only services may watch"));
        }
        let (everything, news) = self.trust.0.known.watch().ok_or_else(ignorance)?;
        let trust = self.trust.clone();
        let news = BroadcastStream::new(news).flat_map(move |news| translate(&trust, &news));
        let updates = stream::iter(all(everything).map(Ok)).chain(news);
        Ok(Response::new(until_silence(updates).boxed()))
    }
}

/// The messages that carry one piece of news.
fn translate(
    trust: &Trust,
    news: &Result<News, BroadcastStreamRecvError>,
) -> BoxStream<'static, Result<TrustUpdate, Status>> {
    let update = match news {
        Ok(News::Revoked(revoked)) => Update::Revocation((*revoked).into()),
        Ok(News::Alive) => Update::Heartbeat(Heartbeat {}),
        // Nothing to say; silence says it.
        Ok(News::Lost) => return stream::empty().boxed(),
        Ok(News::Anew) | Err(BroadcastStreamRecvError::Lagged(_)) => {
            return match trust.0.known.everything() {
                Some(everything) => stream::iter(all(everything).map(Ok)).boxed(),
                None => stream::empty().boxed(),
            };
        }
    };
    stream::iter([Ok(message(update))]).boxed()
}

/// Everything, in messages of bearable size, and a heartbeat: from then on it is complete.
fn all(everything: Everything) -> impl Iterator<Item = TrustUpdate> + Send {
    let Everything { keys, mut revocations } = everything;
    let rest: Vec<Revocation> = revocations.split_off(revocations.len().min(CHUNK));
    iter::once(Update::Snapshot(Snapshot { keys, revocations }))
        .chain(rest.into_iter().map(Update::Revocation))
        .chain(iter::once(Update::Heartbeat(Heartbeat {})))
        .map(message)
}

fn message(update: Update) -> TrustUpdate {
    TrustUpdate { update: Some(update) }
}

/// Ends a stream with `UNAVAILABLE` when nothing has come for [`SILENCE`].
fn until_silence(
    updates: impl Stream<Item = Result<TrustUpdate, Status>> + Send + Unpin + 'static,
) -> impl Stream<Item = Result<TrustUpdate, Status>> + Send {
    stream::unfold(Some(updates), |updates| async move {
        let mut updates = updates?;
        match tokio::time::timeout(SILENCE, updates.next()).await {
            Ok(Some(update)) => Some((update, Some(updates))),
            Ok(None) | Err(_) => Some((Err(ignorance()), None)),
        }
    })
}

fn ignorance() -> Status {
    Status::unavailable("this replica does not know at present which tokens are revoked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_revocations_are_cut_into_bearable_messages() {
        let revocations = vec![Revocation::default(); CHUNK + 2];
        let updates: Vec<_> =
            all(Everything { keys: Vec::new(), revocations }).filter_map(|it| it.update).collect();
        assert!(matches!(&updates[0], Update::Snapshot(it) if it.revocations.len() == CHUNK));
        assert!(matches!(updates[1..3], [Update::Revocation(_), Update::Revocation(_)]));
        assert!(matches!(updates[3..], [Update::Heartbeat(_)]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_nothing_is_said() {
        let first = stream::iter([Ok(message(Update::Heartbeat(Heartbeat {})))]);
        let mut updates = until_silence(first.chain(stream::pending())).boxed();
        assert!(updates.next().await.unwrap().is_ok());
        let end = updates.next().await.unwrap().unwrap_err();
        assert_eq!(end.code(), tonic::Code::Unavailable);
        assert!(updates.next().await.is_none());
    }
}
