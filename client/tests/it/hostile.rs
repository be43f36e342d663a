//! Artifacts that somebody has tampered with: none of them is activated, on whatever way it comes.

use std::{
    fs,
    io::{Cursor, Read},
    path::Path,
};

use rota_artifact::{Builder, Compression, SigningKey};
use serde_json::json;

use crate::{
    daemon::{Rota, has_status, statuses},
    device::{Device, artifact},
    openssl,
};

/// Payload types: one whose files are stored for its module, one whose module streams them, one that
/// the client has built in, none.
const TYPES: [&str; 4] = ["test", "stream", "script", ""];

type Members = Vec<(String, Vec<u8>)>;

fn unpack(archive: &[u8]) -> Members {
    let mut archive = tar::Archive::new(archive);
    let member = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, content)
    };
    archive.entries().unwrap().map(member).collect()
}

fn pack(members: &Members) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, Cursor::new(content)).unwrap();
    }
    archive.into_inner().unwrap()
}

fn member<'a>(members: &'a mut Members, prefix: &str) -> &'a mut Vec<u8> {
    let found = members.iter_mut().find(|(name, _)| name.starts_with(prefix));
    &mut found.unwrap_or_else(|| panic!("there is a {prefix}")).1
}

/// Changes the payload's archive.
fn in_payload(members: &mut Members, change: impl FnOnce(&mut Members)) {
    let payload = member(members, "data/0000.tar");
    let mut files = unpack(payload);
    change(&mut files);
    *payload = pack(&files);
}

/// One way to tamper. The second argument is another Artifact, signed with the same key.
type Attack = (&'static str, fn(&mut Members, &Members));

fn position(members: &Members, prefix: &str) -> usize {
    members.iter().position(|(name, _)| name.starts_with(prefix)).unwrap()
}

const ATTACKS_ON_THE_HEAD: [Attack; 6] = [
    ("another header", |members, other| {
        let index = position(members, "header.tar");
        members[index] = other[position(other, "header.tar")].clone();
    }),
    ("another manifest", |members, other| {
        members[1] = other[position(other, "manifest")].clone();
    }),
    ("another signature", |members, other| {
        let index = position(members, "manifest.sig");
        members[index] = other[position(other, "manifest.sig")].clone();
    }),
    ("no signature", |members, _| {
        members.retain(|(name, _)| name != "manifest.sig");
    }),
    ("a signature that comes too late", |members, _| {
        let index = position(members, "manifest.sig");
        members.swap(index, index + 1);
    }),
    ("something behind the end", |members, _| {
        members.push(("data/0001.tar".to_owned(), pack(&Vec::new())));
    }),
];

const ATTACKS_ON_THE_PAYLOAD: [Attack; 6] = [
    ("a changed byte", |members, _| in_payload(members, |files| files[0].1[0] ^= 1)),
    ("a changed last byte", |members, _| {
        in_payload(members, |files| *files.last_mut().unwrap().1.last_mut().unwrap() ^= 1);
    }),
    ("a file that is not listed", |members, _| {
        in_payload(members, |files| files.push(("extra".to_owned(), b"x".to_vec())));
    }),
    ("a file that leads elsewhere", |members, _| {
        in_payload(members, |files| files[0].0.insert(0, 'x'));
    }),
    ("a missing file", |members, _| {
        in_payload(members, |files| {
            files.pop();
        });
    }),
    ("the payload of another Artifact", |members, other| {
        let index = position(members, "data/");
        members[index] = other[position(other, "data/")].clone();
    }),
];

/// A device that only installs what a key of its own has signed.
struct Guarded {
    device: Device,
    key: String,
}

impl Guarded {
    fn new() -> Self {
        let device = Device::new();
        let root = device.path("").display().to_string();
        device.add_script(
            "share/modules/v3/stream",
            &format!(
                r#"echo "$1" >> {root}/calls
                case "$1" in
                Download)
                    while line=$(cat stream-next) && [ -n "$line" ]; do
                        cat "$line" > /dev/null
                    done ;;
                SupportsRollback) echo Yes ;;
                ArtifactInstall) touch {root}/installed ;;
                esac"#
            ),
        );
        let key = key();
        let guarded = Self { device, key };
        guarded.device.write("verify.pem", &public(&guarded.device, &guarded.key));
        guarded.configure(None);
        guarded
    }

    fn configure(&self, server: Option<&str>) {
        let keys = [self.device.path("verify.pem")];
        self.device.configure(&json!({
            "ArtifactVerifyKeys": keys,
            "ServerURL": server.unwrap_or_default(),
            "UpdatePollIntervalSeconds": 1,
        }));
    }

    fn artifact(&self, payload_type: &str, name: &str) -> Vec<u8> {
        self.artifact_signed_with(&self.key, payload_type, name)
    }

    fn artifact_signed_with(&self, key: &str, payload_type: &str, name: &str) -> Vec<u8> {
        let root = self.device.path("").display().to_string();
        let builder = if payload_type.is_empty() {
            Builder::bootstrap(name)
        } else {
            Builder::module_image(payload_type, name)
                .file_bytes("content", format!("#!/bin/sh\ntouch {root}/installed # {name}\n"))
                .file_bytes("more", format!("#!/bin/sh\ntouch {root}/installed # {name}\n"))
                .script("ArtifactInstall_Enter_00", format!("#!/bin/sh\ntouch {root}/script-ran\n"))
        };
        builder
            .device_type("board")
            .compression(Compression::None)
            .sign_with(SigningKey::from_pem(key.as_bytes()).unwrap())
            .to_vec()
            .unwrap()
    }

    fn tampered(&self, payload_type: &str, (_, tamper): &Attack) -> Vec<u8> {
        let mut members = unpack(&self.artifact(payload_type, "new"));
        tamper(&mut members, &unpack(&self.artifact(payload_type, "other")));
        pack(&members)
    }

    /// Installs by hand; whether it worked.
    fn install(&self, artifact: &[u8]) -> bool {
        let path = self.device.path("hostile.mender");
        fs::write(&path, artifact).unwrap();
        self.device.run(&["install", path.to_str().unwrap()]).code() == Some(0)
    }

    fn assert_untouched(&self, what: &str) {
        let calls = self.device.calls();
        assert!(!calls.iter().any(|call| call == "ArtifactInstall"), "{what}: {calls:?}");
        assert!(!self.device.path("installed").exists(), "{what}");
        assert!(!self.device.path("script-ran").exists(), "{what}");
        assert_eq!(self.device.run(&["show-artifact"]).stdout(), "unknown\n", "{what}");
        assert_eq!(self.device.run(&["commit"]).code(), Some(2), "{what}");
    }
}

