//! Who may know whom: the crates' dependencies against the table in ARCHITECTURE.md.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context, Result};
use serde_json::Value;

/// The shared words and the kit that every service may use.
const KIT: [&str; 6] =
    ["rota-types", "rota-runtime", "rota-store", "rota-bus", "rota-blob", "rota-auth"];

/// What each crate may depend on among ours, tests apart.
fn allowed() -> BTreeMap<&'static str, Vec<&'static str>> {
    let kit_and = |more: &[&'static str]| {
        let mut allowed = vec!["rota-proto"];
        allowed.extend(KIT);
        allowed.extend(more);
        allowed
    };
    BTreeMap::from([
        // These know nobody.
        ("rota-proto", vec![]),
        ("rota-rest", vec![]),
        ("rota-types", vec![]),
        ("rota-artifact", vec![]),
        // The kit is a stack: words, runtime, bus, store, trust; blobs and tokens beside it.
        ("rota-runtime", vec!["rota-types", "rota-proto"]),
        ("rota-bus", vec!["rota-types", "rota-runtime"]),
        ("rota-store", vec!["rota-types", "rota-runtime", "rota-bus"]),
        ("rota-blob", vec!["rota-types"]),
        ("rota-auth", vec!["rota-types"]),
        ("rota-trust", kit_and(&[])),
        ("rota-testkit", kit_and(&["rota-stack"])),
        // A service never knows another.
        ("rota-accounts", kit_and(&["rota-trust"])),
        ("rota-deviceauth", kit_and(&["rota-trust"])),
        ("rota-inventory", kit_and(&[])),
        ("rota-deployments", kit_and(&["rota-artifact"])),
        ("rota-workflows", kit_and(&[])),
        // The door has no database, no bus and no store of its own.
        (
            "rota-gateway",
            vec!["rota-types", "rota-proto", "rota-rest", "rota-runtime", "rota-auth"],
        ),
        (
            "rota-server",
            kit_and(&[
                "rota-trust",
                "rota-stack",
                "rota-accounts",
                "rota-deviceauth",
                "rota-inventory",
                "rota-deployments",
                "rota-workflows",
                "rota-gateway",
            ]),
        ),
        ("rota-client", vec!["rota-rest", "rota-artifact"]),
        ("rotactl", vec!["rota-rest"]),
        ("rota-fleet", vec!["rota-rest", "rota-artifact", "rota-stack"]),
        ("rota-stack", vec![]),
        // What a stranger knows: addresses and documents, and how to start back-ends.
        ("rota-e2e", vec!["rota-rest", "rota-stack", "rota-fleet"]),
        // Machines besides what a story has.
        ("rota-e2e-vm", vec!["rota-e2e"]),
    ])
}

/// Crates that one crate alone may use, so that a change of them touches one place.
const SOLE_USERS: [(&str, &str); 2] = [("aws-sdk-s3", "rota-blob"), ("async-nats", "rota-bus")];

fn packages() -> Result<Vec<Value>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    Ok(metadata["packages"].as_array().context("no packages")?.clone())
}

/// The names of a package's dependencies, those of tests and build scripts apart.
fn dependencies(package: &Value) -> Vec<&str> {
    let all = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter(|dep| dep["kind"].is_null()).filter_map(|dep| dep["name"].as_str()).collect()
}

#[test]
fn no_wall_is_broken() -> Result<()> {
    let allowed = allowed();
    let mut broken = Vec::new();
    for package in packages()? {
        let name = package["name"].as_str().context("a package without a name")?;
        let Some(may) = allowed.get(name) else {
            broken.push(format!("{name} is not in the table of walls"));
            continue;
        };
        for dependency in dependencies(&package) {
            let ours = allowed.contains_key(dependency);
            if ours && !may.contains(&dependency) {
                broken.push(format!("{name} must not depend on {dependency}"));
            }
            let sole = SOLE_USERS.iter().find(|(foreign, _)| *foreign == dependency);
            if let Some((foreign, user)) = sole.filter(|(_, user)| *user != name) {
                broken.push(format!("{name} must not depend on {foreign}: {user} alone does"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}
