//! Search finds exactly what it should, in the right order, on every page.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use proptest::prelude::*;
use rota_inventory::Config;
use rota_proto::inventory::v1::{
    Operator, Predicate, Scope, SearchRequest, SelectAttribute, SortCriterion, Value,
};
use rota_types::{DeviceId, ErrorCode};

use crate::{
    house::{House, Tenant, all, attribute, flag, listed, number, numbers, text, texts},
    oracle::{Known, Scalar, expect, scalars},
};

const TEXTS: [&str; 8] = ["", "a", "ab", "b", "10", "Ä x", "b ab", "abc"];
const NUMBERS: [f64; 7] = [-2.5, -1.0, 0.0, 1.0, 1.5, 10.0, 1e300];
const PATTERNS: [&str; 6] = ["a", "^a", "b$", "^$", "^1.", "[ab]{2}"];
const NAMES: [&str; 4] = ["a", "b", "c", "nowhere"];

/// A device before it has an id.
#[derive(Debug, Clone)]
struct Draft {
    status: &'static str,
    serial: Value,
    inventory: BTreeMap<&'static str, Value>,
    tag: Option<Value>,
    group: Option<&'static str>,
}

fn a_text() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&TEXTS[..])
}

fn a_number() -> impl Strategy<Value = f64> {
    prop::sample::select(&NUMBERS[..])
}

fn a_scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => a_text().prop_map(text),
        3 => a_number().prop_map(number),
        1 => any::<bool>().prop_map(flag),
    ]
}

fn a_list() -> impl Strategy<Value = Value> {
    prop_oneof![
        prop::collection::vec(a_text(), 0..4).prop_map(|list| texts(&list)),
        prop::collection::vec(a_number(), 0..4).prop_map(|list| numbers(&list)),
    ]
}

fn a_draft() -> impl Strategy<Value = Draft> {
    let value = || prop_oneof![3 => a_scalar(), 1 => a_list()];
    (
        prop::sample::select(&["accepted", "accepted", "pending", "rejected"][..]),
        a_text().prop_map(text),
        prop::collection::btree_map(prop::sample::select(&NAMES[..3]), value(), 0..4),
        prop::option::of(value()),
        prop::option::of(prop::sample::select(&["abc", "ABC", "b-2"][..])),
    )
        .prop_map(|(status, serial, inventory, tag, group)| Draft {
            status,
            serial,
            inventory,
            tag,
            group,
        })
}

/// An attribute that a search may name.
fn a_name() -> impl Strategy<Value = (Scope, String)> {
    let inventory = prop::sample::select(&NAMES[..]).prop_map(|name| (Scope::Inventory, name));
    let other = prop::sample::select(
        &[
            (Scope::Tags, "t"),
            (Scope::Identity, "sn"),
            (Scope::Identity, "status"),
            (Scope::System, "group"),
            (Scope::Identity, "id"),
        ][..],
    );
    prop_oneof![3 => inventory, 2 => other].prop_map(|(scope, name)| (scope, name.to_owned()))
}

fn a_predicate() -> impl Strategy<Value = Predicate> {
    let compared = (
        prop::sample::select(
            &[
                Operator::Eq,
                Operator::Ne,
                Operator::Gt,
                Operator::Gte,
                Operator::Lt,
                Operator::Lte,
                Operator::Ltne,
            ][..],
        ),
        prop_oneof![6 => a_scalar(), 1 => Just(text("accepted")), 1 => Just(text("abc"))],
        prop::collection::vec(a_scalar(), 0..2),
    );
    let listed = (
        prop::sample::select(&[Operator::In, Operator::Nin][..]),
        a_list(),
        prop::collection::vec(a_list(), 0..1),
    );
    let exists = (Just(Operator::Exists), any::<bool>().prop_map(flag), Just(Vec::new()));
    let matches = (
        Just(Operator::Regex),
        prop::sample::select(&PATTERNS[..]).prop_map(text),
        Just(Vec::new()),
    );
    let operation = prop_oneof![6 => compared, 1 => listed, 1 => exists, 1 => matches];
    (a_name(), operation).prop_map(|((scope, attribute), (operator, value, alternatives))| {
        Predicate {
            scope: scope.into(),
            attribute,
            operator: operator.into(),
            value: Some(value),
            alternatives,
        }
    })
}

