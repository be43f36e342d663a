//! Devices come and go by deviceauth's word.

use rota_types::{DeviceId, ErrorCode};

use crate::house::{House, all, attribute, listed, number, text};

#[tokio::test]
async fn an_older_word_changes_nothing() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = DeviceId::mint();
    tenant.provision_as(device, "accepted", 3, r#"{"mac":"new"}"#).await.unwrap();
    tenant.provision_as(device, "pending", 2, r#"{"mac":"old"}"#).await.unwrap();
    tenant.provision_as(device, "pending", 3, r#"{"mac":"old"}"#).await.unwrap();
    let expected = ["identity/mac=new", "identity/status=accepted"];
    assert_eq!(listed(&tenant.get(device).await.unwrap()), expected);
    assert_eq!(tenant.statistics().await, [("accepted".to_owned(), 1)]);
    tenant.provision_as(device, "rejected", 4, r#"{"mac":"new"}"#).await.unwrap();
    assert_eq!(tenant.statistics().await, [("rejected".to_owned(), 1)]);
}

#[tokio::test]
async fn what_a_device_says_before_it_is_known_is_kept() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = DeviceId::mint();
    tenant.replace(device, vec![attribute("kernel", text("6.1"))]).await.unwrap();
    assert_eq!(listed(&tenant.get(device).await.unwrap()), ["inventory/kernel=6.1"]);
    assert_eq!(tenant.statistics().await, []);
    tenant.provision(device, "accepted", 1).await.unwrap();
    let expected = ["identity/mac=00:01", "identity/status=accepted", "inventory/kernel=6.1"];
    assert_eq!(listed(&tenant.get(device).await.unwrap()), expected);
}

#[tokio::test]
async fn a_removed_device_never_comes_back() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    tenant.replace(device, vec![attribute("a", text("b c d"))]).await.unwrap();
    tenant.replace_tags(device, vec![attribute("t", number(1.0))], None).await.unwrap();
    tenant.set_group(device, "one").await.unwrap();
    tenant.delete(device).await.unwrap();
    tenant.delete(device).await.unwrap();
    assert_eq!(tenant.get(device).await, Err(ErrorCode::NotFound));
    tenant.provision(device, "accepted", 9).await.unwrap();
    let late = tenant.merge(device, vec![attribute("a", text("1"))]).await;
    assert_eq!(late, Err(ErrorCode::Unauthenticated));
    assert_eq!(tenant.get(device).await, Err(ErrorCode::NotFound));
    assert_eq!(tenant.search(all(1, 20)).await, Ok((Vec::new(), 0)));
    for table in ["devices", "terms", "counts"] {
        assert_eq!(house.rows(table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_device_removed_before_it_was_known_stays_away() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = DeviceId::mint();
    tenant.delete(device).await.unwrap();
    tenant.provision(device, "accepted", 1).await.unwrap();
    assert_eq!(tenant.get(device).await, Err(ErrorCode::NotFound));
}

#[tokio::test]
async fn removal_wins_against_everything_that_runs_beside_it() {
    let house = House::build().await;
    let tenant = house.tenant();
    for _ in 0..10 {
        let device = DeviceId::mint();
        let report = vec![attribute("a", text("1"))];
        let (reported, provisioned, deleted) = tokio::join!(
            tenant.merge(device, report),
            tenant.provision(device, "accepted", 1),
            tenant.delete(device),
        );
        assert!(matches!(reported, Ok(()) | Err(ErrorCode::Unauthenticated)), "{reported:?}");
        assert_eq!((provisioned, deleted), (Ok(()), Ok(())));
        assert_eq!(tenant.get(device).await, Err(ErrorCode::NotFound));
    }
    assert_eq!((house.rows("terms").await, house.rows("counts").await), (0, 0));
}

#[tokio::test]
async fn identity_data_of_any_form_becomes_attributes() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = DeviceId::mint();
    let identity = r#"{"mac":"1","sn":7,"ok":true,"list":["a"],"deep":{"x":[1]},"none":null,
                       "status":"lies","nul":"\u0000"}"#;
    tenant.provision_as(device, "pending", 1, identity).await.unwrap();
    assert_eq!(
        listed(&tenant.get(device).await.unwrap()),
        [
            "identity/deep={\"x\":[1]}",
            "identity/list=[\"a\"]",
            "identity/mac=1",
            "identity/ok=true",
            "identity/sn=7",
            "identity/status=pending",
        ]
    );
}

#[tokio::test]
async fn an_identity_makes_few_rows_however_much_is_in_it() {
    let house = House::build().await;
    let tenant = house.tenant();
    let members = |value: fn(usize) -> String, count: usize| {
        let members: Vec<_> = (0..count).map(|n| format!("\"a{n}\":{}", value(n))).collect();
        format!("{{{}}}", members.join(","))
    };
    let words = |count: usize| (0..count).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
    let identities = [
        members(|n| format!("\"v{n}\""), 1200),
        members(|_| format!("{:?}", (0..100).collect::<Vec<_>>()), 40),
        format!("{{\"a\":\"{}\"}}", words(3000)),
    ];
    for identity in identities {
        let device = DeviceId::mint();
        tenant.provision_as(device, "pending", 1, &identity).await.unwrap();
        let (terms, counts) = (house.rows("terms").await, house.rows("counts").await);
        assert!(terms < 150 && counts < 100, "{terms} terms, {counts} counts of {identity:.40}");
        tenant.provision_as(device, "accepted", 2, r#"{"mac":"1"}"#).await.unwrap();
        tenant.delete(device).await.unwrap();
        assert_eq!((house.rows("terms").await, house.rows("counts").await), (0, 0));
    }
}

#[tokio::test]
async fn words_that_make_no_sense_are_refused() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = DeviceId::mint();
    assert_eq!(tenant.provision(device, "sleepy", 1).await, Err(ErrorCode::Invalid));
    assert_eq!(tenant.provision(device, "accepted", 0).await, Err(ErrorCode::Invalid));
    assert_eq!(tenant.provision_as(device, "accepted", 1, "[]").await, Err(ErrorCode::Invalid));
}
