//! The stream of devices that a deployment can go to.

use rota_proto::inventory::v1::StreamTargetsRequest;
use rota_types::{DeviceId, ErrorCode};

use crate::house::{House, Tenant};

/// Fills the index with accepted devices, quicker than one by one.
async fn many(house: &House, tenant: &Tenant, count: i32) {
    let model = tenant.accepted().await;
    sqlx::query(
        "insert into inventory.terms (tenant_id, term, device_id, least, greatest)
         select tenant_id, term, md5(n::text)::uuid, least, greatest
         from inventory.terms, generate_series(1, $2) n where device_id = $1",
    )
    .bind(model.uuid())
    .bind(count)
    .execute(&mut house.database.owner().await)
    .await
    .unwrap();
}

#[tokio::test]
async fn everything_comes_in_batches_in_order_and_goes_on_after_any_id() {
    let house = House::build().await;
    let tenant = house.tenant();
    many(&house, &tenant, 2500).await;
    let batches = tenant.targets(StreamTargetsRequest::default()).await.unwrap();
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 501]);
    let ids = batches.concat();
    assert!(ids.is_sorted());
    let after = Some(ids[1234].clone());
    let rest = tenant.targets(StreamTargetsRequest { after, ..Default::default() }).await.unwrap();
    assert_eq!(rest.concat(), ids[1235..]);
    let device_ids: Vec<_> = ids.iter().rev().cloned().collect();
    let request = StreamTargetsRequest { device_ids, ..Default::default() };
    assert_eq!(tenant.targets(request.clone()).await.unwrap(), batches);
    let after = Some(ids[1234].clone());
    let rest = tenant.targets(StreamTargetsRequest { after, ..request }).await.unwrap();
    assert_eq!(rest.concat(), ids[1235..]);
}

#[tokio::test]
async fn only_accepted_devices_are_targets() {
    let house = House::build().await;
    let tenant = house.tenant();
    let (accepted, other) = (tenant.accepted().await, tenant.accepted().await);
    let pending = DeviceId::mint();
    tenant.provision(pending, "pending", 1).await.unwrap();
    for device in [accepted, pending] {
        tenant.set_group(device, "one").await.unwrap();
    }
    let group = StreamTargetsRequest { group: Some("one".to_owned()), ..Default::default() };
    assert_eq!(tenant.targets(group).await, Ok(vec![vec![accepted.to_string()]]));
    let device_ids = [pending, other, other].map(|id| id.to_string());
    let list = StreamTargetsRequest { device_ids: device_ids.to_vec(), ..Default::default() };
    assert_eq!(tenant.targets(list).await, Ok(vec![vec![other.to_string()]]));
    let nobody = StreamTargetsRequest { group: Some("two".to_owned()), ..Default::default() };
    assert_eq!(tenant.targets(nobody).await, Ok(Vec::new()));
    let device_ids = vec![DeviceId::mint().to_string()];
    let both = StreamTargetsRequest { group: Some("one".to_owned()), device_ids, after: None };
    assert_eq!(tenant.targets(both).await, Err(ErrorCode::Invalid));
}
