//! Which names are allowed, everywhere a name can lead a reader astray.

use crate::Error;

/// Longest artifact name, group or device type in bytes (mender-artifact 4.1.1 and later).
pub(crate) const LABEL_MAX_BYTES: usize = 256;
/// Longest base name that a reader takes, the limit of Linux filesystems.
const FILE_MAX_BYTES: usize = 255;
/// Longest base name of a payload file that Mender's client can install: with `data/0000/` it
/// must fit the 100 bytes of a tar header.
#[cfg(feature = "write")]
pub(crate) const PORTABLE_FILE_MAX_BYTES: usize = 90;

/// Refuses paths that start at the root or climb out of the folder they are in.
pub(crate) fn check_relative(path: &str) -> Result<(), Error> {
    let name = || path.to_owned();
    if path.starts_with('/') {
        return Err(Error::AbsolutePath { name: name() });
    }
    if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Error::PathEscapes { name: name() });
    }
    Ok(())
}

/// Checks the base name of a payload file: letters, digits and `.,_-`, as mender-artifact reads
/// and writes them.
pub(crate) fn check_file(base: &str) -> Result<(), Error> {
    check_relative(base)?;
    let name = || base.to_owned();
    if base.contains('/') {
        return Err(Error::PathEscapes { name: name() });
    }
    if base.len() > FILE_MAX_BYTES {
        return Err(Error::ForbiddenName { name: name(), reason: "longer than 255 bytes" });
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ',' | '_' | '-');
    if base.chars().all(allowed) {
        Ok(())
    } else {
        let reason = "only letters, digits and the characters .,_- are allowed";
        Err(Error::ForbiddenName { name: name(), reason })
    }
}

/// Checks a payload type, which becomes the file name of an Update Module.
pub(crate) fn check_payload_type(payload_type: &str) -> Result<(), &'static str> {
    if payload_type.is_empty() {
        Err("the payload type is empty")
    } else if payload_type.contains('/') || matches!(payload_type, "." | "..") {
        Err("the payload type leaves the folder of Update Modules")
    } else {
        check_label(payload_type)
    }
}

/// Checks an artifact name, group or device type: 1 to 256 bytes, printable, no white space but
/// the plain blank.
pub(crate) fn check_label(label: &str) -> Result<(), &'static str> {
    if label.is_empty() {
        Err("it is empty")
    } else if label.len() > LABEL_MAX_BYTES {
        Err("it is longer than 256 bytes")
    } else if !label.chars().all(is_printable) {
        Err("it has characters that cannot be printed")
    } else {
        Ok(())
    }
}

/// Letters, marks, numbers, punctuation, symbols and the plain blank; leaves out what hides or
/// reorders text (zero width and directional characters), private use and separators.
fn is_printable(c: char) -> bool {
    let hidden = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}');
    c == ' ' || !(hidden || c.is_control() || c.is_whitespace())
}

/// Checks `Artifact<State>_<Enter|Leave|Error>_<NN>[_<text without blanks>]`.
pub(crate) fn check_script(script: &str) -> Result<(), Error> {
    check_relative(script)?;
    if is_script(script) { Ok(()) } else { Err(Error::ScriptName { name: script.to_owned() }) }
}

fn is_script(script: &str) -> bool {
    const STATES: [&str; 6] = [
        "ArtifactInstall",
        "ArtifactReboot",
        "ArtifactCommit",
        "ArtifactRollback",
        "ArtifactRollbackReboot",
        "ArtifactFailure",
    ];
    let mut parts = script.splitn(4, '_');
    let (state, action, order) = (parts.next(), parts.next(), parts.next());
    let text = parts.next();
    state.is_some_and(|state| STATES.contains(&state))
        && matches!(action, Some("Enter" | "Leave" | "Error"))
        && order.is_some_and(|nn| nn.len() == 2 && nn.bytes().all(|b| b.is_ascii_digit()))
        && text.is_none_or(|text| !text.is_empty() && !text.contains(char::is_whitespace))
        && !script.contains(['/', '\0'])
        && script.len() <= FILE_MAX_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_names_follow_the_grammar() {
        for good in [
            "ArtifactInstall_Enter_00",
            "ArtifactCommit_Leave_99_restart.sh",
            "ArtifactRollbackReboot_Error_01_a_b",
        ] {
            assert!(check_script(good).is_ok(), "{good}");
        }
        for bad in [
            "Download_Enter_00",
            "ArtifactInstall_Enter_0",
            "ArtifactInstall_Enter_000",
            "ArtifactInstall_Enter_00_",
            "ArtifactInstall_Enter_00 x",
            "ArtifactInstall_Enter_00_a b",
            "ArtifactInstall_Enter_00_a/b",
            "xArtifactInstall_Enter_00",
            "evil.sh",
            "",
        ] {
            assert!(check_script(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_hide_nothing() {
        assert_eq!(check_label("release 1.2 (ünï)"), Ok(()));
        for bad in ["", "a\nb", "a\tb", "a\u{202e}b", "a\u{200b}b", &"x".repeat(257)] {
            assert!(check_label(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn payload_types_stay_among_the_modules() {
        assert_eq!(check_payload_type("single-file"), Ok(()));
        for bad in ["", ".", "..", "../../bin/sh", "a/b", "a\0b"] {
            assert!(check_payload_type(bad).is_err(), "{bad:?}");
        }
    }
}
