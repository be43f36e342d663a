//! Every way in which a download can break, and what becomes of it.

use std::{
    io::Read,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use rota_client::{
    machine::Deployment,
    records::Software,
    server::{Server, Session, Trust},
};
use tempfile::TempDir;

use super::{
    line::{Fault, Line, PATIENCE},
    rota::{Rota, file, ranges},
};
use crate::{
    fake_server::{FakeServer, Request, Response},
    session::session_adjusted,
    tls,
};

const SIZE: usize = 300_000;

/// Where the first connection of most downloads here breaks.
const BREAK: usize = 100_000;

fn content() -> Vec<u8> {
    (0..SIZE).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect()
}

/// A connection that is silent for so long is dead: longer than a busy machine lets anybody wait.
const SILENCE: Duration = Duration::from_secs(2);

/// Without progress it gives up after pauses of two seconds in all.
fn session() -> (Session, TempDir) {
    session_adjusted(&[], |settings| settings.connection_timeout = SILENCE)
}

fn download(session: &Session, url: &str) -> Result<Vec<u8>, String> {
    let mut source = session.download_url(url).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    source.read_to_end(&mut content).map_err(|error| error.to_string())?;
    Ok(content)
}

fn of(server: &FakeServer) -> Result<Vec<u8>, String> {
    // No server falls silent; only lines do.
    let (session, _folder) = session_adjusted(&[], |_| {});
    download(&session, &format!("{}/file", server.url()))
}

/// The right rest under another `Content-Range`.
fn ranged(text: &str) -> impl Fn(&Request) -> Response + Send + Sync + 'static {
    let text = text.to_owned();
    move |_| Response::new(206, &content()[BREAK..]).header("Content-Range", text.clone())
}

/// Most of the time of these tests is pauses.
fn all_at_once<T: Send>(cases: Vec<T>, test: impl Fn(T) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || test(case));
        }
    });
}

type Answer = Box<dyn Fn(&Request) -> Response + Send + Sync>;

/// The cases of Mender's own tests by their names there, with what is answered to the request for
/// the rest; whether the file arrives. Ours differs from theirs where it says so.
fn table() -> Vec<(&'static str, Answer, bool)> {
    let range = |text: &str| -> Answer { Box::new(ranged(text)) };
    vec![
        ("BasicDownloadAndResume", Box::new(|r| file(&content(), r)), true),
        ("UnknownContentLength", range("bytes 100000-299999/*"), true),
        // Theirs fails; the surplus is skipped.
        (
            "EarlyRangeStart",
            Box::new(|_| {
                Response::new(206, &content()[BREAK - 10..])
                    .header("Content-Range", "bytes 99990-299999/300000")
            }),
            true,
        ),
        ("LateRangeStart", range("bytes 100010-299999/300000"), false),
        ("InvalidEndRange", range("bytes 100000-300010/300000"), false),
        ("NegativeRange", range("bytes 100000-99990/300000"), false),
        ("ChangeContentLength", range("bytes 100000-299999/300001"), false),
        (
            "BrokenContentLength",
            Box::new(|_| {
                Response::new(206, &content()[BREAK + 1..])
                    .header("Content-Range", "bytes 100000-299999/300000")
            }),
            false,
        ),
        // Theirs fails; what is there already is skipped.
        ("NoPartialContentSupport", Box::new(|_| Response::new(200, content())), true),
        ("MissingContentRange", Box::new(|_| Response::new(206, &content()[BREAK..])), false),
        ("EmptyContentRange", range(""), false),
        ("FormattedButInvalidContentRange", range("bytes 100000-abc/deadbeef"), false),
        ("ImproperlyFormattedContentRange", range("100000-299999:300000"), false),
        ("MissingBytesContentRange", range("100000-299999/300000"), false),
        ("TooManyContentRange", range("bytes 100000-299999-300000/300000"), false),
        ("InvalidContentRange", range("bytes abc"), false),
        ("GarbledContentStart", range("bytes 1x0000-299999/300000"), false),
        ("GarbledBytes", range("bytss 100000-299999/300000"), false),
        // Not among theirs.
        (
            "a part of the rest, and then the rest of it",
            Box::new(|request| match request.header("range") {
                Some("bytes=100000-299999") => Response::new(206, &content()[BREAK..200_000])
                    .header("Content-Range", "bytes 100000-199999/300000"),
                _ => file(&content(), request),
            }),
            true,
        ),
        (
            "the file is another one now, and the server starts over",
            Box::new(|_| Response::new(200, content()).header("ETag", "\"two\"")),
            false,
        ),
        (
            "the file is another one now, and the server does not mind",
            Box::new(|_| {
                Response::new(206, &content()[BREAK..])
                    .header("Content-Range", "bytes 100000-299999/300000")
                    .header("ETag", "\"two\"")
            }),
            false,
        ),
        ("the file is shorter now", Box::new(|_| Response::new(200, &content()[1..])), false),
        ("the file is shorter than was said", Box::new(|_| Response::empty(416)), false),
        (
            "a length is missing",
            Box::new(|_| Response::new(200, content()).without_length()),
            false,
        ),
        ("the link has expired", Box::new(|_| Response::new(403, "expired")), false),
        ("the file is gone", Box::new(|_| Response::new(404, "gone")), false),
        (
            "the way leads elsewhere",
            Box::new(|_| Response::empty(302).header("Location", "http://localhost:1/")),
            false,
        ),
    ]
}

