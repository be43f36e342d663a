//! `io.mender.AuthenticationManager` on the system bus: the device's token for the add-ons, which
//! speak to the server by themselves. Beside it `io.mender.UpdateManager`, which takes update
//! control maps.
//!
//! The bus may be missing or go away: the client's own work does not depend on it.

mod update_manager;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use zbus::{Connection, connection, interface, object_server::SignalEmitter};

use update_manager::UpdateManager;

use crate::{
    control::LocalMaps,
    log::{Log, chain},
    server::{Authority, Forwarder, Token},
    wake::{Stopped, Wake},
};

const NAME: &str = "io.mender.AuthenticationManager";
const PATH: &str = "/io/mender/AuthenticationManager";

/// Between attempts to find a bus; doubles up to the second.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Authentications of which the bus has not been told yet.
const QUEUE: usize = 64;

/// What the thread of the bus waits for.
enum Event {
    /// Servers were asked for a token.
    Asked(Option<Token>),
    /// The bus has gone.
    Closed,
}

/// Serves the bus in threads of its own, for as long as the process lives.
pub fn start(
    authority: &Authority,
    maps: LocalMaps,
    wake: &Wake,
    log: &Log,
) -> std::io::Result<()> {
    let forwarder = Forwarder::start(log.clone()).inspect_err(|error| {
        log.warning(format_args!("add-ons get the server's own address: cannot listen: {error}"));
    });
    let (sender, events) = sync_channel(QUEUE);
    authority.on_asked({
        let (sender, log) = (sender.clone(), log.clone());
        move |token: Option<&Token>| {
            if sender.try_send(Event::Asked(token.cloned())).is_err() {
                log.warning("D-Bus does not keep up; it was not told of a token");
            }
        }
    });
    let bus = Bus {
        shared: Arc::new(Shared {
            authority: authority.clone(),
            announced: Mutex::default(),
            is_asking: AtomicBool::new(false),
        }),
        forwarder: forwarder.ok(),
        maps,
        sender,
        log: log.clone(),
    };
    let wake = wake.clone();
    let serve = move || {
        let Err(Stopped) = bus.serve(&events, &wake);
    };
    thread::Builder::new().name("dbus".to_owned()).spawn(serve).map(|_| ())
}

struct Bus {
    shared: Arc<Shared>,
    /// `None` if it could not start.
    forwarder: Option<Forwarder>,
    maps: LocalMaps,
    sender: SyncSender<Event>,
    log: Log,
}

struct Shared {
    authority: Authority,
    /// The newest token that the bus was told of.
    announced: Mutex<Announced>,
    is_asking: AtomicBool,
}

/// A token as the bus knows it.
#[derive(Clone, Default)]
struct Announced {
    /// The token's, or 0.
    number: u64,
    bearer: String,
    url: String,
}

enum Never {}

