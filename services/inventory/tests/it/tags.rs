//! What people write on devices.

use rota_inventory::Config;
use rota_types::{DeviceId, ErrorCode};

use crate::house::{House, attribute, listed, text};

#[tokio::test]
async fn tags_are_replaced_and_merged() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    let tag = |name: &str| attribute(name, text("1"));
    tenant.replace_tags(device, vec![tag("a"), tag("b")], None).await.unwrap();
    tenant.merge_tags(device, vec![tag("c")], None).await.unwrap();
    let got = tenant.get(device).await.unwrap();
    assert_eq!(listed(&got)[2..], ["tags/a=1", "tags/b=1", "tags/c=1"].map(str::to_owned));
    assert!(got.attributes.iter().filter(|one| one.name == "a").all(|one| one.time.is_some()));
    tenant.replace_tags(device, Vec::new(), None).await.unwrap();
    let got = tenant.get(device).await.unwrap();
    assert_eq!((listed(&got).len(), got.etag), (2, None));
}

#[tokio::test]
async fn a_stale_etag_changes_nothing() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    let tags = || vec![attribute("a", text("1"))];
    let nonsense = Some("nonsense".to_owned());
    let refused = tenant.replace_tags(device, tags(), nonsense).await;
    assert_eq!(refused, Err(ErrorCode::Precondition));
    tenant.replace_tags(device, tags(), None).await.unwrap();
    let first = tenant.get(device).await.unwrap().etag;
    assert!(first.is_some());
    tenant.merge_tags(device, tags(), first.clone()).await.unwrap();
    let second = tenant.get(device).await.unwrap().etag;
    assert_ne!(first, second);
    let refused = tenant.merge_tags(device, Vec::new(), first).await;
    assert_eq!(refused, Err(ErrorCode::Precondition));
    assert_eq!(tenant.get(device).await.unwrap().etag, second);
}

#[tokio::test]
async fn of_two_who_saw_the_same_tags_one_writes() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    tenant.replace_tags(device, vec![attribute("a", text("0"))], None).await.unwrap();
    let etag = tenant.get(device).await.unwrap().etag;
    let writes = (1..=4).map(|n| {
        let (tenant, etag) = (tenant.clone(), etag.clone());
        async move {
            let tags = vec![attribute("a", text(&n.to_string()))];
            tenant.replace_tags(device, tags, etag).await
        }
    });
    let written = futures::future::join_all(writes).await;
    assert_eq!(written.iter().filter(|result| result.is_ok()).count(), 1);
}

#[tokio::test]
async fn tags_have_a_device_and_a_limit() {
    let house = House::with(Config { max_device_tags: 1, ..Config::default() }).await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    let tag = |name: &str| attribute(name, text("1"));
    assert_eq!(
        tenant.replace_tags(DeviceId::mint(), vec![tag("a")], None).await,
        Err(ErrorCode::NotFound)
    );
    tenant.merge_tags(device, vec![tag("a")], None).await.unwrap();
    assert_eq!(tenant.merge_tags(device, vec![tag("b")], None).await, Err(ErrorCode::Invalid));
}
