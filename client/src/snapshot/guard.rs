//! A process of its own that thaws what this one has frozen, if this one ends without doing so: it
//! is killed, or runs out of memory, or panics, which ends the shipped program on the spot.
//!
//! The two are tied by a pipe. However this process ends, the kernel closes its end of the pipe;
//! that is what the guard waits for.

use std::{
    io::{self, PipeWriter, Read, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::retry_on_intr,
};

use super::Freezer;

/// For the guard to be there: it is this very program, which a slow disk may have to read anew.
const START: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// Freezes only under guard.
#[derive(Debug)]
pub struct Guarded<F> {
    freezer: F,
    command: Command,
    guard: Option<Guard>,
}

/// The process that waits for the end of this one.
#[derive(Debug)]
struct Guard {
    child: Child,
    _tie: PipeWriter,
}

impl<F: Freezer> Guarded<F> {
    /// `command` is a program that calls [`stand_guard`] with the same file system, and with its
    /// standard input and output.
    pub fn new(freezer: F, command: Command) -> Self {
        Self { freezer, command, guard: None }
    }
}

impl<F: Freezer> Freezer for Guarded<F> {
    fn path(&self) -> PathBuf {
        self.freezer.path()
    }

    fn freeze(&mut self) -> io::Result<()> {
        let guard = Guard::post(&mut self.command)?;
        let frozen = self.freezer.freeze();
        match frozen {
            Ok(()) => self.guard = Some(guard),
            // Somebody else may have frozen it, who does not want it thawed.
            Err(_) => guard.dismiss(),
        }
        frozen
    }

    fn thaw(&mut self) -> io::Result<()> {
        let thawed = self.freezer.thaw();
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
        thawed
    }
}

impl Guard {
    /// Returns when the guard is at its post.
    fn post(command: &mut Command) -> io::Result<Self> {
        let (watched, tie) = io::pipe()?;
        command.stdin(watched).stdout(Stdio::piped()).stderr(Stdio::null());
        // What ends a whole group of processes, such as a terminal that goes away, spares it.
        command.process_group(0);
        let mut guard = Self { child: command.spawn()?, _tie: tie };
        match guard.wait_until_there() {
            Ok(()) => Ok(guard),
            Err(error) => {
                guard.dismiss();
                Err(error)
            }
        }
    }

    fn wait_until_there(&mut self) -> io::Result<()> {
        let absent = || io::Error::other("its guard is not at its post");
        let answer = self.child.stdout.as_mut().ok_or_else(absent)?;
        let mut waiting = [PollFd::new(answer, PollFlags::IN)];
        if retry_on_intr(|| poll(&mut waiting, Some(&START)))? == 0 {
            return Err(absent());
        }
        // It has ended if it says nothing.
        answer.read_exact(&mut [0]).map_err(|_| absent())
    }

    /// There is nothing to thaw any more. So the guard must do nothing, not even end in its turn.
    fn dismiss(mut self) {
        // Both fail only if it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the guard does: waits until `tie` ends, with the process that holds its other end, and
/// thaws.
pub fn stand_guard(
    freezer: &mut dyn Freezer,
    tie: &mut dyn Read,
    answer: &mut dyn Write,
) -> io::Result<()> {
    answer.write_all(b".")?;
    answer.flush()?;
    io::copy(tie, &mut io::sink())?;
    freezer.thaw()
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        fs::{self, File},
        path::Path,
        process, thread,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::{
        snapshot::{Compression, dump},
        wake::Wake,
    };

    const STATE: &str = "ROTA_TEST_STATE";
    const ABORTS: &str = "ROTA_TEST_ABORTS";

    const LONG: Duration = Duration::from_mins(1);

    /// Keeps its state in a file, which outlives the process.
    struct Kept(PathBuf);

    impl Freezer for Kept {
        fn path(&self) -> PathBuf {
            "/frozen".into()
        }

        fn freeze(&mut self) -> io::Result<()> {
            fs::write(&self.0, "frozen")
        }

        fn thaw(&mut self) -> io::Result<()> {
            assert_eq!(fs::read_to_string(&self.0)?, "frozen");
            fs::write(&self.0, "thawed")
        }
    }

    /// A reader that never comes, or a panic of the shipped program, which does not unwind.
    struct Stuck;

    impl Write for Stuck {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            if env::var_os(ABORTS).is_some() {
                process::abort();
            }
            loop {
                thread::park();
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// This program once more, doing what one of its tests does.
    fn again(test: &str, state: &Path) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        let test = format!("{}::{test}", module_path!().split_once("::").unwrap().1);
        command.args(["--exact", &test, "--nocapture"]).env(STATE, state);
        command
    }

    /// Its standard output is its third file: what the test's surroundings print is no answer.
    fn guard(state: &Path) -> Command {
        let test = again("guards", state);
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$0" "$@" 3>&1 >/dev/null"#]).arg(test.get_program());
        command.args(test.get_args()).env(STATE, state);
        command
    }

    /// Where to keep the state, in a process that was started by a test.
    fn state() -> Option<PathBuf> {
        env::var_os(STATE).map(PathBuf::from)
    }

    /// What a process of its own does; in the tests' own process nothing.
    #[test]
    fn guards() {
        if let Some(state) = state() {
            let mut answer = File::options().write(true).open("/dev/fd/3").unwrap();
            stand_guard(&mut Kept(state), &mut io::stdin().lock(), &mut answer).unwrap();
        }
    }

    /// What a process of its own does; in the tests' own process nothing.
    #[test]
    fn dumps() {
        let Some(state) = state() else { return };
        let guarded = Guarded::new(Kept(state.clone()), guard(&state));
        let device_path = env::current_exe().unwrap();
        let mut device = File::open(&device_path).unwrap();
        let output = (&mut Stuck as &mut dyn Write, Compression::None);
        let wake = Wake::default();
        let freezer: Box<dyn Freezer> = Box::new(guarded);
        dump(&mut device, &device_path, Some(freezer), output, LONG, &wake, &mut |_| {}).unwrap();
    }

    #[track_caller]
    fn wait_until(state: &Path, expected: &str) {
        let began = Instant::now();
        while fs::read_to_string(state).ok().as_deref() != Some(expected) {
            assert!(began.elapsed() < LONG, "it is not {expected}");
            thread::yield_now();
        }
    }

    #[test]
    fn a_process_that_is_killed_leaves_nothing_frozen() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let mut dumping = again("dumps", &state).stdout(Stdio::null()).spawn().unwrap();
        wait_until(&state, "frozen");
        dumping.kill().unwrap();
        dumping.wait().unwrap();
        wait_until(&state, "thawed");
    }

    /// As the shipped program does after a panic.
    #[test]
    fn a_process_that_aborts_leaves_nothing_frozen() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let mut dumping = again("dumps", &state);
        dumping.env(ABORTS, "1").stdout(Stdio::null()).stderr(Stdio::null());
        assert!(!dumping.status().unwrap().success());
        wait_until(&state, "thawed");
    }

    #[test]
    fn a_guard_leaves_alone_what_is_thawed_already() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let mut guarded = Guarded::new(Kept(state.clone()), guard(&state));
        guarded.freeze().unwrap();
        let pid = guarded.guard.as_ref().unwrap().child.id();
        guarded.thaw().unwrap();
        assert!(guarded.guard.is_none());
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "the guard stays");
        assert_eq!(fs::read_to_string(&state).unwrap(), "thawed");
    }

    #[test]
    fn nothing_is_frozen_without_a_guard() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        for program in ["false", "/nonexistent"] {
            let mut guarded = Guarded::new(Kept(state.clone()), Command::new(program));
            guarded.freeze().unwrap_err();
            assert!(!state.exists(), "{program}");
        }
    }
}
