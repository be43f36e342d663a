//! The command: what it prints, which files it leaves, and how it exits.

use serde_json::Value;

use crate::{keys, tool::Bench};

fn bench() -> Bench {
    let bench = Bench::new();
    bench.put("b.txt", "hello\n");
    bench.put("rsa.pem", keys::RSA);
    bench.put("rsa.public.pem", keys::RSA_PUBLIC);
    bench.put("other.public.pem", keys::OTHER_PUBLIC);
    bench
}

const WRITE: &str = "write module-image -n release-1 -t qemu -T single-file -f b.txt";

#[test]
fn read_shows_everything() {
    let bench = bench();
    bench.put("m.json", r#"{"k":"v"}"#);
    bench.put("ArtifactInstall_Enter_00", "#!/bin/sh\n");
    bench
        .rota(&format!(
            "{WRITE} -g group -N old-1 -N old-2 -d foo:bar -p kept:1 -m m.json \
             -s ArtifactInstall_Enter_00 --modified 1700000000 -o x.mender"
        ))
        .ok();
    let shown = bench.rota("read x.mender").ok();
    assert_eq!(
        shown,
        "\
Mender Artifact:
  Name: release-1
  Format: mender
  Version: 3
  Signature: no signature
  Compatible types: [qemu]
  Provides group: group
  Depends on one of artifact(s): [old-1, old-2]
  Depends on one of group(s): []
  State scripts:
    - ArtifactInstall_Enter_00

Updates:
  - Type: single-file
    Provides:
      kept: 1
      rootfs-image.single-file.version: release-1
    Depends:
      foo: bar
    Clears Provides: [rootfs-image.single-file.*]
    Metadata:
      {
        \"k\": \"v\"
      }
    Files:
      - checksum: 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
        modified: 2023-11-14 22:13:20 +0000 UTC
        name: b.txt
        size: 6
"
    );
}

#[test]
fn read_tells_about_the_signature() {
    let bench = bench();
    bench.rota(&format!("{WRITE} -k rsa.pem -o x.mender")).ok();
    assert!(bench.rota("read x.mender").ok().contains("signed but no key for verification"));
    let verified = bench.rota("read -k rsa.public.pem x.mender").ok();
    assert!(verified.contains("signed and verified correctly"));
    let failed = bench.rota("read -k other.public.pem x.mender").fails(5);
    assert!(failed.contains("signed; verification using provided key failed"));
    assert!(failed.contains("Name: release-1"));
    let json = bench.rota("read --output json -k other.public.pem x.mender");
    json.fails(5);
    assert_eq!(serde_json::from_slice::<Value>(json.bytes()).unwrap()["signature"], "failed");
}

#[test]
fn validate_wants_key_and_signature_together() {
    let bench = bench();
    bench.rota(&format!("{WRITE} -k rsa.pem -o signed.mender")).ok();
    bench.rota(&format!("{WRITE} -o plain.mender")).ok();
    let said = bench.rota("validate plain.mender").ok();
    assert_eq!(said, "Artifact file 'plain.mender' validated successfully\n");
    bench.rota("validate -k rsa.public.pem signed.mender").ok();
    bench.rota("validate -k other.public.pem -k rsa.public.pem signed.mender").ok();
    assert!(bench.rota("validate signed.mender").fails(5).contains("missing verifier"));
    let unsigned = bench.rota("validate -k rsa.public.pem plain.mender").fails(5);
    assert!(unsigned.contains("missing signature"));
    bench.rota("validate -k other.public.pem signed.mender").fails(5);
}

#[test]
fn exit_codes() {
    let bench = bench();
    bench.rota("--help").ok();
    bench.rota("--version").ok();
    bench.rota("foo").fails(3);
    bench.rota("validate").fails(1);
    bench.rota("validate --foo x.mender").fails(1);
    bench.rota("validate missing.mender").fails(4);
    bench.rota("read missing.mender").fails(4);
    bench.rota("validate b.txt").fails(5);
    bench.rota("dump b.txt").fails(5);
    bench.rota("read b.txt").fails(1);
    bench.rota("validate -k missing.pem b.txt").fails(1);
    bench.rota(&format!("{WRITE} -v 2")).fails(2);
    bench.rota(&format!("{WRITE} -o missing/x.mender")).fails(3);
    bench.rota(&format!("{WRITE} --compression foo")).fails(1);
    bench.rota(&format!("{WRITE} -d foo")).fails(1);
    bench.rota(&format!("{WRITE} -k b.txt")).fails(1);
    bench.rota("write module-image -t qemu -T single-file").fails(1);
}

#[test]
fn failures_leave_no_file_behind() {
    let bench = bench();
    bench.put("old.mender", "old");
    bench.rota(&format!("{WRITE} -f missing.txt -o old.mender")).fails(1);
    bench.rota(&format!("{WRITE} --max-artifact-size 1KB -o old.mender")).fails(3);
    assert_eq!(bench.get("old.mender"), b"old");
    bench.rota(&format!("{WRITE} -f missing.txt -o new.mender")).fails(1);
    let mut names: Vec<_> = std::fs::read_dir(bench.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("mender") || name.starts_with('.'))
        .collect();
    names.sort();
    assert_eq!(names, ["old.mender"]);
}

#[test]
fn outputs() {
    let bench = bench();
    bench.rota(WRITE).ok();
    bench.rota("validate artifact.mender").ok();
    let streamed = bench.rota(&format!("{WRITE} -o -"));
    streamed.ok();
    assert_eq!(streamed.bytes(), bench.get("artifact.mender"));
    bench.rota(&format!("--compression none {WRITE} -o none.mender")).ok();
    bench.rota(&format!("--compression none {WRITE} --compression gzip -o gzip.mender")).ok();
    assert_eq!(bench.get("gzip.mender"), bench.get("artifact.mender"));
    assert_ne!(bench.get("none.mender"), bench.get("artifact.mender"));
    let warned = bench.rota(&format!("{WRITE} --warn-artifact-size 1KB"));
    warned.ok();
    assert!(warned.stderr().contains("warning"));
}

#[test]
fn the_later_of_provides_and_software_flags_wins() {
    let bench = bench();
    let key = "rootfs-image.single-file.version";
    let version = |flags: &str| {
        bench.rota(&format!("{WRITE} {flags} -o x.mender")).ok();
        let json = bench.rota("read --output json x.mender").ok();
        let shown: Value = serde_json::from_str(&json).unwrap();
        shown["provides"][key].as_str().unwrap().to_owned()
    };
    assert_eq!(version(""), "release-1");
    assert_eq!(version(&format!("-p {key}:mine")), "mine");
    assert_eq!(version(&format!("-p {key}:mine --software-version 7")), "7");
    assert_eq!(version(&format!("--software-version 7 -p {key}:mine")), "mine");
}

#[test]
fn blanks_in_names_are_refused_as_by_mender_artifact() {
    let bench = bench();
    let folder = bench.path("");
    let write = |kind: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_rota-artifact"))
            .current_dir(&folder)
            .arg("write")
            .args(kind)
            .args(["-n", "a b", "-t", "qemu"])
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(write(&["rootfs-image", "-f", "b.txt"]), Some(1));
    assert_eq!(write(&["bootstrap-artifact"]), Some(1));
    assert_eq!(write(&["module-image", "-T", "single-file"]), Some(0));
}

#[test]
fn sign_in_place_and_elsewhere() {
    let bench = bench();
    bench.rota(&format!("{WRITE} -o x.mender")).ok();
    let unsigned = bench.get("x.mender");
    bench.rota("sign -k rsa.pem -o y.mender x.mender").ok();
    assert_eq!(bench.get("x.mender"), unsigned);
    bench.rota("validate -k rsa.public.pem y.mender").ok();
    bench.rota("sign x.mender -k rsa.pem").ok();
    assert_eq!(bench.get("x.mender"), bench.get("y.mender"));
    assert!(bench.rota("sign x.mender -k rsa.pem").fails(1).contains("already signed"));
    bench.rota("sign --force x.mender -k rsa.pem").ok();
    bench.rota("sign -k rsa.pem b.txt").fails(1);
    assert_eq!(bench.get("b.txt"), b"hello\n");
}

#[test]
fn dump_and_write_again() {
    let bench = bench();
    bench.put("m.json", r#"{"k":"v"}"#);
    bench.put("ArtifactInstall_Enter_00", "#!/bin/sh\n");
    bench
        .rota(&format!(
            "{WRITE} -g group -N old -G og -d foo:bar -p kept:1 -m m.json --clears-provides x.* \
             -s ArtifactInstall_Enter_00 --modified 0 -o x.mender"
        ))
        .ok();
    let dump = "dump --files d/f --meta-data d/m --scripts d/s --print-cmdline x.mender";
    let line = bench.rota(dump).ok().replace('\'', "");
    assert_eq!(bench.get("d/f/b.txt"), b"hello\n");
    assert_eq!(bench.get("d/m/0000.meta-data"), br#"{"k":"v"}"#);
    bench.rota(&format!("{} --modified 0 -o y.mender", line.trim())).ok();
    assert_eq!(bench.get("y.mender"), bench.get("x.mender"));
    // Never over files that are there.
    bench.rota(dump).fails(7);
    assert!(bench.rota("dump --print0-cmdline x.mender").ok().ends_with('\0'));
    assert_eq!(bench.rota("dump x.mender").ok(), "");
}

#[test]
fn dump_keeps_no_bad_file() {
    let bench = bench();
    bench.rota(&format!("{WRITE} --compression none -o x.mender")).ok();
    let mut artifact = bench.get("x.mender");
    let at = artifact.windows(6).position(|window| window == b"hello\n").unwrap();
    artifact[at] ^= 1;
    bench.put("x.mender", artifact);
    bench.rota("dump --files d x.mender").fails(5);
    assert!(!bench.path("d/b.txt").exists());
}
