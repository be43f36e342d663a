//! The listener that devices and people reach.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Extension, Router, routing::get};
use rota_runtime::{
    Tasks, certificate, install_crypto,
    listen::{Limits, Listener, Peer},
    tls::{ClientCertificates, Protocols, ServerTls},
};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tokio_rustls::TlsConnector;

use crate::certificates::Authority;

async fn who(Extension(peer): Extension<Peer>) -> String {
    let names = peer.certificate.map(|certificate| certificate.names.join(" "));
    format!("{} {}", peer.address.ip(), names.unwrap_or_default())
}

fn identifying() -> Router {
    Router::new().route("/who", get(who))
}

async fn serve(router: Router, tls: Option<ServerTls>, limits: Limits) -> (SocketAddr, Tasks) {
    let tasks = Tasks::new();
    let address = ([127, 0, 0, 1], 0).into();
    let listener = Listener::bind("test", address, tls, Protocols::Http, limits).await.unwrap();
    let address = listener.local_addr().unwrap();
    listener.serve(router, &tasks);
    (address, tasks)
}

#[tokio::test]
async fn small_clients_find_header_names_in_their_customary_spelling() {
    let (address, _tasks) = serve(identifying(), None, Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("\r\nContent-Length: 10\r\n"), "{answer}");
    assert!(answer.ends_with("127.0.0.1 "), "{answer}");
}

/// With a clock that goes on as soon as nobody works.
#[tokio::test(start_paused = true)]
async fn a_request_under_way_has_as_long_as_the_process_when_that_stops() {
    let (begun, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = get({
        let (begun, gate) = (begun.clone(), gate.clone());
        async move || {
            begun.notify_one();
            gate.notified().await;
            "done"
        }
    });
    let (address, tasks) = serve(Router::new().route("/slow", slow), None, Limits::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    begun.notified().await;
    assert!(!tasks.stop_within(Duration::from_mins(2)).await);
    gate.notify_one();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    assert!(tasks.stop_within(Duration::from_mins(2)).await);
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut() {
    let limits = Limits { header_read: Duration::from_millis(50), ..Limits::default() };
    let (address, _tasks) = serve(identifying(), None, limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /who HT").await.unwrap();
    let mut answer = Vec::new();
    // Ends, one way or the other, instead of hanging.
    let _ = stream.read_to_end(&mut answer).await;
}

#[tokio::test]
async fn a_client_without_a_handshake_is_cut() {
    let authority = Authority::new();
    let tls = ServerTls {
        identity: authority.identity("gateway"),
        clients: ClientCertificates::NotAsked,
    };
    let limits = Limits { handshake: Duration::from_millis(50), ..Limits::default() };
    let (address, _tasks) = serve(identifying(), Some(tls), limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
}

#[tokio::test]
async fn connections_above_the_cap_wait_for_their_turn() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let (address, _tasks) = serve(identifying(), None, limits).await;
    let request = b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let first = TcpStream::connect(address).await.unwrap();
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(request).await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(100), second.read(&mut byte)).await;
    assert!(early.is_err(), "served beside the first");
    drop(first);
    assert_eq!(second.read(&mut byte).await.unwrap(), 1);
}

#[tokio::test]
async fn tls_speaks_both_versions_of_http() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let identity = certificate::ensure_self_signed(dir.path(), &["localhost".to_owned()]).unwrap();
    let pinned = std::fs::read(&identity.cert).unwrap();
    let tls = ServerTls { identity, clients: ClientCertificates::Optional(authority.ca()) };
    let (address, _tasks) = serve(identifying(), Some(tls), Limits::default()).await;
    let url = format!("https://localhost:{}/who", address.port());
    let builder = || {
        let pinned = reqwest::Certificate::from_pem(&pinned).unwrap();
        reqwest::Client::builder().tls_certs_only([pinned])
    };

    let answer = builder().build().unwrap().get(&url).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), "127.0.0.1 ");

    let client = builder().http1_only().build().unwrap();
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_11);

    let device = authority.identity("device");
    let mut pem = std::fs::read(&device.key).unwrap();
    pem.extend(std::fs::read(&device.cert).unwrap());
    let device = reqwest::Identity::from_pem(&pem).unwrap();
    let client = builder().identity(device).build().unwrap();
    let answer = client.get(&url).send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("device"), "{answer}");
}

#[tokio::test]
async fn a_device_that_comes_back_resumes_its_session() {
    let dir = tempfile::tempdir().unwrap();
    install_crypto();
    let identity = certificate::ensure_self_signed(dir.path(), &["localhost".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&identity.cert).unwrap()).unwrap();
    let tls = ServerTls { identity, clients: ClientCertificates::NotAsked };
    let (address, _tasks) = serve(identifying(), Some(tls), Limits::default()).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = "localhost".try_into().unwrap();
            let mut stream = connector.connect(name, stream).await.unwrap();
            let request = b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
        }
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed], "{version:?}");
    }
}
