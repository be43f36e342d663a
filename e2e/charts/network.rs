//! Who can reach whom: Services, addresses in the environment, network policies; and all
//! of it against whom the services' own code calls.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result};
use regex::Regex;
use serde_json::Value;

use crate::{
    helm::{EXAMPLES, NAMESPACE, Render, repository},
    objects::{Object, Objects, Pod, SERVICES, labels, none, selects},
};

/// The services that a service calls, as its main function has it.
fn calls(service: &str) -> Result<BTreeSet<String>> {
    let path = repository().join("services").join(service).join("src/main.rs");
    let code =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let call = Regex::new(r#"\.rpc\("([a-z]+)"\)"#)?;
    Ok(call.captures_iter(&code).map(|call| call[1].to_owned()).collect())
}

#[test]
fn services_lead_to_a_port_of_their_own_pods_and_no_others() -> Result<()> {
    for example in EXAMPLES {
        let objects = Render::example(example).objects()?;
        assert_eq!(objects.of_kind("Service").count(), SERVICES.len());
        for service in objects.of_kind("Service") {
            let selector = labels(&service["spec"]["selector"]);
            let pods = objects.pods();
            let chosen: Vec<_> =
                pods.iter().filter(|pod| selects(&selector, &pod.labels())).collect();
            let [pod] = chosen[..] else {
                panic!("{} chooses {} kinds of pods", service.name(), chosen.len())
            };
            assert_eq!(pod.component(), service.component());
            for port in service["spec"]["ports"].items() {
                let target = port["targetPort"].as_str().context("a port without a name")?;
                assert!(pod.port(target).is_some(), "{} has no port {target}", service.name());
                assert_ne!(target, "admin", "the admin port asks nobody for a password");
            }
        }
    }
    Ok(())
}

#[test]
fn selectors_of_deployments_budgets_and_monitors_choose_their_own_pods() -> Result<()> {
    let objects = Render::example("everything").objects()?;
    let pods = objects.pods();
    for kind in ["Deployment", "PodDisruptionBudget", "PodMonitor"] {
        for object in objects.of_kind(kind) {
            let selector = labels(&object["spec"]["selector"]["matchLabels"]);
            assert!(!selector.contains_key("app.kubernetes.io/version"), "it may never change");
            let chosen: Vec<_> = pods
                .iter()
                .filter(|pod| selects(&selector, &pod.labels()))
                .map(Pod::component)
                .collect();
            assert_eq!(chosen, [object.component()], "{kind} {}", object.name());
        }
    }
    for monitor in objects.of_kind("PodMonitor") {
        let pod = objects.service_pod(monitor.component())?;
        for endpoint in monitor["spec"]["podMetricsEndpoints"].items() {
            let port = endpoint["port"].as_str().unwrap_or_default();
            assert!(pod.port(port).is_some(), "{} has no port {port}", monitor.name());
        }
    }
    Ok(())
}

#[test]
fn addresses_lead_to_services_that_the_code_calls() -> Result<()> {
    let address = Regex::new(r"^https://([a-z0-9-]+)\.([a-z0-9-]+)\.svc:(\d+)$")?;
    let variable =
        Regex::new("^ROTA_(ACCOUNTS|DEPLOYMENTS|DEVICEAUTH|GATEWAY|INVENTORY|WORKFLOWS)_URL$")?;
    for example in EXAMPLES {
        let objects = Render::example(example).objects()?;
        for service in SERVICES {
            let pod = objects.service_pod(service)?;
            let mut given = BTreeSet::new();
            for entry in pod.environment() {
                let name = entry["name"].as_str().unwrap_or_default();
                let Some(callee) = variable.captures(name).map(|found| found[1].to_lowercase())
                else {
                    continue;
                };
                for url in entry["value"].as_str().unwrap_or_default().split(',') {
                    let parts = address.captures(url).with_context(|| url.to_owned())?;
                    assert_eq!(&parts[2], NAMESPACE);
                    let target =
                        objects.named("Service", &parts[1]).with_context(|| url.to_owned())?;
                    assert_eq!(target.component(), callee, "{name} of {service}");
                    let port = target["spec"]["ports"].items().next().context("no port")?;
                    assert_eq!(port["port"].to_string(), &parts[3], "{name} of {service}");
                }
                given.insert(callee);
            }
            assert_eq!(given, calls(service)?, "{service}");
        }
    }
    Ok(())
}

/// Whether one side's rules let a connection pass to a port. `key` is `from` or `to`.
fn passes(rules: &Value, key: &str, peer: &Pod<'_>, port: (&str, u64)) -> bool {
    rules.items().any(|rule| {
        let ports = rule["ports"].as_array();
        let (name, number) = port;
        let to_port =
            ports.is_none_or(|all| all.iter().any(|p| p["port"] == name || p["port"] == number));
        let peers = rule[key].as_array().filter(|peers| !peers.is_empty());
        let to_peer = peers.is_none_or(|peers| {
            peers.iter().any(|chosen| {
                chosen["podSelector"].is_object()
                    && selects(&labels(&chosen["podSelector"]["matchLabels"]), &peer.labels())
            })
        });
        to_port && to_peer
    })
}

/// The only policy that takes a pod.
fn policy<'a>(objects: &'a Objects, pod: &Pod<'_>) -> Result<&'a Value> {
    let mut policies = objects.of_kind("NetworkPolicy").filter(|policy| {
        selects(&labels(&policy["spec"]["podSelector"]["matchLabels"]), &pod.labels())
    });
    let policy = policies.next().with_context(|| format!("no policy for {}", pod.component()))?;
    assert!(policies.next().is_none(), "two policies for {}", pod.component());
    Ok(policy)
}

#[test]
fn policies_let_those_connections_pass_that_the_code_makes() -> Result<()> {
    let mut problems = Vec::new();
    for example in ["minimal", "everything", "production"] {
        let objects = Render::example(example).objects()?;
        let pods: Vec<_> =
            objects.pods().into_iter().filter(|pod| pod.component() != "test").collect();
        for caller in &pods {
            let allowed = calls_of(caller)?;
            for callee in pods.iter().filter(|callee| callee.component() != caller.component()) {
                for (name, number) in
                    ["grpc", "https", "admin"].iter().filter_map(|n| Some((*n, callee.port(n)?)))
                {
                    let (out, into) = (policy(&objects, caller)?, policy(&objects, callee)?);
                    let leaves = !is_of(out, "Egress")
                        || passes(&out["spec"]["egress"], "to", callee, (name, number));
                    let enters = passes(&into["spec"]["ingress"], "from", caller, (name, number));
                    // Everybody may knock at the gateway; who gets out to it is another matter.
                    let expected = name == "grpc" && allowed.contains(callee.component());
                    let open = name == "https" && enters && !is_of(out, "Egress");
                    if (leaves && enters) != expected && !open {
                        let (from, to) = (caller.component(), callee.component());
                        problems.push(format!("{example}: {from} to {to} {name}: {}", !expected));
                    }
                }
            }
        }
    }
    none(&problems)
}

fn calls_of(pod: &Pod<'_>) -> Result<BTreeSet<String>> {
    if SERVICES.contains(&pod.component()) { calls(pod.component()) } else { Ok(BTreeSet::new()) }
}

fn is_of(policy: &Value, kind: &str) -> bool {
    policy["spec"]["policyTypes"].items().any(|listed| listed == kind)
}

#[test]
fn policies_let_each_pod_out_to_its_back_ends_alone() -> Result<()> {
    let objects = Render::example("production").objects()?;
    for pod in objects.pods().iter().filter(|pod| pod.component() != "test") {
        let has = |name| pod.environment().any(|variable| variable["name"] == name);
        let egress = &policy(&objects, pod)?["spec"]["egress"];
        let open = |port: u64| {
            let mut rules = egress.items().filter(|rule| rule["to"].is_null());
            rules.any(|rule| rule["ports"].items().any(|listed| listed["port"] == port))
        };
        let owner = pod.component();
        assert!(open(53), "{owner} finds no names");
        for (port, variable) in [
            (5432, "ROTA_DATABASE_URL"),
            (4222, "ROTA_NATS_URL"),
            (443, "ROTA_S3_BUCKET"),
            (4317, "ROTA_OTLP_ENDPOINT"),
        ] {
            assert_eq!(open(port), has(variable), "{owner} to port {port}");
        }
    }
    Ok(())
}

#[test]
fn whom_the_operator_names_gets_to_metrics_and_the_gateway() -> Result<()> {
    let objects = Render::example("everything").objects()?;
    for service in SERVICES {
        let pod = objects.service_pod(service)?;
        let ingress = &policy(&objects, &pod)?["spec"]["ingress"];
        let admin = ingress.items().find(|rule| rule["ports"][0]["port"] == "admin");
        let from = &admin.context("nobody reads the metrics")?["from"];
        assert_eq!(from, &serde_json::json!([{"namespaceSelector": {}}]), "{service}");
    }
    let gateway = policy(&objects, &objects.service_pod("gateway")?)?;
    let door = &gateway["spec"]["ingress"][0];
    assert_eq!(door["ports"][0]["port"], "https");
    assert_eq!(door["from"][0]["ipBlock"]["cidr"], "0.0.0.0/0");
    let minimal = Render::example("minimal").objects()?;
    let gateway = policy(&minimal, &minimal.service_pod("gateway")?)?;
    assert!(gateway["spec"]["ingress"][0]["from"].is_null(), "devices come from anywhere");
    let text = Render::example("minimal").text()?;
    assert!(!text.contains("port: admin\n      from"), "nobody was named");
    Ok(())
}
