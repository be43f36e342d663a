//! Where the built programs lie: beside the test or tool that runs.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// The path of one of our programs, such as `rota-server`.
///
/// They lie in the folder that cargo built the running program into, or one above it (tests
/// run from `deps/`).
pub fn ours(name: &str) -> Result<PathBuf> {
    let running = std::env::current_exe().context("cannot tell where this program lies")?;
    for folder in running.ancestors().skip(1).take(2) {
        let candidate = folder.join(name);
        if candidate.is_file() {
            return Ok(candidate);
        }
    }
    bail!("{name} is not built; run `cargo build --workspace --bins` (make test does)")
}

/// The path of a program from the machine, such as Debian's `mender-client`.
pub fn theirs(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{name} is not installed; run `make setup` (package {package})"))
}
