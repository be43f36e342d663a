//! Whether an Artifact whose payload cannot know by itself wants a restart: `reboot` in the
//! meta-data, `true`, `false` (unless set) or `"if-required"`.

use std::path::Path;

use serde_json::{Map, Value};

use super::{PayloadError, files::refused};
use crate::machine::RebootNeed;

/// By this file Debian's packages say that what they changed works after a restart only.
pub(super) const REQUIRED: &str = "/run/reboot-required";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reboot {
    Never,
    Always,
    IfRequired,
}

impl Reboot {
    pub(super) fn of(meta_data: &Map<String, Value>) -> Result<Self, PayloadError> {
        match meta_data.get("reboot") {
            None | Some(Value::Null | Value::Bool(false)) => Ok(Self::Never),
            Some(Value::Bool(true)) => Ok(Self::Always),
            Some(Value::String(word)) if word == "if-required" => Ok(Self::IfRequired),
            Some(other) => Err(refused(format!(
                "reboot in its meta-data must be true, false or \"if-required\", not {other}"
            ))),
        }
    }

    /// Looks for `required`, which is [`REQUIRED`].
    pub(super) fn need(self, required: &Path) -> RebootNeed {
        match self {
            Self::Always => RebootNeed::System,
            Self::IfRequired if required.exists() => RebootNeed::System,
            Self::Never | Self::IfRequired => RebootNeed::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_meta_data_decides() {
        let folder = tempfile::tempdir().unwrap();
        let required = folder.path().join("reboot-required");
        let need = |reboot: Value| {
            let meta_data = Map::from_iter([("reboot".to_owned(), reboot)]);
            Reboot::of(&meta_data).map(|reboot| reboot.need(&required))
        };
        assert_eq!(Reboot::of(&Map::new()).unwrap(), Reboot::Never);
        assert_eq!(need(json!(true)).unwrap(), RebootNeed::System);
        assert_eq!(need(json!("if-required")).unwrap(), RebootNeed::No);
        std::fs::write(&required, "").unwrap();
        assert_eq!(need(json!("if-required")).unwrap(), RebootNeed::System);
        assert_eq!(need(json!(false)).unwrap(), RebootNeed::No);
        for wrong in [json!("yes"), json!(1), json!([])] {
            assert!(need(wrong).is_err());
        }
    }
}
