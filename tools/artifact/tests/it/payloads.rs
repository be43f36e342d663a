//! Artifacts for the payload types that Rota's client installs by itself: mender-artifact reads
//! them, and they hold what Mender's generators put into them.

use std::{collections::BTreeMap, fs, io::Read, process::Command};

use flate2::read::GzDecoder;
use rota_artifact::{Limits, Reader};
use serde_json::Value;

use crate::tool::Bench;

const COMMON: &str = "-n release-1 -t qemu --modified 0 --no-progress -o x.mender";

/// The payload's files, in their order.
fn files(bench: &Bench) -> Vec<(String, Vec<u8>)> {
    let artifact = bench.get("x.mender");
    let mut reader = Reader::open(&*artifact, &Limits::default()).unwrap();
    let mut payload = reader.payload().unwrap();
    let mut files = Vec::new();
    while let Some(mut file) = payload.next_file().unwrap() {
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        files.push((file.name().to_owned(), content));
    }
    files
}

/// Writes an Artifact, lets mender-artifact validate it, and returns what it says.
fn written(bench: &Bench, arguments: &str) -> Value {
    bench.rota(&format!("write {arguments} {COMMON}")).ok();
    bench.mender("validate x.mender").ok();
    bench.mender("read x.mender").ok();
    serde_json::from_str(&bench.rota("read --output json x.mender").ok()).unwrap()
}

/// Names in a tar archive, without `./`, with what they lead to, or with their content.
fn listed(archive: impl Read) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(archive);
    let mut found = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        if let Some(target) = entry.link_name().unwrap() {
            content = format!("-> {}", target.display());
        }
        let name = entry.path().unwrap().display().to_string();
        found.insert(name.trim_start_matches("./").to_owned(), content);
    }
    found
}

fn set_mode(bench: &Bench, name: &str, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(bench.path(name), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_single_file() {
    let bench = Bench::new();
    bench.put("motd", "hello");
    set_mode(&bench, "motd", 0o4750);
    let shown = written(&bench, "single-file -f motd --dest-dir /etc");
    let expected = [
        ("dest_dir", "/etc\n"),
        ("filename", "motd\n"),
        ("permissions", "4750\n"),
        ("motd", "hello"),
    ];
    let expected = expected.map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec()));
    assert_eq!(files(&bench), expected);
    assert_eq!(shown["provides"]["rootfs-image.single-file.version"], "release-1");
    for wrong in ["etc", "/a/../b"] {
        bench.rota(&format!("write single-file -f motd --dest-dir {wrong} {COMMON}")).fails(1);
    }
    bench.rota(&format!("write single-file -f . --dest-dir /etc {COMMON}")).fails(1);
}

#[test]
fn a_directory() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("app/inner")).unwrap();
    bench.put("app/one", "1");
    let long = "n".repeat(150);
    bench.put(&format!("app/inner/{long}"), "2");
    fs::hard_link(bench.path("app/one"), bench.path("app/twin")).unwrap();
    std::os::unix::fs::symlink("/elsewhere", bench.path("app/link")).unwrap();
    written(&bench, "directory -f app --dest-dir /srv/app");
    let [(archive, packed), dest_dir] = files(&bench).try_into().unwrap();
    assert_eq!(archive, "update.tar");
    assert_eq!(dest_dir, ("dest_dir".to_owned(), b"/srv/app\n".to_vec()));
    let found = listed(&*packed);
    let found: Vec<_> = found.iter().map(|(name, what)| (name.as_str(), what.as_str())).collect();
    let long = format!("inner/{long}");
    let expected = [
        (".", ""),
        ("inner", ""),
        (&*long, "2"),
        ("link", "-> /elsewhere"),
        ("one", "1"),
        ("twin", "-> ./one"),
    ];
    assert_eq!(found, expected);
    // tar unpacks it into the same.
    bench.put("update.tar", &packed);
    fs::create_dir(bench.path("out")).unwrap();
    let shell = |script: &str| {
        Command::new("sh").args(["-ec", script]).current_dir(bench.path("")).status().unwrap()
    };
    assert!(shell("tar -xf update.tar -C out && diff -r --no-dereference app out").success());

    let first = bench.get("x.mender");
    written(&bench, "directory -f app --dest-dir /srv/app");
    assert_eq!(bench.get("x.mender"), first, "the same folder makes the same Artifact");
    bench.rota(&format!("write directory -f app --dest-dir / {COMMON}")).fails(1);
    bench.rota(&format!("write directory -f app/one --dest-dir /x {COMMON}")).fails(1);
}

