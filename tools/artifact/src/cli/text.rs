//! An Artifact's summary for people, in the shape of mender-artifact 4, which is also YAML.

use std::{collections::BTreeMap, fmt::Write};

use chrono::DateTime;
use rota_artifact::{File, Summary, Update};

use super::read::Verdict;

/// Keys that have lines of their own at the top.
const OWN_LINES: [&str; 3] = ["artifact_name", "artifact_group", "device_type"];

pub(crate) fn render(summary: &Summary, verdict: Verdict) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = header(&mut text, summary, verdict);
    for update in &summary.updates {
        let _ = payload(&mut text, summary, update);
    }
    text
}

fn header(text: &mut String, summary: &Summary, verdict: Verdict) -> std::fmt::Result {
    let signature = match verdict {
        Verdict::Unsigned => "no signature",
        Verdict::NoKey => {
            "signed but no key for verification provided; \
             please use `-k` option for providing verification key"
        }
        Verdict::Verified => "signed and verified correctly",
        Verdict::Failed => "signed; verification using provided key failed",
    };
    let empty = Vec::new();
    let depends = |key: &str| list(summary.depends.get(key).unwrap_or(&empty));
    let group = summary.provides.get("artifact_group");
    writeln!(text, "Mender Artifact:")?;
    writeln!(text, "  Name: {}", scalar(&summary.name))?;
    writeln!(text, "  Format: mender")?;
    writeln!(text, "  Version: {}", summary.format_version)?;
    writeln!(text, "  Signature: {signature}")?;
    writeln!(text, "  Compatible types: {}", list(&summary.device_types))?;
    writeln!(text, "  Provides group: {}", group.map(|group| scalar(group)).unwrap_or_default())?;
    writeln!(text, "  Depends on one of artifact(s): {}", depends("artifact_name"))?;
    writeln!(text, "  Depends on one of group(s): {}", depends("artifact_group"))?;
    lines(text, 2, "State scripts", "[]", &summary.scripts)?;
    writeln!(text, "\nUpdates:")
}

fn payload(text: &mut String, summary: &Summary, update: &Update) -> std::fmt::Result {
    let kind = update.payload_type.name().map_or_else(|| "Empty type".to_owned(), scalar);
    writeln!(text, "  - Type: {kind}")?;
    let provides = summary.provides.iter().map(|(key, value)| (key, scalar(value)));
    map(text, "Provides", provides)?;
    let value = |values: &[String]| match values {
        [value] => scalar(value),
        values => list(values),
    };
    map(text, "Depends", summary.depends.iter().map(|(key, values)| (key, value(values))))?;
    let clears = summary.clears_provides.as_deref().unwrap_or_default();
    writeln!(text, "    Clears Provides: {}", list(clears))?;
    match &update.meta_data {
        None => writeln!(text, "    Metadata: {{}}")?,
        Some(meta_data) => {
            let sorted: BTreeMap<_, _> = meta_data.iter().collect();
            let json = serde_json::to_string_pretty(&sorted).unwrap_or_default();
            writeln!(text, "    Metadata:")?;
            json.lines().try_for_each(|line| writeln!(text, "      {line}"))?;
        }
    }
    if update.files.is_empty() {
        return writeln!(text, "    Files: []");
    }
    writeln!(text, "    Files:")?;
    update.files.iter().try_for_each(|each| file(text, each))
}

fn file(text: &mut String, file: &File) -> std::fmt::Result {
    let modified = i64::try_from(file.modified_unix)
        .ok()
        .and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        .map_or_else(
            || "unknown".to_owned(),
            |at| at.format("%Y-%m-%d %H:%M:%S +0000 UTC").to_string(),
        );
    writeln!(text, "      - checksum: {}", file.checksum)?;
    writeln!(text, "        modified: {modified}")?;
    writeln!(text, "        name: {}", scalar(&file.name))?;
    writeln!(text, "        size: {}", file.size_bytes)
}

fn map<'a>(
    text: &mut String,
    title: &str,
    entries: impl Iterator<Item = (&'a String, String)>,
) -> std::fmt::Result {
    let mut entries = entries.filter(|(key, _)| !OWN_LINES.contains(&key.as_str())).peekable();
    if entries.peek().is_none() {
        return writeln!(text, "    {title}: {{}}");
    }
    writeln!(text, "    {title}:")?;
    entries.try_for_each(|(key, value)| writeln!(text, "      {}: {value}", scalar(key)))
}

fn lines(
    text: &mut String,
    indent: usize,
    title: &str,
    empty: &str,
    items: &[String],
) -> std::fmt::Result {
    if items.is_empty() {
        return writeln!(text, "{:indent$}{title}: {empty}", "");
    }
    writeln!(text, "{:indent$}{title}:", "")?;
    items.iter().try_for_each(|item| writeln!(text, "{:indent$}  - {}", "", scalar(item)))
}

fn list(items: &[String]) -> String {
    let items: Vec<_> = items.iter().map(|item| scalar(item)).collect();
    format!("[{}]", items.join(", "))
}

/// A value as it is, or quoted when it could be taken for something else: by a YAML parser, or by
/// a terminal.
fn scalar(value: &str) -> String {
    let plain =
        |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '+' | '*' | ' ');
    let inner = |c: char| plain(c) || c == ':';
    let is_plain = value.chars().all(inner)
        && !value.contains(": ")
        && !value.ends_with(':')
        && !value.starts_with([' ', '-', ':', '*'])
        && !value.ends_with(' ');
    if is_plain && !value.is_empty() {
        return value.to_owned();
    }
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_only_when_they_must_be() {
        for plain in ["release-1.2", "rootfs-image.*", "a b", "1:2", "ü"] {
            assert_eq!(scalar(plain), plain);
        }
        for (value, quoted) in [
            ("", r#""""#),
            ("a: b", r#""a: b""#),
            ("*", r#""*""#),
            ("- a", r#""- a""#),
            ("a\u{1b}[2J", "\"a\\u001b[2J\""),
            ("a, b", r#""a, b""#),
        ] {
            assert_eq!(scalar(value), quoted);
        }
    }
}
