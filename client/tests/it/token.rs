//! Keys that never leave their token, with `SoftHSM` for one.

use std::{fs, path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use rcgen::SubjectPublicKeyInfo;
use rustls::version::{TLS12, TLS13};
use serde_json::json;

use crate::{
    device::Device,
    fake_server::{FakeServer, Request, Response},
    tls::{Authority, params, self_signed, server_with},
};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const CONFIG: &str = "SOFTHSM2_CONF";
const PIN: &str = "1234";

/// A device with a token in its folder, and as many keys in it as a test makes.
struct WithToken(Device);

impl WithToken {
    fn new() -> Self {
        assert!(Path::new(MODULE).exists(), "{MODULE} is installed (make setup)");
        let mut device = Device::new();
        fs::create_dir(device.path("tokens")).unwrap();
        let config = format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            device.path("tokens").display()
        );
        device.write("softhsm.conf", &config);
        device.set_environment(CONFIG, device.path("softhsm.conf"));
        let token = Self(device);
        token.tool(
            "softhsm2-util",
            &["--init-token", "--free", "--label", "The Token", "--pin", PIN, "--so-pin", PIN],
        );
        token
    }

    fn tool(&self, program: &str, arguments: &[&str]) {
        let output = Command::new(program)
            .args(arguments)
            .env(CONFIG, self.0.path("softhsm.conf"))
            .output()
            .unwrap_or_else(|error| panic!("{program} is installed (make setup): {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {said}");
    }

    fn add_key(&self, kind: &str, label: &str) {
        let id = STANDARD.encode(label).bytes().fold(0u8, u8::wrapping_add);
        let arguments = ["--module", MODULE, "--login", "--pin", PIN, "--keypairgen", "--key-type"];
        let key = [kind, "--label", label, "--id", &format!("{id:02x}")];
        self.tool("pkcs11-tool", &[&arguments[..], &key].concat());
    }

    fn uri(label: &str) -> String {
        format!("pkcs11:token=The%20Token;object={label}?pin-value={PIN}&module-path={MODULE}")
    }

    /// Runs `bootstrap`, which authenticates once; what it logged.
    fn bootstrap(&self, config: &serde_json::Value) -> String {
        self.0.configure(config);
        self.0.run(&["bootstrap"]).stderr()
    }
}

fn accepting() -> FakeServer {
    FakeServer::start(|_| Response::new(200, "token"))
}

/// The public key of an authentication request, whose signature OpenSSL finds right.
fn verified_key(request: &Request, is_ed25519: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let key = request.json()["pubkey"].as_str().unwrap().to_owned();
    fs::write(path("key"), &key).unwrap();
    fs::write(path("body"), &request.body).unwrap();
    let signature = STANDARD.decode(request.header("x-men-signature").unwrap()).unwrap();
    fs::write(path("signature"), signature).unwrap();
    let (key_path, body, signature) = (path("key"), path("body"), path("signature"));
    let pure = [
        "pkeyutl", "-verify", "-pubin", "-rawin", "-inkey", &key_path, "-in", &body, "-sigfile",
        &signature,
    ];
    let hashed = ["dgst", "-sha256", "-verify", &key_path, "-signature", &signature, &body];
    crate::openssl(if is_ed25519 { &pure } else { &hashed });
    key
}

#[test]
fn keys_in_a_token_identify_the_device_and_prove_it_inside_tls() {
    let token = WithToken::new();
    let authority = Authority::new("devices");
    for kind in ["rsa:2048", "EC:prime256v1", "EC:secp384r1", "EC:edwards25519"] {
        let label = kind.replace(':', "-");
        token.add_key(kind, &label);
        let uri = WithToken::uri(&label);
        let server = accepting();
        let key = json!({"AuthPrivateKey": uri});
        let log = token.bootstrap(&json!({"ServerURL": server.url(), "Security": key}));
        let requests = server.requests();
        let request = requests.first().unwrap_or_else(|| panic!("{kind}: {log}"));
        let public = verified_key(request, kind == "EC:edwards25519");
        assert!(!log.contains(PIN), "{log}");

        let certificate =
            authority.certify("device", &SubjectPublicKeyInfo::from_pem(&public).unwrap());
        token.0.write("client.crt", &certificate.pem());
        for version in [&TLS12, &TLS13] {
            let server =
                server_with(&self_signed(&params("localhost")), Some(&authority), &[version]);
            let log = token.bootstrap(&json!({
                "ServerURL": server.url(),
                "SkipVerify": true,
                "HttpsClient": {"Certificate": token.0.path("client.crt"), "Key": uri},
            }));
            assert_eq!(server.requests().len(), 1, "{kind} {version:?}: {log}");
        }
    }
}

/// Mender's documentation has the PIN before the question mark.
#[test]
fn the_pin_may_stand_among_the_attributes() {
    let token = WithToken::new();
    token.add_key("EC:prime256v1", "key");
    for address in [
        format!("pkcs11:object=key;pin-value={PIN};type=private?module-path={MODULE}"),
        format!("pkcs11:object=key;pin-value={PIN};module-path={MODULE}"),
    ] {
        let server = accepting();
        let key = json!({"AuthPrivateKey": address});
        let log = token.bootstrap(&json!({"ServerURL": server.url(), "Security": key}));
        let requests = server.requests();
        let request = requests.first().unwrap_or_else(|| panic!("{address}: {log}"));
        verified_key(request, false);
        let refused = token.0.run(&["bootstrap", "--forcebootstrap"]).stderr();
        assert!(!log.contains(PIN) && !refused.contains(PIN), "{log}{refused}");
    }
}

#[test]
fn what_is_wrong_with_a_token_is_said() {
    let token = WithToken::new();
    token.add_key("rsa:2048", "key");
    token.add_key("EC:prime256v1", "twin");
    token.add_key("EC:prime256v1", "twin");
    let server = accepting();
    let url = server.url();
    let query = format!("?pin-value={PIN}&module-path={MODULE}");
    for (address, expected) in [
        (format!("token=other;object=key{query}"), "there is no such token"),
        (format!("token=The%20Token;object=other{query}"), "the token has no such private key"),
        (format!("object=key?module-path={MODULE}"), "add its PIN"),
        (format!("object=twin{query}"), "the token has several such private keys"),
        (format!("object=key?pin-value=4321&module-path={MODULE}"), "does not take the PIN"),
        (
            format!("object=key;pin-value=4321;color=red?module-path={MODULE}"),
            "color is not known here",
        ),
        (
            "object=key?module-path=/nowhere.so".to_owned(),
            "cannot load the PKCS#11 module /nowhere",
        ),
        (format!("token=The%20Token{query}"), "it names no key"),
    ] {
        let key = json!({"AuthPrivateKey": format!("pkcs11:{address}")});
        let log = token.bootstrap(&json!({"ServerURL": url, "Security": key}));
        assert!(log.contains(expected), "{address}: {log}");
        assert!(!log.contains(PIN) && !log.contains("4321"), "{log}");
    }
    assert!(server.requests().is_empty());
    let refused = token.0.run(&["bootstrap", "--forcebootstrap"]);
    assert_eq!(refused.code(), Some(1));
    assert!(refused.stderr().contains("never replaced"), "{}", refused.stderr());
}

#[test]
fn a_wrong_pin_is_tried_once_and_a_token_may_come_back() {
    let token = WithToken::new();
    token.add_key("EC:prime256v1", "key");
    let server = FakeServer::start(|_| Response::empty(401));
    let device = &token.0;
    device.write("pin", "4321\n");
    let pin = device.path("pin");
    let address =
        format!("pkcs11:object=key?module-path={MODULE}&pin-source=file:{}", pin.display());
    device.configure(&json!({
        "ServerURL": server.url(),
        "Security": {"AuthPrivateKey": address},
        "UpdatePollIntervalSeconds": 1,
        "RetryPollIntervalSeconds": 1,
    }));
    let daemon = device.start_daemon();
    device.wait_for_log("is not asked again before the client starts anew");
    assert_eq!(device.read("daemon.log").unwrap().matches("does not take the PIN").count(), 1);

    // The right PIN is another one, and tried at once.
    device.write("pin", PIN);
    server.wait_until("an authentication", |requests| !requests.is_empty());

    fs::rename(device.path("tokens"), device.path("elsewhere")).unwrap();
    device.wait_for_log("there is no such token");
    let before = server.requests().len();
    fs::rename(device.path("elsewhere"), device.path("tokens")).unwrap();
    server.wait_until("another authentication", |requests| requests.len() > before);
    daemon.stop();
}
