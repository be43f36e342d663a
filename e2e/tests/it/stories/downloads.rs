//! Links: they can be resumed, they expire, and they cannot be forged.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{StatusCode, header};
use rota_e2e::{
    artifact::{self, Health},
    operator::text,
};
use serde_json::json;

use super::{Stage, paper::PaperDevice};

pub(super) async fn tell(stage: &mut Stage<'_>) -> Result<()> {
    let operator = stage.platform.operator().await?;
    let file = artifact::build_app(stage.folder, "app-v1", "v1", Health::Sound)?;
    operator.upload(&file).await?;
    let device = PaperDevice::admitted(&operator, 1).await?;
    operator.deploy("first", "app-v1", std::slice::from_ref(&device.id)).await?;
    let base = operator.base().to_owned();
    let provides = json!({ "device_type": artifact::DEVICE_TYPE, "artifact_name": "none" });
    let instructions = rota_e2e::wait::until("instructions", Duration::from_secs(10), || async {
        device.instructions(&base, provides.clone()).await.map(Some)
    })
    .await?;
    let uri = text(&instructions["artifact"]["source"], "uri")?;
    let whole = std::fs::read(&file)?;

    // No token goes with it, as devices send none; nothing is redirected.
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([reqwest::Certificate::from_pem(&std::fs::read(
            stage.platform.certificate(),
        )?)?])
        .build()?;
    let answer = http.get(&uri).send().await?;
    ensure!(answer.status() == StatusCode::OK, "the link answered {}", answer.status());
    let kind = answer.headers()[header::CONTENT_TYPE].to_str()?.to_owned();
    ensure!(kind == "application/vnd.mender-artifact", "the Artifact came as {kind}");
    ensure!(answer.content_length() == Some(whole.len() as u64), "a wrong Content-Length");
    let etag = answer.headers().get(header::ETAG).context("no ETag")?.clone();
    ensure!(answer.bytes().await? == whole, "other bytes than were uploaded");

    // The second half, as a client asks for it after a dropped connection.
    let half = whole.len() / 2;
    let answer = http
        .get(&uri)
        .header(header::RANGE, format!("bytes={half}-"))
        .header(header::IF_RANGE, etag.clone())
        .send()
        .await?;
    ensure!(answer.status() == StatusCode::PARTIAL_CONTENT, "a range answered {}", answer.status());
    let range = answer.headers()[header::CONTENT_RANGE].to_str()?.to_owned();
    ensure!(
        range == format!("bytes {half}-{}/{}", whole.len() - 1, whole.len()),
        "Content-Range {range}"
    );
    ensure!(answer.bytes().await? == whole[half..], "other bytes than were asked for");

    let beyond = format!("bytes={}-", whole.len());
    let answer = http.get(&uri).header(header::RANGE, beyond).send().await?;
    ensure!(answer.status() == StatusCode::RANGE_NOT_SATISFIABLE, "beyond: {}", answer.status());

    let answer = http.get(&uri).header(header::IF_NONE_MATCH, etag).send().await?;
    ensure!(answer.status() == StatusCode::NOT_MODIFIED, "known: {}", answer.status());
    ensure!(answer.bytes().await?.is_empty(), "bytes that are known already");

    // A link that was tampered with gives nothing.
    let answer = http.get(forge(&uri)?).send().await?;
    ensure!(answer.status() == StatusCode::FORBIDDEN, "a forged link: {}", answer.status());
    let unsigned = uri.split('?').next().context("a link without a query")?;
    let answer = http.get(unsigned).send().await?;
    ensure!(answer.status() == StatusCode::BAD_REQUEST, "an unsigned link: {}", answer.status());
    Ok(())
}

/// The same link with another character in its signature. Not the last one: some of its bits
/// stand for nothing.
fn forge(uri: &str) -> Result<String> {
    let at = uri.len().checked_sub(10).context("a short link")?;
    let other = if uri.as_bytes()[at] == b'A' { "B" } else { "A" };
    let mut text = uri.to_owned();
    text.replace_range(at..=at, other);
    Ok(text)
}
