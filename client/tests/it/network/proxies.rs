//! HTTP proxies between the device and its server, whose name the device cannot resolve.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::json;

use super::rota::{Rota, has_status, noise};
use crate::{device::Device, tls};

/// A name that no resolver knows.
const HOST: &str = "rota.invalid";

/// `user:pa:ss` in Base64.
const CREDENTIALS: &str = "proxy-authorization: basic dxnlcjpwytpzcw==";

/// A proxy that leads every request to one server, and keeps the lines that it was asked with.
struct HttpProxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl HttpProxy {
    fn before(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let target = target.split_once("://").unwrap().1.to_owned();
        thread::spawn({
            let asked = asked.clone();
            move || {
                for client in listener.incoming().flatten() {
                    let (target, asked) = (target.clone(), asked.clone());
                    thread::spawn(move || serve(&client, &target, &asked));
                }
            }
        });
        Self { port, asked }
    }

    fn url(&self, user: &str) -> String {
        format!("http://{user}localhost:{}", self.port)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(client: &TcpStream, target: &str, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    asked.lock().unwrap().push(line.trim_end().to_owned());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && head != "\r\n" {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let mut client = client;
    if !head.to_lowercase().contains(CREDENTIALS) {
        return client.write_all(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n");
    }
    let mut server = TcpStream::connect(target)?;
    if line.starts_with("CONNECT ") {
        client.write_all(b"HTTP/1.1 200 Connected\r\nVia: test\r\n\r\n")?;
    } else {
        let rest = line.split_once(&format!(" http://{HOST}"));
        let (method, rest) = rest.expect("the whole address");
        server.write_all(format!("{method} {rest}{head}").as_bytes())?;
    }
    thread::spawn({
        let mut server = server.try_clone()?;
        move || {
            let _ = io::copy(&mut reader, &mut server);
            let _ = server.shutdown(Shutdown::Write);
        }
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(Shutdown::Both)
}

#[test]
fn a_deployment_over_plain_http_passes_a_proxy() {
    let rota = Rota::default();
    let server = rota.start();
    let content = noise(7, 100_000);
    rota.deploy(&content);
    rota.state().links = format!("http://{HOST}");
    let proxy = HttpProxy::before(&server.url());
    let mut device = Device::with_server(&format!("http://{HOST}"));
    device.set_environment("http_proxy", proxy.url("user:pa%3Ass@"));
    device.set_environment("HTTPS_PROXY", "http://localhost:1");
    let daemon = device.start_daemon();
    server.wait_until("success", |requests| has_status(requests, "success"));
    assert_eq!(device.read("installed"), Some(content));
    assert!(proxy.asked().iter().all(|line| !line.starts_with("CONNECT")));
    // What is for the proxy is not for the server.
    let requests = server.requests();
    assert!(requests.iter().all(|r| r.header("host") == Some(HOST)), "{requests:#?}");
    daemon.stop();
}

#[test]
fn a_deployment_over_https_passes_a_proxy_unseen() {
    let identity = tls::self_signed(&tls::params(HOST));
    let rota = Rota::default();
    let server = rota.start_with(Some(tls::open_to_all(&identity)));
    let content = noise(8, 100_000);
    rota.deploy(&content);
    rota.state().links = format!("https://{HOST}:8443");
    let proxy = HttpProxy::before(&server.url());
    let mut device = Device::new();
    device.set_environment("HTTPS_PROXY", proxy.url("user:pa%3Ass@"));
    device.set_environment("http_proxy", "http://localhost:1");
    let certificate = device.path("server.crt");
    std::fs::write(&certificate, identity.certificate.pem()).unwrap();
    device.configure(&json!({
        "ServerURL": format!("https://{HOST}"),
        "ServerCertificate": certificate,
        "UpdatePollIntervalSeconds": 1,
        "RetryPollIntervalSeconds": 1,
    }));
    let daemon = device.start_daemon();
    server.wait_until("success", |requests| has_status(requests, "success"));
    assert_eq!(device.read("installed"), Some(content));
    let asked = proxy.asked();
    assert!(asked.contains(&format!("CONNECT {HOST}:443 HTTP/1.1")), "{asked:?}");
    assert!(asked.contains(&format!("CONNECT {HOST}:8443 HTTP/1.1")), "{asked:?}");
    assert!(server.requests().iter().all(|r| r.header("proxy-authorization").is_none()));
    daemon.stop();
}

#[test]
fn hosts_of_no_proxy_are_reached_directly() {
    let server = Rota::default().start();
    let mut device = Device::with_server(&server.url());
    device.set_environment("http_proxy", "http://localhost:1");
    device.set_environment("NO_PROXY", "elsewhere, localhost");
    assert_eq!(device.run(&["bootstrap"]).code(), Some(0));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_is_wrong_with_a_proxy_is_said() {
    let server = Rota::default().start();
    let proxy = HttpProxy::before(&server.url());
    for (scheme, variables, expected) in [
        ("https", vec![("https_proxy", proxy.url(""))], "it wants other credentials (status 407)"),
        ("http", vec![("http_proxy", proxy.url(""))], "status 407"),
        ("http", vec![("http_proxy", "localhost:1".to_owned())], "the proxy localhost:1: "),
        ("http", vec![("http_proxy", "socks5://a".to_owned())], "another kind than http"),
        (
            "http",
            vec![("http_proxy", "http://a".to_owned()), ("HTTP_PROXY", "http://b".to_owned())],
            "http_proxy and HTTP_PROXY differ; unset one of them",
        ),
        (
            "http",
            vec![("HTTP_PROXY", "http://a".to_owned()), ("REQUEST_METHOD", "GET".to_owned())],
            "HTTP_PROXY is not trusted where REQUEST_METHOD is set",
        ),
    ] {
        let mut device = Device::with_server(&format!("{scheme}://{HOST}"));
        for (name, value) in variables {
            device.set_environment(name, value);
        }
        let stderr = device.run(&["bootstrap"]).stderr();
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    }
    assert!(server.requests().is_empty());
}
