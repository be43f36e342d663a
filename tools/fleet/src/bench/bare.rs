//! The handler that polls are compared with: it verifies a device's token and says "nothing".
//!
//! What any server of this API must pay: TLS, HTTP, one Ed25519 signature. The tokens are of
//! the same make and size as deviceauth's, signed with a key of this measurement's own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    routing::post,
};
use clap::Args;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use ring::signature::{Ed25519KeyPair, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Where and as whom to serve.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    certificate: PathBuf,
    #[arg(long)]
    key: PathBuf,
}

/// The seed of the measurement's signing key: it guards nothing.
const SEED: [u8; 32] = *b"a key for measuring; guards none";

/// The members of a device token that cost something to read.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    jti: String,
    sub: String,
    iss: String,
    exp: u64,
    iat: u64,
    #[serde(rename = "mender.device")]
    device: bool,
    #[serde(rename = "mender.tenant")]
    tenant: String,
    #[serde(rename = "mender.plan")]
    plan: String,
    #[serde(rename = "rota.epoch")]
    epoch: i64,
}

/// Tokens for `count` devices that [`serve`] accepts.
pub(crate) fn tokens(count: usize) -> Result<Vec<String>> {
    // The key in PKCS#8 (RFC 8410): a fixed head, then the seed.
    const HEAD: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    let key = EncodingKey::from_ed_der(&[&HEAD[..], &SEED].concat());
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    (0..count)
        .map(|index| {
            let claims = Claims {
                jti: format!("00000000-0000-7000-8000-{index:012}"),
                sub: format!("00000000-0000-7000-9000-{index:012}"),
                iss: "Mender".to_owned(),
                exp: now + 86_400,
                iat: now,
                device: true,
                tenant: "00000000-0000-7000-8000-000000000000".to_owned(),
                plan: "enterprise".to_owned(),
                epoch: 0,
            };
            Ok(jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), &claims, &key)?)
        })
        .collect()
}

struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

/// Serves until it is killed.
pub(crate) fn serve(settings: Settings) -> Result<()> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(accept(settings))
}

async fn accept(settings: Settings) -> Result<()> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&SEED)
        .map_err(|_| anyhow::anyhow!("cannot make a key"))?;
    let verifier = Arc::new(Verifier {
        key: DecodingKey::from_ed_der(pair.public_key().as_ref()),
        validation: Validation::new(Algorithm::EdDSA),
    });
    let routes = Router::new()
        .route("/api/devices/v2/deployments/device/deployments/next", post(nothing))
        .with_state(verifier);
    let acceptor = acceptor(&settings.certificate, &settings.key)?;
    let listener = TcpListener::bind(settings.listen).await?;
    serve_tls(listener, acceptor, routes).await
}

/// TLS with a certificate and its key (PEM).
pub(crate) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    let certificates = CertificateDer::pem_file_iter(certificate)
        .context("cannot read the certificate")?
        .collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key).context("cannot read the key")?;
    let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key)?;
    Ok(TlsAcceptor::from(Arc::new(tls)))
}

/// Serves routes over TLS, until accepting connections fails.
pub(crate) async fn serve_tls(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    routes: Router,
) -> Result<()> {
    loop {
        let (tcp, _) = listener.accept().await?;
        tcp.set_nodelay(true)?;
        let (acceptor, routes) = (acceptor.clone(), routes.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(tcp).await {
                // A client that goes away is no concern of the measurement.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes))
                    .await;
            }
        });
    }
}

async fn nothing(State(verifier): State<Arc<Verifier>>, headers: HeaderMap) -> StatusCode {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let claims = token
        .map(|token| jsonwebtoken::decode::<Claims>(token, &verifier.key, &verifier.validation));
    match claims {
        Some(Ok(_)) => StatusCode::NO_CONTENT,
        _ => StatusCode::UNAUTHORIZED,
    }
}