impl Bus {
    /// Finds a bus, and another one when it has gone.
    fn serve(&self, events: &Receiver<Event>, wake: &Wake) -> Result<Never, Stopped> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.connect() {
                Ok(connection) => {
                    self.log.info(format_args!("{NAME} is on D-Bus"));
                    pause = FIRST_PAUSE;
                    self.tell(&connection, events);
                    self.log.warning("D-Bus has gone");
                }
                Err(error) => {
                    let again = pause.as_secs();
                    let error = chain(&error);
                    self.log.warning(format_args!("no D-Bus: {error}; next try in {again} s"));
                }
            }
            wake.sleep(pause)?;
            pause = (pause * 2).min(LONGEST_PAUSE);
            // What was asked meanwhile is known to who asks now.
            while let Ok(event) = events.try_recv() {
                self.note(event);
            }
        }
    }

    fn connect(&self) -> zbus::Result<Connection> {
        let manager = Manager(self.shared.clone());
        let updates = UpdateManager::new(self.maps.clone(), self.log.clone());
        let builder = connection::Builder::system().serve_at(PATH, manager).name(NAME);
        let builder = builder.serve_at(update_manager::PATH, updates);
        let connection = zbus::block_on(builder.build())?;
        // Tokens matter more than maps: a bus that does not allow this name is still of use.
        if let Err(error) = zbus::block_on(connection.request_name(update_manager::NAME)) {
            let name = update_manager::NAME;
            self.log.warning(format_args!("no {name} on D-Bus: {}", chain(&error)));
        }
        let (watched, sender) = (connection.clone(), self.sender.clone());
        thread::Builder::new().name("dbus-closed".to_owned()).spawn(move || {
            zbus::block_on(watched.closed());
            // A full queue is read before long, and the next signal fails.
            let _ = sender.try_send(Event::Closed);
        })?;
        Ok(connection)
    }

    /// Sends a signal for each event until the bus has gone.
    fn tell(&self, connection: &Connection, events: &Receiver<Event>) {
        while let Ok(event) = events.recv() {
            let Some(Announced { bearer, url, .. }) = self.note(event) else { return };
            let told = zbus::block_on(async {
                let emitter = SignalEmitter::new(connection, PATH)?;
                Manager::jwt_token_state_change(&emitter, &bearer, &url).await
            });
            if let Err(error) = told {
                self.log.warning(format_args!("cannot signal on D-Bus: {}", chain(&error)));
                if connection.is_closed() {
                    return;
                }
            }
        }
    }

    /// Takes over what has happened; `None` if the bus has gone.
    fn note(&self, event: Event) -> Option<Announced> {
        let Event::Asked(token) = event else { return None };
        let announced = token.map(|token| Announced {
            number: token.number(),
            bearer: token.text().to_owned(),
            url: self.way_to(&token.server),
        });
        if announced.is_none()
            && let Some(forwarder) = &self.forwarder
        {
            forwarder.stop();
        }
        let announced = announced.unwrap_or_default();
        self.shared.announced().clone_from(&announced);
        Some(announced)
    }

    /// The forwarder's address, or the server's own.
    fn way_to(&self, server: &str) -> String {
        let Some(forwarder) = &self.forwarder else { return server.to_owned() };
        match forwarder.lead_to(server, &self.shared.authority) {
            Ok(()) => forwarder.url(),
            Err(error) => {
                let error = chain(&error);
                self.log.warning(format_args!("add-ons get the server's own address: {error}"));
                server.to_owned()
            }
        }
    }
}

impl Shared {
    fn announced(&self) -> MutexGuard<'_, Announced> {
        self.announced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the bus sees.
struct Manager(Arc<Shared>);

#[interface(name = "io.mender.Authentication1")]
impl Manager {
    /// The token and where it is good; two empty texts without a token.
    fn get_jwt_token(&self) -> (String, String) {
        let announced = self.0.announced().clone();
        let current = self.0.authority.current();
        match current.filter(|token| token.number() == announced.number) {
            Some(_) => (announced.bearer, announced.url),
            None => Default::default(),
        }
    }

    /// Asks the servers for a new token; the signal tells the outcome. Whether that began, or goes
    /// on already.
    fn fetch_jwt_token(&self) -> bool {
        if self.0.is_asking.swap(true, Ordering::SeqCst) {
            return true;
        }
        let shared = self.0.clone();
        let ask = move || {
            // The outcome is logged, and told by the signal.
            let _ = shared.authority.authenticate();
            shared.is_asking.store(false, Ordering::SeqCst);
        };
        let started = thread::Builder::new().name("authenticate".to_owned()).spawn(ask);
        if started.is_err() {
            self.0.is_asking.store(false, Ordering::SeqCst);
        }
        started.is_ok()
    }

    #[zbus(signal)]
    async fn jwt_token_state_change(
        emitter: &SignalEmitter<'_>,
        token: &str,
        server_url: &str,
    ) -> zbus::Result<()>;
}
