//! Control maps as they are typed: in a file, or as the steps to pause before.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};

use crate::cli::{Change, Create, Step};

/// The longest map that is read, in bytes. The longest that says something new is a tenth of it.
const MAX_MAP: u64 = 8 << 10;

/// The map that a new deployment begins with, if any.
pub(super) fn of_new(create: &Create) -> Result<Option<Value>> {
    match &create.control_map {
        Some(path) => read(path).map(Some),
        None if create.pause_before.is_empty() => Ok(None),
        None => Ok(Some(pausing(&create.pause_before))),
    }
}

/// The map that takes the place of a deployment's. One that goes on says nothing at all, so that
/// maps of a device's own are heard.
pub(super) fn changed(change: &Change) -> Result<Value> {
    match &change.file {
        Some(path) => read(path),
        None => Ok(pausing(&change.pause_before)),
    }
}

fn pausing(steps: &[Step]) -> Value {
    let states: Map<String, Value> =
        steps.iter().map(|step| (step.state().to_owned(), json!({ "action": "pause" }))).collect();
    json!({ "states": states })
}

/// A map from a file, or from standard input. What it says is for the server to judge.
fn read(path: &Path) -> Result<Value> {
    let shown = path.display();
    let input: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot open {shown}"))?)
    };
    let mut text = Vec::new();
    input
        .take(MAX_MAP + 1)
        .read_to_end(&mut text)
        .with_context(|| format!("cannot read {shown}"))?;
    ensure!(text.len() as u64 <= MAX_MAP, "{shown} is longer than any control map");
    serde_json::from_slice(&text).with_context(|| format!("{shown} is no JSON"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_become_states() {
        let pause = json!({ "action": "pause" });
        assert_eq!(
            pausing(&[Step::Reboot, Step::Commit]),
            json!({ "states": { "ArtifactReboot_Enter": pause, "ArtifactCommit_Enter": pause } })
        );
        assert_eq!(pausing(&[]), json!({ "states": {} }));
    }

    #[test]
    fn a_file_that_is_no_map_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("map.json");
        assert!(read(&path).unwrap_err().to_string().contains("map.json"));
        std::fs::write(&path, "{").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("map.json is no JSON"));
        std::fs::write(&path, " ".repeat(9000)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("longer"));
        std::fs::write(&path, r#"{"priority": 1}"#).unwrap();
        assert_eq!(read(&path).unwrap(), json!({ "priority": 1 }));
    }
}
