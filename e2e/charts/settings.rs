//! Settings: what the chart sets is what the programs know, and what they need is set.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use anyhow::{Context, Result};
use regex::Regex;
use rota_e2e::programs;
use serde_json::Value;

use crate::{
    helm::{EXAMPLES, Render, chart},
    objects::{Objects, SERVICES, none},
};

/// What a program's `--help` says.
struct Help {
    /// Every variable.
    variables: BTreeSet<String>,
    /// Those without which it does not start.
    required: BTreeSet<String>,
}

/// Runs `rota-<service> --help`.
fn help(service: &str) -> Result<Help> {
    let program = programs::ours(&format!("rota-{service}"))?;
    let output = Command::new(program).arg("--help").output()?;
    let text = String::from_utf8(output.stdout)?;
    let usage = text.lines().find(|line| line.starts_with("Usage:")).context("no usage")?;
    let option = Regex::new(r"(?m)^ +(?:-\w, )?--([a-z0-9-]+)|\[env: (\w+)")?;
    let (mut variables, mut required, mut flag) = (BTreeSet::new(), BTreeSet::new(), String::new());
    for found in option.captures_iter(&text) {
        if let Some(name) = found.get(1) {
            name.as_str().clone_into(&mut flag);
        } else {
            variables.insert(found[2].to_owned());
            if usage.contains(&format!(" --{flag} ")) {
                required.insert(found[2].to_owned());
            }
        }
    }
    Ok(Help { variables, required })
}

/// The variables that a service's container gets.
fn given(objects: &Objects, service: &str) -> Result<BTreeSet<String>> {
    let pod = objects.service_pod(service)?;
    let names = pod.environment().filter_map(|variable| variable["name"].as_str());
    Ok(names.map(str::to_owned).collect())
}

#[test]
fn programs_know_what_they_are_told_and_are_told_what_they_need() -> Result<()> {
    let mut problems = Vec::new();
    let help: BTreeMap<_, _> =
        SERVICES.iter().map(|name| Ok((*name, help(name)?))).collect::<Result<_>>()?;
    assert!(help["deployments"].required.contains("ROTA_LINK_KEYS"), "the help was misread");
    for example in EXAMPLES {
        let objects = Render::example(example).objects()?;
        for (service, help) in &help {
            let given = given(&objects, service)?;
            let ours = given.iter().filter(|name| name.starts_with("ROTA_"));
            let strange = ours.filter(|name| !help.variables.contains(*name));
            problems.extend(strange.map(|name| format!("{example}: {service}: no {name}")));
            let missing = help.required.difference(&given);
            problems.extend(missing.map(|name| format!("{example}: {service} needs {name}")));
        }
    }
    none(&problems)
}

#[test]
fn no_variable_is_given_twice() -> Result<()> {
    for example in EXAMPLES {
        let objects = Render::example(example).objects()?;
        for pod in objects.pods() {
            let names: Vec<_> = pod.environment().map(|variable| &variable["name"]).collect();
            let once: BTreeSet<_> = names.iter().map(ToString::to_string).collect();
            assert_eq!(names.len(), once.len(), "{names:?}");
        }
    }
    Ok(())
}

/// Settings that the chart leaves as they are, in every service.
const LEFT: [&str; 2] = ["ROTA_INSECURE_LOOPBACK", "ROTA_TRUSTED_PEERS"];

#[test]
fn the_schema_lists_each_setting_that_the_chart_does_not_make_itself() -> Result<()> {
    let schema: Value = serde_json::from_slice(&fs::read(chart().join("values.schema.json"))?)?;
    let renders: Vec<_> =
        EXAMPLES.iter().map(|name| Render::example(name).objects()).collect::<Result<_>>()?;
    let address = Regex::new("^ROTA_(ACCOUNTS|DEPLOYMENTS|DEVICEAUTH|INVENTORY|WORKFLOWS)_URL$")?;
    for service in SERVICES {
        let pointer = format!("/properties/services/properties/{service}/properties/settings");
        let listed = schema.pointer(&pointer).context("no settings")?;
        assert_eq!(listed["additionalProperties"], false);
        let listed: BTreeSet<_> = listed["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        let mut made = BTreeSet::new();
        for objects in &renders {
            made.extend(given(objects, service)?);
        }
        let free: BTreeSet<_> = help(service)?
            .variables
            .into_iter()
            .filter(|name| listed.contains(name) || !made.contains(name))
            .filter(|name| !LEFT.contains(&name.as_str()) && !address.is_match(name))
            .collect();
        assert_eq!(listed, free, "settings of {service}");
    }
    Ok(())
}

#[test]
fn alerts_are_about_metrics_that_exist() -> Result<()> {
    let alerts = fs::read_to_string(chart().join("files/alerts.yaml"))?;
    let metric = Regex::new("rota_[a-z_]+")?;
    let used: BTreeSet<_> = metric.find_iter(&alerts).map(|found| found.as_str()).collect();
    assert!(!used.is_empty());
    let mut code = String::new();
    for folder in ["services", "services/kit"] {
        for source in sources(&crate::helm::repository().join(folder))? {
            code.push_str(&fs::read_to_string(source)?);
        }
    }
    let missing: Vec<_> =
        used.into_iter().filter(|name| !code.contains(&format!("{name:?}"))).collect();
    assert!(missing.is_empty(), "no service has {missing:?}");
    Ok(())
}

/// The Rust files of every crate in a folder.
fn sources(folder: &std::path::Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path().join("src")))
        .filter(|path| path.is_dir())
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    Ok(found)
}
