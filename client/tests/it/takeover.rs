//! The first start on a device that ran Mender's client: what it had begun is finished. The stores
//! hold what the clients write; the real Go client is tried in `e2e/interop`.

use std::{
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::json;

use crate::{
    device::Device,
    fake_server::{FakeServer, Request, Response},
};

/// Leaves a store with these pairs, and the work tree of an update.
fn leave(device: &Device, pairs: &[(&str, &str)]) {
    let mut dump = "VERSION=3\nformat=bytevalue\ntype=btree\nHEADER=END\n".to_owned();
    for text in pairs.iter().flat_map(|(key, value)| [key, value]) {
        dump.push(' ');
        for byte in text.bytes() {
            let _ = write!(dump, "{byte:02x}");
        }
        dump.push('\n');
    }
    dump.push_str("DATA=END\n");
    let mut child = Command::new("mdb_load")
        .arg("-n")
        .arg(device.path("data/mender-store"))
        .stdin(Stdio::piped())
        .spawn()
        .expect("mdb_load is installed (Debian: lmdb-utils)");
    child.stdin.take().unwrap().write_all(dump.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "mdb_load");

    std::fs::create_dir_all(device.path("data/modules/v3/payloads/0000/tree/files")).unwrap();
    device.write("previous", "old");
    device.write("installed", "new");
}

fn name(device: &Device) -> String {
    device.run(&["show-artifact"]).stdout()
}

#[test]
fn an_update_by_hand_is_kept_or_taken_back() {
    let state = json!({
        "Version": 1, "ArtifactName": "new", "ArtifactGroup": "",
        "ArtifactTypeInfoProvides": {"rootfs-image.test.version": "new"},
        "ArtifactClearsProvides": ["rootfs-image.test.*"], "PayloadTypes": ["test"],
    })
    .to_string();
    for (command, said, calls, left, installed) in [
        ("commit", "Committed.\n", "ArtifactCommit Cleanup", "new\n", "new"),
        (
            "rollback",
            "Rolled back.\n",
            "SupportsRollback ArtifactRollback ArtifactFailure Cleanup",
            "old\n",
            "old",
        ),
    ] {
        let device = Device::new();
        leave(&device, &[("artifact-name", "old"), ("standalone-state", &state)]);
        assert_eq!(name(&device), "old\n");
        let ended = device.run(&[command]);
        assert_eq!((ended.code(), ended.stdout().as_str()), (Some(0), said), "{}", ended.stderr());
        assert_eq!(device.calls().join(" "), calls);
        assert_eq!(name(&device), left);
        assert_eq!(device.read("installed").as_deref(), Some(installed));
        assert_eq!(device.run(&[command]).code(), Some(2), "it is over");
    }
}

#[test]
fn a_deployment_is_finished_and_reported() {
    for (stage, status, left) in
        [("reboot", "success", "new\n"), ("update-install", "failure", "old\n")]
    {
        let server = FakeServer::start(answer);
        let device = Device::with_server(&server.url());
        let state = json!({
            "Version": 2, "Name": stage,
            "UpdateInfo": {
                "Artifact": {
                    "Source": {"URI": "https://gone.example/artifact", "Expire": ""},
                    "CompatibleDevices": ["board"], "PayloadTypes": ["test"],
                    "ArtifactName": "new", "ArtifactGroup": "", "TypeInfoProvides": {},
                    "ClearsArtifactProvides": [],
                },
                "ID": "d1", "RebootRequested": ["reboot-type-custom"],
                "SupportsRollback": "rollback-supported", "StateDataStoreCount": 5,
                "HasDBSchemaUpdate": false, "AllRollbacksSuccessful": false,
            },
        });
        leave(&device, &[("artifact-name", "old"), ("state", &state.to_string())]);
        let daemon = device.start_daemon();
        server.wait_until("the end of the deployment", |requests| {
            requests.iter().any(|request| reports(request, status))
        });
        daemon.stop();
        assert_eq!(name(&device), left, "{stage}");
        let outcome = ["success", "failure"].map(|status| {
            server.requests().iter().filter(|request| reports(request, status)).count()
        });
        assert_eq!(outcome.iter().sum::<usize>(), 1, "{stage}");
    }
}

/// The Go client without `AuthPrivateKey` showed the key of its TLS certificate to the server, too.
#[test]
fn the_tls_key_stays_the_identity_where_the_go_client_had_no_other() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["device".to_owned()]).unwrap();
    let bare = |pem: &str| pem.lines().collect::<String>();
    for is_of_go in [true, false] {
        let server = FakeServer::start(answer);
        let device = Device::new();
        device.write("client.crt", &cert.pem());
        device.write("client.key", &signing_key.serialize_pem());
        device.configure(&json!({
            "ServerURL": server.url(),
            "HttpsClient": {
                "Certificate": device.path("client.crt"), "Key": device.path("client.key"),
            },
        }));
        if is_of_go {
            leave(&device, &[("artifact-name", "old")]);
        }
        // It stays so after the start that took the store over.
        for _ in 0..2 {
            let ended = device.run(&["bootstrap"]);
            assert_eq!(ended.code(), Some(0), "{}", ended.stderr());
        }
        let expected = bare(&signing_key.public_key_pem());
        for request in server.requests() {
            let shown = bare(request.json()["pubkey"].as_str().unwrap());
            assert_eq!(shown == expected, is_of_go);
        }
        assert_eq!(device.path("data/mender-agent.pem").exists(), !is_of_go);
        if is_of_go {
            let forced = device.run(&["bootstrap", "--forcebootstrap"]);
            assert_eq!(forced.code(), Some(1), "the key of the configuration is never replaced");
        }
    }
}

fn answer(request: &Request) -> Response {
    if request.path.ends_with("/auth_requests") {
        Response::new(200, "token")
    } else {
        Response::empty(204)
    }
}

fn reports(request: &Request, status: &str) -> bool {
    request.path.ends_with("/d1/status") && request.json()["status"] == status
}
