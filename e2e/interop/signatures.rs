//! Signed by one project's tool, installed by the other's client, and refused where the
//! signature is missing or another's.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use rota_e2e::{
    device::Device,
    operator::Operator,
    platform::Form,
    stage::{Stage, tell},
};
use serde_json::json;

use crate::{
    LIMIT,
    keys::{Algorithm, Keys},
    log,
    mender_device::{MenderDevice, add_key},
    outcome,
    single_file::{FILE_NAME, PAYLOAD_TYPE, SingleFile, Writer},
};

/// Where Debian's package puts the Update Module.
const SINGLE_FILE: &str = "/usr/share/mender/modules/v3/single-file";

#[tokio::test(flavor = "multi_thread")]
async fn rota_client_takes_what_mender_artifact_signed_with_its_key_alone() -> Result<()> {
    let module = fs::read_to_string(SINGLE_FILE)
        .with_context(|| format!("no {SINGLE_FILE}; run `make setup` (package mender-client)"))?;
    tell(Form::OneProcess, async |stage| {
        let keys = key_pairs(stage.folder)?;
        let mut devices = Vec::new();
        for (serial, own) in keys.iter().enumerate() {
            let folder = stage.folder.join(format!("device-{serial}"));
            let mut device = Device::lay_out(&folder, serial, &stage.platform.home(serial))?;
            device.add_module(PAYLOAD_TYPE, &module)?;
            add_key(&folder.join("etc/mender.conf"), "ArtifactVerifyKey", json!(own.public))?;
            device.switch_on()?;
            devices.push(device);
        }
        let told = Story {
            writer: Writer::MenderArtifact,
            unsigned: "the Artifact is not signed",
            signed_by_another: "the signature does not match",
            software: devices.iter().map(|device| device.folder().join("software")).collect(),
        }
        .tell(stage, &keys)
        .await;
        let printed = devices.iter().map(|device| device.printed().unwrap_or_default());
        told.with_context(|| printed.collect::<Vec<_>>().join("\n--- the other client\n"))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn mender_client_takes_what_rota_artifact_signed_with_its_key_alone() -> Result<()> {
    tell(Form::OneProcess, async |stage| {
        let keys = key_pairs(stage.folder)?;
        let mut devices = Vec::new();
        for (serial, own) in keys.iter().enumerate() {
            let folder = stage.folder.join(format!("device-{serial}"));
            let mut device = MenderDevice::lay_out(&folder, serial, &stage.platform.home(serial))?;
            device.configure("ArtifactVerifyKey", json!(own.public))?;
            device.switch_on()?;
            devices.push(device);
        }
        let told = Story {
            writer: Writer::RotaArtifact,
            unsigned: "expecting signed artifact, but no signature file found",
            signed_by_another: "invalid signature",
            software: devices.iter().map(MenderDevice::software).collect(),
        }
        .tell(stage, &keys)
        .await;
        let printed = devices.iter().map(MenderDevice::printed);
        told.with_context(|| printed.collect::<Vec<_>>().join("\n--- the other client\n"))
    })
    .await
}

/// One pair of keys for each device, by its serial number.
fn key_pairs(folder: &Path) -> Result<[Keys; 2]> {
    Ok([Keys::make(folder, "rsa", Algorithm::Rsa)?, Keys::make(folder, "p256", Algorithm::P256)?])
}

/// What differs between the two clients.
struct Story {
    /// Signs the Artifacts.
    writer: Writer,
    /// The client's words for an Artifact without a signature.
    unsigned: &'static str,
    /// The client's words for another's signature.
    signed_by_another: &'static str,
    /// Where each device's updates put their files, by its serial number.
    software: Vec<PathBuf>,
}

impl Story {
    /// Both devices at once: the key of one is the wrong key of the other.
    async fn tell(&self, stage: &Stage<'_>, [rsa, p256]: &[Keys; 2]) -> Result<()> {
        let operator = stage.platform.operator().await?;
        operator.accept(2, LIMIT).await?;
        let accepted = operator.devices("accepted").await?;
        let by_serial = |serial: usize| {
            let mut devices = accepted.iter();
            devices
                .find(|device| device.identity == json!({ "serial": serial.to_string() }))
                .map(|device| device.id.as_str())
                .with_context(|| format!("device {serial} was not accepted"))
        };
        let (first, second) = (by_serial(0)?, by_serial(1)?);
        tokio::try_join!(
            self.one_device(&operator, stage.folder, (0, first), (rsa, p256)),
            self.one_device(&operator, stage.folder, (1, second), (p256, rsa)),
        )?;
        Ok(())
    }

    async fn one_device(
        &self,
        operator: &Operator,
        folder: &Path,
        (serial, id): (usize, &str),
        (own, other): (&Keys, &Keys),
    ) -> Result<()> {
        let write = |release: &str, key: Option<&Keys>| {
            let (place, content) = (&self.software[serial], format!("{release}\n"));
            let file = SingleFile::new(self.writer, folder, release, place, &content, "644")?;
            match key {
                Some(key) => file.flag("--key", &key.private).write(),
                None => file.write(),
            }
        };
        let good = format!("own-{serial}");
        operator.upload(&write(&good, Some(own))?).await?;
        let (_, status) = outcome(operator, &good, id).await?;
        ensure!(status == "success", "device {serial}: signed with its key: {status}");

        let refused = [
            (format!("other-{serial}"), Some(other), self.signed_by_another),
            (format!("unsigned-{serial}"), None, self.unsigned),
        ];
        for (release, key, reason) in refused {
            operator.upload(&write(&release, key)?).await?;
            let (deployment, status) = outcome(operator, &release, id).await?;
            ensure!(status == "failure", "{release} ended with {status}");
            let log = log(operator, &deployment, id).await?;
            ensure!(log.contains(reason), "no {reason:?} in the log of {release}:\n{log}");
        }
        let installed = fs::read_to_string(self.software[serial].join(FILE_NAME))?;
        ensure!(installed == format!("{good}\n"), "device {serial} has {installed}");
        Ok(())
    }
}
