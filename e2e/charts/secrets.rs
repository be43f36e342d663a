//! Secrets: nowhere but in Secrets, and kept over upgrades.

use std::{collections::BTreeMap, io::Write, process::Command};

use anyhow::{Context, Result, ensure};
use regex::Regex;
use serde_json::Value;

use crate::{
    cluster::Cluster,
    helm::{EXAMPLES, Render},
    objects::{Object, Objects, SERVICES, none},
};

#[test]
fn variables_with_secrets_come_from_secrets() -> Result<()> {
    let secret = Regex::new("DATABASE_URL|NATS_URL|ACCESS_KEY|SECRET_KEY|PASSWORD$|TOKEN$")?;
    let mut seen = 0;
    for example in EXAMPLES {
        let objects = Render::example(example).objects()?;
        for pod in objects.pods() {
            for variable in pod.environment() {
                let name = variable["name"].as_str().unwrap_or_default();
                if secret.is_match(name) {
                    seen += 1;
                    let reference = &variable["valueFrom"]["secretKeyRef"];
                    assert!(reference["name"].is_string(), "{name} of {}", pod.owner.name());
                }
            }
        }
    }
    assert!(seen > 0);
    Ok(())
}

#[test]
fn what_is_secret_in_the_values_is_in_secrets_alone() -> Result<()> {
    let objects = Render::example("everything")
        .set(r#"database.url="postgres://rota:hidden-one@postgres/rota""#)
        .set(r#"nats.url="nats://user:hidden-two@nats:4222""#)
        .set(r#"objectStorage.s3.accessKey="hidden-three""#)
        .set(r#"objectStorage.s3.secretKey="hidden-four""#)
        .objects()?;
    for object in objects.iter() {
        let text = object.to_string();
        assert!(!text.contains("hidden-"), "{} {}", object["kind"], object.name());
        if object["kind"] != "Secret" {
            for encoded in ["aGlkZGVu", "hpZGRlb", "oaWRkZW"] {
                assert!(!text.contains(encoded), "{} {}", object["kind"], object.name());
            }
        }
    }
    Ok(())
}

/// Secrets that the examples say are there already.
const GIVEN: [&str; 17] = [
    "administrator",
    "broker",
    "db",
    "db-ca",
    "deployments-db",
    "device-keys",
    "edge",
    "links",
    "people-keys",
    "private-ca",
    "registry",
    "rota-administrator",
    "rota-db-app",
    "rota-db-ca",
    "rota-links",
    "rota-nats",
    "rota-s3",
];

/// A Secret's name, and the keys in it, of those that are made: by the chart or by cert-manager.
fn made(objects: &Objects) -> BTreeMap<String, Vec<String>> {
    let keys = |secret: &Value| {
        secret["data"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    let mut made: BTreeMap<_, _> =
        objects.of_kind("Secret").map(|secret| (secret.name().to_owned(), keys(secret))).collect();
    for certificate in objects.of_kind("Certificate") {
        let name = certificate["spec"]["secretName"].as_str().unwrap_or_default().to_owned();
        made.insert(name, ["tls.crt", "tls.key", "ca.crt"].map(str::to_owned).to_vec());
    }
    made
}

#[test]
fn each_secret_that_a_pod_names_is_made_or_given() -> Result<()> {
    let mut problems = Vec::new();
    for example in EXAMPLES {
        let objects = Render::example(example).objects()?;
        let made = made(&objects);
        for pod in objects.pods() {
            let variables = pod.environment().filter_map(|variable| {
                let reference = &variable["valueFrom"]["secretKeyRef"];
                Some((reference["name"].as_str()?, reference["key"].as_str()))
            });
            let volumes = pod.spec()["volumes"].items().filter_map(|volume| {
                let secret = &volume["secret"];
                Some((secret["secretName"].as_str()?, secret["items"][0]["key"].as_str()))
            });
            for (name, key) in variables.chain(volumes) {
                let there = match made.get(name) {
                    Some(keys) => key.is_none_or(|key| keys.iter().any(|made| made == key)),
                    None => GIVEN.contains(&name),
                };
                if !there {
                    problems.push(format!("{example}: {}: {name} {key:?}", pod.owner.name()));
                }
            }
        }
    }
    none(&problems)
}

/// The data of every Secret.
fn data(objects: &Objects) -> BTreeMap<String, Value> {
    objects.of_kind("Secret").map(|one| (one.name().to_owned(), one["data"].clone())).collect()
}

/// The same values once more, where the Secrets of a rendering are there.
fn upgrade(render: Render, before: &Objects) -> Result<Objects> {
    let cluster = Cluster::with_secrets_of(before)?;
    let render = cluster.arguments().into_iter().fold(render, Render::argument);
    render.argument("--is-upgrade").objects()
}

#[test]
fn an_upgrade_keeps_what_was_made() -> Result<()> {
    for program in ["helm", "helm3"] {
        let render = Render::example("small").with_program(program);
        let before = render.objects()?;
        let without_a_cluster = render.objects()?;
        let after = upgrade(render, &before)?;
        let (before, anew, after) = (data(&before), data(&without_a_cluster), data(&after));
        // Authority, six services, the gateway's own, link keys, password, broker.
        assert_eq!(before.len(), 11);
        assert_eq!(before, after);
        let changed = before.iter().filter(|(name, data)| anew[*name] != **data).count();
        assert_eq!(changed, 10, "without a cluster to ask, all but the broker's is made anew");
    }
    Ok(())
}

#[test]
fn certificates_are_made_anew_for_other_names_by_the_same_authority() -> Result<()> {
    let before = Render::example("small").objects()?;
    let moved = Render::example("small").set(r#"publicUrl="https://elsewhere.example.com""#);
    let (before, after) = (data(&before), data(&upgrade(moved, &before)?));
    for (name, data) in &before {
        let renamed = name.ends_with("-gateway-https");
        assert_eq!(*data != after[name], renamed, "{name}");
    }
    Ok(())
}

#[test]
fn what_was_made_outlives_the_release() -> Result<()> {
    let objects = Render::example("small").objects()?;
    for secret in objects.of_kind("Secret").filter(|secret| !secret.name().ends_with("-nats")) {
        let policy = &secret["metadata"]["annotations"]["helm.sh/resource-policy"];
        assert_eq!(policy, "keep", "{}", secret.name());
    }
    Ok(())
}

/// What openssl says of the certificate in a Secret.
fn certificate(secret: &Value, arguments: &[&str]) -> Result<String> {
    let text = secret["data"]["tls.crt"].as_str().context("no certificate")?;
    let pem = run(Command::new("base64").arg("-d"), text)?;
    run(Command::new("openssl").args(["x509", "-noout"]).args(arguments), &pem)
}

fn run(command: &mut Command, input: &str) -> Result<String> {
    let mut child =
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn()?;
    child.stdin.take().context("no input")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{command:?} ended with {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn generated_certificates_name_the_service_and_its_host() -> Result<()> {
    let objects = Render::example("minimal").objects()?;
    for service in SERVICES {
        let name = format!("ota-rota-{service}-internal-tls");
        let secret = objects.named("Secret", &name).with_context(|| name)?;
        for host in [service, &format!("ota-rota-{service}.prod.svc")] {
            let said = certificate(secret, &["-checkhost", host])?;
            assert!(said.contains("does match"), "{said}");
        }
        let usages = certificate(secret, &["-ext", "extendedKeyUsage"])?;
        assert!(usages.contains("Server") && usages.contains("Client"), "{usages}");
    }
    let door = objects.named("Secret", "ota-rota-gateway-https").context("no certificate")?;
    assert!(certificate(door, &["-checkhost", "rota.example.com"])?.contains("does match"));
    // Its key is shown to strangers: it must not be one that services believe.
    assert!(certificate(door, &["-checkhost", "gateway"])?.contains("NOT match"));
    Ok(())
}

#[test]
fn cert_manager_is_asked_for_the_same_names() -> Result<()> {
    let objects = Render::example("production").objects()?;
    for service in SERVICES {
        let name = format!("ota-rota-{service}-internal-tls");
        let spec = &objects.named("Certificate", &name).with_context(|| name)?["spec"];
        let names: Vec<_> = spec["dnsNames"].items().filter_map(Value::as_str).collect();
        assert_eq!(names[0], service);
        assert!(names.contains(&&*format!("ota-rota-{service}.prod.svc")), "{names:?}");
        let usages: Vec<_> = spec["usages"].items().filter_map(Value::as_str).collect();
        assert!(usages.contains(&"server auth") && usages.contains(&"client auth"));
    }
    Ok(())
}

#[test]
fn certificates_hold_as_long_as_is_said() -> Result<()> {
    let objects = Render::example("minimal").set("internalTLS.generated.days=10").objects()?;
    for name in ["ota-rota-authority", "ota-rota-gateway-https", "ota-rota-inventory-internal-tls"]
    {
        let secret = objects.named("Secret", name).context(name)?;
        let end = |days: u64| {
            let arguments = ["-checkend", &(days * 24 * 60 * 60).to_string()];
            certificate(secret, &arguments).is_ok()
        };
        assert!(end(9) && !end(11), "{name}");
    }
    Ok(())
}
