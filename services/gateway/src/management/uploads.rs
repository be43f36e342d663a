//! Uploads of Artifacts: a form whose last part is the file, streamed on as it comes.
//!
//! How large it may become is for deployments to say, which ends its side of the stream when it
//! has had enough; nothing more is read then.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{
        FromRequest, Multipart, State,
        multipart::{Field, MultipartError},
    },
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use rota_proto::deployments::v1::{UploadEnd, UploadHead, UploadRequest, upload_request::Part};
use rota_rest::artifacts as rest;
use rota_runtime::within;
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;
use uuid::Uuid;

use super::form::{Progress, in_pieces};
use crate::{app::App, error::Problem, extract::Who};

/// The largest part besides the file, in bytes (server API: a description has up to 4096).
const MAX_FIELD: usize = 4096;

/// Parts besides the file.
const MAX_FIELDS: usize = 16;

/// Messages that wait for deployments to take them.
const AHEAD: usize = 4;

/// For a whole upload. What stands still ends much sooner.
const DEADLINE: Duration = Duration::from_hours(24);

/// Uploads an Artifact. The file is the form's last part.
#[utoipa::path(post, path = "/api/management/v1/deployments/artifacts", tag = "artifacts",
    request_body(content = rest::Upload, content_type = "multipart/form-data"),
    responses((status = 201, headers(("Location" = String)))))]
pub(crate) async fn upload(
    State(app): State<App>,
    who: Who,
    request: axum::extract::Request,
) -> Result<Response, Problem> {
    let place = Arc::clone(&app.transfers).try_acquire_owned();
    let _place = place.map_err(|_| Problem::unavailable("too many transfers are under way"))?;
    let (parts, body) = request.into_parts();
    let (body, progress) = in_pieces(body);
    let request = axum::extract::Request::from_parts(parts, body);
    let form = Multipart::from_request(request, &()).await.map_err(|_| not_a_form())?;
    let mut form = Form { form, pace: Pace { idle: app.config.transfer_idle_seconds, progress } };
    let id = send(&app, &who, &mut form).await?;
    let location = format!("/api/management/v1/deployments/artifacts/{id}");
    Ok((StatusCode::CREATED, [(header::LOCATION, location)]).into_response())
}

/// Hands the form on while it is read. Gives the new Artifact's id.
async fn send(app: &App, who: &Who, form: &mut Form) -> Result<String, Problem> {
    let (parts, ahead) = mpsc::channel(AHEAD);
    let mut deployments = app.artifacts();
    let stream = who.asks(ReceiverStream::new(ahead));
    let request: Request<ReceiverStream<_>> = within(DEADLINE, stream);
    // Without the end, which is the last thing to be sent, deployments keeps nothing.
    let (read, taken) = tokio::join!(form.forward(parts), deployments.upload(request),);
    match (read, taken) {
        (Err(Cut::Form(problem)), _) => Err(problem),
        (_, Err(status)) => Err(status.into()),
        (Ok(()), Ok(answer)) => Ok(answer.into_inner().artifact_id),
        (Err(Cut::Deployments), Ok(_)) => {
            tracing::error!("deployments took an upload before its end");
            Err(Problem::internal())
        }
    }
}

/// Why a form was not handed on to its end.
enum Cut {
    /// The form is at fault.
    Form(Problem),
    /// Deployments takes no more, and says why itself.
    Deployments,
}

impl<E: Into<Problem>> From<E> for Cut {
    fn from(error: E) -> Self {
        Self::Form(error.into())
    }
}

struct Form {
    form: Multipart,
    pace: Pace,
}

impl Form {
    async fn forward(&mut self, parts: Sender<UploadRequest>) -> Result<(), Cut> {
        let Self { form, pace } = self;
        let mut head = UploadHead::default();
        for _ in 0..MAX_FIELDS {
            let Some(mut field) = pace.of(form.next_field()).await? else { break };
            match field.name() {
                Some("artifact") => {
                    send_part(&parts, Part::Head(head), pace.idle).await?;
                    send_file(&parts, &mut field, pace).await?;
                    drop(field);
                    if pace.of(form.next_field()).await?.is_some() {
                        return Err(Problem::invalid("the artifact must be the last part").into());
                    }
                    return send_part(&parts, Part::End(UploadEnd {}), pace.idle).await;
                }
                Some("description") => head.description = text(&mut field, pace).await?,
                Some("size") => head.size = Some(size(&text(&mut field, pace).await?)?),
                Some("artifact_id") => {
                    head.artifact_id = Some(artifact_id(&text(&mut field, pace).await?)?);
                }
                _ => drop(text(&mut field, pace).await?),
            }
        }
        Err(Problem::invalid("the form has no part named artifact").into())
    }
}

/// How a form must move.
struct Pace {
    /// For each step.
    idle: Duration,
    progress: Progress,
}

impl Pace {
    /// What the next step gives.
    async fn of<T>(
        &self,
        step: impl Future<Output = Result<T, MultipartError>>,
    ) -> Result<T, Problem> {
        let Ok(given) = tokio::time::timeout(self.idle, step).await else {
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "the upload stands still"));
        };
        let given = given.map_err(|_| Problem::invalid("the form is malformed or was cut"))?;
        self.progress.made();
        Ok(given)
    }
}

async fn send_part(parts: &Sender<UploadRequest>, part: Part, idle: Duration) -> Result<(), Cut> {
    match parts.send_timeout(UploadRequest { part: Some(part) }, idle).await {
        Ok(()) => Ok(()),
        Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Cut::Deployments),
        Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(Problem::timeout().into()),
    }
}

async fn send_file(
    parts: &Sender<UploadRequest>,
    file: &mut Field<'_>,
    pace: &Pace,
) -> Result<(), Cut> {
    while let Some(chunk) = pace.of(file.chunk()).await? {
        send_part(parts, Part::Chunk(chunk.into()), pace.idle).await?;
    }
    Ok(())
}

async fn text(field: &mut Field<'_>, pace: &Pace) -> Result<String, Problem> {
    let name = field.name().unwrap_or_default().to_owned();
    let mut text = Vec::new();
    while let Some(chunk) = pace.of(field.chunk()).await? {
        text.extend_from_slice(&chunk);
        if text.len() > MAX_FIELD {
            return Err(Problem::invalid(format!("{name}: at most {MAX_FIELD} bytes are allowed")));
        }
    }
    String::from_utf8(text).map_err(|_| Problem::invalid(format!("{name}: not UTF-8")))
}

fn size(text: &str) -> Result<u64, Problem> {
    text.trim().parse().map_err(|_| Problem::invalid("size: not a number of bytes"))
}

fn artifact_id(text: &str) -> Result<String, Problem> {
    let id = Uuid::parse_str(text.trim());
    Ok(id.map_err(|_| Problem::invalid("artifact_id: not a valid UUID"))?.to_string())
}

fn not_a_form() -> Problem {
    let error = "expected multipart/form-data with a boundary";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
}