fn key() -> String {
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout"])
}

fn public(device: &Device, key: &str) -> String {
    device.write("signing.key", key);
    openssl(&["ec", "-in", device.path("signing.key").to_str().unwrap(), "-pubout"])
}

#[test]
fn nothing_that_was_tampered_with_is_activated_by_hand() {
    let guarded = Guarded::new();
    for payload_type in TYPES {
        let on_payload = if payload_type.is_empty() { &[][..] } else { &ATTACKS_ON_THE_PAYLOAD };
        for attack in ATTACKS_ON_THE_HEAD.iter().chain(on_payload) {
            let what = format!("{} in {payload_type:?}", attack.0);
            assert!(!guarded.install(&guarded.tampered(payload_type, attack)), "{what}");
            guarded.assert_untouched(&what);
        }
        let whole = guarded.artifact(payload_type, "new");
        for kept in [whole.len() / 2, whole.len() - 1536] {
            assert!(!guarded.install(&whole[..kept]), "{kept} bytes of {payload_type:?}");
            guarded.assert_untouched("a truncated Artifact");
        }
    }
    // The same device takes what is sound.
    for payload_type in TYPES.into_iter().filter(|payload_type| !payload_type.is_empty()) {
        assert!(guarded.install(&guarded.artifact(payload_type, "new")), "{payload_type}");
        for mark in ["installed", "script-ran"] {
            fs::remove_file(guarded.device.path(mark)).unwrap();
        }
        guarded.device.run(&["rollback"]);
    }
}

/// A server that is named twice is a warning where Mender's client has it so; it must not cost the
/// verification keys.
#[test]
fn keys_count_whatever_else_is_wrong_in_the_configuration() {
    let guarded = Guarded::new();
    guarded.device.configure(&json!({
        "ServerURL": "https://a.example", "Servers": [{"ServerURL": "https://b.example"}],
        "ArtifactVerifyKey": guarded.device.path("verify.pem"),
    }));
    assert!(!guarded.install(&artifact("new", "unsigned")));
    guarded.assert_untouched("an unsigned Artifact");
    assert!(guarded.install(&guarded.artifact("test", "new")));
}

