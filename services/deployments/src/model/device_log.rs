//! A device's log of a deployment, as text.

use std::fmt::Write;

use chrono::{DateTime, Utc};

/// One line that a device sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    pub(crate) time: DateTime<Utc>,
    /// `info`, `error`, …: the device's word.
    pub(crate) level: String,
    pub(crate) message: String,
}

/// The log as people read it: `<time UTC> <level>: <message>` on each line.
pub(crate) fn render(lines: &[LogLine]) -> String {
    let mut text = String::new();
    for LogLine { time, level, message } in lines {
        let time = time.format("%Y-%m-%d %H:%M:%S%.f +0000 UTC");
        writeln!(text, "{time} {level}: {message}").expect("writing into a String cannot fail");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_time_level_and_message() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let lines = [
            LogLine {
                time: time("2026-11-21T10:00:00Z"),
                level: "info".to_owned(),
                message: "starting".to_owned(),
            },
            LogLine {
                time: time("2026-11-21T12:00:00.25+01:00"),
                level: "error".to_owned(),
                message: "no: space".to_owned(),
            },
        ];
        assert_eq!(
            render(&lines),
            "2026-11-21 10:00:00 +0000 UTC info: starting\n\
             2026-11-21 11:00:00.250 +0000 UTC error: no: space\n"
        );
    }
}
