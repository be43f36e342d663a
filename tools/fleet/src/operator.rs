//! An operator as far as a simulation needs one: signs in, accepts devices, creates deployments.

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};

use crate::connection::{Body, Line};

/// Someone signed in.
#[derive(Debug, Clone)]
pub struct Operator {
    token: String,
}

impl Operator {
    /// Signs in.
    pub async fn sign_in(line: &mut Line, email: &str, password: &str) -> Result<Self> {
        let basic = STANDARD.encode(format!("{email}:{password}"));
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/management/v1/useradm/auth/login")
            .header(header::AUTHORIZATION, format!("Basic {basic}"))
            .body(Body::default())?;
        let (status, answer) = line.send(request).await?;
        ensure!(status == StatusCode::OK, "sign-in answered {status}");
        Ok(Self { token: String::from_utf8(answer.to_vec())?.trim().to_owned() })
    }

    /// Sends a request; the status and the answer's JSON, null where there is none.
    pub async fn send(
        &self,
        line: &mut Line,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        let body = match body {
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(serde_json::to_vec(body)?)
            }
            None => Body::default(),
        };
        let (status, answer) = line.send(request.body(body)?).await?;
        Ok((status, serde_json::from_slice(&answer).unwrap_or(Value::Null)))
    }

    /// The JSON of a GET that must answer 200.
    pub async fn get(&self, line: &mut Line, path: &str) -> Result<Value> {
        let (status, answer) = self.send(line, Method::GET, path, None).await?;
        ensure!(status == StatusCode::OK, "{path} answered {status}: {answer}");
        Ok(answer)
    }

    /// Lets a device in before it first asks.
    pub async fn preauthorize(&self, line: &mut Line, identity: &Value, key: &str) -> Result<()> {
        let body = json!({ "identity_data": identity, "pubkey": key });
        let path = "/api/management/v2/devauth/devices";
        let (status, answer) = self.send(line, Method::POST, path, Some(&body)).await?;
        // A fleet that starts again finds its devices there already.
        let there = matches!(status, StatusCode::CREATED | StatusCode::CONFLICT);
        ensure!(there, "preauthorisation answered {status}: {answer}");
        Ok(())
    }

    /// How many devices have a status.
    pub async fn count(&self, line: &mut Line, status: &str) -> Result<u64> {
        let path = format!("/api/management/v2/devauth/devices/count?status={status}");
        self.get(line, &path).await?["count"].as_u64().context("no count")
    }

    /// Creates a deployment from a whole body.
    pub async fn deploy(&self, line: &mut Line, body: &Value) -> Result<()> {
        let path = "/api/management/v1/deployments/deployments";
        let (status, answer) = self.send(line, Method::POST, path, Some(body)).await?;
        ensure!(status == StatusCode::CREATED, "the deployment answered {status}: {answer}");
        Ok(())
    }

    /// Uploads an Artifact as a whole multipart body.
    pub async fn upload(&self, line: &mut Line, content_type: &str, body: Vec<u8>) -> Result<()> {
        let request = Request::builder()
            .method(Method::POST)
            .uri("/api/management/v1/deployments/artifacts")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(body))?;
        let (status, answer) = line.send(request).await?;
        ensure!(status == StatusCode::CREATED, "the upload answered {status}: {answer:?}");
        Ok(())
    }
}
