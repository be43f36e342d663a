//! What devices report.

use chrono::TimeDelta;
use rota_inventory::Config;
use rota_proto::inventory::v1 as pb;
use rota_types::{DeviceId, ErrorCode};

use crate::house::{House, attribute, flag, listed, number, numbers, text, texts};

#[tokio::test]
async fn replacing_forgets_and_merging_keeps() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    let report = vec![attribute("kernel", text("6.1")), attribute("cores", number(4.0))];
    tenant.replace(device, report).await.unwrap();
    let more = vec![attribute("kernel", text("6.6")), attribute("ips", texts(&["a", "b"]))];
    tenant.merge(device, more).await.unwrap();
    assert_eq!(
        listed(&tenant.get(device).await.unwrap()),
        [
            "identity/mac=00:01",
            "identity/status=accepted",
            "inventory/cores=4",
            "inventory/ips=[\"a\", \"b\"]",
            "inventory/kernel=6.6",
        ]
    );
    tenant.replace(device, vec![attribute("loads", numbers(&[0.5, 1.0]))]).await.unwrap();
    assert_eq!(
        listed(&tenant.get(device).await.unwrap())[2..],
        ["inventory/loads=[0.5, 1.0]".to_owned()]
    );
    tenant.clear(device).await.unwrap();
    assert_eq!(listed(&tenant.get(device).await.unwrap()).len(), 2);
    tenant.clear(DeviceId::mint()).await.unwrap();
}

#[tokio::test]
async fn descriptions_and_times_are_kept() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    let stated = pb::Attribute {
        description: Some("what it runs".to_owned()),
        time: Some(rota_proto::to_timestamp(1_700_000_000, 5_000_000)),
        scope: pb::Scope::Inventory.into(),
        ..attribute("kernel", text(""))
    };
    tenant.replace(device, vec![stated.clone()]).await.unwrap();
    let device = tenant.get(device).await.unwrap();
    assert!(device.attributes.contains(&stated), "{:?}", device.attributes);
}

#[tokio::test]
async fn what_breaks_a_rule_changes_nothing() {
    let house = House::with(Config { max_device_attributes: 3, ..Config::default() }).await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    let kept = vec![attribute("a", text("1")), attribute("b", text("1"))];
    tenant.replace(device, kept).await.unwrap();
    let before = tenant.get(device).await.unwrap();
    let bad = [
        vec![pb::Attribute { name: "c".to_owned(), ..pb::Attribute::default() }],
        vec![attribute("", text("1"))],
        vec![attribute(&"n".repeat(1025), text("1"))],
        vec![attribute("c", number(f64::NAN))],
        vec![attribute("c", numbers(&[1.0, f64::INFINITY]))],
        vec![attribute("c", text("a\0b"))],
        vec![attribute("c\0", text("a"))],
        vec![attribute("c", text("1")), attribute("d", text("1"))],
        vec![attribute("c", texts(&vec!["x"; 10_001]))],
        vec![attribute("c", text(&"x".repeat(65_537)))],
        vec![pb::Attribute {
            time: Some(rota_proto::to_timestamp(i64::MAX, 0)),
            ..attribute("c", text("1"))
        }],
    ];
    for attributes in bad {
        let refused = tenant.merge(device, attributes.clone()).await;
        assert_eq!(refused, Err(ErrorCode::Invalid), "{attributes:?}");
    }
    assert_eq!(tenant.get(device).await.unwrap(), before);
}

#[tokio::test]
async fn large_values_are_kept_whole() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    let (long, many) = ("ä".repeat(30_000), vec!["x"; 9_000]);
    let report = vec![
        attribute("long", text(&long)),
        attribute("many", texts(&many)),
        attribute("flag", flag(true)),
        attribute("huge", number(f64::MAX)),
        attribute("tiny", number(5e-324)),
        attribute("none", numbers(&[])),
        attribute(&"n".repeat(1024), text("x")),
    ];
    tenant.replace(device, report).await.unwrap();
    let listed = listed(&tenant.get(device).await.unwrap());
    assert!(listed.contains(&format!("inventory/long={long}")));
    assert!(listed.contains(&format!("inventory/many={many:?}")));
    assert!(listed.contains(&format!("inventory/huge={}", f64::MAX)));
    assert!(listed.contains(&format!("inventory/tiny={}", 5e-324)));
    assert!(listed.contains(&"inventory/none=[]".to_owned()));
}

#[tokio::test]
async fn an_unchanged_report_is_stored_once_a_day() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    let report = || vec![attribute("a", number(0.1)), attribute("b", numbers(&[]))];
    tenant.replace(device, report()).await.unwrap();
    let first = tenant.get(device).await.unwrap().updated;
    house.clock.advance(TimeDelta::hours(11));
    tenant.replace(device, report()).await.unwrap();
    tenant.merge(device, report()).await.unwrap();
    assert_eq!(tenant.get(device).await.unwrap().updated, first);
    house.clock.advance(TimeDelta::hours(2));
    tenant.merge(device, report()).await.unwrap();
    assert_ne!(tenant.get(device).await.unwrap().updated, first);
}

#[tokio::test]
async fn concurrent_reports_all_count() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = DeviceId::mint();
    let reports = (0..8).map(|n| {
        let tenant = tenant.clone();
        async move {
            let name = format!("a{n}");
            tenant.merge(device, vec![attribute(&name, text("1"))]).await.unwrap();
        }
    });
    futures::future::join_all(reports).await;
    assert_eq!(listed(&tenant.get(device).await.unwrap()).len(), 8);
}

#[tokio::test]
async fn only_a_device_reports_and_only_people_look() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    let mut devices = tenant.devices();
    let refused = devices.merge_attributes(tenant.person(pb::DeviceAttributesRequest::default()));
    assert_eq!(refused.await.unwrap_err().code(), tonic::Code::PermissionDenied);
    let request = tenant.device(device, pb::GetDeviceRequest { id: device.to_string() });
    let refused = tenant.management().get_device(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
    let request = tenant.person(pb::DeleteDeviceRequest { device_id: device.to_string() });
    let refused = tenant.internal().delete_device(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
}
