//! helm, as it is used here: never with a cluster of its own.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, anyhow, ensure};

use crate::objects::Objects;

/// Values files in the chart's `examples` folder. Together they set every value.
pub(crate) const EXAMPLES: [&str; 5] =
    ["minimal", "small", "production", "everything", "otherwise"];

/// The namespace of all renderings.
pub(crate) const NAMESPACE: &str = "prod";

/// The repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The chart's folder.
pub(crate) fn chart() -> PathBuf {
    repository().join("charts/rota")
}

/// The path of a values file among the examples.
pub(crate) fn example(name: &str) -> PathBuf {
    chart().join("examples").join(name).with_extension("yaml")
}

/// A program that `.ci/charts-tools` gets.
pub(crate) fn tool(name: &str) -> Result<PathBuf> {
    let path = repository().join("target/charts/bin").join(name);
    ensure!(path.is_file(), "{name} is not there; run `.ci/charts-tools` (make charts does)");
    Ok(path)
}

/// A rendering of the chart.
#[derive(Debug, Clone)]
pub(crate) struct Render {
    program: &'static str,
    release: String,
    arguments: Vec<String>,
}

impl Render {
    /// The release `ota`, with the chart's values alone, by helm 4.
    pub(crate) fn new() -> Self {
        Self { program: "helm", release: "ota".to_owned(), arguments: Vec::new() }
    }

    /// With the values of an example.
    pub(crate) fn example(name: &str) -> Self {
        Self::new().argument("--values").argument(example(name).to_string_lossy())
    }

    /// By another helm.
    pub(crate) fn with_program(self, program: &'static str) -> Self {
        Self { program, ..self }
    }

    /// Under another name.
    pub(crate) fn release(self, release: &str) -> Self {
        Self { release: release.to_owned(), ..self }
    }

    /// With a value: `path=value`, the value in JSON.
    pub(crate) fn set(self, value: impl Into<String>) -> Self {
        self.argument("--set-json").argument(value)
    }

    /// With one more argument of helm.
    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// The objects.
    pub(crate) fn objects(&self) -> Result<Objects> {
        Objects::parse(&self.text()?)
    }

    /// The objects as helm prints them.
    pub(crate) fn text(&self) -> Result<String> {
        let said = self.outcome()?;
        said.map_err(|refusal| anyhow!("helm {:?}: {refusal}", self.arguments))
    }

    /// What helm says against it; nothing when it renders.
    pub(crate) fn refusal(&self) -> Result<Option<String>> {
        Ok(self.outcome()?.err())
    }

    /// The objects as helm prints them, or what it says against it.
    pub(crate) fn outcome(&self) -> Result<std::result::Result<String, String>> {
        let Output { status, stdout, stderr } = self.run()?;
        let said = String::from_utf8(if status.success() { stdout } else { stderr })?;
        Ok(if status.success() { Ok(said) } else { Err(said) })
    }

    fn run(&self) -> Result<Output> {
        Command::new(tool(self.program)?)
            .args(["template", &self.release])
            .arg(chart())
            .args(["--namespace", NAMESPACE])
            .args(&self.arguments)
            // Short runs are twice as fast without collecting garbage.
            .env("GOGC", "off")
            // No cluster of whoever runs this.
            .env("KUBECONFIG", "/dev/null")
            .output()
            .context("cannot start helm")
    }
}

/// `helm lint --strict` with an example's values.
pub(crate) fn lint(program: &'static str, name: &str) -> Result<Output> {
    Command::new(tool(program)?)
        .args(["lint", "--strict", "--values"])
        .arg(example(name))
        .arg(chart())
        .output()
        .context("cannot start helm")
}
