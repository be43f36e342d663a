//! A terminal with somebody in front of it.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::ffi::OsStrExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

const PATIENCE: Duration = Duration::from_secs(90);

/// A program on a terminal of its own.
pub(crate) struct Terminal {
    keyboard: File,
    screen: Arc<(Mutex<String>, Condvar)>,
    reading: Option<JoinHandle<()>>,
    child: Child,
}

/// Which of a program's streams are the terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Streams {
    All,
    /// Standard output is thrown away.
    NotOutput,
}

impl Terminal {
    pub(crate) fn start(command: &mut Command, streams: Streams) -> Self {
        let main = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&main).unwrap();
        unlockpt(&main).unwrap();
        let name = ptsname(&main, Vec::new()).unwrap();
        let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let side = || Stdio::from(File::options().read(true).write(true).open(path).unwrap());
        let output = if streams == Streams::All { side() } else { Stdio::null() };
        let child = command.stdin(side()).stdout(output).stderr(side()).spawn().unwrap();
        // The command keeps its ends of the streams; what is read here ends when all are closed.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let keyboard = File::from(main);
        let mut reader = keyboard.try_clone().unwrap();
        let screen = Arc::<(Mutex<String>, Condvar)>::default();
        let reading = thread::spawn({
            let screen = screen.clone();
            move || {
                let mut buffer = [0; 1024];
                // The last one to close the other side makes this an error.
                while let Ok(count @ 1..) = reader.read(&mut buffer) {
                    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    screen.0.lock().unwrap().push_str(&text);
                    screen.1.notify_all();
                }
            }
        });
        Self { keyboard, screen, reading: Some(reading), child }
    }

    /// Waits until the screen shows something, and takes everything up to it away.
    pub(crate) fn expect(&self, text: &str) -> String {
        let (shown, changed) = &*self.screen;
        let shown = shown.lock().unwrap();
        let (mut shown, waited) =
            changed.wait_timeout_while(shown, PATIENCE, |shown| !shown.contains(text)).unwrap();
        assert!(!waited.timed_out(), "{text:?} is not shown: {shown}");
        let end = shown.find(text).unwrap() + text.len();
        shown.drain(..end).collect()
    }

    pub(crate) fn shows(&self, text: &str) -> bool {
        self.screen.0.lock().unwrap().contains(text)
    }

    pub(crate) fn enter(&mut self, line: &str) {
        self.keyboard.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Presses Ctrl-D at the start of a line.
    pub(crate) fn end_input(&mut self) {
        self.keyboard.write_all(&[4]).unwrap();
    }

    /// How the program ends, and the rest of what it shows.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        let shown = self.screen.0.lock().unwrap().clone();
        (status, shown)
    }
}