#[test]
fn scripts_and_packages() {
    let bench = Bench::new();
    bench.put("b.sh", "b");
    bench.put("a.deb", "a");
    let meta_data = |shown: &Value| shown["updates"][0]["meta_data"].to_string();
    let shown = written(&bench, "script -f b.sh");
    assert_eq!(files(&bench), [("b.sh".to_owned(), b"b".to_vec())]);
    assert!(matches!(&*meta_data(&shown), "null" | "{}"), "{shown}");
    let shown = written(&bench, "script -f b.sh --rollback --reboot always");
    assert_eq!(meta_data(&shown), r#"{"reboot":true,"rollback":true}"#);
    let shown = written(&bench, "deb -f a.deb --reboot if-required");
    assert_eq!(meta_data(&shown), r#"{"reboot":"if-required"}"#);
    bench.rota(&format!("write deb -f b.sh {COMMON}")).fails(1);
    bench.rota(&format!("write script {COMMON}")).fails(1);
}

#[test]
fn containers() {
    let bench = Bench::new();
    let arguments = ["write", "docker", "--image", "app@sha256:00", "--image", "db:1"];
    let ran = Command::new(env!("CARGO_BIN_EXE_rota-artifact"))
        .args(arguments)
        .args(["--run-args", "-p 80:80 --restart always"])
        .args(COMMON.split(' '))
        .current_dir(bench.path(""))
        .output()
        .unwrap();
    assert!(ran.status.success());
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(said.contains("db:1 has no digest") && !said.contains("app@"), "{said}");
    bench.mender("validate x.mender").ok();
    let shown: Value =
        serde_json::from_str(&bench.rota("read --output json x.mender").ok()).unwrap();
    assert_eq!(
        shown["updates"][0]["meta_data"].to_string(),
        r#"{"containers":["app@sha256:00","db:1"],"run_args":"-p 80:80 --restart always"}"#
    );
    assert!(files(&bench).is_empty());
    bench.rota(&format!("write docker --image= {COMMON}")).fails(1);
}

#[test]
fn a_compose_project() {
    let bench = Bench::new();
    for folder in ["images", "project"] {
        fs::create_dir(bench.path(folder)).unwrap();
    }
    bench.put("images/app_1.tar", "image");
    bench.put("project/compose.yaml", "services: {}");
    let command = "docker-compose --project-name shop --images-dir images --manifests-dir project";
    let shown = written(&bench, command);
    let [(images, packed_images), (manifests, packed_manifests)] =
        files(&bench).try_into().unwrap();
    assert_eq!((&*images, &*manifests), ("images.tar.gz", "manifests.tar"));
    let images = listed(GzDecoder::new(&*packed_images));
    assert_eq!(images["images/app_1.tar"], "image");
    assert_eq!(listed(&*packed_manifests)["manifests/compose.yaml"], "services: {}");
    assert_eq!(
        shown["updates"][0]["meta_data"].to_string(),
        r#"{"project_name":"shop","version":"1"}"#
    );
    assert_eq!(shown["provides"]["rootfs-image.mender-docker-compose.shop.version"], "release-1");
    let clears = shown["clears_provides"].to_string();
    assert_eq!(clears, r#"["*mender-docker-compose_*","*mender-docker-compose.*"]"#);
    assert!(bench.get("x.mender").windows(14).any(|window| window == b"data/0000.tar\0"));

    fs::remove_file(bench.path("images/app_1.tar")).unwrap();
    bench.rota(&format!("write {command} {COMMON}")).fails(1);
    bench.rota(&format!("write {} {COMMON}", command.replace("shop", "a/b"))).fails(1);
}
