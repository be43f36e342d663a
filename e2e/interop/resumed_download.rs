//! curl fetches an Artifact, is cut off, and goes on where it was.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use rota_e2e::{
    artifact::build_module_image,
    operator::text,
    platform::Form,
    process::Program,
    programs,
    stage::{Stage, tell},
    wait,
};

/// Bytes of payload: random, so that the Artifact is no smaller.
const PAYLOAD_BYTES: usize = 8 << 20;

/// curl's own limit for the download that is cut off, in bytes per second.
const SLOW: &str = "1M";

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_curl_resumes_is_byte_identical() -> Result<()> {
    tell(Form::OneProcess, resumed_download).await
}

async fn resumed_download(stage: &mut Stage<'_>) -> Result<()> {
    let payload = stage.folder.join("payload");
    let mut noise = vec![0; PAYLOAD_BYTES];
    SmallRng::seed_from_u64(1).fill(&mut noise[..]);
    fs::write(&payload, noise)?;
    let artifact = build_module_image(stage.folder, "noise-1", "noise", &[payload])?;

    let operator = stage.platform.operator().await?;
    let id = operator.upload(&artifact).await?;
    let path = format!("/api/management/v1/deployments/artifacts/{id}/download");
    let uri = text(&operator.get(&path).await?, "uri")?;

    let part = stage.folder.join("downloaded");
    let mut cut = curl(stage, &uri, &part)?.flag("--limit-rate", SLOW).start()?;
    wait::until("the first bytes", Duration::from_secs(20), || async {
        let size = fs::metadata(&part)?.len();
        Ok((size > 0).then_some(()))
    })
    .await?;
    cut.kill()?;
    let had = fs::metadata(&part)?.len();
    let whole = fs::read(&artifact)?;
    ensure!(had < whole.len() as u64, "it was faster than it was told to be");

    let headers = stage.folder.join("headers");
    let resume = curl(stage, &uri, &part)?;
    resume.flag("--continue-at", "-").flag("--dump-header", &headers).run()?;
    let headers = fs::read_to_string(&headers)?;
    let range = format!("content-range: bytes {had}-{}/{}", whole.len() - 1, whole.len());
    ensure!(headers.to_lowercase().contains(&range), "no {range:?} in:\n{headers}");
    ensure!(fs::read(&part)? == whole, "other bytes than were uploaded");
    Ok(())
}

/// curl, about to fetch a link into a file, with the platform's certificate alone.
fn curl(stage: &Stage<'_>, uri: &str, output: &Path) -> Result<Program> {
    let program = programs::theirs("curl", "curl").context("no curl")?;
    Ok(Program::new("curl", program, stage.folder)
        .argument("--silent")
        .argument("--show-error")
        .argument("--fail")
        .flag("--cacert", stage.platform.certificate())
        .flag("--output", output)
        .argument(uri))
}
