//! Servers that are busy, gone, slow, chatty, or somewhere else, and clocks that are wrong.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant, SystemTime},
};

use rota_client::{
    clock::TimeOfDay,
    log::{Level, Log},
    machine::{DeploymentId, Status},
    records::Software,
    server::{Authority, Server, ServerError, Session},
    wake::Wake,
};

use super::{
    line::{Fault, Line},
    rota::Rota,
};
use crate::{
    fake_server::{FakeServer, Response},
    session::{session, session_adjusted},
    tls,
};

fn poll(session: &mut Session) -> Result<(), ServerError> {
    session.poll(&Software::default()).map(|_| ())
}

fn auths(server: &FakeServer) -> usize {
    server.lines().iter().filter(|line| line.ends_with("/auth_requests")).count()
}

/// Every request but the first of all is answered so.
fn after_authentication(answer: Response) -> FakeServer {
    FakeServer::start(move |request| match request.path.as_str() {
        path if path.ends_with("/auth_requests") => Response::new(200, "token"),
        _ => answer.clone(),
    })
}

#[test]
fn each_server_gets_its_own_token_only() {
    let (first_rota, second_rota) = (Rota::default(), Rota::default());
    let (first, second) = (first_rota.start(), second_rota.start());
    let line = Line::to(&first.url(), |_| Fault::None);
    let (mut session, _folder) = session_adjusted(&[&second], |settings| {
        settings.servers.insert(0, line.url("http"));
    });
    poll(&mut session).unwrap();
    let _port = line.go_away();
    assert!(matches!(poll(&mut session), Err(ServerError::Http(_))));
    poll(&mut session).unwrap();
    let own = format!("Bearer {}", second_rota.state().token);
    for request in second.requests() {
        let sent = request.header("authorization").unwrap();
        assert!(sent == own || sent == "API_KEY", "{sent}");
    }
    assert_eq!((auths(&first), auths(&second)), (1, 1));
}

#[test]
fn a_server_that_only_fails_is_replaced_by_the_next() {
    let failing = after_authentication(Response::empty(502));
    let good = Rota::default().start();
    let (mut session, _folder) = session(&[&failing, &good]);
    assert!(matches!(poll(&mut session), Err(ServerError::Busy { status: 502, .. })));
    // It still gives tokens, so it is asked first.
    assert!(matches!(poll(&mut session), Err(ServerError::Busy { .. })));
    let _port = failing.go_away();
    poll(&mut session).unwrap();
    assert_eq!(auths(&good), 1);
}

#[test]
fn a_busy_server_is_left_alone_while_another_serves() {
    let busy = FakeServer::start(|_| Response::empty(429).header("Retry-After", "1000"));
    let good = Rota::default().start();
    let (mut session, _folder) = session(&[&busy, &good]);
    poll(&mut session).unwrap();
    session.drop_token();
    poll(&mut session).unwrap();
    assert_eq!((auths(&busy), auths(&good)), (1, 2));
}

#[test]
fn when_all_are_busy_the_first_to_be_back_decides() {
    let busy = |seconds: &'static str| {
        FakeServer::start(move |_| Response::empty(503).header("Retry-After", seconds))
    };
    let (long, short) = (busy("5000"), busy("1000"));
    let (mut session, _folder) = session(&[&long, &short]);
    for _ in 0..2 {
        let wait = poll(&mut session).unwrap_err().retry_after().unwrap();
        assert!((900..=1000).contains(&wait.as_secs()), "{wait:?}");
    }
    assert_eq!((auths(&long), auths(&short)), (1, 1));
}

#[test]
fn every_request_honours_a_wish_to_come_later() {
    let server = after_authentication(Response::empty(429).header("Retry-After", "7"));
    let (mut session, _folder) = session(&[&server]);
    let id = DeploymentId::try_from("d1".to_owned()).unwrap();
    for outcome in [
        poll(&mut session),
        session.report(&id, Status::Downloading),
        session.upload_log(&id, Vec::new()),
        session.send_inventory(Vec::new()),
        session.download_url(&format!("{}/file", server.url())).map(|_| ()),
    ] {
        // The download's own patience is shorter, so it has waited already.
        let error = outcome.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "{error}");
    }
}

#[test]
fn redirections_are_not_followed() {
    let elsewhere = Rota::default().start();
    for status in [301, 302, 307, 308] {
        let target = format!("{}/api?secret=1", elsewhere.url());
        let server = after_authentication(Response::empty(status).header("Location", target));
        let (mut session, _folder) = session(&[&server]);
        let refused = poll(&mut session);
        assert!(matches!(refused, Err(ServerError::Refused { .. })), "{refused:?}");
    }
    assert!(elsewhere.requests().is_empty());
}

