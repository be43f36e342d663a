//! Two releases beside each other: neither takes the other's objects or pods.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::{
    helm::{EXAMPLES, NAMESPACE, Render},
    objects::{Object, Objects, labels, selects},
};

fn names(objects: &Objects) -> BTreeSet<(String, String)> {
    objects.iter().map(|object| (object["kind"].to_string(), object.name().to_owned())).collect()
}

#[test]
fn two_releases_share_no_object() -> Result<()> {
    for example in EXAMPLES.into_iter().filter(|name| *name != "everything") {
        let one = names(&Render::example(example).release("north").objects()?);
        let other = names(&Render::example(example).release("south").objects()?);
        let shared: Vec<_> = one.intersection(&other).collect();
        assert!(shared.is_empty(), "{shared:?}");
    }
    Ok(())
}

#[test]
fn no_object_is_there_twice() -> Result<()> {
    for example in EXAMPLES {
        let objects = Render::example(example).objects()?;
        assert_eq!(objects.iter().count(), names(&objects).len());
    }
    Ok(())
}

#[test]
fn all_objects_are_in_the_release_s_namespace() -> Result<()> {
    for example in EXAMPLES {
        for object in Render::example(example).objects()?.iter() {
            // What belongs to the cluster has no namespace.
            assert_eq!(object["metadata"]["namespace"], NAMESPACE, "{}", object.name());
        }
    }
    Ok(())
}

#[test]
fn no_selector_takes_pods_of_another_release() -> Result<()> {
    let north = Render::example("production").release("north").objects()?;
    let south = Render::example("production").release("south").objects()?;
    let pods = south.pods();
    for object in north.iter() {
        let spec = &object["spec"];
        let selectors = [
            &spec["selector"]["matchLabels"],
            &spec["podSelector"]["matchLabels"],
            if object["kind"] == "Service" { &spec["selector"] } else { &serde_json::Value::Null },
        ];
        for selector in selectors.into_iter().filter(|selector| selector.is_object()) {
            let taken = pods.iter().any(|pod| selects(&labels(selector), &pod.labels()));
            assert!(!taken, "{} {}", object["kind"], object.name());
        }
    }
    Ok(())
}

#[test]
fn long_names_leave_room_for_what_is_put_behind_them() -> Result<()> {
    /// A label, and so a Service's name, has 63 characters at the most.
    const LONGEST: usize = 63;
    let release = "a.release-with-a-name.as-long-as-helm-allows-them-to";
    let objects = Render::example("small").release(release).objects()?;
    for object in objects.iter() {
        let name = object.name();
        assert!(name.len() <= LONGEST && !name.contains('.'), "{name}");
        for (_, value) in labels(&object["metadata"]["labels"]) {
            assert!(value.len() <= LONGEST, "{value}");
        }
    }
    Ok(())
}
