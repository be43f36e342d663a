//! What the chart needs and does not bring: Postgres, NATS and S3, each at an address.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use rota_stack::{Durability, Nats, NatsOptions, Postgres, PostgresOptions, S3, S3Options};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
};

use crate::helm::Render;

/// The back-ends; they end with this.
pub(super) struct Backends {
    _postgres: Postgres,
    nats: Nats,
    s3: S3,
    database: String,
}

impl Backends {
    pub(super) async fn start(folder: &Path) -> Result<Self> {
        let options = PostgresOptions {
            durability: Durability::Fast,
            max_connections: 150,
            ..PostgresOptions::new(folder.join("postgres"))
        };
        let postgres = Postgres::start(options).await?;
        Ok(Self {
            database: behind_a_port(postgres.url().expose_secret()).await?,
            _postgres: postgres,
            nats: Nats::start(NatsOptions::new(folder.join("nats"))).await?,
            s3: S3::start(S3Options::new(folder.join("s3"))).await?,
        })
    }

    /// The values that lead to them.
    pub(super) fn values(&self, render: Render) -> Render {
        let s3 = self.s3.options();
        let storage = json!({
            "bucket": s3.buckets.first(),
            "endpoint": self.s3.endpoint(),
            "accessKey": s3.access_key,
            "secretKey": s3.secret_key.expose_secret(),
        });
        render
            .set(format!("database.url={}", json!(self.database)))
            .set(format!("nats.url={}", json!(self.nats.url())))
            .set(format!("objectStorage.s3={storage}"))
    }

    /// How many files lie in the bucket.
    pub(super) fn stored(&self) -> Result<usize> {
        let options = self.s3.options();
        let bucket = options.dir.join(options.buckets.first().context("no bucket")?);
        let mut folders = vec![bucket];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                if path.is_dir() { folders.push(path) } else { files += 1 }
            }
        }
        Ok(files)
    }
}

/// Opens a port for a Postgres that has a socket alone, which no pod could reach; gives the URL.
async fn behind_a_port(url: &str) -> Result<String> {
    let (rest, sockets) = url.split_once("?host=").context("no socket in the URL")?;
    let socket = Path::new(&sockets.replace("%2F", "/")).join(".s.PGSQL.5432");
    anyhow::ensure!(socket.exists(), "no socket at {}", socket.display());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let socket = socket.clone();
            tokio::spawn(async move {
                if let Ok(mut server) = UnixStream::connect(socket).await {
                    // A connection that breaks is the client's to notice.
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    Ok(rest.replace("@localhost/", &format!("@{address}/")))
}
