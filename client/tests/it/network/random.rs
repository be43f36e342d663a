//! One download, dozens of faults, in no order.

use std::time::{SystemTime, UNIX_EPOCH};

use super::{
    line::{Fault, Line},
    rota::{Random, file, noise},
};
use crate::{
    device::{Device, artifact},
    fake_server::FakeServer,
};

const CONTENT_BYTES: usize = 900_000;

const ANSWERS: [&str; 4] = [
    "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 429 Many\r\nRetry-After: 0\r\n\r\n",
    "HTTP/1.1 206",
    "\0\0\0\0\r\n\r\n",
];

fn fault(random: &mut Random) -> Fault {
    // Past the head of the answer, so that something comes most of the time.
    let bytes = 200 + random.below(70_000);
    match random.below(16) {
        0 => Fault::Refuse,
        1 => Fault::Cut(random.below(200)),
        2 => Fault::Stall(bytes),
        3 => Fault::Answer(ANSWERS[random.below(ANSWERS.len())]),
        4..8 => Fault::Reset(bytes),
        _ => Fault::Cut(bytes),
    }
}

#[test]
fn dozens_of_faults_do_not_harm_a_file() {
    let from_environment = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = from_environment.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos())
    });
    eprintln!("SEED={seed}");
    let content = noise(seed, CONTENT_BYTES);
    let artifact = artifact("new", &content);
    let server = FakeServer::start(move |request| file(&artifact, request));
    let mut random = Random(seed);
    let line = Line::to(&server.url(), move |_| fault(&mut random));
    let device = Device::new();
    device.configure(&serde_json::json!({"ConnectionTimeoutSeconds": 1}));
    let url = format!("{}/new.mender", line.url("http"));
    let installed = device.run(&["install", &url]);
    assert_eq!(installed.code(), Some(0), "{}", installed.stderr());
    assert!(device.read("installed") == Some(content), "seed {seed}");
    assert!(line.connections() > 12, "{} connections", line.connections());
    assert_eq!(device.run(&["commit"]).code(), Some(0));
}
