//! Devices by page, by status, by id.

use rota_proto::deviceauth::v1::{
    CountDevicesRequest, Device, ListDevicesRequest, ListDevicesResponse, Status as DeviceStatus,
};
use rota_runtime::{Failure, with_caller};
use rota_types::{Caller, ErrorCode};
use tonic::Request;

use crate::world::{Replica, TestDevice, World};

impl Replica {
    async fn page(
        &self,
        caller: &Caller,
        request: ListDevicesRequest,
    ) -> Result<ListDevicesResponse, Failure> {
        let request = with_caller(Request::new(request), caller);
        Ok(self.management.clone().list_devices(request).await?.into_inner())
    }

    async fn count(&self, caller: &Caller, statuses: &[DeviceStatus]) -> i64 {
        let statuses = statuses.iter().map(|&status| status.into()).collect();
        let request = with_caller(Request::new(CountDevicesRequest { statuses }), caller);
        self.management.clone().count_devices(request).await.unwrap().into_inner().count
    }
}

fn page(page: u32, per_page: u32) -> ListDevicesRequest {
    ListDevicesRequest { page, per_page, ..Default::default() }
}

#[tokio::test]
async fn lists_are_ordered_by_status_and_id_and_cut_into_pages() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    for number in 0..3 {
        replica.authenticate(&TestDevice::new(&number.to_string())).await.unwrap_err();
    }
    let (accepted, _) = replica.accept(&manager, &TestDevice::new("accepted")).await;

    let all = replica.list(&manager).await;
    let order: Vec<_> = all.iter().map(Device::status).collect();
    let pending = DeviceStatus::Pending;
    assert_eq!(order, [DeviceStatus::Accepted, pending, pending, pending]);
    assert_eq!(all[0].id, accepted);
    assert!(all[1..].is_sorted_by_key(|device| device.id.clone()));

    let first = replica.page(&manager, page(1, 3)).await.unwrap();
    let second = replica.page(&manager, page(2, 3)).await.unwrap();
    assert_eq!((first.devices.as_slice(), first.more), (&all[..3], true));
    assert_eq!((second.devices.as_slice(), second.more), (&all[3..], false));
    assert!(replica.page(&manager, page(9, 3)).await.unwrap().devices.is_empty());
    for wrong in [page(0, 3), page(1, 0), page(1, 501)] {
        assert_eq!(replica.page(&manager, wrong).await.unwrap_err().code, ErrorCode::Invalid);
    }
}

#[tokio::test]
async fn devices_are_found_by_status_and_by_id() {
    let (world, replica) = World::start().await;
    let manager = world.manager();
    let (accepted, _) = replica.accept(&manager, &TestDevice::new("a")).await;
    replica.authenticate(&TestDevice::new("b")).await.unwrap_err();
    let ids = async |statuses: &[DeviceStatus], ids: &[&str]| -> Vec<String> {
        let request = ListDevicesRequest {
            statuses: statuses.iter().map(|&status| status.into()).collect(),
            ids: ids.iter().map(|&id| id.to_owned()).collect(),
            ..page(1, 20)
        };
        let found = replica.page(&manager, request).await.unwrap().devices;
        found.into_iter().map(|device| device.id).collect()
    };
    assert_eq!(ids(&[DeviceStatus::Accepted], &[]).await, [accepted.as_str()]);
    let both = [DeviceStatus::Accepted, DeviceStatus::Pending];
    assert_eq!(ids(&both, &[]).await.len(), 2);
    assert_eq!(ids(&[], &[&accepted, "foo"]).await, [accepted.as_str()]);
    assert!(ids(&[], &["foo"]).await.is_empty());
    assert!(ids(&[DeviceStatus::Pending], &[&accepted]).await.is_empty());
    assert!(ids(&[DeviceStatus::Noauth], &[]).await.is_empty());

    assert_eq!(replica.count(&manager, &[]).await, 2);
    assert_eq!(replica.count(&manager, &[DeviceStatus::Pending]).await, 1);
    assert_eq!(replica.count(&manager, &both).await, 2);
    assert_eq!(replica.count(&manager, &[DeviceStatus::Rejected]).await, 0);

    assert_eq!(replica.get(&manager, &accepted).await.unwrap().id, accepted);
    for unknown in ["foo", "", &uuid::Uuid::new_v4().to_string()] {
        assert_eq!(replica.get(&manager, unknown).await.unwrap_err().code, ErrorCode::NotFound);
    }
}
