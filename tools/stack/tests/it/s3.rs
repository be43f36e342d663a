//! The S3 server's door.

use rota_stack::{S3, S3Options};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn a_request_without_a_signature_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = S3::start(S3Options::new(dir.path())).await.unwrap();
    let address = server.endpoint().strip_prefix("http://").unwrap().to_owned();
    std::fs::write(dir.path().join("rota/secret"), "secret").unwrap();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let request =
        format!("GET /rota/secret HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    server.stop().await;
    assert!(TcpStream::connect(&address).await.is_err(), "stopped");
}
