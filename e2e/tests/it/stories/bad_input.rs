//! Bad input gets a clear answer, and changes nothing.

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode, multipart};
use rota_e2e::{
    artifact::{self, Health},
    operator::Operator,
};
use serde_json::{Value, json};

use super::{Stage, paper::PaperDevice};

pub(super) async fn tell(stage: &mut Stage<'_>) -> Result<()> {
    let operator = stage.platform.operator().await?;
    bad_uploads(stage, &operator).await?;
    bad_requests(&operator).await?;
    bad_reports(&operator).await
}

/// None of these leaves an Artifact, or a byte, behind.
async fn bad_uploads(stage: &Stage<'_>, operator: &Operator) -> Result<()> {
    let file = artifact::build_app(stage.folder, "app-v1", "v1", Health::Sound)?;
    let whole = std::fs::read(&file)?;
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let uploads = [
        ("an empty file", Vec::new()),
        ("noise", vec![0x5a; 20_000]),
        ("a truncated Artifact", whole[..whole.len() / 2].to_vec()),
        ("an Artifact with a flipped byte", flipped),
    ];
    for (what, bytes) in uploads {
        let answer = upload(operator, bytes).await?;
        refused(answer, StatusCode::BAD_REQUEST, what).await?;
    }

    let path = "/api/management/v1/deployments/artifacts";
    let answer = operator.request(Method::POST, path).json(&json!({})).send().await?;
    refused(answer, StatusCode::UNSUPPORTED_MEDIA_TYPE, "JSON for an Artifact").await?;

    let listed = operator.get(path).await?;
    ensure!(listed == json!([]), "bad uploads left {listed}");
    let usage = operator.get("/api/management/v1/deployments/limits/storage").await?;
    ensure!(usage["usage"] == 0, "bad uploads left {usage}");

    ensure!(upload(operator, whole.clone()).await?.status() == StatusCode::CREATED);
    let again = upload(operator, whole).await?;
    refused(again, StatusCode::CONFLICT, "the same Artifact again").await
}

async fn upload(operator: &Operator, bytes: Vec<u8>) -> Result<reqwest::Response> {
    let part = multipart::Part::bytes(bytes).file_name("artifact.mender");
    let form = multipart::Form::new().part("artifact", part);
    let path = "/api/management/v1/deployments/artifacts";
    Ok(operator.request(Method::POST, path).multipart(form).send().await?)
}

async fn bad_requests(operator: &Operator) -> Result<()> {
    let deployments = "/api/management/v1/deployments/deployments";
    let unknown = "00000000-0000-4000-8000-000000000000";
    let bodies = [
        (StatusCode::BAD_REQUEST, json!({ "name": "x", "artifact_name": "app-v1" })),
        (
            StatusCode::BAD_REQUEST,
            json!({ "name": "x", "artifact_name": "app-v1", "devices": [unknown], "all_devices": true }),
        ),
        (
            StatusCode::BAD_REQUEST,
            json!({ "name": 7, "artifact_name": "app-v1", "all_devices": true }),
        ),
        (StatusCode::BAD_REQUEST, json!([])),
        (
            StatusCode::UNPROCESSABLE_ENTITY,
            json!({ "name": "x", "artifact_name": "missing", "devices": [unknown] }),
        ),
    ];
    for (status, body) in bodies {
        let what = body.to_string();
        let answer = operator.request(Method::POST, deployments).json(&body).send().await?;
        refused(answer, status, &what).await?;
    }
    let paths = [
        (StatusCode::BAD_REQUEST, format!("{deployments}/foo")),
        (StatusCode::NOT_FOUND, format!("{deployments}/{unknown}")),
        (StatusCode::BAD_REQUEST, format!("{deployments}?page=x")),
        (StatusCode::BAD_REQUEST, format!("{deployments}?page=0")),
        (StatusCode::BAD_REQUEST, "/api/management/v2/devauth/devices?per_page=501".to_owned()),
        (StatusCode::NOT_FOUND, "/api/management/v2/devauth/devices/foo".to_owned()),
        (StatusCode::NOT_FOUND, "/api/management/v9/nothing".to_owned()),
    ];
    for (status, path) in paths {
        let answer = operator.request(Method::GET, &path).send().await?;
        refused(answer, status, &path).await?;
    }
    let without = operator.http().get(format!("{}{deployments}", operator.base())).send().await?;
    refused(without, StatusCode::UNAUTHORIZED, "no token").await
}

async fn bad_reports(operator: &Operator) -> Result<()> {
    let device = PaperDevice::admitted(operator, 1).await?;
    let base = operator.base();
    let unknown = "00000000-0000-4000-8000-000000000000";
    let status = format!("/api/devices/v1/deployments/device/deployments/{unknown}/status");
    for (code, word) in [(StatusCode::BAD_REQUEST, "pending"), (StatusCode::NOT_FOUND, "success")] {
        let request = device.request(Method::PUT, base, &status).json(&json!({ "status": word }));
        refused(request.send().await?, code, word).await?;
    }
    let path = "/api/devices/v1/inventory/device/attributes";
    let nothing = json!([{ "name": "no-value" }]);
    let answer = device.request(Method::PATCH, base, path).json(&nothing).send().await?;
    refused(answer, StatusCode::BAD_REQUEST, "an attribute without a value").await?;
    let nul = json!([{ "name": "nul", "value": "a\u{0}b" }]);
    let answer = device.request(Method::PATCH, base, path).json(&nul).send().await?;
    refused(answer, StatusCode::BAD_REQUEST, "a NUL character").await?;
    let huge = json!([{ "name": "huge", "value": "x".repeat(2 << 20) }]);
    let answer = device.request(Method::PATCH, base, path).json(&huge).send().await?;
    refused(answer, StatusCode::PAYLOAD_TOO_LARGE, "two megabytes of inventory").await?;
    // A device's token opens no operator's door.
    let users = "/api/management/v1/useradm/users/me";
    let answer = device.request(Method::GET, base, users).send().await?;
    ensure!(answer.status().is_client_error(), "a device's token: {}", answer.status());
    Ok(())
}

/// The answer has the status, and a body that says what is wrong and which request it was.
async fn refused(answer: reqwest::Response, status: StatusCode, what: &str) -> Result<()> {
    let got = answer.status();
    let body = answer.text().await?;
    ensure!(got == status, "{what}: {got} instead of {status}: {body}");
    let body: Value = serde_json::from_str(&body).with_context(|| format!("{what}: {body}"))?;
    ensure!(body["error"].is_string(), "{what}: no error in {body}");
    ensure!(body["request_id"].is_string(), "{what}: no request_id in {body}");
    Ok(())
}