#[test]
fn the_rest_arrives_or_the_download_fails_at_once() {
    all_at_once(table(), |(name, answer, arrives)| {
        let server = FakeServer::start(move |request| match request.header("range") {
            None => file(&content(), request).cut_after(BREAK),
            Some(_) => answer(request),
        });
        match of(&server) {
            Ok(received) => assert!(arrives && received == content(), "{name}"),
            Err(error) => {
                assert!(!arrives, "{name}: {error}");
                assert_eq!(server.requests().len(), 2, "{name}: {error}");
            }
        }
        let rest = server.requests().remove(1);
        assert_eq!(rest.header("range"), Some("bytes=100000-299999"), "{name}");
        assert_eq!(rest.header("if-range"), Some("\"one\""), "{name}");
    });
}

#[test]
fn what_may_pass_is_tried_again() {
    const BUSY: &str = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
    const MANY: &str = "HTTP/1.1 429 Many\r\nContent-Length: 4\r\n\r\nmany";
    const NO_HTTP: &str = "SSH-2.0-OpenSSH_9.9\r\n";
    const HALF: &str = "HTTP/1.1 206 Partial Con";
    let server = FakeServer::start(|request| file(&content(), request));
    let faults = vec![
        Fault::Refuse,
        Fault::Cut(0),
        Fault::Cut(30),
        Fault::Cut(5000),
        Fault::Reset(0),
        Fault::Reset(5000),
        Fault::Stall(0),
        Fault::Stall(40),
        Fault::Stall(5000),
        Fault::Answer(BUSY),
        Fault::Answer(MANY),
        Fault::Answer(NO_HTTP),
        Fault::Answer(HALF),
    ];
    all_at_once(faults, |fault| {
        // First of all, and in the middle.
        let faults = [fault.clone(), Fault::Cut(BREAK), fault.clone(), fault.clone()];
        let line = Line::with_faults(&server.url(), &faults);
        let received = download(&session().0, &format!("{}/file", line.url("http")));
        assert!(
            received.as_ref().is_ok_and(|r| *r == content()),
            "{fault:?}: {:?}",
            received.err()
        );
        assert_eq!(line.connections(), 5, "{fault:?}");
    });
}

#[test]
fn a_server_that_stays_away_is_given_up() {
    let server = FakeServer::start(|request| file(&content(), request));
    all_at_once(vec![Fault::Refuse, Fault::Cut(0), Fault::Stall(0)], |fault| {
        let faulty = fault.clone();
        let line = Line::to(&server.url(), move |number| match number {
            0 => Fault::Cut(BREAK),
            _ => faulty.clone(),
        });
        let started = Instant::now();
        let error = download(&session().0, &format!("{}/file", line.url("http"))).unwrap_err();
        assert!(error.contains("cannot reach"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20), "{fault:?}");
        // After pauses of 0.5, 1 and 0.5 seconds.
        assert_eq!(line.connections(), 4, "{fault:?}");
    });
}

