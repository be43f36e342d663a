//! An S3 server over HTTP, with signatures checked, that keeps objects as files.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto::Builder, graceful::GracefulShutdown},
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use secrecy::SecretString;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::StackError;

/// How long requests under way may take to finish when the server stops.
const STOP: Duration = Duration::from_secs(5);

/// Where objects are kept, and for whom.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// A directory for it alone; made when it is not there.
    pub dir: PathBuf,
    /// The port on 127.0.0.1; any free one when there is none named.
    pub port: Option<u16>,
    /// Buckets that exist from the start.
    pub buckets: Vec<String>,
    /// The access key's name.
    pub access_key: String,
    /// The access key's secret.
    pub secret_key: SecretString,
}

impl S3Options {
    /// A server in `dir` on a free port, with the bucket `rota` and a random key.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let random = || format!("{:032x}", rand::random::<u128>());
        Self {
            dir: dir.into(),
            port: None,
            buckets: vec!["rota".to_owned()],
            access_key: random(),
            secret_key: random().into(),
        }
    }
}

/// A running S3 server, in this process.
#[derive(Debug)]
pub struct S3 {
    endpoint: String,
    options: S3Options,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl S3 {
    /// Starts the server; objects from an earlier start are there again.
    pub async fn start(options: S3Options) -> Result<Self, StackError> {
        for bucket in &options.buckets {
            let dir = options.dir.join(bucket);
            std::fs::create_dir_all(&dir).map_err(StackError::file("create", dir))?;
        }
        let files = s3s_fs::FileSystem::new(&options.dir)
            .map_err(|error| StackError::S3(format!("{error:?}")))?;
        let mut service = S3ServiceBuilder::new(files);
        let secret = secrecy::ExposeSecret::expose_secret(&options.secret_key);
        service.set_auth(SimpleAuth::from_single(options.access_key.clone(), secret));
        let service = service.build();
        let address = SocketAddr::from(([127, 0, 0, 1], options.port.unwrap_or(0)));
        let listen = |source| StackError::Listen { address: address.to_string(), source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let endpoint = format!("http://{}", listener.local_addr().map_err(listen)?);
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(listener, service, stop.clone()));
        Ok(Self { endpoint, options, stop, serving })
    }

    /// `http://127.0.0.1:port`; buckets are in the path.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What the server was started with: key and buckets.
    pub fn options(&self) -> &S3Options {
        &self.options
    }

    /// Stops listening, and waits a moment for requests under way.
    pub async fn stop(self) {
        self.stop.cancel();
        // Ends with an error only when the task panicked, and there is nothing to stop then.
        let _ = self.serving.await;
    }
}

async fn serve(listener: TcpListener, service: s3s::service::S3Service, stop: CancellationToken) {
    let http = Builder::new(TokioExecutor::new());
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "S3 server cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let connection = http.serve_connection(TokioIo::new(stream), service.clone()).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "S3 connection ended");
            }
        });
    }
    if tokio::time::timeout(STOP, connections.shutdown()).await.is_err() {
        tracing::warn!("S3 requests did not finish in time");
    }
}