fn a_search() -> impl Strategy<Value = SearchRequest> {
    let criterion = || {
        (a_name(), any::<bool>()).prop_map(|((scope, attribute), descending)| SortCriterion {
            scope: scope.into(),
            attribute,
            descending,
        })
    };
    (
        prop::collection::vec(a_predicate(), 0..4),
        prop_oneof![
            3 => prop::collection::vec(criterion(), 0..2),
            1 => prop::collection::vec(criterion(), 2..4),
        ],
        prop_oneof![5 => Just(""), 1 => Just("ab"), 1 => Just("ab x"), 1 => Just("a b 1")],
        1..6_u32,
        prop::sample::select(&[1_u32, 2, 3, 5, 50][..]),
    )
        .prop_map(|(predicates, sort, text, page, per_page)| SearchRequest {
            predicates,
            sort,
            text: text.to_owned(),
            ..all(page, per_page)
        })
}

/// Makes a device of a draft.
async fn settle(tenant: &Tenant, draft: &Draft) -> Known {
    let id = DeviceId::mint();
    let mut attributes = BTreeMap::new();
    let mut know = |scope: Scope, name: &str, value: &Value| {
        attributes.insert((i32::from(scope), name.to_owned()), scalars(value));
    };
    let Scalar::Text(serial) = scalars(&draft.serial).remove(0) else {
        panic!("serials are texts")
    };
    let identity = serde_json::json!({ "sn": serial }).to_string();
    tenant.provision_as(id, draft.status, 1, &identity).await.unwrap();
    know(Scope::Identity, "sn", &draft.serial);
    know(Scope::Identity, "status", &text(draft.status));
    let inventory = draft.inventory.iter().map(|(name, value)| attribute(name, value.clone()));
    tenant.replace(id, inventory.collect()).await.unwrap();
    for (name, value) in &draft.inventory {
        know(Scope::Inventory, name, value);
    }
    if let Some(tag) = &draft.tag {
        tenant.merge_tags(id, vec![attribute("t", tag.clone())], None).await.unwrap();
        know(Scope::Tags, "t", tag);
    }
    if let Some(group) = draft.group {
        tenant.set_group(id, group).await.unwrap();
        know(Scope::System, "group", &text(group));
    }
    Known { id: id.to_string(), attributes }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 9, max_shrink_iters: 40, failure_persistence: None,
                                        ..ProptestConfig::default() })]

    #[test]
    fn a_search_finds_what_plain_rust_finds(
        drafts in prop::collection::vec((a_draft(), a_draft()), 5..20),
        searches in prop::collection::vec(a_search(), 60),
        sorted_in_memory in prop::sample::select(&[0, 4, 200][..]),
    ) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let config = Config { sorted_in_memory, ..Config::default() };
            let house = House::with(config).await;
            let tenant = house.tenant();
            let mut devices = Vec::new();
            // Each device was another before, so that the index has something to forget.
            for (before, draft) in &drafts {
                let old = settle(&tenant, before).await;
                let known = settle(&tenant, draft).await;
                tenant.delete(old.id.parse().unwrap()).await.unwrap();
                let id = known.id.parse().unwrap();
                tenant.replace(id, vec![attribute("c", text("gone soon"))]).await.unwrap();
                let reported = draft.inventory.iter();
                let reported = reported.map(|(name, value)| attribute(name, value.clone()));
                tenant.replace(id, reported.collect()).await.unwrap();
                devices.push(known);
            }
            for search in searches {
                let found = tenant.search(search.clone()).await;
                prop_assert_eq!(found, Ok(expect(&devices, &search)), "{:?}", search);
            }
            for device in devices {
                tenant.delete(device.id.parse().unwrap()).await.unwrap();
            }
            prop_assert_eq!((house.rows("terms").await, house.rows("counts").await), (0, 0));
            Ok(())
        })?;
    }
}

fn predicate(scope: Scope, name: &str, operator: Operator, value: Value) -> Predicate {
    Predicate {
        scope: scope.into(),
        attribute: name.to_owned(),
        operator: operator.into(),
        value: Some(value),
        alternatives: Vec::new(),
    }
}

