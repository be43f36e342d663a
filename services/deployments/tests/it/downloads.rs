//! Signed links, whole and in parts.

use chrono::TimeDelta;
use rota_proto::deployments::v1::DownloadRequest;
use rota_types::ErrorCode;

use crate::{
    people::{for_devices, refused},
    world::{World, artifact},
};

#[tokio::test]
async fn a_link_serves_the_file_and_every_part_of_it() {
    let world = World::new().await;
    let operator = world.operator();
    let bytes = artifact("app", "arm", 300_000);
    let id = operator.upload(&bytes).await.unwrap();
    let link = operator.link(&id).await.unwrap().uri;
    assert!(link.starts_with("/api/devices/v1/deployments/download/artifacts/"), "{link}");

    let (head, all) = operator.download(&link, None, None).await.unwrap();
    assert_eq!(
        (head.total_size, head.first, head.length),
        (bytes.len() as u64, 0, bytes.len() as u64)
    );
    assert!(!head.partial && !head.unsatisfiable);
    assert_eq!(head.file_name, "app.mender");
    assert!(all == bytes);

    let (part, tail) = operator.download(&link, Some("bytes=100000-"), None).await.unwrap();
    assert!(part.partial && part.first == 100_000);
    assert!(tail == bytes[100_000..]);
    let (_, middle) = operator.download(&link, Some("bytes=5-9"), Some(&head.etag)).await.unwrap();
    assert_eq!(middle, bytes[5..=9]);
    let (whole, _) = operator.download(&link, Some("bytes=5-9"), Some("\"other\"")).await.unwrap();
    assert!(!whole.partial);
    let beyond = format!("bytes={}-", bytes.len());
    let (outside, none) = operator.download(&link, Some(&beyond), None).await.unwrap();
    assert!(outside.unsatisfiable && none.is_empty());
    assert_eq!(outside.total_size, bytes.len() as u64);
}

#[tokio::test]
async fn who_has_the_file_already_gets_nothing_of_it() {
    let world = World::new().await;
    let operator = world.operator();
    let id = operator.upload(&artifact("app", "arm", 100)).await.unwrap();
    let link = operator.link(&id).await.unwrap().uri;
    let (path, query) = link.split_once('?').unwrap();
    let plain = DownloadRequest { path: path.into(), query: query.into(), ..Default::default() };
    let (first, bytes) = operator.follow(plain.clone()).await.unwrap();
    let [known, other] = [format!("\"b\", W/{}", first.etag), "\"b\"".to_owned()];

    // Whatever part of it is asked for.
    for (range, if_range) in [
        (None, None),
        (Some("bytes=5-9"), None),
        (Some("bytes=5-9"), Some(first.etag.clone())),
        (Some("bytes=99999999-"), None),
    ] {
        let range = range.map(ToOwned::to_owned);
        let part = DownloadRequest { range, if_range, ..plain.clone() };
        let has = DownloadRequest { if_none_match: Some(known.clone()), ..part.clone() };
        let (head, nothing) = operator.follow(has).await.unwrap();
        assert!(head.not_modified && !head.partial && !head.unsatisfiable && nothing.is_empty());
        assert_eq!(head.etag, first.etag);
        // Who has another version gets what a request without the condition would.
        let has = DownloadRequest { if_none_match: Some(other.clone()), ..part.clone() };
        assert_eq!(operator.follow(has).await.unwrap(), operator.follow(part).await.unwrap());
    }
    let looks = DownloadRequest { head_only: true, ..plain.clone() };
    let (head, _) = operator.follow(looks).await.unwrap();
    assert!(!head.not_modified && head.length == bytes.len() as u64);
    let looks =
        DownloadRequest { head_only: true, if_none_match: Some("*".into()), ..plain.clone() };
    assert!(operator.follow(looks).await.unwrap().0.not_modified);
    // A condition opens no door.
    let forged = DownloadRequest { query: String::new(), if_none_match: Some("*".into()), ..plain };
    assert_eq!(refused(operator.follow(forged).await).0, ErrorCode::Invalid);
}

#[tokio::test]
async fn a_link_cannot_be_changed_and_ends() {
    let world = World::new().await;
    let operator = world.operator();
    let id = operator.upload(&artifact("app", "arm", 100)).await.unwrap();
    let other = operator.upload(&artifact("other", "arm", 100)).await.unwrap();
    let link = operator.link(&id).await.unwrap().uri;
    let follow = async |uri: &str| operator.download(uri, None, None).await;
    assert_eq!(refused(follow(&link.replace(&id, &other)).await).0, ErrorCode::Forbidden);
    assert_eq!(refused(follow(link.split('?').next().unwrap()).await).0, ErrorCode::Invalid);
    world.clock.advance(TimeDelta::minutes(14));
    follow(&link).await.unwrap();
    world.clock.advance(TimeDelta::minutes(2));
    assert_eq!(refused(follow(&link).await).0, ErrorCode::Forbidden);
}

#[tokio::test]
async fn a_devices_link_holds_for_a_day() {
    let world = World::new().await;
    let operator = world.operator();
    let device = world.device();
    let bytes = artifact("app", "arm", 100);
    operator.upload(&bytes).await.unwrap();
    operator.create(for_devices("app", [&device])).await.unwrap();
    let source = device.next("old").await.unwrap().unwrap().source.unwrap();
    world.clock.advance(TimeDelta::hours(23));
    assert_eq!(device.download(&source.uri, None, None).await.unwrap().1, bytes);
    world.clock.advance(TimeDelta::hours(2));
    assert_eq!(refused(device.download(&source.uri, None, None).await).0, ErrorCode::Forbidden);
    // Asking again gives a fresh one.
    let fresh = device.next("old").await.unwrap().unwrap().source.unwrap();
    device.download(&fresh.uri, None, None).await.unwrap();
}
