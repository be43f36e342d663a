//! The chart, played: what is rendered is started, pod by pod, with the real programs in what
//! the images have, against a real Postgres, nats-server and S3 server; until an operator can
//! sign in and store an Artifact.
//!
//! What a cluster adds is not played: no network policy, no load balancer, one pod each.

mod backends;
mod node;

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use rota_e2e::{
    artifact::{self, Health},
    operator, wait,
};

use self::{backends::Backends, node::Node};
use crate::{helm::Render, objects::SERVICES};

/// How long a pod may take until it is ready; programs with debug information start slowly.
const READY_LIMIT: Duration = Duration::from_mins(2);

/// The operator that the chart makes.
const EMAIL: &str = "admin@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn what_the_chart_says_starts_and_lets_an_operator_in() -> Result<()> {
    operator::install_crypto();
    let folder = tempfile::tempdir()?;
    let backends = Backends::start(folder.path()).await?;
    let addresses = node::Addresses::new();
    let public = format!("https://{}:8443", addresses.of("gateway"));
    let objects = backends
        .values(Render::new())
        .set(format!("publicUrl={public:?}"))
        .set(format!("administrator.email={EMAIL:?}"))
        // A Service has no address here: its port is its pods'.
        .set("gateway.service.port=8443")
        .set(r#"listenAddress="0.0.0.0""#)
        .objects()?;
    let node = Node::new(folder.path(), &objects, addresses)?;

    // As in a cluster, nothing waits for anything else.
    let mut pods = Vec::new();
    for service in SERVICES {
        pods.push(node.start(&objects.service_pod(service)?)?);
    }
    let jobs = objects.pods();
    let job = jobs.iter().find(|pod| pod.owner["kind"] == "Job").context("no Job")?;
    node.finish(job, READY_LIMIT).await?;
    for pod in &mut pods {
        pod.ready(READY_LIMIT).await?;
    }

    let test = jobs.iter().find(|pod| pod.owner["kind"] == "Pod").context("no test")?;
    node.finish(test, READY_LIMIT).await?;

    let secret = |name: &str, key: &str| node.secret(&format!("ota-rota-{name}"), key);
    let authority = folder.path().join("authority.pem");
    fs::write(&authority, secret("authority", "tls.crt")?)?;
    let password = String::from_utf8(secret("administrator", "password")?)?;
    let operator = wait::until("the operator to be let in", READY_LIMIT, || async {
        operator::Operator::sign_in(&public, &authority, EMAIL, &password).await.map(Some)
    })
    .await?;
    let file = artifact::build_app(folder.path(), "app-1", "1", Health::Sound)?;
    operator.upload(&file).await?;
    let stored = backends.stored()?;
    ensure!(stored > 0, "the Artifact is not in the bucket");

    for pod in pods {
        pod.stop().await?;
    }
    Ok(())
}