async fn matching(tenant: &Tenant, predicate: Predicate) -> Result<Vec<String>, ErrorCode> {
    let search = SearchRequest { predicates: vec![predicate], ..all(1, 100) };
    tenant.search(search).await.map(|(ids, _)| ids)
}

#[tokio::test]
async fn rotas_times_are_compared_as_times_in_any_form() {
    let house = House::build().await;
    let tenant = house.tenant();
    let (silent, early, late) =
        (tenant.accepted().await, tenant.accepted().await, tenant.accepted().await);
    let report = || vec![attribute("a", text("1"))];
    tenant.replace(early, report()).await.unwrap();
    house.clock.advance(TimeDelta::hours(24));
    tenant.replace(late, report()).await.unwrap();
    let on =
        |operator, value: &str| predicate(Scope::System, "check_in_time", operator, text(value));
    let mut offline = vec![silent.to_string(), early.to_string()];
    offline.sort();
    for noon_tomorrow in ["2026-11-22T12:00:00Z", "2026-11-22T13:00:00.000+01:00"] {
        assert_eq!(matching(&tenant, on(Operator::Ltne, noon_tomorrow)).await, Ok(offline.clone()));
        let exactly = matching(&tenant, on(Operator::Eq, noon_tomorrow)).await;
        assert_eq!(exactly, Ok(vec![late.to_string()]));
    }
    let before = matching(&tenant, on(Operator::Lt, "2026-11-22")).await;
    assert_eq!(before, Ok(vec![early.to_string()]));
    assert_eq!(matching(&tenant, on(Operator::Gt, "soon")).await, Ok(Vec::new()));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    tenant.replace(device, vec![attribute("a", text("1"))]).await.unwrap();
    let on = |operator, value| predicate(Scope::Inventory, "a", operator, value);
    let nowhere = Predicate { scope: 0, ..on(Operator::Eq, text("1")) };
    let bad = [
        on(Operator::Unspecified, text("1")),
        nowhere,
        Predicate { value: None, ..on(Operator::Eq, text("1")) },
        on(Operator::Regex, text("(")),
        on(Operator::Regex, text("[[:nonsense:]]")),
        on(Operator::Regex, text("((((a{1,255}){1,255}){1,255}){1,255})")),
        on(Operator::Regex, text("\0")),
        on(Operator::Eq, texts(&["a"])),
        on(Operator::In, text("a")),
        on(Operator::Exists, text("true")),
        predicate(Scope::Inventory, "", Operator::Eq, text("1")),
    ];
    for predicate in bad {
        let refused = matching(&tenant, predicate.clone()).await;
        assert_eq!(refused, Err(ErrorCode::Invalid), "{predicate:?}");
    }
    for page in [all(0, 20), all(1, 0), all(1, 501)] {
        assert_eq!(tenant.search(page).await, Err(ErrorCode::Invalid));
    }
    assert_eq!(tenant.search(all(u32::MAX, 500)).await, Ok((Vec::new(), 1)));
    let predicates = vec![on(Operator::Eq, text("1")); 33];
    let many = SearchRequest { predicates, ..all(1, 20) };
    assert_eq!(tenant.search(many).await, Err(ErrorCode::Invalid));
}

#[tokio::test]
async fn odd_texts_are_data_and_nothing_else() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    let odd = "'; drop table inventory.devices; -- \u{1} \\ \" $1 {}";
    tenant.replace(device, vec![attribute(odd, text(odd))]).await.unwrap();
    let is_odd = predicate(Scope::Inventory, odd, Operator::Eq, text(odd));
    assert_eq!(matching(&tenant, is_odd).await, Ok(vec![device.to_string()]));
    let nul = predicate(Scope::Inventory, "a\0", Operator::Ne, text("\0"));
    assert_eq!(matching(&tenant, nul).await, Ok(vec![device.to_string()]));
    let sort = vec![SortCriterion {
        scope: Scope::Inventory.into(),
        attribute: odd.to_owned(),
        descending: false,
    }];
    let search = SearchRequest { sort, text: odd.to_owned(), ..all(1, 20) };
    assert_eq!(tenant.search(search).await, Ok((vec![device.to_string()], 1)));
    let nothing = SearchRequest { text: "' \" ;".to_owned(), ..all(1, 20) };
    assert_eq!(tenant.search(nothing).await, Ok((Vec::new(), 0)));
}

