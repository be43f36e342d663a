//! Nothing of one tenant reaches another.

use rota_proto::inventory::v1::{
    Operator, Predicate, Scope, SearchRequest, SortCriterion, StreamTargetsRequest,
};
use rota_types::ErrorCode;

use crate::house::{House, all, attribute, text};

#[tokio::test]
async fn a_device_of_another_tenant_does_not_exist() {
    let house = House::build().await;
    let (ours, theirs) = (house.tenant(), house.tenant());
    let device = theirs.accepted().await;
    theirs.replace(device, vec![attribute("a", text("secret"))]).await.unwrap();
    theirs.set_group(device, "one").await.unwrap();
    let before = theirs.get(device).await.unwrap();

    assert_eq!(ours.get(device).await, Err(ErrorCode::NotFound));
    assert_eq!(ours.group_of(device).await, Err(ErrorCode::NotFound));
    assert_eq!(ours.set_group(device, "two").await, Err(ErrorCode::NotFound));
    assert_eq!(ours.clear_group(device, "one").await, Err(ErrorCode::NotFound));
    assert_eq!(ours.replace_tags(device, Vec::new(), None).await, Err(ErrorCode::NotFound));
    assert_eq!(ours.members("one", 1, 20).await, Err(ErrorCode::NotFound));
    assert_eq!(ours.dissolve("one").await, Err(ErrorCode::NotFound));
    ours.clear(device).await.unwrap();
    ours.delete(device).await.unwrap();
    let moved = ours.add_to_group("two", vec![device.to_string()]).await.unwrap();
    assert_eq!((moved.updated, moved.matched), (0, 0));
    let moved = ours.remove_from_group("one", vec![device.to_string()]).await.unwrap();
    assert_eq!((moved.updated, moved.matched), (0, 0));

    assert_eq!(theirs.get(device).await, Ok(before));
}

#[tokio::test]
async fn no_list_count_or_search_sees_another_tenant() {
    let house = House::build().await;
    let (ours, theirs) = (house.tenant(), house.tenant());
    let device = theirs.accepted().await;
    theirs.replace(device, vec![attribute("a", text("secret word"))]).await.unwrap();
    theirs.set_group(device, "one").await.unwrap();
    let mine = ours.accepted().await;

    assert_eq!(ours.groups(None).await, Ok(Vec::new()));
    assert_eq!(ours.groups(Some("accepted")).await, Ok(Vec::new()));
    assert_eq!(ours.statistics().await, [("accepted".to_owned(), 1)]);
    assert!(ours.filter_attributes().await.iter().all(|(_, name, _)| name != "a"));
    let only_mine = Ok((vec![mine.to_string()], 1));
    let nothing = Ok((Vec::new(), 0));
    assert_eq!(ours.search(all(1, 20)).await, only_mine);
    let sort = vec![SortCriterion {
        scope: Scope::Inventory.into(),
        attribute: "a".to_owned(),
        descending: true,
    }];
    assert_eq!(ours.search(SearchRequest { sort, ..all(1, 20) }).await, only_mine);
    let words = |words: &str| SearchRequest { text: words.to_owned(), ..all(1, 20) };
    assert_eq!(ours.search(words("secret")).await, nothing);
    assert_eq!(ours.search(words("secret word one")).await, nothing);
    let device_ids = vec![device.to_string()];
    assert_eq!(ours.search(SearchRequest { device_ids, ..all(1, 20) }).await, nothing);
    for (operator, value, expected) in [
        (Operator::Eq, text("secret word"), &nothing),
        (Operator::Ne, text("secret word"), &only_mine),
        (Operator::Gt, text(""), &nothing),
        (Operator::Regex, text("secret"), &nothing),
        (Operator::Ltne, text("a"), &only_mine),
    ] {
        let predicates = vec![Predicate {
            scope: Scope::Inventory.into(),
            attribute: "a".to_owned(),
            operator: operator.into(),
            value: Some(value),
            alternatives: Vec::new(),
        }];
        let found = ours.search(SearchRequest { predicates, ..all(1, 20) }).await;
        assert_eq!(&found, expected, "{operator:?}");
    }
    let device_ids = vec![device.to_string(), mine.to_string()];
    for request in [
        StreamTargetsRequest::default(),
        StreamTargetsRequest { device_ids, ..StreamTargetsRequest::default() },
    ] {
        assert_eq!(ours.targets(request).await, Ok(vec![vec![mine.to_string()]]));
    }
    let group = Some("one".to_owned());
    let request = StreamTargetsRequest { group, ..StreamTargetsRequest::default() };
    assert_eq!(ours.targets(request).await, Ok(Vec::new()));
}
