//! A line between the client and a server that breaks as it is told.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::net::sockopt::set_socket_linger;

use crate::port::Port;

/// Longer than any client waits in these tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// What becomes of a connection. Bytes are those that the server sends, heads included.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    None,
    /// Reset before anything was said.
    Refuse,
    /// Closed in order after so many bytes.
    Cut(usize),
    /// Reset after so many bytes.
    Reset(usize),
    /// Silent after so many bytes, and never closed.
    Stall(usize),
    /// After so many bytes a thousand come one by one.
    Trickle(usize),
    /// After so many bytes one comes after the other, each after such a while, and at last none.
    Drip(usize, Duration),
    /// One byte is another.
    Corrupt(usize),
    /// Somebody else answers, in these words.
    Answer(&'static str),
    /// One text in the head of the answer is replaced by one of the same length.
    Replace(&'static str, &'static str),
}

/// Decides on a connection by its number, from 0 on.
type Script = dyn FnMut(usize) -> Fault + Send;

pub(crate) struct Line {
    address: String,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
    port: Option<Port>,
}

struct Shared {
    target: Mutex<String>,
    script: Mutex<Box<Script>>,
    connections: AtomicUsize,
    is_over: AtomicBool,
}

impl Line {
    /// Leads to the host and port of a URL.
    pub(crate) fn to(url: &str, script: impl FnMut(usize) -> Fault + Send + 'static) -> Self {
        let (port, listener) = Port::listen();
        let address = port.name();
        let shared = Arc::new(Shared {
            target: Mutex::new(host(url)),
            script: Mutex::new(Box::new(script)),
            connections: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let accepting = thread::spawn({
            let shared = shared.clone();
            move || {
                for connection in listener.incoming().flatten() {
                    if shared.is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let shared = shared.clone();
                    // A client that goes away is what these tests are about.
                    thread::spawn(move || shared.carry(&connection));
                }
            }
        });
        Self { address, shared, accepting: Some(accepting), port: Some(port) }
    }

    /// Faults in this order, then none.
    pub(crate) fn with_faults(url: &str, faults: &[Fault]) -> Self {
        let faults = faults.to_vec();
        Self::to(url, move |number| faults.get(number).cloned().unwrap_or(Fault::None))
    }

    /// From now on leads elsewhere.
    pub(crate) fn lead_to(&self, url: &str) {
        *self.shared.target.lock().unwrap() = host(url);
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Ends it for good. Nobody else answers at its address while the port is held.
    pub(crate) fn go_away(mut self) -> Option<Port> {
        self.port.take()
    }
}

impl Drop for Line {
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
    fn carry(&self, client: &TcpStream) -> io::Result<()> {
        let number = self.connections.fetch_add(1, Ordering::SeqCst);
        let fault = (self.script.lock().unwrap())(number);
        client.set_read_timeout(Some(PATIENCE))?;
        match fault {
            Fault::Refuse => return reset(client),
            Fault::Answer(words) => {
                read_head(client)?;
                let mut client = client;
                return client.write_all(words.as_bytes());
            }
            _ => {}
        }
        let target = self.target.lock().unwrap().clone();
        let Ok(server) = TcpStream::connect(target) else { return reset(client) };
        server.set_read_timeout(Some(PATIENCE))?;
        let up = {
            let (mut client, mut server) = (client.try_clone()?, server.try_clone()?);
            thread::spawn(move || {
                let _ = io::copy(&mut client, &mut server);
                let _ = server.shutdown(Shutdown::Write);
            })
        };
        let outcome = down(&server, client, &fault);
        if let (Ok(()), Fault::Stall(_)) = (&outcome, &fault) {
            // Until the client has had enough.
            let _ = up.join();
        }
        outcome?;
        match fault {
            Fault::Reset(_) => reset(client)?,
            _ => client.shutdown(Shutdown::Write)?,
        }
        server.shutdown(Shutdown::Both)
    }
}

/// Carries what the server says, up to the fault.
fn down(mut server: &TcpStream, mut client: &TcpStream, fault: &Fault) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    let mut sent = 0;
    loop {
        let left = match fault {
            Fault::Cut(at) | Fault::Reset(at) | Fault::Stall(at) => at - sent,
            _ => buffer.len(),
        };
        if left == 0 {
            return Ok(());
        }
        let limit = left.min(buffer.len());
        let count = server.read(&mut buffer[..limit])?;
        if count == 0 {
            return Ok(());
        }
        let bytes = &mut buffer[..count];
        match fault {
            Fault::Corrupt(at) if (sent..sent + count).contains(at) => bytes[at - sent] ^= 1,
            Fault::Replace(from, to) => replace(bytes, from, to),
            _ => {}
        }
        match fault {
            Fault::Trickle(at) => {
                let slow = (at.saturating_sub(sent), (at + 1000).saturating_sub(sent));
                let (before, rest) = bytes.split_at(slow.0.min(count));
                let (one_by_one, after) = rest.split_at(slow.1.min(count) - before.len());
                client.write_all(before)?;
                for byte in one_by_one {
                    client.write_all(std::slice::from_ref(byte))?;
                    thread::sleep(Duration::from_millis(1));
                }
                client.write_all(after)?;
            }
            Fault::Drip(at, pause) => {
                let (before, rest) = bytes.split_at(at.saturating_sub(sent).min(count));
                client.write_all(before)?;
                let started = Instant::now();
                for byte in rest {
                    if started.elapsed() > PATIENCE {
                        return Ok(());
                    }
                    client.write_all(std::slice::from_ref(byte))?;
                    thread::sleep(*pause);
                }
            }
            _ => client.write_all(bytes)?,
        }
        sent += count;
    }
}

fn replace(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let place = bytes.windows(from.len()).position(|window| window == from.as_bytes());
    if let Some(place) = place {
        bytes[place..place + to.len()].copy_from_slice(to.as_bytes());
    }
}

/// Closes with a reset instead of in order.
fn reset(client: &TcpStream) -> io::Result<()> {
    set_socket_linger(client, Some(Duration::ZERO))?;
    Ok(())
}

fn read_head(mut client: &TcpStream) -> io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(())
}

fn host(url: &str) -> String {
    url.split_once("://").map_or(url, |(_, host)| host).to_owned()
}