#[tokio::test]
async fn long_texts_and_lists_are_searched_by_their_beginning() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    let long = |end: &str| "ä".repeat(20_000) + end;
    let many: Vec<String> = (0..200).map(|n| format!("e{n:03}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let report = vec![attribute("long", text(&long("a"))), attribute("many", texts(&many))];
    tenant.replace(device, report).await.unwrap();
    let found = Ok(vec![device.to_string()]);
    let on = |name, operator, value| predicate(Scope::Inventory, name, operator, value);
    assert_eq!(matching(&tenant, on("long", Operator::Eq, text(&long("a")))).await, found);
    assert_eq!(matching(&tenant, on("long", Operator::Ne, text(&long("b")))).await, found);
    assert_eq!(matching(&tenant, on("long", Operator::Regex, text("^ä{100}"))).await, found);
    assert_eq!(matching(&tenant, on("many", Operator::Eq, text("e127"))).await, found);
    assert_eq!(matching(&tenant, on("many", Operator::Eq, text("e128"))).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_search_returns_the_attributes_that_were_selected() {
    let house = House::build().await;
    let tenant = house.tenant();
    let device = tenant.accepted().await;
    let report = vec![attribute("a", text("1")), attribute("b", text("2"))];
    tenant.replace(device, report).await.unwrap();
    let select = vec![
        SelectAttribute { scope: Scope::Inventory.into(), attribute: "b".to_owned() },
        SelectAttribute { scope: Scope::Identity.into(), attribute: "status".to_owned() },
        SelectAttribute { scope: Scope::Tags.into(), attribute: "a".to_owned() },
    ];
    let found = tenant.search_devices(SearchRequest { select, ..all(1, 20) }).await.unwrap();
    assert_eq!(listed(&found.devices[0]), ["identity/status=accepted", "inventory/b=2"]);
    assert_eq!(found.devices[0].attributes.len(), 2);
    let found = tenant.search_devices(all(1, 20)).await.unwrap();
    // Two of identity, two reported, three times.
    assert_eq!(found.devices[0].attributes.len(), 7);
}

#[tokio::test]
async fn a_search_can_be_limited_to_devices() {
    let house = House::build().await;
    let tenant = house.tenant();
    let (one, _) = (tenant.accepted().await, tenant.accepted().await);
    let device_ids = vec![one.to_string(), "nonsense".to_owned(), DeviceId::mint().to_string()];
    let search = SearchRequest { device_ids, ..all(1, 20) };
    assert_eq!(tenant.search(search).await, Ok((vec![one.to_string()], 1)));
    let device_ids = vec!["nonsense".to_owned()];
    let search = SearchRequest { device_ids, ..all(1, 20) };
    assert_eq!(tenant.search(search).await, Ok((Vec::new(), 0)));
}

#[tokio::test]
async fn attributes_are_listed_with_the_number_of_their_devices() {
    let house = House::build().await;
    let tenant = house.tenant();
    let (one, two) = (tenant.accepted().await, tenant.accepted().await);
    tenant.replace(one, vec![attribute("b", text("1")), attribute("a", text("1"))]).await.unwrap();
    tenant.replace(two, vec![attribute("b", text("2"))]).await.unwrap();
    tenant.merge_tags(two, vec![attribute("t", text("2"))], None).await.unwrap();
    tenant.set_group(two, "one").await.unwrap();
    let listed = tenant.filter_attributes().await;
    let counted = |scope: Scope, name: &str, count| (i32::from(scope), name.to_owned(), count);
    assert_eq!(
        listed,
        [
            counted(Scope::Identity, "mac", 2),
            counted(Scope::Identity, "status", 2),
            counted(Scope::Inventory, "b", 2),
            counted(Scope::System, "check_in_time", 2),
            counted(Scope::System, "created_ts", 2),
            counted(Scope::System, "updated_ts", 2),
            counted(Scope::Inventory, "a", 1),
            counted(Scope::System, "group", 1),
            counted(Scope::Tags, "t", 1),
        ]
    );
    tenant.clear(one).await.unwrap();
    assert!(tenant.filter_attributes().await.iter().all(|(_, name, _)| name != "a"));
}
