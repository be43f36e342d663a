//! The objects of a rendering, and what tests ask of them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The components that run all the time, which are also the programs' names.
pub(crate) const SERVICES: [&str; 6] =
    ["accounts", "deployments", "deviceauth", "gateway", "inventory", "workflows"];

/// Labels, or a selector of them.
pub(crate) type Labels = BTreeMap<String, String>;

/// All objects of a rendering.
pub(crate) struct Objects(Vec<Value>);

impl Objects {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(text).context("what helm printed is no YAML")?;
        Ok(Self(documents.into_iter().filter(|object| !object.is_null()).collect()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Value> {
        self.0.iter()
    }

    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.iter().filter(move |object| object["kind"] == kind)
    }

    /// The object of a kind with a name.
    pub(crate) fn named(&self, kind: &str, name: &str) -> Option<&Value> {
        self.iter().find(|object| object["kind"] == kind && object.name() == name)
    }

    /// The only object of a kind for a component.
    pub(crate) fn component(&self, kind: &str, component: &str) -> Result<&Value> {
        let mut found =
            self.iter().filter(|object| object["kind"] == kind && object.component() == component);
        let object = found.next().with_context(|| format!("no {kind} of {component}"))?;
        ensure!(found.next().is_none(), "more than one {kind} of {component}");
        Ok(object)
    }

    /// Every pod that comes into being: the owner, labels, and the specification.
    pub(crate) fn pods(&self) -> Vec<Pod<'_>> {
        let pods = self.iter().filter_map(|object| {
            let template = match object["kind"].as_str()? {
                "Pod" => object,
                "Deployment" | "Job" | "StatefulSet" | "DaemonSet" => &object["spec"]["template"],
                _ => return None,
            };
            Some(Pod { owner: object, template })
        });
        pods.collect()
    }

    /// The pod of a service.
    pub(crate) fn service_pod(&self, service: &str) -> Result<Pod<'_>> {
        let owner = self.component("Deployment", service)?;
        Ok(Pod { owner, template: &owner["spec"]["template"] })
    }
}

/// A pod as its owner makes it.
pub(crate) struct Pod<'a> {
    pub(crate) owner: &'a Value,
    template: &'a Value,
}

impl<'a> Pod<'a> {
    pub(crate) fn component(&self) -> &'a str {
        self.template.component()
    }

    pub(crate) fn labels(&self) -> Labels {
        labels(&self.template["metadata"]["labels"])
    }

    pub(crate) fn spec(&self) -> &'a Value {
        &self.template["spec"]
    }

    /// Its only container.
    pub(crate) fn container(&self) -> &'a Value {
        &self.spec()["containers"][0]
    }

    pub(crate) fn environment(&self) -> impl Iterator<Item = &'a Value> {
        self.container()["env"].items()
    }

    /// A variable of its environment that is written there.
    pub(crate) fn variable(&self, name: &str) -> Option<&'a str> {
        self.environment().find(|variable| variable["name"] == name)?["value"].as_str()
    }

    /// The number of a port with a name.
    pub(crate) fn port(&self, name: &str) -> Option<u64> {
        let mut ports = self.container()["ports"].items();
        ports.find(|port| port["name"] == name)?["containerPort"].as_u64()
    }
}

/// What is asked of any object.
pub(crate) trait Object {
    fn name(&self) -> &str;
    fn component(&self) -> &str;
    fn items(&self) -> std::slice::Iter<'_, Value>;
}

impl Object for Value {
    fn name(&self) -> &str {
        self["metadata"]["name"].as_str().unwrap_or_default()
    }

    fn component(&self) -> &str {
        self["metadata"]["labels"]["app.kubernetes.io/component"].as_str().unwrap_or_default()
    }

    /// The items of a list; none where there is no list.
    fn items(&self) -> std::slice::Iter<'_, Value> {
        self.as_array().map(Vec::as_slice).unwrap_or_default().iter()
    }
}

/// Labels from where they are written.
pub(crate) fn labels(value: &Value) -> Labels {
    let pairs = value.as_object().into_iter().flatten();
    pairs.map(|(key, value)| (key.clone(), value.as_str().unwrap_or("?").to_owned())).collect()
}

/// Whether a selector takes what has these labels. An empty one takes everything.
pub(crate) fn selects(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// Fails with all that was found, one a line.
pub(crate) fn none(problems: &[String]) -> Result<()> {
    ensure!(problems.is_empty(), "\n{}", problems.join("\n"));
    Ok(())
}
