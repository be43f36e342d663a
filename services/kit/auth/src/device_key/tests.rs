use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use super::*;

/// Keys made by openssl, as devices make them.
struct Device {
    dir: tempfile::TempDir,
    hashes: bool,
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    let done = Command::new("openssl").args(arguments).stderr(Stdio::piped()).output().unwrap();
    assert!(done.status.success(), "openssl {arguments:?}: {done:?}");
    done.stdout
}

impl Device {
    fn new(algorithm: &str, option: Option<&str>) -> Self {
        let device = Self { dir: tempfile::tempdir().unwrap(), hashes: algorithm != "ed25519" };
        let key = device.path("key.pem");
        let mut arguments = vec!["genpkey", "-algorithm", algorithm, "-out", &key];
        if let Some(option) = option {
            arguments.extend(["-pkeyopt", option]);
        }
        openssl(&arguments);
        device
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn public_pem(&self) -> String {
        String::from_utf8(openssl(&["pkey", "-in", &self.path("key.pem"), "-pubout"])).unwrap()
    }

    fn sign(&self, body: &[u8]) -> String {
        let body_path = PathBuf::from(self.path("body"));
        std::fs::write(&body_path, body).unwrap();
        let (key, body) = (self.path("key.pem"), self.path("body"));
        let signature = if self.hashes {
            openssl(&["dgst", "-sha256", "-sign", &key, &body])
        } else {
            openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", &key, "-in", &body])
        };
        STANDARD.encode(signature)
    }
}

fn proves_and_refuses(device: &Device) {
    let pem = device.public_pem();
    let key = DeviceKey::from_pem(&pem).unwrap();
    assert_eq!(key.to_pem(), pem, "the one spelling is openssl's");
    assert_eq!(DeviceKey::from_pem(&key.to_pem()).unwrap(), key);

    let body = br#"{"id_data":"{\"mac\":\"00:11\"}","pubkey":"..."}"#;
    let signature = device.sign(body);
    assert_eq!(key.verify(body, &signature), Ok(()));
    assert_eq!(key.verify(b"another body", &signature), Err(DeviceKeyError::BadSignature));
    assert_eq!(key.verify(body, ""), Err(DeviceKeyError::BadSignature));
    assert_eq!(key.verify(body, "AAAA"), Err(DeviceKeyError::BadSignature));
    assert_eq!(key.verify(body, "not base64!"), Err(DeviceKeyError::SignatureEncoding));
    let mut raw = STANDARD.decode(&signature).unwrap();
    let last = raw.len() - 1;
    raw[last] ^= 1;
    assert_eq!(key.verify(body, &STANDARD.encode(raw)), Err(DeviceKeyError::BadSignature));
}

#[test]
fn rsa_from_1024_bits() {
    proves_and_refuses(&Device::new("RSA", Some("rsa_keygen_bits:1024")));
    proves_and_refuses(&Device::new("RSA", Some("rsa_keygen_bits:3072")));
}

#[test]
fn ecdsa_p224() {
    proves_and_refuses(&Device::new("EC", Some("ec_paramgen_curve:P-224")));
}

#[test]
fn ecdsa_p256() {
    proves_and_refuses(&Device::new("EC", Some("ec_paramgen_curve:P-256")));
}

#[test]
fn ecdsa_p384() {
    proves_and_refuses(&Device::new("EC", Some("ec_paramgen_curve:P-384")));
}

#[test]
fn ecdsa_p521() {
    proves_and_refuses(&Device::new("EC", Some("ec_paramgen_curve:P-521")));
}

#[test]
fn ed25519() {
    proves_and_refuses(&Device::new("ed25519", None));
}

#[test]
fn another_devices_signature_does_not_hold() {
    let (ours, other) = (Device::new("ed25519", None), Device::new("ed25519", None));
    let key = DeviceKey::from_pem(&ours.public_pem()).unwrap();
    assert_eq!(key.verify(b"body", &other.sign(b"body")), Err(DeviceKeyError::BadSignature));
}

#[test]
fn spellings_of_one_key_become_one() {
    let device = Device::new("RSA", Some("rsa_keygen_bits:2048"));
    let key = DeviceKey::from_pem(&device.public_pem()).unwrap();
    let path = device.path("key.pem");
    let pkcs1 = openssl(&["rsa", "-in", &path, "-RSAPublicKey_out"]);
    let pkcs1 = String::from_utf8(pkcs1).unwrap();
    assert!(pkcs1.contains("RSA PUBLIC KEY"));
    assert_eq!(DeviceKey::from_pem(&pkcs1).unwrap().to_pem(), key.to_pem());
    let windows = device.public_pem().replace('\n', "\r\n");
    assert_eq!(DeviceKey::from_pem(&windows).unwrap().to_pem(), key.to_pem());
    let without_end = device.public_pem().trim_end().to_owned();
    assert_eq!(DeviceKey::from_pem(&without_end).unwrap().to_pem(), key.to_pem());
}

#[test]
fn other_keys_are_refused_by_name() {
    let pem = |algorithm, option| Device::new(algorithm, option).public_pem();
    let error = |pem: &str| DeviceKey::from_pem(pem).unwrap_err();
    assert_eq!(error(&pem("RSA", Some("rsa_keygen_bits:512"))), DeviceKeyError::RsaSize);
    assert_eq!(error(&pem("X25519", None)), DeviceKeyError::Unsupported);
    let secp256k1 = pem("EC", Some("ec_paramgen_curve:secp256k1"));
    assert_eq!(error(&secp256k1), DeviceKeyError::Unsupported);
}

#[test]
fn nonsense_is_refused() {
    let error = |pem: &str| DeviceKey::from_pem(pem).unwrap_err();
    assert_eq!(error(""), DeviceKeyError::NotPem);
    assert_eq!(error("ssh-ed25519 AAAA"), DeviceKeyError::NotPem);
    assert_eq!(error(&pem("CERTIFICATE", b"abc")), DeviceKeyError::NotPem);
    assert_eq!(error(&pem("PUBLIC KEY", b"abc")), DeviceKeyError::Broken);
    assert_eq!(error(&pem("RSA PUBLIC KEY", &[0x30, 0x00])), DeviceKeyError::Broken);
    assert_eq!(error(&"x".repeat(MAX_PUBLIC_KEY_BYTES + 1)), DeviceKeyError::TooLong);
    let device = Device::new("ed25519", None);
    let mut der = DeviceKey::from_pem(&device.public_pem()).unwrap().to_pkix();
    der.push(0);
    assert_eq!(error(&pem("PUBLIC KEY", &der)), DeviceKeyError::Broken);
    let key = DeviceKey::from_pem(&device.public_pem()).unwrap();
    let long = "A".repeat(MAX_SIGNATURE_CHARACTERS + 1);
    assert_eq!(key.verify(b"", &long), Err(DeviceKeyError::SignatureEncoding));
}

proptest::proptest! {
    /// Whatever a stranger sends, it is a key or an error; and a key has one spelling.
    #[test]
    fn no_input_is_too_strange(der: Vec<u8>, label in "(RSA )?PUBLIC KEY|CERTIFICATE|") {
        if let Ok(key) = DeviceKey::from_pem(&pem(&label, &der)) {
            proptest::prop_assert_eq!(DeviceKey::from_pem(&key.to_pem()), Ok(key));
        }
    }

    /// The same near a genuine key, where a parser gets further.
    #[test]
    fn no_damage_is_too_strange(at in 0..91_usize, byte: u8, cut in 0..92_usize, body: Vec<u8>) {
        let point = [4; 65];
        let key = Kind::Ecdsa { curve: Curve::P256, point: point.to_vec() };
        let mut der = DeviceKey(key).to_pkix();
        der[at] = byte;
        der.truncate(cut);
        if let Ok(key) = DeviceKey::from_pem(&pem("PUBLIC KEY", &der)) {
            proptest::prop_assert!(key.verify(&body, &STANDARD.encode(&der)).is_err());
            proptest::prop_assert_eq!(DeviceKey::from_pem(&key.to_pem()), Ok(key));
        }
    }
}
