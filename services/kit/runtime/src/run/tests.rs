use std::{
    io::{BufRead, BufReader, Read},
    net::TcpStream,
    process::{Child, ChildStderr, Command, Stdio},
};

use axum::{Router, http::Uri};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;

use super::*;
use crate::{
    Check,
    listen::{Limits, Listener},
    tls::Protocols,
};

fn parsed(arguments: &[&str]) -> Result<(ProcessSettings, ServiceSettings<None>), ExitCode> {
    let arguments = ["x"].iter().chain(arguments).map(OsString::from);
    parse("deployments", arguments)
}

/// A service without settings of its own.
#[derive(Args)]
struct None {}

#[test]
fn settings_have_defaults_and_flags() {
    let (process, settings) = parsed(&["--listen", "[::1]:7"]).unwrap();
    assert_eq!(process.admin_listen.to_string(), "127.0.0.1:9464");
    assert_eq!(settings.serve.listen.to_string(), "[::1]:7");
    assert_eq!(settings.serve.trusted_peers[0], "gateway");
}

#[test]
fn a_wrong_value_ends_with_the_code_for_usage() {
    for wrong in [["--listen", "nowhere"], ["--shutdown-seconds", "soon"], ["--no-such", "x"]] {
        assert_eq!(parsed(&wrong).err(), Some(ExitCode::from(64)), "{wrong:?}");
    }
    assert_eq!(parsed(&["--help"]).err(), Some(ExitCode::SUCCESS));
}

#[test]
fn a_mistake_is_told_in_one_line_that_names_the_setting() {
    let command = ProcessSettings::augment_args(clap::Command::new("x"));
    let error = command.try_get_matches_from(["x", "--admin-listen", "here"]).unwrap_err();
    let told = mistake(&error);
    assert!(told.contains("--admin-listen") && told.contains("here"), "{told}");
    assert!(!told.contains('\n') && !told.starts_with("error"), "{told}");
}

#[test]
fn missing_peers_and_certificates_are_named() {
    let env = Env::new();
    let error = env.rpc("inventory").err().unwrap();
    assert_eq!(error.to_string(), "--inventory-url (ROTA_INVENTORY_URL) is needed");
    let settings = parsed(&[]).unwrap().1;
    let error = settings.serve.security(&settings.peers).unwrap_err();
    assert!(error.to_string().contains("ROTA_TLS_CERT"), "{error}");
    let peers = PeerSettings {
        inventory_url: Some("https://a:1".to_owned()),
        insecure_loopback: true,
        ..PeerSettings::default()
    };
    let error = Env { peers, ..Env::new() }.rpc("inventory").err().unwrap();
    assert!(error.to_string().contains("http://"), "{error}");
}

/// What the program below is told to do by its parent.
const TASK: &str = "ROTA_TEST_PROGRAM";

/// The program that the tests below start as a process of its own: this test binary, told to
/// run this test alone. Without a parent it does nothing.
#[test]
fn program() {
    let Ok(task) = std::env::var(TASK) else { return };
    let command = ProcessSettings::augment_args(clap::Command::new("x"));
    let mut arguments = vec!["x", "--admin-listen", "127.0.0.1:0", "--log-format", "json"];
    let endpoint = task.strip_prefix("trace to ").map(str::to_owned);
    if let Some(endpoint) = &endpoint {
        arguments.extend(["--otlp-endpoint", endpoint]);
    }
    if task == "hang" {
        arguments.extend(["--shutdown-seconds", "600"]);
    }
    let matches = command.try_get_matches_from(arguments).unwrap();
    let process = ProcessSettings::from_arg_matches(&matches).unwrap();
    let code = execute("test", &process, (), async |(), env| {
        env.readiness.add([Check::new("sample", async || Ok(()))]);
        let stop = env.tasks.token();
        match task.as_str() {
            "fail" => anyhow::bail!("the database is gone"),
            "misconfigured" => Err(ConfigError::new("--colour must be a colour"))?,
            "panic" => env.tasks.spawn("dies", async { panic!("on purpose") }),
            "hang" => env.tasks.spawn("hangs", std::future::pending()),
            _ => env.tasks.spawn("waits", async move {
                let span = tracing::info_span!("work", request_id = "r-1");
                stop.cancelled().await;
                span.in_scope(|| tracing::info!("finished properly"));
            }),
        }
        Ok(())
    });
    // Spoken, because the code of this process is the test harness's.
    let _ = writeln!(std::io::stderr(), "exit: {code:?}");
}

struct Program {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStderr>>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(task: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["run::tests::program", "--exact", "--nocapture"])
            .env(TASK, task)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line that contains `text`.
    fn line(&mut self, text: &str) -> String {
        self.lines
            .by_ref()
            .map(Result::unwrap)
            .find(|line| line.contains(text))
            .unwrap_or_else(|| panic!("the program ended without {text:?}"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn admin_address(&mut self) -> String {
        let line: serde_json::Value = serde_json::from_str(&self.line("admin port open")).unwrap();
        line["address"].as_str().unwrap().to_owned()
    }
}

fn exit(code: u8) -> String {
    format!("exit: {:?}", ExitCode::from(code))
}

#[test]
fn a_program_is_healthy_until_it_is_told_to_stop() {
    let mut program = Program::start("work");
    let address = program.admin_address();
    let fetch = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        body.to_owned()
    };
    assert_eq!(fetch("/livez"), "ok\n");
    assert_eq!(fetch("/readyz"), "ready\n");
    fetch("/metrics");
    program.signal(Signal::TERM);
    let line: serde_json::Value = serde_json::from_str(&program.line("finished properly")).unwrap();
    assert_eq!(line["span"]["request_id"], "r-1");
    program.line(&exit(0));
}

#[test]
fn a_second_signal_does_not_wait() {
    let mut program = Program::start("hang");
    program.admin_address();
    program.signal(Signal::INT);
    program.line("stopping");
    program.signal(Signal::TERM);
    program.line(&exit(0));
}

#[test]
fn failures_end_with_their_exit_codes_and_one_sentence() {
    let mut program = Program::start("fail");
    program.line("rota-test: the database is gone");
    program.line(&exit(1));
    let mut program = Program::start("misconfigured");
    program.line("rota-test: --colour must be a colour");
    program.line(&exit(64));
    let mut program = Program::start("panic");
    program.line("rota-test: a background task panicked");
    program.line(&exit(1));
}

#[tokio::test]
async fn traces_are_sent_before_the_end() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let collector = Router::new().fallback(move |uri: Uri| {
        let _ = seen.send(uri.path().to_owned());
        async { tonic::Status::ok("").into_http::<axum::body::Body>() }
    });
    let address = ([127, 0, 0, 1], 0).into();
    let listener =
        Listener::bind("collector", address, None, Protocols::Grpc, Limits::default()).await;
    let listener = listener.unwrap();
    let task = format!("trace to http://{}", listener.local_addr().unwrap());
    let tasks = Tasks::new();
    listener.serve(collector, &tasks);
    let told = tokio::task::spawn_blocking(move || {
        let mut program = Program::start(&task);
        program.admin_address();
        program.signal(Signal::TERM);
        program.line(&exit(0));
    });
    let path = requests.recv().await.unwrap();
    assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    told.await.unwrap();
}