#[test]
fn nothing_that_was_tampered_with_is_activated_by_a_deployment() {
    for (payload_type, attack) in [
        ("test", &ATTACKS_ON_THE_PAYLOAD[0]),
        ("stream", &ATTACKS_ON_THE_PAYLOAD[1]),
        ("stream", &ATTACKS_ON_THE_HEAD[0]),
        ("script", &ATTACKS_ON_THE_PAYLOAD[1]),
        ("", &ATTACKS_ON_THE_HEAD[5]),
    ] {
        let guarded = Guarded::new();
        let rota = Rota::default();
        let server = rota.start();
        guarded.configure(Some(&server.url()));
        rota.deploy_bytes(guarded.tampered(payload_type, attack));
        let daemon = guarded.device.start_daemon();
        server.wait_until("the next poll", |requests| {
            let polls_again = requests.last().is_some_and(|last| last.path.ends_with("/next"));
            has_status(requests, "failure") && polls_again
        });
        assert_eq!(statuses(&server.requests()), ["downloading", "failure"], "{}", attack.0);
        daemon.stop();
        guarded.assert_untouched(attack.0);
    }
}

#[test]
fn verification_keys_are_rotated_one_after_the_other() {
    let guarded = Guarded::new();
    let device = &guarded.device;
    let next_key = key();
    device.write("next.pem", &public(device, &next_key));
    let old = guarded.artifact("test", "old");
    let new = guarded.artifact_signed_with(&next_key, "test", "new");
    let configure = |keys: &[&str]| {
        let keys: Vec<_> = keys.iter().map(|key| device.path(key)).collect();
        device.configure(&json!({"ArtifactVerifyKeys": keys}));
    };
    let installs = |artifact: &[u8]| {
        fs::write(device.path("a.mender"), artifact).unwrap();
        let outcome = device.run(&["install", device.path("a.mender").to_str().unwrap()]);
        let is_installed = outcome.code() == Some(0);
        assert!(!is_installed || device.run(&["rollback"]).code() == Some(0));
        (is_installed, outcome.stderr())
    };

    assert!(installs(&old).0 && !installs(&new).0);
    configure(&["verify.pem", "next.pem"]);
    assert!(installs(&old).0 && installs(&new).0);
    configure(&["next.pem"]);
    assert!(!installs(&old).0 && installs(&new).0);

    // A key that is gone or damaged is named, and the others still count.
    device.write("damaged.pem", "junk");
    configure(&["gone.pem", "damaged.pem", "next.pem"]);
    let (is_installed, log) = installs(&new);
    assert!(is_installed && log.contains("/gone.pem") && log.contains("/damaged.pem"), "{log}");
    assert!(!installs(&old).0);

    // Without a single good one nothing is installed, signed or not.
    configure(&["gone.pem"]);
    let unsigned = fs::read(device.add_artifact("unsigned", "x")).unwrap();
    for artifact in [&new, &unsigned] {
        let (is_installed, log) = installs(artifact);
        assert!(!is_installed && log.contains("none of the configured verification keys"), "{log}");
    }
}

#[test]
fn an_old_version_is_refused_until_an_operator_insists() {
    let device = Device::new();
    device.configure(&json!({"DowngradeProtection": ["rootfs-image.test.version"]}));
    let versions = ["1.2.0", "1.10.0-rc1", "1.10.0"];
    let paths = versions.map(|version| device.add_artifact(version, version));
    let install = |path: &Path, more: &[&str]| {
        device.run(&[&["install", path.to_str().unwrap()], more].concat())
    };
    let commit = || assert_eq!(device.run(&["commit"]).code(), Some(0));

    // A version that was rolled back sets no floor.
    assert_eq!(install(&paths[2], &[]).code(), Some(0));
    assert_eq!(device.run(&["rollback"]).code(), Some(0));
    assert_eq!(install(&paths[0], &[]).code(), Some(0));
    commit();
    assert_eq!(install(&paths[2], &[]).code(), Some(0));
    commit();

    for old in &paths[..2] {
        let refused = install(old, &[]);
        assert_eq!(refused.code(), Some(1));
        let log = refused.stderr();
        assert!(log.contains("1.10.0 is installed, and DowngradeProtection forbids"), "{log}");
        assert_eq!(device.read("installed").as_deref(), Some("1.10.0"));
    }
    assert_eq!(install(&paths[0], &["--allow-downgrade"]).code(), Some(0));
    commit();
    assert_eq!(device.run(&["show-artifact"]).stdout(), "1.2.0\n");
}
