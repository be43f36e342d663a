//! Documents of the header that cannot be are refused, and said to be so.

use rota_artifact::Error;

use crate::forge::{Forge, assert_refused, member};

#[test]
fn wrong_numbers_of_payloads() {
    for (payloads, count) in [("[]", 0), (r#"[{"type":"a"},{"type":"b"}]"#, 2)] {
        let info = format!(
            r#"{{"payloads":{payloads},"artifact_provides":{{"artifact_name":"n"}},"artifact_depends":{{"device_type":["d"]}}}}"#
        );
        let result = Forge::sound().with("header-info", info).validate();
        assert_refused!(result, Error::UnsupportedPayloadCount { found } if found == count);
    }
}

#[test]
fn header_info_that_cannot_be() {
    let refused = |info: &str| Forge::sound().with("header-info", info).validate().unwrap_err();
    let sound = |info: &str| format!(r#"{{"payloads":[{{"type":"single-file"}}],{info}}}"#);
    for info in [
        r#""artifact_depends":{"device_type":["d"]}"#,
        r#""artifact_provides":{},"artifact_depends":{"device_type":["d"]}"#,
        r#""artifact_provides":{"artifact_name":""},"artifact_depends":{"device_type":["d"]}"#,
        r#""artifact_provides":{"artifact_name":"a\nb"},"artifact_depends":{"device_type":["d"]}"#,
        r#""artifact_provides":{"artifact_name":"n"}"#,
        r#""artifact_provides":{"artifact_name":"n"},"artifact_depends":{}"#,
        r#""artifact_provides":{"artifact_name":"n"},"artifact_depends":{"device_type":[]}"#,
        r#""artifact_provides":{"artifact_name":"n"},"artifact_depends":{"device_type":[""]}"#,
    ] {
        assert!(matches!(refused(&sound(info)), Error::Header { .. }), "{info}");
    }
    for info in [
        r#""artifact_provides":{"artifact_name":1},"artifact_depends":{"device_type":["d"]}"#,
        r#""artifact_provides":{"artifact_name":"n","x":""},"artifact_depends":{"device_type":["d"]}"#,
        r#""artifact_provides":{"artifact_name":"n"},"artifact_depends":{"device_type":"d"}"#,
        r#""x":1,"artifact_provides":{"artifact_name":"n"},"artifact_depends":{"device_type":["d"]}"#,
    ] {
        assert!(matches!(refused(&sound(info)), Error::Json { .. }), "{info}");
    }
    for info in ["", "null", "[]", "{", "{} {}"] {
        assert!(matches!(refused(info), Error::Json { .. }), "{info}");
    }
    let bottomless = "[".repeat(100_000);
    assert!(matches!(refused(&bottomless), Error::Json { .. }));
}

#[test]
fn payload_types_that_leave_the_folder_of_modules() {
    for payload_type in ["../../bin/sh", "..", "a/b", ""] {
        let info = format!(
            r#"{{"payloads":[{{"type":"{payload_type}"}}],"artifact_provides":{{"artifact_name":"n"}},"artifact_depends":{{"device_type":["d"]}}}}"#
        );
        let result = Forge::sound().with("header-info", info).validate();
        assert_refused!(result, Error::Header { .. });
    }
}

#[test]
fn type_info_that_cannot_be() {
    let refused =
        |info: &str| Forge::sound().with("headers/0000/type-info", info).validate().unwrap_err();
    for info in [
        r#"{"type":"other"}"#,
        r#"{"type":""}"#,
        r#"{"type":null}"#,
        "{}",
        r#"{"type":"single-file","artifact_provides":{"artifact_name":"n"}}"#,
        r#"{"type":"single-file","artifact_depends":{"device_type":["n"]}}"#,
        r#"{"type":"single-file","clears_artifact_provides":["a\\"]}"#,
    ] {
        assert!(matches!(refused(info), Error::Header { .. }), "{info}");
    }
    for info in [
        r#"{"type":1}"#,
        r#"{"type":"single-file","artifact_provides":{"a":["1"]}}"#,
        r#"{"type":"single-file","artifact_depends":{"a":1}}"#,
        r#"{"type":"single-file","clears_artifact_provides":"a"}"#,
    ] {
        assert!(matches!(refused(info), Error::Json { .. }), "{info}");
    }
}

#[test]
fn meta_data_that_is_no_object() {
    for meta_data in ["[]", "1", "x", " "] {
        let result = Forge::sound().with("headers/0000/meta-data", meta_data).validate();
        assert_refused!(result, Error::Json { document: "meta-data", .. });
    }
}

#[test]
fn script_names_that_are_none() {
    for name in
        ["scripts/evil.sh", "scripts/Download_Enter_00", "scripts/ArtifactInstall_Enter_00_a b"]
    {
        let mut forge = Forge::sound();
        forge.header.insert(1, member(name, "x"));
        assert_refused!(forge.validate(), Error::ScriptName { .. });
    }
    let mut forge = Forge::sound();
    forge.header.insert(1, member("scripts/", ""));
    assert_refused!(forge.validate(), Error::NotAFile { .. });
}

#[test]
fn payloads_that_do_not_fit_their_type() {
    let typed = |payload_type: &str| {
        Forge::sound()
            .with("header-info", format!(r#"{{"payloads":[{{"type":{payload_type}}}],"artifact_provides":{{"artifact_name":"n"}},"artifact_depends":{{"device_type":["d"]}}}}"#))
            .with("headers/0000/type-info", format!(r#"{{"type":{payload_type}}}"#))
    };
    assert_refused!(typed(r#""rootfs-image""#).validate(), Error::Header { .. });
    assert_refused!(typed("null").validate(), Error::Header { document: "meta-data", .. });
    let empty = typed("null").without("headers/0000/meta-data");
    assert_refused!(empty.validate(), Error::Header { document: "the payload", .. });
    let empty = Forge { files: Vec::new(), ..empty };
    assert_eq!(empty.validate().unwrap().updates[0].payload_type.name(), None);
}
