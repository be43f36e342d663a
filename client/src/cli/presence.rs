//! The file by which commands find the daemon: it holds a lock on it, and writes to it who it is
//! and when it turns to the server next.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::Path,
    process,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rota_client::{
    clock::{Clock, SystemClock},
    machine::Task,
    private_files,
    wake::{Stopped, Wake},
};
use rustix::process::Pid;

/// The daemon's side of the file.
pub(super) struct Presence(File);

/// What commands see of the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) pid: Pid,
    /// From now on; `None` while it is at work.
    pub(super) next_contact: Option<Duration>,
}

impl Presence {
    /// Takes the lock; `WouldBlock` if another daemon has it.
    pub(super) fn take(path: &Path) -> io::Result<Self> {
        let file = private_files::open(path)?;
        file.try_lock()?;
        file.set_len(0)?;
        let presence = Self(file);
        presence.write(None)?;
        Ok(presence)
    }

    /// The time has a fixed width, so that nothing of a former one is left behind it.
    fn write(&self, next_contact: Option<Duration>) -> io::Result<()> {
        let since_epoch = |pause| (SystemTime::now() + pause).duration_since(UNIX_EPOCH).ok();
        let seconds = next_contact.and_then(since_epoch).unwrap_or_default().as_secs();
        self.0.write_all_at(format!("{}\n{seconds:020}\n", process::id()).as_bytes(), 0)
    }
}

/// The daemon that holds the file. An id of old is not taken for that of a daemon.
pub(super) fn look(path: &Path) -> Option<Seen> {
    let file = File::open(path).ok()?;
    if !matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)) {
        return None;
    }
    let text = fs::read_to_string(path).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.parse().ok().and_then(Pid::from_raw)?;
    let seconds: Option<u64> = lines.next().and_then(|line| line.parse().ok());
    let next_contact = seconds.filter(|seconds| *seconds > 0).map(|seconds| {
        let at = UNIX_EPOCH + Duration::from_secs(seconds);
        at.duration_since(SystemTime::now()).unwrap_or_default()
    });
    Some(Seen { pid, next_contact })
}

/// The real clock, which lets commands see how long the daemon waits.
pub(super) struct ShownClock<'a> {
    clock: SystemClock,
    presence: Option<&'a Presence>,
}

impl<'a> ShownClock<'a> {
    pub(super) fn new(wake: Wake, presence: Option<&'a Presence>) -> Self {
        Self { clock: SystemClock::new(wake), presence }
    }

    /// It is only a courtesy, and the disk may be full.
    fn show(&self, next_contact: Option<Duration>) {
        if let Some(presence) = self.presence {
            let _ = presence.write(next_contact);
        }
    }
}

impl Clock for ShownClock<'_> {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn sleep(&self, duration: Duration) -> Result<(), Stopped> {
        self.clock.sleep(duration)
    }

    fn next_task(&self, duration: Duration) -> Result<Option<Task>, Stopped> {
        self.show(Some(duration));
        let task = self.clock.next_task(duration);
        self.show(None);
        task
    }

    fn check(&self) -> Result<(), Stopped> {
        self.clock.check()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// Whoever could open it could hold it, and keep the daemon from its work.
    #[test]
    fn nobody_else_can_open_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let _presence = Presence::take(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_daemon_is_seen_while_it_holds_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("daemon");
        assert_eq!(look(&path), None);
        let presence = Presence::take(&path).unwrap();
        let pid = rustix::process::getpid();
        assert_eq!(look(&path), Some(Seen { pid, next_contact: None }));
        assert!(Presence::take(&path).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock));

        let wake = Wake::default();
        let clock = ShownClock::new(wake.clone(), Some(&presence));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut next = None;
                while next.is_none() {
                    next = look(&path).and_then(|seen| seen.next_contact);
                }
                wake.request(Task::Poll);
                let about_an_hour = Duration::from_mins(59)..=Duration::from_hours(1);
                assert!(next.is_some_and(|next| about_an_hour.contains(&next)), "{next:?}");
            });
            assert_eq!(clock.next_task(Duration::from_hours(1)), Ok(Some(Task::Poll)));
        });
        assert_eq!(look(&path), Some(Seen { pid, next_contact: None }));
        drop(presence);
        assert_eq!(look(&path), None);
    }
}
