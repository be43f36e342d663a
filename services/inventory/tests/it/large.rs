//! Devices that hold as much as they may.

use rota_proto::inventory::v1::{Scope, SearchRequest, SelectAttribute, SortCriterion};
use rota_types::DeviceId;

use crate::house::{House, Tenant, all, attribute, number, text};

/// More than what is read at a time, at almost 1 MiB a device.
const DEVICES: u32 = 36;

/// Devices by their attribute `place`, the last first.
async fn large_devices(tenant: &Tenant) -> Vec<DeviceId> {
    let mut devices = Vec::new();
    for place in (0..DEVICES).rev() {
        let id = tenant.accepted().await;
        let mut attributes: Vec<_> =
            (0..15).map(|n| attribute(&format!("a{n}"), text(&"x".repeat(65_536)))).collect();
        attributes.push(attribute("place", number(place.into())));
        tenant.replace(id, attributes).await.unwrap();
        devices.push(id);
    }
    devices
}

/// A search for everything that asks for next to nothing of each device.
fn places(per_page: u32) -> SearchRequest {
    let place = SelectAttribute { scope: Scope::Inventory.into(), attribute: "place".to_owned() };
    SearchRequest { select: vec![place], ..all(1, per_page) }
}

#[tokio::test]
async fn a_page_of_large_devices_is_refused_before_it_is_read() {
    let house = House::build().await;
    let tenant = house.tenant();
    let mut devices = large_devices(&tenant).await;
    let refused = tenant.management().search(tenant.person(places(100))).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert!(refused.message().contains("ask for fewer with per_page"), "{}", refused.message());

    // A shorter page is shown, and its order found without reading all devices.
    let scope = Scope::Inventory.into();
    let sort = vec![SortCriterion { scope, attribute: "place".to_owned(), descending: false }];
    let page = tenant.search(SearchRequest { sort, ..places(5) }).await;
    devices.reverse();
    let expected = devices.iter().take(5).map(ToString::to_string).collect();
    assert_eq!(page, Ok((expected, DEVICES.into())));

    // The page is as large as its devices are now.
    for device in &devices[..10] {
        tenant.replace(*device, vec![attribute("place", number(0.0))]).await.unwrap();
    }
    assert_eq!(tenant.search(places(100)).await.unwrap().1, i64::from(DEVICES));
}
