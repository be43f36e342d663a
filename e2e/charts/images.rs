//! The images: one for each program that the chart starts, as the chart takes it to be.

use std::{collections::BTreeSet, fs, process::Command};

use anyhow::{Context, Result, ensure};
use regex::Regex;
use rota_e2e::programs;

use crate::{
    helm::{Render, repository},
    objects::{Object, Objects, Pod},
};

fn dockerfile() -> Result<String> {
    fs::read_to_string(repository().join("Dockerfile")).context("cannot read the Dockerfile")
}

/// The part of the Dockerfile that makes a program's image.
fn stage<'a>(dockerfile: &'a str, program: &str) -> Result<&'a str> {
    let begin = format!("FROM image AS {program}\n");
    let (_, rest) = dockerfile.split_once(&begin).with_context(|| format!("no {begin}"))?;
    Ok(rest.split("\nFROM ").next().unwrap_or(rest))
}

/// The program in a pod's image.
fn program(pod: &Pod<'_>) -> Option<String> {
    let image = pod.container()["image"].as_str()?;
    Some(image.rsplit('/').next()?.split(':').next()?.to_owned())
}

fn everything() -> Result<Objects> {
    Render::example("everything").objects()
}

#[test]
fn each_program_of_the_chart_has_an_image_that_starts_it() -> Result<()> {
    let (objects, dockerfile) = (everything()?, dockerfile()?);
    let mut used = BTreeSet::new();
    for pod in objects.pods() {
        let program = program(&pod).context("a container without an image")?;
        let stage = stage(&dockerfile, &program)?;
        assert!(stage.contains(&format!("ENTRYPOINT [\"/{program}\"]")), "{stage}");
        assert!(stage.contains(&format!("COPY --from=build /images/{program} /")), "{stage}");
        for port in pod.container()["ports"].items() {
            let number = port["containerPort"].to_string();
            let exposed = stage.lines().find(|line| line.starts_with("EXPOSE"));
            let exposed = exposed.with_context(|| format!("{program} exposes nothing"))?;
            assert!(exposed.split(' ').any(|word| word == number), "{program}: {number}");
        }
        used.insert(program);
    }
    let stages = Regex::new("(?m)^FROM image AS (.+)$")?;
    let built: BTreeSet<_> =
        stages.captures_iter(&dockerfile).map(|stage| stage[1].to_owned()).collect();
    assert_eq!(built, used);
    for program in built {
        assert!(dockerfile.contains(&format!("-p {program}")), "{program} is not compiled");
    }
    Ok(())
}

#[test]
fn images_have_the_user_that_pods_run_as() -> Result<()> {
    let objects = everything()?;
    let user = &objects.service_pod("gateway")?.spec()["securityContext"]["runAsUser"];
    assert!(dockerfile()?.contains(&format!("USER {user}:{user}\n")));
    Ok(())
}

#[test]
fn images_are_built_with_the_compiler_that_is_needed() -> Result<()> {
    let version = Regex::new("(?m)^rust-version = \"(.+)\"$")?;
    let manifest = fs::read_to_string(repository().join("Cargo.toml"))?;
    let version = version.captures(&manifest).context("no rust-version")?;
    assert!(dockerfile()?.contains(&format!("FROM rust:{}-", &version[1])));
    Ok(())
}

#[test]
fn an_image_has_one_program_and_no_shell() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path().join("image");
    let status = Command::new(repository().join(".ci/rootfs"))
        .arg(programs::ours("rota-gateway")?)
        .arg(&root)
        .status()?;
    ensure!(status.success(), "rootfs ended with {status}");
    let (mut folders, mut programs) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !name.contains("/lib") && !name.contains("/etc/") {
                programs.push(path);
            }
        }
    }
    assert_eq!(programs, [root.join("rota-gateway")]);
    let authorities = fs::read_to_string(root.join("etc/ssl/certs/ca-certificates.crt"))?;
    assert!(authorities.contains("BEGIN CERTIFICATE"), "no public authorities");
    Ok(())
}
