//! One simulated device: an identity, a key, and what it says.

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Method, Request, StatusCode, header};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::connection::{Body, Line};

/// The fixed head of an Ed25519 key in SubjectPublicKeyInfo (RFC 8410, section 4): what follows
/// is the raw key.
const ED25519_HEAD: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The device type of every simulated device.
pub const DEVICE_TYPE: &str = "simulated-board";

/// A device that exists on paper only.
#[derive(Debug)]
pub struct SimulatedDevice {
    seed: u64,
    serial: usize,
    key: Ed25519KeyPair,
    token: Option<String>,
}

/// What a device was told when it asked to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It has a token now.
    Accepted,
    /// An operator has not accepted it.
    Waiting,
}

impl SimulatedDevice {
    /// The device with this serial number. The key follows from the number and the seed, so
    /// that a fleet that starts again is the same fleet.
    pub fn new(seed: u64, serial: usize) -> Result<Self> {
        let mut material = [0_u8; 32];
        material[..8].copy_from_slice(&seed.to_le_bytes());
        material[8..16].copy_from_slice(&(serial as u64).to_le_bytes());
        let key = Ed25519KeyPair::from_seed_unchecked(&material)
            .map_err(|_| anyhow::anyhow!("cannot make a key"))?;
        Ok(Self { seed, serial, key, token: None })
    }

    /// The serial number.
    pub fn serial(&self) -> usize {
        self.serial
    }

    /// The token, once it was accepted.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Forgets the token: the next thing to do is to authenticate.
    pub fn forget_token(&mut self) {
        self.token = None;
    }

    /// The identity data.
    pub fn identity(&self) -> Value {
        json!({ "serial": format!("{:08}", self.serial), "fleet": self.seed.to_string() })
    }

    /// The public key (PEM).
    pub fn public_key(&self) -> String {
        let mut der = ED25519_HEAD.to_vec();
        der.extend(self.key.public_key().as_ref());
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// The authentication request: body and signature.
    pub fn authentication(&self) -> (Vec<u8>, String) {
        self.signed(&json!({
            "id_data": self.identity().to_string(), "pubkey": self.public_key(),
        }))
    }

    /// The authentication request of a device that says which tenant it belongs to.
    pub fn authentication_with(&self, tenant_token: &str) -> (Vec<u8>, String) {
        self.signed(&json!({
            "id_data": self.identity().to_string(),
            "pubkey": self.public_key(),
            "tenant_token": tenant_token,
        }))
    }

    fn signed(&self, body: &Value) -> (Vec<u8>, String) {
        let body = body.to_string().into_bytes();
        let signature = STANDARD.encode(self.key.sign(&body));
        (body, signature)
    }

    /// Asks to be let in.
    pub async fn authenticate(&mut self, line: &mut Line) -> Result<Admission> {
        let (body, signature) = self.authentication();
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/devices/v1/authentication/auth_requests")
            .header(header::CONTENT_TYPE, "application/json")
            .header("X-MEN-Signature", signature)
            .body(Body::from(body))?;
        let (status, answer) = line.send(request).await?;
        match status {
            StatusCode::OK => {
                self.token = Some(String::from_utf8(answer.to_vec())?.trim().to_owned());
                Ok(Admission::Accepted)
            }
            StatusCode::UNAUTHORIZED => Ok(Admission::Waiting),
            other => anyhow::bail!("authentication answered {other}: {}", text(&answer)),
        }
    }

    /// Sends `count` attributes.
    pub async fn send_inventory(&self, line: &mut Line, count: usize) -> Result<()> {
        let request = self.request(Method::PATCH, "/api/devices/v1/inventory/device/attributes")?;
        let attributes: Vec<Value> = (0..count).map(|index| self.attribute(index)).collect();
        let body = serde_json::to_vec(&attributes)?;
        let (status, answer) = line.send(request.body(Body::from(body))?).await?;
        ensure!(status == StatusCode::OK, "inventory answered {status}: {}", text(&answer));
        Ok(())
    }

    /// Attribute number `index`: some are the same everywhere, some differ from device to
    /// device, some are numbers.
    fn attribute(&self, index: usize) -> Value {
        match index {
            0 => json!({ "name": "device_type", "value": DEVICE_TYPE }),
            1 => {
                json!({ "name": "artifact_name", "value": format!("release-{}", self.serial % 7) })
            }
            2 => json!({ "name": "rack", "value": format!("rack-{}", self.serial % 500) }),
            // Tenths of a degree.
            3 => json!({ "name": "temperature", "value": 200 + self.serial % 400 }),
            4 => json!({ "name": "hostname", "value": format!("node-{:08}", self.serial) }),
            _ => json!({
                "name": format!("attribute_{index:02}"),
                "value": format!("value-{}", (self.serial * 31 + index) % 1000),
            }),
        }
    }

    /// Asks what there is to do; the instructions, if there are any.
    pub async fn poll(&self, line: &mut Line, artifact_name: &str) -> Result<Option<Value>> {
        let (status, answer) = line.send(self.poll_request(artifact_name)?).await?;
        match status {
            StatusCode::NO_CONTENT => Ok(None),
            StatusCode::OK => Ok(Some(serde_json::from_slice(&answer)?)),
            other => anyhow::bail!("poll answered {other}: {}", text(&answer)),
        }
    }

    /// The poll as Mender's clients send it (v2).
    pub fn poll_request(&self, artifact_name: &str) -> Result<Request<Body>> {
        let body = json!({
            "device_provides": { "device_type": DEVICE_TYPE, "artifact_name": artifact_name },
        });
        let request =
            self.request(Method::POST, "/api/devices/v2/deployments/device/deployments/next")?;
        Ok(request.body(Body::from(body.to_string().into_bytes()))?)
    }

    /// Reports how far it is with a deployment.
    pub async fn report(&self, line: &mut Line, deployment: &str, word: &str) -> Result<()> {
        let path = format!("/api/devices/v1/deployments/device/deployments/{deployment}/status");
        let body = json!({ "status": word }).to_string().into_bytes();
        let request = self.request(Method::PUT, &path)?.body(Body::from(body))?;
        let (status, answer) = line.send(request).await?;
        ensure!(status == StatusCode::NO_CONTENT, "report answered {status}: {}", text(&answer));
        Ok(())
    }

    fn request(&self, method: Method, path: &str) -> Result<http::request::Builder> {
        let token = self.token.as_deref().context("the device has no token yet")?;
        Ok(Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {token}")))
    }
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned()
}

#[cfg(test)]
mod tests {
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_device_signs_what_it_sends() {
        let device = SimulatedDevice::new(1, 7).unwrap();
        let (body, signature) = device.authentication();
        let key = UnparsedPublicKey::new(&ED25519, device.key.public_key().as_ref());
        key.verify(&body, &STANDARD.decode(signature).unwrap()).unwrap();
    }

    #[test]
    fn a_fleet_that_starts_again_is_the_same_fleet() {
        let key = |seed, serial| SimulatedDevice::new(seed, serial).unwrap().public_key();
        assert_eq!(key(1, 7), key(1, 7));
        assert_ne!(key(1, 7), key(1, 8));
        assert_ne!(key(1, 7), key(2, 7));
    }
}
