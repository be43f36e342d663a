//! What the server has not heard of updates that are over.

use rota_client::{
    journal::{FileStore, Store},
    machine::{DeploymentId, Owed},
    records::Records,
};
use serde_json::{Value, json};

use crate::{daemon::Rota, device::Device, fake_server::Request};

const LOG: &str = concat!(
    r#"{"timestamp":"2026-11-21T00:00:00Z","level":"error","message":"this is why"}"#,
    "\n"
);

#[test]
fn a_daemon_tells_what_it_owes_before_it_asks_for_anything() {
    let server = Rota::default().start();
    let device = Device::with_server(&server.url());
    let id = DeploymentId::try_from("d0".to_owned()).unwrap();
    let mut owe = |records: &mut Records| {
        records.owed.owe(&id, Owed::Failure);
    };
    FileStore::new(device.path("data")).change(&mut owe).unwrap();
    // Another deployment came after it.
    device.write("data/deployments.0001.d0.log", LOG);
    let status = device.run(&["status"]).stdout();
    assert!(status.contains("Not told:    failure of deployment d0\n"), "{status}");

    let daemon = device.start_daemon();
    let is_poll = |request: &Request| request.path.ends_with("/next");
    server.wait_until("the poll", |requests| requests.iter().any(is_poll));
    daemon.stop();
    let requests = server.requests();
    let place = |end: &str| requests.iter().position(|request| request.path.ends_with(end));
    let [told, explained, asked] =
        ["/d0/status", "/d0/log", "/next"].map(|end| place(end).unwrap());
    assert!(told < explained && explained < asked, "{:?}", server.lines());
    assert!(place("/attributes").is_none_or(|place| explained < place), "{:?}", server.lines());
    assert_eq!(requests[told].json(), json!({"status": "failure"}));
    assert_eq!(requests[explained].json()["messages"][0]["message"], "this is why");
    let told_again = requests.iter().filter(|request| request.path.contains("/d0/")).count();
    assert_eq!(told_again, 2, "{:?}", server.lines());

    let status = device.run(&["status", "--output", "json"]).stdout();
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["owed_reports"], json!([]));
}