#[test]
fn a_line_that_always_breaks_but_gets_on_is_never_given_up() {
    let server = FakeServer::start(|request| file(&content(), request));
    // Pauses of two seconds in all would be used up after four.
    let line = Line::to(&server.url(), |_| Fault::Reset(40_000));
    assert!(download(&session().0, &format!("{}/file", line.url("http"))).unwrap() == content());
    assert!(line.connections() > 7);
}

#[test]
fn a_byte_that_changes_on_the_way_is_noticed_by_tls_and_read_again() {
    let (server, trust, _certificate) = over_tls(|request| file(&content(), request));
    // In the handshake, in the first bytes, in the middle.
    let faults =
        [Fault::Corrupt(200), Fault::Corrupt(BREAK), Fault::Reset(BREAK), Fault::Corrupt(20_000)];
    let line = Line::with_faults(&server.url(), &faults);
    let (session, _folder) = session_adjusted(&[], |settings| {
        settings.trust = trust;
        settings.connection_timeout = SILENCE;
    });
    assert!(download(&session, &format!("{}/file", line.url("https"))).unwrap() == content());
    assert_eq!(line.connections(), 5);
}

/// A server over TLS, and a trust in it, as long as the folder is there.
fn over_tls(
    handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
) -> (FakeServer, Trust, TempDir) {
    let identity = tls::self_signed(&tls::params("localhost"));
    let server = FakeServer::start_with(Some(tls::open_to_all(&identity)), handler);
    let folder = tempfile::tempdir().unwrap();
    let certificate = folder.path().join("server.crt");
    std::fs::write(&certificate, identity.certificate.pem()).unwrap();
    (server, Trust { server_certificate: Some(certificate), ..Trust::default() }, folder)
}

/// One that takes a connection for broken that brings less than 64 KiB in two seconds.
fn impatient(trust: Trust) -> (Session, TempDir) {
    session_adjusted(&[], |settings| {
        settings.trust = trust;
        settings.download_patience = Duration::from_mins(10);
        settings.download_slowness = Duration::from_secs(2);
    })
}

/// Over TLS nothing is given out before a record of up to 16 KiB is whole, which here would take
/// half an hour.
#[test]
fn a_line_on_which_byte_after_byte_comes_is_left_for_another() {
    let plain = FakeServer::start(|request| file(&content(), request));
    let (secure, trust, _certificate) = over_tls(|request| file(&content(), request));
    all_at_once(vec![("http", plain), ("https", secure)], |(scheme, server)| {
        let drip = Fault::Drip(BREAK, Duration::from_millis(100));
        let line = Line::with_faults(&server.url(), &[drip]);
        let (session, _folder) = impatient(trust.clone());
        let started = Instant::now();
        let received = download(&session, &format!("{}/file", line.url(scheme))).unwrap();
        assert!(received == content(), "{scheme}");
        assert!(started.elapsed() < PATIENCE, "{scheme}: the line ended it");
        assert_eq!(line.connections(), 2, "{scheme}");
        let rest = server.requests().remove(1);
        assert!(rest.header("range").is_some(), "{scheme}: the second goes on");
    });
}

