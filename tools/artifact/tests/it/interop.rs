//! mender-artifact 3.9 of Debian reads what we write, and we read what it writes.

use rota_artifact::{Limits, Signature, Summary, validate};
use serde_json::Value;

use crate::{forge::unpack, keys, tool::Bench};

/// What all the Artifacts below have in common.
const COMMON: &str = "-n release-1 -t qemux86-64 -t beaglebone -g group-a -N release-0 -G group-b \
                      -d key:value -p other:thing --no-progress";

fn bench() -> Bench {
    let bench = Bench::new();
    bench.put("image.ext4", vec![7; 300_000]);
    bench.put("a.conf", "content of a\n");
    bench.put("b.conf", "");
    bench.put("meta.json", r#"{"one": [1, 2], "two": "<&>"}"#);
    bench.put("ArtifactInstall_Enter_00_stop", "#!/bin/sh\nexit 0\n");
    bench.put("rsa.pem", keys::RSA_PKCS1);
    bench.put("rsa.public.pem", keys::RSA_PUBLIC);
    bench.put("p256.pem", keys::P256);
    bench.put("p256.public.pem", keys::P256_PUBLIC);
    bench.put("ed25519.pem", keys::ED25519);
    bench.put("ed25519.public.pem", keys::ED25519_PUBLIC);
    bench.put("other.public.pem", keys::OTHER_PUBLIC);
    bench
}

/// The arguments that write each kind of Artifact, with flags that both tools know.
fn kinds() -> [(&'static str, String); 3] {
    let script = "-s ArtifactInstall_Enter_00_stop";
    [
        ("rootfs-image", format!("write rootfs-image {COMMON} -f image.ext4 {script}")),
        (
            "my-module",
            // 3.9 has no --no-progress here.
            format!(
                "write module-image {} -T my-module -f a.conf -f b.conf -m meta.json {script} \
                 --software-name app --software-version 7 --clears-provides mine.*",
                COMMON.replace("--no-progress", "")
            ),
        ),
        ("null", format!("write bootstrap-artifact {COMMON} --clears-provides mine.*")),
    ]
}

fn key_flags(key: Option<&str>) -> (String, String) {
    match key {
        None => (String::new(), String::new()),
        Some(name) => (format!("-k {name}.pem"), format!("-k {name}.public.pem")),
    }
}

#[test]
fn mender_artifact_validates_and_reads_what_we_write() {
    let bench = bench();
    for (kind, write) in kinds() {
        for compression in ["none", "gzip", "lzma"] {
            for key in [None, Some("rsa"), Some("p256")] {
                let (private, public) = key_flags(key);
                bench
                    .rota(&format!("{write} {private} --compression {compression} -o x.mender"))
                    .ok();
                bench.mender(&format!("validate {public} x.mender")).ok();
                let shown = bench.mender(&format!("read {public} x.mender")).ok();
                for fact in [
                    "Name: release-1",
                    "Version: 3",
                    "Compatible devices: '[qemux86-64 beaglebone]'",
                    "Provides group: group-a",
                    "[release-0]",
                    "[group-b]",
                    "other: thing",
                    "key: value",
                ] {
                    assert!(shown.contains(fact), "{kind} {compression}: no {fact} in {shown}");
                }
                let signature =
                    if key.is_some() { "signed and verified correctly" } else { "no signature" };
                assert!(shown.contains(signature), "{shown}");
                match kind {
                    "rootfs-image" => {
                        assert!(shown.contains("name:     image.ext4"), "{shown}");
                        assert!(
                            shown.contains(
                                r#"["artifact_group", "rootfs_image_checksum", "rootfs-image.*"]"#
                            ),
                            "{shown}"
                        );
                        assert!(shown.contains("rootfs-image.version: release-1"), "{shown}");
                        assert!(shown.contains("ArtifactInstall_Enter_00_stop"), "{shown}");
                    }
                    "my-module" => {
                        assert!(shown.contains("rootfs-image.app.version: 7"), "{shown}");
                        assert!(shown.contains(r#"["mine.*", "rootfs-image.app.*"]"#), "{shown}");
                        assert!(shown.contains("size:     13"), "{shown}");
                    }
                    _ => assert!(shown.contains("Empty type"), "{shown}"),
                }
            }
        }
    }
}

#[test]
fn mender_artifact_refuses_a_wrong_key_on_what_we_signed() {
    let bench = bench();
    let (_, write) = &kinds()[0];
    for key in ["rsa", "p256"] {
        bench.rota(&format!("{write} -k {key}.pem -o x.mender")).ok();
        bench.mender("validate -k other.public.pem x.mender").refuses();
        bench.mender("validate x.mender").refuses();
    }
}

#[test]
fn mender_artifact_3_9_knows_neither_zstd_nor_ed25519() {
    let bench = bench();
    let (_, write) = &kinds()[0];
    bench.rota(&format!("{write} --compression zstd -o zstd.mender")).ok();
    let said = bench.mender("validate zstd.mender").refuses();
    assert!(said.contains("header.tar.zst"), "{said}");
    bench.rota("validate zstd.mender").ok();

    let written = bench.rota(&format!("{write} -k ed25519.pem -o ed.mender"));
    written.ok();
    assert!(written.stderr().contains("only Rota's own clients"), "{}", written.stderr());
    // 3.9 ends with 0 all the same when it cannot use a key.
    let ran = bench.mender("validate -k ed25519.public.pem ed.mender");
    assert!(ran.stderr().contains("unsupported public key type"), "{}", ran.stderr());
    assert!(!String::from_utf8_lossy(ran.bytes()).contains("validated successfully"));
    bench.rota("validate -k ed25519.public.pem ed.mender").ok();
}

#[test]
fn we_validate_and_read_what_mender_artifact_writes() {
    let bench = bench();
    for (kind, write) in kinds() {
        for compression in ["none", "gzip", "lzma"] {
            for key in [None, Some("rsa"), Some("p256")] {
                let (private, public) = key_flags(key);
                bench
                    .mender(&format!("{write} {private} --compression {compression} -o x.mender"))
                    .ok();
                bench.rota(&format!("validate {public} x.mender")).ok();
                let json = bench.rota(&format!("read {public} --output json x.mender")).ok();
                let shown: Value = serde_json::from_str(&json).unwrap();
                let expected = if key.is_some() { "verified" } else { "unsigned" };
                assert_eq!(shown["signature"], expected);
                assert_facts(kind, &shown);
                let text = bench.rota(&format!("read {public} x.mender")).ok();
                assert!(text.contains("Compatible types: [qemux86-64, beaglebone]"), "{text}");
            }
        }
    }
}

fn assert_facts(kind: &str, shown: &Value) {
    let Summary { depends, provides, updates, clears_provides, scripts, .. } = {
        let mut summary = shown.clone();
        if summary["signature"] == "failed" {
            summary["signature"] = "unverified".into();
        }
        serde_json::from_value(summary).unwrap()
    };
    assert_eq!(depends["device_type"], ["qemux86-64", "beaglebone"]);
    assert_eq!(depends["artifact_name"], ["release-0"]);
    assert_eq!(depends["artifact_group"], ["group-b"]);
    assert_eq!(depends["key"], ["value"]);
    assert_eq!(provides["artifact_name"], "release-1");
    assert_eq!(provides["artifact_group"], "group-a");
    assert_eq!(provides["other"], "thing");
    let update = &updates[0];
    let sizes: Vec<_> = update.files.iter().map(|file| (&*file.name, file.size_bytes)).collect();
    match kind {
        "rootfs-image" => {
            assert!(update.payload_type.is_rootfs_image());
            assert_eq!(sizes, [("image.ext4", 300_000)]);
            assert_eq!(provides["rootfs-image.version"], "release-1");
            assert_eq!(provides["rootfs-image.checksum"], update.files[0].checksum.to_string());
            assert_eq!(scripts, ["ArtifactInstall_Enter_00_stop"]);
        }
        "my-module" => {
            assert_eq!(update.payload_type.name(), Some("my-module"));
            assert_eq!(sizes, [("a.conf", 13), ("b.conf", 0)]);
            assert_eq!(provides["rootfs-image.app.version"], "7");
            assert_eq!(clears_provides.unwrap(), ["mine.*", "rootfs-image.app.*"]);
            assert_eq!(update.meta_data.as_ref().unwrap()["two"], "<&>");
        }
        _ => {
            assert_eq!(update.payload_type.name(), None);
            assert!(update.files.is_empty());
        }
    }
}

/// The manifest is what is signed: where both tools say the same, it is the same.
#[test]
fn both_tools_write_the_same_documents() {
    let bench = bench();
    for (kind, write) in kinds() {
        bench.mender(&format!("{write} --compression none -o theirs.mender")).ok();
        bench.rota(&format!("{write} --compression none -o ours.mender")).ok();
        let header = |name: &str| {
            let artifact = bench.get(name);
            let reader = rota_artifact::Reader::open(&*artifact, &Limits::default()).unwrap();
            reader.header().clone()
        };
        let (theirs, ours) = (header("theirs.mender"), header("ours.mender"));
        assert_eq!(ours.header_info_json, theirs.header_info_json, "{kind}");
        assert_eq!(ours.payload.provides, theirs.payload.provides, "{kind}");
        assert_eq!(ours.payload.depends, theirs.payload.depends, "{kind}");
        assert_eq!(ours.payload.clears_provides, theirs.payload.clears_provides, "{kind}");
        assert_eq!(ours.payload.meta_data, theirs.payload.meta_data, "{kind}");
        let names = |header: &rota_artifact::Header| -> Vec<_> {
            header.manifest.entries().iter().map(|entry| entry.name.clone()).collect()
        };
        assert_eq!(names(&ours), names(&theirs), "{kind}");
        let files = |name: &str| unpack(&bench.get(name)).unwrap().1;
        assert_eq!(files("ours.mender"), files("theirs.mender"), "{kind}");
    }
}

#[test]
fn either_tool_signs_what_the_other_wrote() {
    let bench = bench();
    let (_, write) = &kinds()[1];
    for key in ["rsa", "p256"] {
        bench.mender(&format!("{write} -o x.mender")).ok();
        bench.rota(&format!("sign -k {key}.pem x.mender")).ok();
        bench.mender(&format!("validate -k {key}.public.pem x.mender")).ok();

        bench.rota(&format!("{write} -o x.mender")).ok();
        bench.mender(&format!("sign -k {key}.pem x.mender")).ok();
        bench.rota(&format!("validate -k {key}.public.pem x.mender")).ok();
        let keys =
            keys::verifying(&[if key == "rsa" { keys::RSA_PUBLIC } else { keys::P256_PUBLIC }]);
        let summary = validate(&*bench.get("x.mender"), &Limits::default(), Some(&keys)).unwrap();
        assert_eq!(summary.signature, Signature::Verified);
    }
}
