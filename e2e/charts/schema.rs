//! The objects against Kubernetes' own description of them, and helm's opinion of the chart.

use std::process::Command;

use anyhow::{Context, Result};

use crate::helm::{self, EXAMPLES, Render};

/// Kinds that Kubernetes does not describe: their operators bring them.
const FOREIGN: [&str; 5] = ["Certificate", "Issuer", "PodMonitor", "PrometheusRule", "TLSRoute"];

/// The oldest version that Chart.yaml allows, and the newest that is known.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];

#[test]
fn helm_finds_nothing_to_complain_about() -> Result<()> {
    for program in ["helm", "helm3"] {
        for example in EXAMPLES {
            let lint = helm::lint(program, example)?;
            let said = String::from_utf8_lossy(&lint.stdout);
            assert!(lint.status.success() && !said.contains("WARNING"), "{example}: {said}");
        }
    }
    Ok(())
}

#[test]
fn kubernetes_knows_every_field() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut files = Vec::new();
    for example in EXAMPLES {
        let file = folder.path().join(example).with_extension("yaml");
        std::fs::write(&file, Render::example(example).text()?)?;
        files.push(file);
    }
    for version in VERSIONS {
        let output = Command::new(helm::tool("kubernetes-validate")?)
            .args(["--strict", "--kubernetes-version", version])
            .args(&files)
            .output()
            .context("cannot start kubernetes-validate")?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{version}: {said}");
        let unknown: Vec<_> = said
            .lines()
            .filter(|line| line.starts_with("WARN"))
            .filter(|line| !FOREIGN.iter().any(|kind| line.contains(&format!("kind {kind} "))))
            .collect();
        assert!(unknown.is_empty(), "{version}: {unknown:?}");
        assert!(said.contains("INFO"), "nothing was validated: {said}");
    }
    Ok(())
}

#[test]
fn helm_3_makes_the_same_objects() -> Result<()> {
    let kinds = |program| -> Result<Vec<String>> {
        let objects = Render::example("everything").with_program(program).objects()?;
        let mut lines: Vec<_> = objects
            .iter()
            .filter(|object| object["kind"] != "Secret")
            .map(ToString::to_string)
            .collect();
        lines.sort();
        Ok(lines)
    };
    assert_eq!(kinds("helm")?, kinds("helm3")?);
    Ok(())
}

#[test]
fn versions_of_kubernetes_that_lack_what_is_used_are_refused() -> Result<()> {
    let old = Render::example("minimal").argument("--kube-version").argument("1.29.9");
    let said = old.refusal()?.context("1.29 is taken")?;
    assert!(said.contains("kubeVersion"), "{said}");
    Ok(())
}