/// Each byte is a record of its own: on the wire there are two dozen times as many, and more than
/// enough if they counted.
#[test]
fn what_tls_adds_is_no_progress() {
    let (server, trust, _certificate) = over_tls(|request| match request.header("range") {
        None => file(&content(), request).dribble(BREAK, Duration::from_micros(200)),
        Some(_) => file(&content(), request),
    });
    let (session, _folder) = impatient(trust);
    assert!(download(&session, &format!("{}/file", server.url())).unwrap() == content());
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_length_that_is_wrong_or_missing_never_hangs() {
    // More was promised than comes, again and again.
    let short = FakeServer::start(|request| match request.header("range") {
        None => Response::new(200, content()).cut_after(BREAK),
        Some(_) => Response::empty(416),
    });
    assert!(of(&short).unwrap_err().contains("not the one whose download began"));
    // Without a length there is no telling where to go on.
    let endless = FakeServer::start(|_| Response::new(200, content()).without_length());
    let line = Line::with_faults(&endless.url(), &[Fault::Stall(BREAK)]);
    let error = download(&session().0, &format!("{}/file", line.url("http"))).unwrap_err();
    assert!(error.contains("told no length"), "{error}");
    assert_eq!(line.connections(), 1);
    assert!(of(&endless).unwrap() == content());
    let empty = FakeServer::start(|_| Response::new(200, ""));
    assert!(of(&empty).unwrap().is_empty());
}

#[test]
fn names_are_resolved_and_connected_anew_each_time() {
    let first = FakeServer::start(|request| file(&content(), request));
    let second = FakeServer::start(|request| file(&content(), request));
    let line = Line::with_faults(&first.url(), &[Fault::Cut(BREAK)]);
    let (session, _folder) = session();
    let mut source = session.download_url(&format!("{}/file", line.url("http"))).unwrap();
    let mut received = vec![0; 1000];
    source.read_exact(&mut received).unwrap();
    // The host moves.
    line.lead_to(&second.url());
    source.read_to_end(&mut received).unwrap();
    assert!(received == content());
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
}

fn deployment(server: &FakeServer) -> (Session, TempDir, Deployment) {
    let (mut session, folder) = session_adjusted(&[server], |_| {});
    let deployment = session.poll(&Software::default()).unwrap().unwrap();
    (session, folder, deployment)
}

#[test]
fn an_expired_link_is_replaced_and_the_download_goes_on() {
    let rota = Rota::default();
    let server = rota.start();
    let size = rota.deploy(&super::rota::noise(1, 50_000));
    // Expired before the first request already.
    let (mut session, _folder, deployment) = deployment(&server);
    rota.state().link += 1;
    let mut source = session.download(&deployment, &Software::default()).unwrap();
    let mut received = Vec::new();
    source.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), size);

    // Expired while the connection was lost.
    let line = Line::with_faults(&server.url(), &[Fault::Cut(10_000)]);
    rota.state().links = line.url("http");
    let deployment = session.poll(&Software::default()).unwrap().unwrap();
    let mut source = session.download(&deployment, &Software::default()).unwrap();
    let mut again = vec![0; 1000];
    source.read_exact(&mut again).unwrap();
    rota.state().link += 1;
    source.read_to_end(&mut again).unwrap();
    assert!(again == received);
    let ranges = ranges(&server.requests());
    assert_eq!(ranges.len(), 5);
    assert!(ranges[3].is_some() && ranges[3] == ranges[4], "{ranges:?}");
}

#[test]
fn a_deployment_that_is_no_longer_offered_ends_the_download() {
    type Change = fn(&Rota);
    let changes: [Change; 2] =
        [|rota| rota.state().is_over = true, |rota| rota.state().deployment = "d2"];
    for change in changes {
        let rota = Rota::default();
        let server = rota.start();
        rota.deploy("content");
        let (mut session, _folder, deployment) = deployment(&server);
        rota.state().link += 1;
        change(&rota);
        let refused = session.download(&deployment, &Software::default()).map(|_| ());
        assert_eq!(refused.unwrap_err().to_string(), "the server no longer offers this deployment");
    }
}

#[test]
fn links_that_never_work_are_not_asked_for_for_ever() {
    let numbers = AtomicU32::new(0);
    let server = FakeServer::start(move |request| match request.path.as_str() {
        path if path.ends_with("/auth_requests") => Response::new(200, "token"),
        path if path.ends_with("/next") => {
            let number = numbers.fetch_add(1, Ordering::SeqCst);
            let host = request.header("host").unwrap();
            let link = format!("http://{host}/link-{number}");
            let body = serde_json::json!({"id": "d1", "artifact": {"source": {"uri": link}}});
            Response::new(200, body.to_string())
        }
        _ => Response::new(403, "never"),
    });
    let (mut session, _folder, deployment) = deployment(&server);
    let refused = session.download(&deployment, &Software::default()).map(|_| ());
    assert!(refused.unwrap_err().to_string().contains("never"));
    let links = server.lines().iter().filter(|line| line.contains("/link-")).count();
    assert_eq!(links, 3);
}
