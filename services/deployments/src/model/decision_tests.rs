//! Tables and properties of the decision.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::model::control_map::{ControlAction, ControlPoint, Rule};

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

fn provides(entries: &[(&str, &str)]) -> Provides {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn device(installed: &str) -> Device {
    let provides = provides(&[("artifact_name", installed), ("device_type", "arm")]);
    Device { provides, understands_control_maps: false }
}

fn fit(id: u128, size_bytes: u64, depends: &[(&str, &[&str])]) -> Fit {
    let depends = depends
        .iter()
        .map(|(key, values)| {
            ((*key).to_owned(), values.iter().map(|value| (*value).to_owned()).collect())
        })
        .collect();
    Fit {
        id: Uuid::from_u128(id).into(),
        name: "v2".to_owned(),
        size_bytes,
        depends,
        blob: Uuid::nil(),
    }
}

fn candidate(deployment: u128, release: Vec<Fit>) -> Candidate {
    Candidate {
        deployment: Uuid::from_u128(deployment).into(),
        force_installation: false,
        status: DeviceStatus::Pending,
        request: None,
        control_map: None,
        offer: Offer::Release(release),
    }
}

/// A map with one rule, for the installation.
fn map(action: ControlAction) -> ControlMap {
    let rule = Rule::new(Some(action), None, None).unwrap();
    ControlMap::new(0, [(ControlPoint::Install, rule)].into()).unwrap()
}

fn arm(id: u128, size_bytes: u64) -> Fit {
    fit(id, size_bytes, &[("device_type", &["arm"])])
}

fn installed(decision: &Decision) -> Option<(ArtifactId, Choice)> {
    match &decision.answer {
        Answer::Install(instruction) => Some((instruction.artifact.id, instruction.because)),
        _ => None,
    }
}

fn id(id: u128) -> ArtifactId {
    Uuid::from_u128(id).into()
}

#[test]
fn without_a_deployment_there_is_nothing_to_do() {
    let decision = decide(&device("v1"), &[], now());
    assert_eq!(decision, Decision { answer: Answer::Nothing, passed: vec![] });
}

#[test]
fn the_smallest_fitting_artifact_wins() {
    let release = vec![
        arm(1, 300),
        fit(2, 100, &[("device_type", &["mips"])]),
        fit(3, 200, &[("device_type", &["x86", "arm"])]),
    ];
    let decision = decide(&device("v1"), &[candidate(9, release)], now());
    assert_eq!(installed(&decision), Some((id(3), Choice::SmallestOf(2))));
}

#[test]
fn of_equal_sizes_the_lower_id_wins_in_any_order() {
    for release in [vec![arm(1, 5), arm(2, 5)], vec![arm(2, 5), arm(1, 5)]] {
        let decision = decide(&device("v1"), &[candidate(9, release)], now());
        assert_eq!(installed(&decision), Some((id(1), Choice::SmallestOf(2))));
    }
}

#[test]
fn every_depends_key_must_be_met() {
    let delta = fit(1, 10, &[("device_type", &["arm"]), ("rootfs-image.checksum", &["a", "b"])]);
    let mut asking = device("v1");
    let cases = [(None, false), (Some("b"), true), (Some("c"), false)];
    for (provided, fits) in cases {
        asking.provides.remove("rootfs-image.checksum");
        if let Some(value) = provided {
            asking.provides.insert("rootfs-image.checksum".to_owned(), value.to_owned());
        }
        let decision = decide(&asking, &[candidate(9, vec![delta.clone()])], now());
        assert_eq!(installed(&decision).is_some(), fits, "{provided:?}");
        if !fits {
            let Reason::NoArtifact(mismatches) = &decision.passed[0].reason else {
                panic!("{decision:?}")
            };
            assert_eq!(mismatches[0].key, "rootfs-image.checksum");
            assert_eq!(mismatches[0].provided.as_deref(), provided);
        }
    }
}

#[test]
fn an_artifact_for_no_device_type_fits_no_device() {
    let decision = decide(&device("v1"), &[candidate(9, vec![fit(1, 1, &[])])], now());
    assert_eq!(decision.passed[0].reason.status(), DeviceStatus::NoArtifact);
}

#[test]
fn no_artifact_comes_before_already_installed() {
    let release = vec![fit(1, 1, &[("device_type", &["mips"])])];
    let decision = decide(&device("v2"), &[candidate(9, release)], now());
    assert_eq!(decision.passed[0].reason.status(), DeviceStatus::NoArtifact);
}

#[test]
fn what_is_installed_is_not_installed_again_unless_forced_or_begun() {
    let plain = candidate(9, vec![arm(1, 1)]);
    let decision = decide(&device("v2"), std::slice::from_ref(&plain), now());
    assert_eq!(decision.answer, Answer::Nothing);
    assert_eq!(decision.passed[0].reason, Reason::AlreadyInstalled(id(1)));

    let forced = Candidate { force_installation: true, ..plain.clone() };
    assert!(installed(&decide(&device("v2"), &[forced], now())).is_some());
    let begun = Candidate { status: DeviceStatus::Downloading, ..plain };
    assert!(installed(&decide(&device("v2"), &[begun], now())).is_some());
}

#[test]
fn a_changed_request_ends_the_deployment_and_says_what_changed() {
    let mut running = candidate(9, vec![arm(1, 1)]);
    running.request = Some(device("v1").provides);
    let mut changed = device("v1");
    changed.provides.insert("device_type".to_owned(), "mips".to_owned());
    changed.provides.insert("new".to_owned(), "x".to_owned());
    let decision = decide(&changed, &[running.clone(), candidate(10, vec![arm(1, 1)])], now());
    let Answer::Conflict(refusal) = decision.answer else { panic!("{decision:?}") };
    assert_eq!(refusal.deployment, running.deployment);
    assert_eq!(refusal.reason.status(), DeviceStatus::Failure);
    let keys = ["device_type", "new"].map(str::to_owned).into();
    assert_eq!(refusal.reason, Reason::RequestChanged(keys));
}

#[test]
fn a_choice_stands_though_a_smaller_one_came() {
    let mut running = candidate(9, vec![]);
    running.request = Some(device("v1").provides);
    running.offer = Offer::Chosen(arm(1, 100));
    let decision = decide(&device("v1"), &[running], now());
    assert_eq!(installed(&decision), Some((id(1), Choice::Kept)));
}

#[test]
fn a_deployment_with_nothing_for_the_device_gives_way_to_the_next() {
    let none = candidate(8, vec![]);
    let next = candidate(9, vec![arm(1, 1)]);
    let decision = decide(&device("v1"), &[none, next], now());
    assert_eq!(installed(&decision), Some((id(1), Choice::OnlyOne)));
    assert_eq!(decision.passed.len(), 1);
    assert_eq!(decision.passed[0].deployment, Uuid::from_u128(8).into());
}

#[test]
fn a_device_that_cannot_wait_is_not_begun_with_what_may_be_held() {
    let patient = Device { understands_control_maps: true, ..device("v1") };
    for (action, may_hold) in [
        (ControlAction::Continue, false),
        (ControlAction::ForceContinue, false),
        (ControlAction::Pause, true),
        (ControlAction::Fail, true),
    ] {
        let held = Candidate { control_map: Some(map(action)), ..candidate(8, vec![arm(1, 1)]) };
        let next = candidate(9, vec![arm(2, 1)]);

        let decision = decide(&patient, std::slice::from_ref(&held), now());
        let Answer::Install(told) = decision.answer else { panic!("{decision:?}") };
        assert_eq!(told.control_map, Some(map(action)));

        let decision = decide(&device("v1"), &[held, next], now());
        let Answer::Install(told) = &decision.answer else { panic!("{decision:?}") };
        assert_eq!(told.control_map, None);
        assert_eq!(told.artifact.id, if may_hold { id(2) } else { id(1) }, "{action:?}");
        if may_hold {
            assert_eq!(decision.passed[0].reason, Reason::CannotBeHeld);
            assert_eq!(decision.passed[0].reason.status(), DeviceStatus::Failure);
        }
    }
}

#[test]
fn a_device_that_has_begun_is_not_failed_for_a_map_that_came_later() {
    let running = Candidate {
        control_map: Some(map(ControlAction::Pause)),
        request: Some(device("v1").provides),
        offer: Offer::Chosen(arm(1, 1)),
        ..candidate(9, vec![])
    };
    let decision = decide(&device("v1"), &[running], now());
    assert_eq!(installed(&decision), Some((id(1), Choice::Kept)));
}

fn any_provides() -> impl Strategy<Value = Provides> {
    let rest = prop::collection::btree_map("[k-m]", "[a-b]", 0..3);
    ("[t-u]", "v[1-2]", rest).prop_map(|(device_type, name, mut rest)| {
        rest.insert(DEVICE_TYPE.to_owned(), device_type);
        rest.insert(ARTIFACT_NAME.to_owned(), name);
        rest
    })
}

fn any_fit() -> impl Strategy<Value = Fit> {
    let values = || prop::collection::btree_set("[a-b]", 1..3);
    let rest = prop::collection::btree_map("[k-m]", values(), 0..3);
    let types = prop::collection::btree_set("[t-u]", 1..3);
    (0u128..8, "v[1-2]", 0u64..4, rest, types).prop_map(|(id, name, size_bytes, rest, types)| {
        let mut depends: Depends =
            rest.into_iter().map(|(key, values)| (key, values.into_iter().collect())).collect();
        depends.insert(DEVICE_TYPE.to_owned(), types.into_iter().collect());
        Fit { id: Uuid::from_u128(id).into(), name, size_bytes, depends, blob: Uuid::nil() }
    })
}

fn any_candidate() -> impl Strategy<Value = Candidate> {
    let offer = prop_oneof![
        any_fit().prop_map(Offer::Chosen),
        prop::collection::vec(any_fit(), 0..5).prop_map(Offer::Release),
    ];
    let active: Vec<_> =
        DeviceStatus::ALL.into_iter().filter(|status| status.is_active()).collect();
    (
        0u128..100,
        any::<bool>(),
        prop::sample::select(active),
        prop::option::of(any_provides()),
        prop::option::of(prop::sample::select(vec![ControlAction::Continue, ControlAction::Pause])),
        offer,
    )
        .prop_map(|(deployment, force_installation, status, request, action, offer)| {
            Candidate {
                deployment: Uuid::from_u128(deployment).into(),
                force_installation,
                status,
                request,
                control_map: action.map(map),
                offer,
            }
        })
}

fn any_device() -> impl Strategy<Value = Device> {
    let parts = (any_provides(), any::<bool>());
    parts.prop_map(|(provides, understands_control_maps)| Device {
        provides,
        understands_control_maps,
    })
}

fn meets(device: &Device, fit: &Fit) -> bool {
    fit.depends.iter().all(|(key, accepted)| {
        device.provides.get(key).is_some_and(|provided| accepted.contains(provided))
    })
}

proptest! {
    #[test]
    fn what_is_chosen_fits_and_nothing_smaller_does(
        device in any_device(), candidates in prop::collection::vec(any_candidate(), 0..4),
    ) {
        let decision = decide(&device, &candidates, now());
        // Places are looked at in order, each once, up to the one that gives the answer.
        let answered = usize::from(decision.answer != Answer::Nothing);
        let looked_at = decision.passed.len() + answered;
        prop_assert!(looked_at <= candidates.len());
        for (refusal, candidate) in decision.passed.iter().zip(&candidates) {
            prop_assert_eq!(refusal.deployment, candidate.deployment);
            prop_assert!(!refusal.reason.status().is_active());
        }
        if let Answer::Install(instruction) = &decision.answer {
            let candidate = &candidates[looked_at - 1];
            prop_assert_eq!(instruction.deployment, candidate.deployment);
            match &candidate.offer {
                Offer::Chosen(fit) => prop_assert_eq!(fit, &instruction.artifact),
                Offer::Release(release) => {
                    let chosen = &instruction.artifact;
                    prop_assert!(release.contains(chosen) && meets(&device, chosen));
                    let smaller = release
                        .iter()
                        .any(|fit| fit.size_bytes < chosen.size_bytes && meets(&device, fit));
                    prop_assert!(!smaller);
                }
            }
        } else if decision.answer == Answer::Nothing {
            prop_assert_eq!(looked_at, candidates.len());
        }
    }

    #[test]
    fn asking_again_with_the_same_words_gets_the_same_answer(
        device in any_device(), candidate in any_candidate(),
    ) {
        let first = decide(&device, std::slice::from_ref(&candidate), now());
        if let Answer::Install(instruction) = first.answer {
            // What the poll writes down: the question, and the choice.
            let kept = Candidate {
                request: Some(device.provides.clone()),
                offer: Offer::Chosen(instruction.artifact.clone()),
                ..candidate
            };
            let second = decide(&device, &[kept], now());
            let again = Instruction { because: Choice::Kept, ..instruction };
            prop_assert_eq!(second.answer, Answer::Install(again));
        }
    }

    #[test]
    fn a_changed_request_is_never_an_instruction(
        before in any_provides(), device in any_device(), candidate in any_candidate(),
    ) {
        prop_assume!(before != device.provides);
        let running = Candidate { request: Some(before), ..candidate };
        let decision = decide(&device, &[running], now());
        prop_assert!(matches!(decision.answer, Answer::Conflict(_)));
    }
}
