//! What every pod is like: without rights, watched, and replaced without a gap.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    helm::{EXAMPLES, Render},
    objects::{Object, Objects, Pod, SERVICES, none},
};

/// What Kubernetes' Pod Security Standard "restricted" asks for, and besides it a file system
/// that cannot be written and no token for Kubernetes' own API.
fn rights(pod: &Pod<'_>) -> Vec<String> {
    let (spec, container) = (pod.spec(), pod.container());
    let rules = [
        (
            "one container",
            spec["containers"].items().len() == 1 && spec["initContainers"].is_null(),
        ),
        ("runAsNonRoot", spec["securityContext"]["runAsNonRoot"] == true),
        (
            "a user by number",
            spec["securityContext"]["runAsUser"].as_u64().is_some_and(|id| id > 0),
        ),
        ("seccomp", spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"),
        ("no escalation", container["securityContext"]["allowPrivilegeEscalation"] == false),
        (
            "no capabilities",
            container["securityContext"]["capabilities"] == json!({"drop": ["ALL"]}),
        ),
        ("not privileged", container["securityContext"]["privileged"].is_null()),
        ("read-only root", container["securityContext"]["readOnlyRootFilesystem"] == true),
        ("no host", ["hostNetwork", "hostPID", "hostIPC"].iter().all(|key| spec[key].is_null())),
        ("no token", spec["automountServiceAccountToken"] == false),
        ("no service links", spec["enableServiceLinks"] == false),
        ("harmless volumes", spec["volumes"].items().all(harmless)),
        ("a memory limit", container["resources"]["limits"]["memory"].is_string()),
        ("requests", container["resources"]["requests"]["cpu"] != Value::Null),
        ("no processor limit", container["resources"]["limits"]["cpu"].is_null()),
    ];
    let broken = rules.into_iter().filter(|(_, kept)| !kept);
    broken.map(|(rule, _)| format!("{}: {rule}", pod.owner.name())).collect()
}

fn harmless(volume: &Value) -> bool {
    ["secret", "emptyDir", "persistentVolumeClaim"].iter().any(|kind| volume[*kind].is_object())
}

#[test]
fn no_pod_has_rights_that_it_does_not_need() -> Result<()> {
    for example in EXAMPLES {
        let objects = Render::example(example).objects()?;
        assert!(objects.pods().len() >= SERVICES.len());
        none(&objects.pods().iter().flat_map(rights).collect::<Vec<_>>())?;
    }
    Ok(())
}

#[test]
fn every_mount_has_its_volume() -> Result<()> {
    for example in EXAMPLES {
        let objects = Render::example(example).objects()?;
        for pod in objects.pods() {
            let names = |list: &Value| {
                let mut names: Vec<_> = list.items().map(|item| item["name"].to_string()).collect();
                names.sort();
                names
            };
            let owner = pod.owner.name();
            assert_eq!(
                names(&pod.spec()["volumes"]),
                names(&pod.container()["volumeMounts"]),
                "{owner}"
            );
        }
    }
    Ok(())
}

#[test]
fn files_that_variables_name_are_mounted() -> Result<()> {
    let mut problems = Vec::new();
    for example in EXAMPLES {
        let objects = Render::example(example).objects()?;
        for pod in objects.pods() {
            let mounts: Vec<_> = pod.container()["volumeMounts"]
                .items()
                .filter_map(|mount| mount["mountPath"].as_str())
                .collect();
            for variable in pod.environment() {
                let path = variable["value"].as_str().filter(|value| value.starts_with('/'));
                if path.is_some_and(|path| !mounts.iter().any(|mount| path.starts_with(mount))) {
                    problems.push(format!("{}: {variable} is not mounted", pod.owner.name()));
                }
            }
        }
    }
    none(&problems)
}

#[test]
fn services_are_watched_on_their_admin_port() -> Result<()> {
    let objects = Render::example("everything").objects()?;
    for service in SERVICES {
        let pod = objects.service_pod(service)?;
        let container = pod.container();
        let listens = pod.variable("ROTA_ADMIN_LISTEN").unwrap_or_default();
        let port = pod.port("admin").unwrap_or_default();
        assert!(listens.ends_with(&format!(":{port}")), "{service} listens on {listens}");
        for (probe, path) in
            [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
        {
            let get = &container[probe]["httpGet"];
            assert_eq!(get, &json!({"path": path, "port": "admin"}), "{probe} of {service}");
        }
    }
    Ok(())
}

/// Seconds that a pod of ours gets beyond what its process may take to end.
const MARGIN: u64 = 5;

#[test]
fn pods_get_the_time_that_their_process_takes_to_end() -> Result<()> {
    for example in EXAMPLES {
        let objects = Render::example(example).objects()?;
        for service in SERVICES {
            let pod = objects.service_pod(service)?;
            let number = |value: &Value| value.as_u64().unwrap_or_default();
            let drain: u64 = pod.variable("ROTA_SHUTDOWN_SECONDS").unwrap_or_default().parse()?;
            let delay = number(&pod.container()["lifecycle"]["preStop"]["sleep"]["seconds"]);
            let grace = number(&pod.spec()["terminationGracePeriodSeconds"]);
            assert!(delay > 0, "{service} leaves no time for load balancers to learn");
            assert!(grace >= delay + drain + MARGIN, "{service}: {grace} < {delay} + {drain}");
        }
    }
    Ok(())
}

#[test]
fn pods_are_replaced_without_a_gap_unless_a_volume_forbids_it() -> Result<()> {
    for example in EXAMPLES {
        let objects = Render::example(example).objects()?;
        for deployment in objects.of_kind("Deployment") {
            let strategy = &deployment["spec"]["strategy"];
            let claims = deployment["spec"]["template"]["spec"]["volumes"]
                .items()
                .any(|volume| volume["persistentVolumeClaim"].is_object());
            if example == "small" && claims {
                assert_eq!(strategy["type"], "Recreate", "{}", deployment.name());
            } else {
                assert_eq!(strategy["rollingUpdate"]["maxUnavailable"], 0, "{}", deployment.name());
            }
        }
    }
    Ok(())
}

/// Whether a service has an object of a kind.
fn has(objects: &Objects, kind: &str, service: &str) -> bool {
    objects.component(kind, service).is_ok()
}

#[test]
fn who_decides_on_the_number_of_pods_decides_alone() -> Result<()> {
    for example in EXAMPLES {
        let objects = Render::example(example).objects()?;
        for service in SERVICES {
            let deployment = objects.component("Deployment", service)?;
            let scaled = has(&objects, "HorizontalPodAutoscaler", service);
            assert_eq!(deployment["spec"]["replicas"].is_null(), scaled, "{example}: {service}");
            if scaled {
                let scaler = objects.component("HorizontalPodAutoscaler", service)?;
                assert_eq!(scaler["spec"]["scaleTargetRef"]["name"], deployment.name());
            }
        }
    }
    Ok(())
}

#[test]
fn budgets_are_where_there_are_pods_to_spare() -> Result<()> {
    let of =
        |objects: &Objects| SERVICES.map(|service| has(objects, "PodDisruptionBudget", service));
    assert_eq!(of(&Render::example("minimal").objects()?), [true; 6]);
    assert_eq!(of(&Render::example("small").objects()?), [false; 6]);
    let everything = Render::example("everything").objects()?;
    assert!(!has(&everything, "PodDisruptionBudget", "inventory"));
    assert_eq!(of(&Render::example("otherwise").objects()?), [false; 6]);
    Ok(())
}

#[test]
fn what_is_said_of_one_service_is_not_said_of_another() -> Result<()> {
    let objects = Render::example("minimal")
        .set("services.inventory.replicas=0")
        .set(r#"services.inventory.resources={"limits":{"memory":"3Gi"}}"#)
        .set("services.inventory.podDisruptionBudget.enabled=false")
        .objects()?;
    for service in SERVICES {
        let deployment = objects.component("Deployment", service)?;
        let own = service == "inventory";
        assert_eq!(deployment["spec"]["replicas"], if own { 0 } else { 2 }, "{service}");
        let memory = &objects.service_pod(service)?.container()["resources"]["limits"]["memory"];
        assert_eq!(memory, if own { "3Gi" } else { "512Mi" }, "{service}");
        assert_eq!(has(&objects, "PodDisruptionBudget", service), !own, "{service}");
    }
    Ok(())
}
