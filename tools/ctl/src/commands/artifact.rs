//! Artifacts: upload, list, show, download, delete.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Body, Method, multipart};
use rota_rest::artifacts::{Artifact, Link};
use serde_json::json;
use tokio::{fs::File, io::AsyncWriteExt};
use tokio_util::io::ReaderStream;

use crate::{
    api::{self, Api},
    cli::{self, Format},
    output::{self, Table},
};

const ARTIFACTS: &str = "/api/management/v1/deployments/artifacts";

/// How much of a file is read at once, in bytes.
const CHUNK: usize = 256 * 1024;

/// Carries out a command on Artifacts.
pub(super) async fn run(format: Format, api: &Api, command: cli::Artifact) -> Result<()> {
    match command {
        cli::Artifact::Upload { file, description } => {
            let id = upload(api, &file, description).await?;
            output::done(format, &json!({ "id": id }), &format!("Uploaded as {id}."))
        }
        cli::Artifact::List => {
            let path = "/api/management/v1/deployments/artifacts/list";
            let artifacts: Vec<Artifact> = api.list(path).await?;
            output::result(format, &artifacts, &table(&artifacts))
        }
        cli::Artifact::Show { id } => {
            let artifact: Artifact = api.get(&format!("{ARTIFACTS}/{id}")).await?;
            output::result(format, &artifact, &details(&artifact))
        }
        cli::Artifact::Download { id, file } => {
            let size = download(api, &id, &file).await?;
            let sentence = format!("Wrote {size} bytes to {}.", file.display());
            output::done(format, &json!({ "file": file, "size": size }), &sentence)
        }
        cli::Artifact::Delete { id } => {
            api.delete(&format!("{ARTIFACTS}/{id}")).await?;
            output::done(format, &json!({ "deleted": id }), "Deleted.")
        }
    }
}

/// Streams a file to the server; memory does not grow with its size.
async fn upload(api: &Api, path: &Path, description: String) -> Result<String> {
    let open = || format!("cannot read {}", path.display());
    let file = File::open(path).await.with_context(open)?;
    let size = file.metadata().await.with_context(open)?.len();
    let bar = progress(size, "uploading");
    let shown = bar.clone();
    let bytes = ReaderStream::with_capacity(file, CHUNK).inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            shown.inc(chunk.len() as u64);
        }
    });
    let name = path.file_name().context("the path names no file")?.to_string_lossy().into_owned();
    let part = multipart::Part::stream_with_length(Body::wrap_stream(bytes), size)
        .file_name(name)
        .mime_str("application/vnd.mender-artifact")?;
    let form = multipart::Form::new()
        .text("size", size.to_string())
        .text("description", description)
        .part("artifact", part);
    let answer = api.send(api.request(Method::POST, ARTIFACTS).multipart(form)).await;
    bar.finish_and_clear();
    api::created(&answer?)
}

/// Follows an Artifact's link into a file, which appears only when it is whole.
async fn download(api: &Api, id: &str, path: &Path) -> Result<u64> {
    let link: Link = api.get(&format!("{ARTIFACTS}/{id}/download")).await?;
    let answer = api.follow(&link.uri).await?;
    let expected = answer.content_length().context("the server did not say how long it is")?;
    let bar = progress(expected, "downloading");
    let draft = path.with_extension("part");
    let write = || format!("cannot write {}", draft.display());
    let mut file = File::create(&draft).await.with_context(write)?;
    let mut size = 0;
    let mut bytes = answer.bytes_stream();
    while let Some(chunk) = bytes.next().await {
        let chunk = chunk.context("the download broke off")?;
        file.write_all(&chunk).await.with_context(write)?;
        size += chunk.len() as u64;
        bar.set_position(size);
    }
    bar.finish_and_clear();
    ensure!(size == expected, "the download ended after {size} of {expected} bytes");
    file.sync_all().await.with_context(write)?;
    tokio::fs::rename(&draft, path)
        .await
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(size)
}

/// A bar on standard error; nothing where that is no terminal.
fn progress(size: u64, what: &'static str) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{msg} {bar:40} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
    );
    let bar = ProgressBar::new(size).with_message(what);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn table(artifacts: &[Artifact]) -> Table {
    let mut table = Table::new(&["id", "name", "device types", "payload", "signed", "size"]);
    for artifact in artifacts {
        table.row([
            artifact.id.clone(),
            artifact.contents.name.clone(),
            artifact.contents.device_types_compatible.join(", "),
            payload_types(artifact),
            if artifact.contents.signed { "yes" } else { "no" }.to_owned(),
            artifact.size.to_string(),
        ]);
    }
    table
}

fn details(artifact: &Artifact) -> Table {
    let contents = &artifact.contents;
    let mut table = Table::new(&["", ""]);
    let mut line = |name: &str, value: String| table.row([name.to_owned(), value]);
    line("id", artifact.id.clone());
    line("name", contents.name.clone());
    line("description", artifact.description.clone());
    line("format", format!("{} v{}", contents.info.format, contents.info.version));
    line("signed", contents.signed.to_string());
    line("size", format!("{} bytes", artifact.size));
    line("modified", output::time(artifact.modified));
    line("payload", payload_types(artifact));
    for (name, values) in &contents.artifact_depends {
        line("depends", format!("{name}: {}", values.join(", ")));
    }
    for (name, value) in &contents.artifact_provides {
        line("provides", format!("{name}: {value}"));
    }
    for pattern in &contents.clears_artifact_provides {
        line("clears", pattern.clone());
    }
    for file in contents.updates.iter().flat_map(|update| &update.files) {
        line("file", format!("{} ({} bytes, sha256 {})", file.name, file.size, file.checksum));
    }
    table
}

fn payload_types(artifact: &Artifact) -> String {
    let types: Vec<&str> = artifact
        .contents
        .updates
        .iter()
        .map(|update| update.type_info.payload.as_deref().unwrap_or("empty"))
        .collect();
    types.join(", ")
}
