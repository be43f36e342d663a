//! Serves one disk over a unix socket, counts what is written where, and stops dead on command or
//! at a chosen write.

use std::{
    io,
    ops::Range,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use rand::Rng;
use tokio::sync::oneshot;

use super::{
    disk::{Disk, Fresh, Loss},
    nbd::{self, Command, EINVAL, EIO, Request},
};

/// Resolves when a [`Trip`] has stopped the disk.
pub(crate) type Tripped = oneshot::Receiver<()>;

/// Where the disk is to stop: at the `writes`-th write that touches `range`, or so many requests
/// later.
struct Trip {
    range: Range<u64>,
    writes: u64,
    more_requests: u64,
    tell: oneshot::Sender<()>,
}

/// What the serving thread and its owner share.
struct State {
    disk: Disk,
    /// Of which writes are counted, and how many there were since the last reset.
    counted: Vec<(Range<u64>, u64)>,
    trip: Option<Trip>,
    /// The disk answers nothing any more, as one without power.
    is_frozen: bool,
    /// Which power-on this is; a connection from before a cut is dead.
    power_on: u64,
    is_closed: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    /// A panic in one thread has been reported; the other goes on with what is there.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A served disk; the socket goes with it.
pub(crate) struct BlockServer {
    shared: Arc<Shared>,
    socket: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl BlockServer {
    /// Serves a disk that begins as `fresh` at `socket`, and counts the writes to `counted`.
    pub(crate) fn start(
        fresh: Arc<Fresh>,
        socket: &Path,
        counted: &[Range<u64>],
    ) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let state = State {
            disk: Disk::new(fresh),
            counted: counted.iter().map(|range| (range.clone(), 0)).collect(),
            trip: None,
            is_frozen: false,
            power_on: 0,
            is_closed: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let serving = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("disk".into())
            .spawn(move || accept(&listener, &serving))?;
        Ok(Self { shared, socket: socket.to_owned(), thread: Some(thread) })
    }

    /// Where it listens.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// How often each counted range was written to since [`count_anew`](Self::count_anew).
    pub(crate) fn counts(&self) -> Vec<u64> {
        self.shared.lock().counted.iter().map(|(_, writes)| *writes).collect()
    }

    /// Begins to count from zero.
    pub(crate) fn count_anew(&self) {
        for (_, writes) in &mut self.shared.lock().counted {
            *writes = 0;
        }
    }

    /// Stops the disk `more_requests` after the `writes`-th write (from 1) into `range`.
    pub(crate) fn trip_at(&self, range: Range<u64>, writes: u64, more_requests: u64) -> Tripped {
        let (tell, tripped) = oneshot::channel();
        self.shared.lock().trip = Some(Trip { range, writes, more_requests, tell });
        tripped
    }

    /// Takes back [`trip_at`](Self::trip_at); a disk that has stopped stays so until the cut.
    pub(crate) fn disarm(&self) {
        self.shared.lock().trip = None;
    }

    /// Stops the disk now. What is asked for from now on is not answered.
    pub(crate) fn freeze(&self) {
        self.shared.lock().is_frozen = true;
    }

    /// Loses what was not flushed, as chance wants it, and serves what is left to whoever connects
    /// next. The machine must be dead by now.
    pub(crate) fn cut(&self, random: &mut impl Rng) -> io::Result<Loss> {
        let mut state = self.shared.lock();
        let loss = state.disk.cut(random)?;
        state.trip = None;
        state.is_frozen = false;
        state.power_on += 1;
        self.shared.changed.notify_all();
        Ok(loss)
    }

    /// Makes the disk as it was in the beginning; the machine must be off.
    pub(crate) fn renew(&self) {
        self.shared.lock().disk.renew();
    }

    /// Makes a part of the disk as it was in the beginning; the machine must be off.
    pub(crate) fn lose(&self, range: Range<u64>) -> io::Result<()> {
        self.shared.lock().disk.lose(range)
    }

    /// A part of the disk as the machine would read it now.
    pub(crate) fn content(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.shared.lock().disk.content(range)
    }

    /// Writes the disk into a file, for whoever looks for a reason.
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        self.shared.lock().disk.save(path)
    }
}

impl Drop for BlockServer {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
        // Wakes the thread where it waits for a connection; without one it stays until the end.
        let woken = UnixStream::connect(&self.socket).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Serves one connection after the other: a disk has one machine.
fn accept(listener: &UnixListener, shared: &Shared) {
    for stream in listener.incoming() {
        if shared.lock().is_closed {
            return;
        }
        // A machine that was killed leaves a broken connection, which is none of our business.
        let _ = stream.and_then(|stream| serve(stream, shared));
    }
}

fn serve(mut stream: UnixStream, shared: &Shared) -> io::Result<()> {
    let (power_on, size_bytes) = {
        let state = shared.lock();
        (state.power_on, state.disk.size_bytes())
    };
    if !nbd::handshake(&mut stream, size_bytes)? {
        return Ok(());
    }
    while let Some(Request { cookie, offset, command }) = nbd::request(&mut stream)? {
        if command == Command::Disconnect {
            return Ok(());
        }
        let mut state = shared.lock();
        // A disk without power answers nothing, not even that.
        while state.is_frozen && !state.is_closed && state.power_on == power_on {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed || state.power_on != power_on {
            return Ok(());
        }
        let (error, data) = state.carry_out(offset, command);
        // Stopped in the middle of a request: it may have had its effect, but is not answered.
        if state.is_frozen {
            continue;
        }
        drop(state);
        nbd::reply(&mut stream, cookie, error, &data)?;
    }
    Ok(())
}

impl State {
    /// Gives the error number of the reply, and what was read.
    fn carry_out(&mut self, offset: u64, command: Command) -> (u32, Vec<u8>) {
        let length = match &command {
            Command::Read { length } => *length,
            Command::Write { data, .. } => data.len(),
            _ => 0,
        } as u64;
        if !self.disk.holds(offset, length) {
            return (EINVAL, Vec::new());
        }
        let written = match &command {
            Command::Write { .. } => offset..offset + length,
            _ => 0..0,
        };
        let mut answer = Vec::new();
        let outcome = match command {
            Command::Read { .. } => {
                self.disk.content(offset..offset + length).map(|content| answer = content)
            }
            Command::Write { data, is_forced } => self.disk.write(offset, data, is_forced),
            Command::Flush => {
                self.disk.flush();
                Ok(())
            }
            Command::Disconnect | Command::Unknown => return (EINVAL, answer),
        };
        self.count(&written);
        match outcome {
            Ok(()) => (0, answer),
            Err(_) => (EIO, Vec::new()),
        }
    }

    fn count(&mut self, written: &Range<u64>) {
        let touches = |range: &Range<u64>| written.start < range.end && range.start < written.end;
        for (range, writes) in &mut self.counted {
            *writes += u64::from(touches(range));
        }
        let Some(trip) = &mut self.trip else { return };
        if trip.writes > 0 {
            trip.writes -= u64::from(touches(&trip.range));
        } else {
            trip.more_requests = trip.more_requests.saturating_sub(1);
        }
        if trip.writes == 0
            && trip.more_requests == 0
            && let Some(trip) = self.trip.take()
        {
            self.is_frozen = true;
            // Nobody may be waiting for it any more.
            let _ = trip.tell.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command as Process};

    use anyhow::{Context, Result, ensure};
    use rand::{SeedableRng, rngs::SmallRng};
    use tempfile::TempDir;

    use super::*;

    const FIRST_PAGE: Range<u64> = 0..4096;

    struct Bench {
        folder: TempDir,
        server: BlockServer,
    }

    /// A server with a disk of 1 MB that is full of zeros.
    fn bench() -> Result<Bench> {
        let folder = tempfile::tempdir()?;
        let image = folder.path().join("image");
        fs::write(&image, vec![0; 1 << 20])?;
        let fresh = Arc::new(Fresh::open(&image)?);
        let server = BlockServer::start(fresh, &folder.path().join("disk"), &[FIRST_PAGE])?;
        Ok(Bench { folder, server })
    }

    impl Bench {
        fn url(&self) -> String {
            format!("nbd+unix:///?socket={}", self.server.socket().display())
        }

        /// Lets QEMU's own client do something; gives what it printed.
        fn qemu_io(&self, commands: &[&str]) -> Result<String> {
            let output = self.command(commands).output().context("run `make setup`: qemu-io")?;
            let printed = String::from_utf8_lossy(&output.stdout).into_owned();
            ensure!(output.status.success(), "{printed}{output:?}");
            Ok(printed)
        }

        fn command(&self, commands: &[&str]) -> Process {
            let mut qemu_io = Process::new("qemu-io");
            qemu_io.args(["-f", "raw", "-t", "none"]);
            for command in commands {
                qemu_io.args(["-c", command]);
            }
            qemu_io.arg(self.url());
            qemu_io
        }
    }

    #[test]
    fn qemu_reads_what_it_wrote() -> Result<()> {
        let bench = bench()?;
        bench.qemu_io(&["write -P 7 1000 5000", "read -P 7 1000 5000", "read -P 0 6000 1000"])?;
        bench.qemu_io(&["read -P 7 1000 5000", "write -z 0 64k", "read -P 0 0 64k"])?;
        let beyond = bench.command(&["read 1M 512"]).output()?;
        assert!(!beyond.status.success());
        Ok(())
    }

    #[test]
    fn a_cut_spares_what_qemu_flushed() -> Result<()> {
        let bench = bench()?;
        let mut lost = 0;
        for seed in 0..12 {
            // A client that leaves flushes; one that is aborted does not.
            let aborted = ["write -P 1 0 4k", "flush", "write -P 2 4k 4k", "abort"];
            let _ = bench.command(&aborted).output()?;
            lost += bench.server.cut(&mut SmallRng::seed_from_u64(seed))?.lost;
            bench.qemu_io(&["read -P 1 0 4k", "write -P 0 0 8k"])?;
        }
        assert!(lost > 0, "nothing was ever lost");
        Ok(())
    }

    #[test]
    fn a_forced_write_needs_no_flush() -> Result<()> {
        let bench = bench()?;
        for seed in 0..12 {
            let _ = bench.command(&["write -f -P 9 8k 1k", "abort"]).output()?;
            bench.server.cut(&mut SmallRng::seed_from_u64(seed))?;
            bench.qemu_io(&["read -P 9 8k 1k", "write -P 0 8k 1k"])?;
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_disk_stops_at_the_chosen_write() -> Result<()> {
        let bench = bench()?;
        let tripped = bench.server.trip_at(FIRST_PAGE, 2, 0);
        let mut qemu_io = bench
            .command(&["write -P 1 0 512", "write -P 1 8k 512", "write -P 1 512 512", "flush"])
            .spawn()?;
        tripped.await?;
        qemu_io.kill()?;
        qemu_io.wait()?;
        assert_eq!(bench.server.counts(), [2]);
        bench.server.cut(&mut SmallRng::seed_from_u64(1))?;
        bench.server.count_anew();
        bench.qemu_io(&["write 0 512"])?;
        assert_eq!(bench.server.counts(), [1]);
        assert!(bench.folder.path().join("disk").exists());
        Ok(())
    }

    #[test]
    fn a_frozen_disk_ends_with_its_owner() -> Result<()> {
        let Bench { folder, server } = bench()?;
        server.freeze();
        let bench = Bench { folder, server };
        let mut qemu_io = bench.command(&["read 0 512"]).spawn()?;
        drop(bench.server);
        // Its connection is closed instead of hanging for ever.
        assert!(!qemu_io.wait()?.success());
        assert!(!bench.folder.path().join("disk").exists());
        Ok(())
    }
}