#[test]
fn answers_are_bounded() {
    let long = "x".repeat(2 << 20);
    for answer in [
        Response::new(200, long.as_str()),
        Response::new(200, long.as_str()).without_length(),
        Response::empty(204).header("X-Long", &long[..100_000]),
    ] {
        let server = after_authentication(answer);
        let (mut session, _folder) = session(&[&server]);
        let outcome = poll(&mut session);
        assert!(matches!(outcome, Err(ServerError::Http(_))), "{outcome:?}");
    }
}

#[test]
fn a_server_that_falls_silent_is_given_up() {
    let server = Rota::default().start();
    for fault in [Fault::Stall(0), Fault::Stall(20), Fault::Stall(70)] {
        let line = Line::to(&server.url(), move |_| fault.clone());
        let (mut session, _folder) = session_adjusted(&[], |settings| {
            settings.servers = vec![line.url("http")];
            settings.connection_timeout = Duration::from_millis(300);
        });
        let started = Instant::now();
        assert!(matches!(poll(&mut session), Err(ServerError::Http(_))));
        assert!(started.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn user_names_in_addresses_are_refused_and_not_shown() {
    let (mut session, _folder) = session_adjusted(&[], |settings| {
        settings.servers = vec!["http://user:secret@localhost:1".to_owned()];
    });
    let error = poll(&mut session).unwrap_err();
    assert!(!error.is_worth_a_retry());
    let text = rota_client::log::chain(&error);
    assert!(text.contains("user names in addresses") && !text.contains("secret"), "{text}");
}

#[test]
fn a_stop_ends_a_request_at_once() {
    let server = Rota::default().start();
    let line = Line::to(&server.url(), |_| Fault::Stall(0));
    let mut settings = None;
    let (_, _folder) = session_adjusted(&[], |made| {
        made.servers = vec![line.url("http")];
        settings = Some(made.clone());
    });
    let (wake, log) = (Wake::default(), Log::new(Level::Error, Box::new(std::io::sink())));
    let authority = Authority::new(settings.unwrap(), wake.clone(), log);
    let waiting = thread::spawn(move || authority.authenticate().map(|_| ()));
    server.wait_until("the request", |requests| requests.len() == 1);
    let stopped = Instant::now();
    wake.stop();
    assert!(waiting.join().unwrap().is_err());
    assert!(stopped.elapsed() < Duration::from_secs(5), "{:?}", stopped.elapsed());
}

/// A server whose certificate has been valid since `since`.
fn server_valid_since(since: SystemTime) -> (FakeServer, tempfile::TempDir) {
    let mut params = tls::params("localhost");
    params.not_before = since.into();
    let identity = tls::self_signed(&params);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("server.crt"), identity.certificate.pem()).unwrap();
    let config = tls::open_to_all(&identity);
    (Rota::default().start_with(Some(config)), folder)
}

#[test]
fn a_clock_that_was_never_set_is_blamed_for_what_it_causes() {
    let hour = Duration::from_hours(1);
    // To a clock of 1970 every certificate is one of the future.
    let (server, folder) = server_valid_since(SystemTime::now() + hour);
    let never_set = TimeOfDay::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(12));
    let log = Log::new(Level::Error, Box::new(std::io::sink()));
    never_set.await_plausible(Duration::ZERO, &Wake::default(), &log).unwrap();
    let with_clock = |time: TimeOfDay| {
        let (mut session, _folder) = session_adjusted(&[&server], |settings| {
            settings.trust.server_certificate = Some(folder.path().join("server.crt"));
            settings.time = time;
        });
        poll(&mut session).unwrap_err()
    };
    let error = with_clock(never_set);
    let text = rota_client::log::chain(&error);
    assert!(text.contains("the clock shows 1970-01-01T00:00:12"), "{text}");
    // It is tried again each minute, and never gives up.
    assert_eq!(error.retry_after(), Some(Duration::from_mins(1)));
    let text = rota_client::log::chain(&with_clock(TimeOfDay::default()));
    assert!(!text.contains("clock"), "{text}");
    assert!(server.requests().is_empty());
}

#[test]
fn a_clock_that_is_set_while_the_client_starts_is_awaited() {
    let (server, folder) = server_valid_since(SystemTime::now() - Duration::from_hours(1));
    let looks = AtomicU32::new(0);
    let time = TimeOfDay::new(move || match looks.fetch_add(1, Ordering::SeqCst) {
        0..3 => SystemTime::UNIX_EPOCH,
        _ => SystemTime::now(),
    });
    let (mut session, _folder) = session_adjusted(&[&server], |settings| {
        settings.trust.server_certificate = Some(folder.path().join("server.crt"));
        settings.time = time;
    });
    poll(&mut session).unwrap();
}
