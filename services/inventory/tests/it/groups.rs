//! Static groups.

use rota_proto::inventory::v1::UpdatedCount;
use rota_types::{DeviceId, ErrorCode};

use crate::house::{House, Tenant};

async fn fleet(tenant: &Tenant, size: usize) -> Vec<DeviceId> {
    let mut devices = Vec::new();
    for _ in 0..size {
        devices.push(tenant.accepted().await);
    }
    devices.sort();
    devices
}

fn ids(devices: &[DeviceId]) -> Vec<String> {
    devices.iter().map(DeviceId::to_string).collect()
}

#[tokio::test]
async fn a_device_is_in_one_group_at_the_most() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    assert_eq!(tenant.group_of(device).await, Ok(None));
    tenant.set_group(device, "one").await.unwrap();
    tenant.set_group(device, "two").await.unwrap();
    assert_eq!(tenant.group_of(device).await, Ok(Some("two".to_owned())));
    assert_eq!(tenant.groups(None).await, Ok(vec!["two".to_owned()]));
    assert_eq!(tenant.clear_group(device, "one").await, Err(ErrorCode::NotFound));
    tenant.clear_group(device, "two").await.unwrap();
    assert_eq!(tenant.group_of(device).await, Ok(None));
    assert_eq!(tenant.groups(None).await, Ok(Vec::new()));
}

#[tokio::test]
async fn groups_and_devices_that_are_not_there_are_not_found() {
    let house = House::build().await;
    let tenant = house.tenant();
    let nobody = DeviceId::mint();
    assert_eq!(tenant.set_group(nobody, "one").await, Err(ErrorCode::NotFound));
    assert_eq!(tenant.clear_group(nobody, "one").await, Err(ErrorCode::NotFound));
    assert_eq!(tenant.group_of(nobody).await, Err(ErrorCode::NotFound));
    assert_eq!(tenant.members("one", 1, 20).await, Err(ErrorCode::NotFound));
    assert_eq!(tenant.dissolve("one").await, Err(ErrorCode::NotFound));
    let device = tenant.accepted().await;
    assert_eq!(tenant.set_group(device, "a b").await, Err(ErrorCode::Invalid));
    assert_eq!(tenant.members("one", 0, 20).await, Err(ErrorCode::Invalid));
    assert_eq!(tenant.members("one", 1, 501).await, Err(ErrorCode::Invalid));
    assert_eq!(tenant.groups(Some("sleepy")).await, Err(ErrorCode::Invalid));
}

#[tokio::test]
async fn pages_run_through_a_group_in_order() {
    let house = House::build().await;
    let tenant = house.tenant();
    let devices = fleet(&tenant, 7).await;
    tenant.add_to_group("one", ids(&devices)).await.unwrap();
    for (number, page) in (1..).zip(devices.chunks(3)) {
        assert_eq!(tenant.members("one", number, 3).await, Ok((ids(page), 7)));
    }
    assert_eq!(tenant.members("one", 4, 3).await, Ok((Vec::new(), 7)));
}

#[tokio::test]
async fn many_are_added_moved_and_removed() {
    let house = House::build().await;
    let tenant = house.tenant();
    let devices = fleet(&tenant, 4).await;
    let all = || ids(&devices);
    let count = |updated, matched| Ok(UpdatedCount { updated, matched });
    assert_eq!(tenant.add_to_group("one", Vec::new()).await, Err(ErrorCode::Invalid));
    assert_eq!(tenant.add_to_group("one", ids(&devices[..2])).await, count(2, 2));
    let with_strangers = [all(), all(), vec![DeviceId::mint().to_string(), "x".to_owned()]];
    assert_eq!(tenant.add_to_group("one", with_strangers.concat()).await, count(2, 4));
    assert_eq!(tenant.add_to_group("ONE", ids(&devices[..1])).await, count(1, 1));
    assert_eq!(tenant.groups(None).await, Ok(vec!["ONE".to_owned(), "one".to_owned()]));
    assert_eq!(tenant.remove_from_group("one", all()).await, count(3, 4));
    assert_eq!(tenant.remove_from_group("one", all()).await, count(0, 4));
    assert_eq!(tenant.add_to_group("two", all()).await, count(4, 4));
    assert_eq!(tenant.dissolve("two").await, count(4, 4));
    assert_eq!(tenant.groups(None).await, Ok(Vec::new()));
}

#[tokio::test]
async fn groups_are_listed_by_the_status_of_their_devices() {
    let house = House::build().await;
    let tenant = house.tenant();
    let (accepted, pending) = (tenant.accepted().await, DeviceId::mint());
    tenant.provision(pending, "pending", 1).await.unwrap();
    tenant.set_group(accepted, "a").await.unwrap();
    tenant.set_group(pending, "p").await.unwrap();
    assert_eq!(tenant.groups(Some("accepted")).await, Ok(vec!["a".to_owned()]));
    assert_eq!(tenant.groups(Some("pending")).await, Ok(vec!["p".to_owned()]));
    assert_eq!(tenant.groups(Some("rejected")).await, Ok(Vec::new()));
}

#[tokio::test]
async fn those_who_move_the_same_devices_leave_each_in_one_group() {
    let house = House::build().await;
    let tenant = house.tenant();
    let devices = fleet(&tenant, 6).await;
    let moves = (0..12).map(|n| {
        let (tenant, devices) = (tenant.clone(), devices.clone());
        async move {
            let mut some = ids(&devices);
            some.rotate_left(n % 6);
            some.truncate(4);
            tenant.add_to_group(["a", "b", "c"][n % 3], some).await.unwrap();
        }
    });
    futures::future::join_all(moves).await;
    let mut total = 0;
    for group in tenant.groups(None).await.unwrap() {
        let (members, size) = tenant.members(&group, 1, 20).await.unwrap();
        assert_eq!(i64::try_from(members.len()), Ok(size));
        for member in members {
            let device = member.parse().unwrap();
            assert_eq!(tenant.group_of(device).await, Ok(Some(group.clone())));
            total += 1;
        }
    }
    assert_eq!(total, 6);
    for device in devices {
        tenant.delete(device).await.unwrap();
    }
    assert_eq!((house.rows("terms").await, house.rows("counts").await), (0, 0));
}
