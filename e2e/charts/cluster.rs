//! As much of a Kubernetes API server as helm asks for a dry run: which kinds there are, and
//! Secrets that are there.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::objects::{Object, Objects};

/// What there is at each path.
type Resources = BTreeMap<String, Value>;

/// A cluster with Secrets. It lasts as long as the test.
pub(crate) struct Cluster {
    address: String,
}

impl Cluster {
    /// One that has the Secrets of a rendering.
    pub(crate) fn with_secrets_of(objects: &Objects) -> Result<Self> {
        let resources = resources(objects)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = format!("http://{}", listener.local_addr()?);
        // Ends with the test's process; a connection that breaks is helm's to complain about.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &resources);
            }
        });
        Ok(Self { address })
    }

    /// helm's arguments for asking it.
    pub(crate) fn arguments(&self) -> [String; 4] {
        let fixed = ["--dry-run=server", "--disable-openapi-validation", "--kube-apiserver"];
        let [dry, unchecked, server] = fixed.map(str::to_owned);
        [dry, unchecked, server, self.address.clone()]
    }
}

/// Answers one request, and closes the connection.
fn answer(mut stream: TcpStream, resources: &Resources) -> Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().context("no request")??;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let (status, body) = match resources.get(path) {
        Some(body) => ("200 OK", body.clone()),
        None => (
            "404 Not Found",
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
                   "reason": "NotFound", "code": 404}),
        ),
    };
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(())
}

/// The kinds and the Secrets of a rendering.
fn resources(objects: &Objects) -> Result<Resources> {
    let mut kinds = BTreeMap::<&str, BTreeSet<&str>>::new();
    for object in objects.iter() {
        let version = object["apiVersion"].as_str().context("an object without a version")?;
        kinds.entry(version).or_default().extend(object["kind"].as_str());
    }
    let groups: Vec<_> = kinds
        .keys()
        .filter_map(|version| version.split_once('/').map(|(group, _)| (group, version)))
        .map(|(group, version)| {
            let number = version.rsplit('/').next();
            let version = json!({"groupVersion": version, "version": number});
            json!({"name": group, "versions": [version], "preferredVersion": version})
        })
        .collect();
    let mut at = Resources::from([
        ("/version".to_owned(), json!({"major": "1", "minor": "35", "gitVersion": "v1.35.0"})),
        ("/api".to_owned(), json!({"kind": "APIVersions", "versions": ["v1"]})),
        ("/apis".to_owned(), json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})),
    ]);
    for (version, kinds) in kinds {
        let resource = |kind: &str| {
            let one = kind.to_lowercase();
            let plural =
                one.strip_suffix('y').map_or_else(|| format!("{one}s"), |y| format!("{y}ies"));
            json!({"name": plural, "singularName": one, "namespaced": true, "kind": kind,
                   "verbs": ["get", "list"]})
        };
        let list: Vec<_> = kinds.into_iter().map(resource).collect();
        let root = if version.contains('/') { "apis" } else { "api" };
        at.insert(
            format!("/{root}/{version}"),
            json!({"kind": "APIResourceList", "groupVersion": version, "resources": list}),
        );
    }
    for secret in objects.of_kind("Secret") {
        let namespace = secret["metadata"]["namespace"].as_str().unwrap_or_default();
        at.insert(
            format!("/api/v1/namespaces/{namespace}/secrets/{}", secret.name()),
            secret.clone(),
        );
    }
    Ok(at)
}
