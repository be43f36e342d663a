//! An HTTP server that answers as it is told, and remembers what it was asked.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::port::Port;

/// Longer than anything that is waited for takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// The status that makes a connection one for WebSocket.
const SWITCHING: u16 = 101;

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Response {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Close the connection after so many bytes of the body.
    cut_after: Option<usize>,
    has_length: bool,
    /// The body from here on is written byte by byte, each after a while.
    dribble: Option<(usize, Duration)>,
}

impl Response {
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { status, headers: Vec::new(), body, cut_after: None, has_length: true, dribble: None }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self::new(status, "")
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        self.cut_after = Some(bytes);
        self
    }

    pub(crate) fn dribble(mut self, from: usize, pause: Duration) -> Self {
        self.dribble = Some((from, pause));
        self
    }

    pub(crate) fn without_length(mut self) -> Self {
        self.has_length = false;
        self
    }
}

type Handler = dyn Fn(&Request) -> Response + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    requests: Mutex<Vec<Request>>,
    arrived: Condvar,
    is_over: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
}

pub(crate) struct FakeServer {
    address: String,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
    port: Option<Port>,
}

impl FakeServer {
    pub(crate) fn start(handler: impl Fn(&Request) -> Response + Send + Sync + 'static) -> Self {
        Self::start_with(None, handler)
    }

    pub(crate) fn start_with(
        tls: Option<Arc<ServerConfig>>,
        handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Self {
        let (port, listener) = Port::listen();
        let mut server = Self::serve(listener, port.name(), tls, handler);
        server.port = Some(port);
        server
    }

    /// At any address of this machine.
    pub(crate) fn start_at(
        address: &str,
        handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self::serve(listener, address, None, handler)
    }

    fn serve(
        listener: TcpListener,
        address: String,
        tls: Option<Arc<ServerConfig>>,
        handler: impl Fn(&Request) -> Response + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            handler: Box::new(handler),
            requests: Mutex::default(),
            arrived: Condvar::new(),
            is_over: AtomicBool::new(false),
            tls,
        });
        let accepting = thread::spawn({
            let shared = shared.clone();
            move || {
                for connection in listener.incoming().flatten() {
                    if shared.is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let shared = shared.clone();
                    thread::spawn(move || shared.serve(connection));
                }
            }
        });
        Self { address, shared, accepting: Some(accepting), port: None }
    }

    pub(crate) fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Requests as `METHOD /path`.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.requests().iter().map(|r| format!("{} {}", r.method, r.path)).collect()
    }

    /// Waits until the requests so far are as wished for.
    pub(crate) fn wait_until(&self, what: &str, is_so: impl Fn(&[Request]) -> bool) {
        let requests = self.shared.requests.lock().unwrap();
        let (requests, waited) = self
            .shared
            .arrived
            .wait_timeout_while(requests, PATIENCE, |requests| !is_so(requests))
            .unwrap();
        assert!(!waited.timed_out(), "{what} did not come: {requests:#?}");
    }

    /// Ends it for good. Nobody else answers at its address while the port is held.
    pub(crate) fn go_away(mut self) -> Option<Port> {
        self.port.take()
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Ends the last accept.
        let _ = TcpStream::connect(&self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

impl Shared {
    fn serve(&self, connection: TcpStream) {
        let _ = connection.set_read_timeout(Some(PATIENCE));
        // A client that goes away is what some tests are about.
        let _ = match &self.tls {
            None => self.answer(connection),
            Some(config) => match ServerConnection::new(config.clone()) {
                Ok(session) => self.answer(StreamOwned::new(session, connection)),
                Err(_) => Ok(()),
            },
        };
    }

    fn answer(&self, stream: impl Read + Write) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let Some(request) = read_request(&mut stream)? else { return Ok(()) };
        let response = (self.handler)(&request);
        self.requests.lock().unwrap().push(request);
        self.arrived.notify_all();
        write_response(stream.get_mut(), &response)?;
        if response.status == SWITCHING { self.talk(&mut stream) } else { Ok(()) }
    }

    /// Enough WebSocket to see that bytes go both ways: a ping, whose pong is noted as a request,
    /// and so is the end.
    fn talk(&self, stream: &mut BufReader<impl Read + Write>) -> io::Result<()> {
        stream.get_mut().write_all(&[0x89, 0])?;
        stream.get_mut().flush()?;
        let mut frame = [0; 6];
        stream.read_exact(&mut frame)?;
        if frame.starts_with(&[0x8a, 0x80]) {
            self.note("PONG");
        }
        let ended = io::copy(stream, &mut io::sink());
        self.note("END");
        ended.map(|_| ())
    }

    fn note(&self, method: &str) {
        let (path, headers, body) = Default::default();
        let note = Request { method: method.to_owned(), path, headers, body };
        self.requests.lock().unwrap().push(note);
        self.arrived.notify_all();
    }
}

fn read_request(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.insert(name.to_lowercase(), value.to_owned()),
            None => break,
        };
    }
    let length = headers.get("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some(Request { method, path, headers, body }))
}

fn write_response(stream: &mut impl Write, response: &Response) -> io::Result<()> {
    let mut head = Vec::new();
    let connection = if response.status == SWITCHING { "Upgrade" } else { "close" };
    write!(head, "HTTP/1.1 {} Status\r\nConnection: {connection}\r\n", response.status)?;
    if response.has_length && ![SWITCHING, 204].contains(&response.status) {
        write!(head, "Content-Length: {}\r\n", response.body.len())?;
    }
    for (name, value) in &response.headers {
        write!(head, "{name}: {value}\r\n")?;
    }
    write!(head, "\r\n")?;
    stream.write_all(&head)?;
    let end = response.cut_after.unwrap_or(response.body.len());
    let (from, pause) = response.dribble.unwrap_or((end, Duration::ZERO));
    stream.write_all(&response.body[..from])?;
    for byte in &response.body[from..end] {
        stream.flush()?;
        thread::sleep(pause);
        stream.write_all(std::slice::from_ref(byte))?;
    }
    stream.flush()
}
