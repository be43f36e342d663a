//! A server that ends with the process that started it.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{StackError, account::Account};

/// Runs the server and, beside it, reads from the owner's pipe until that ends: then the
/// server gets the signal. Ends when the server has ended, with its status.
const WATCH: &str = r#"
signal=$1; shift
exec 3<&0
"$@" 3<&- </dev/null &
server=$!
{ read -r _ <&3; kill -s "$signal" "$server"; } 2>/dev/null &
watch=$!
exec 3<&-
wait "$server"
status=$?
kill "$watch" 2>/dev/null
exit "$status"
"#;

/// How much of a log an error quotes.
const QUOTED_BYTES: usize = 2000;

/// A running server. Dropped, it is told to stop and not waited for.
#[derive(Debug)]
pub(crate) struct Guard {
    child: Child,
    program: PathBuf,
    log: PathBuf,
}

impl Guard {
    /// Starts `command` (program and arguments) as `account`, with its output in `log`.
    /// `signal` is the one that stops it in an orderly way.
    pub(crate) fn start(
        command: &[String],
        signal: &str,
        account: &Account,
        log: &Path,
    ) -> Result<Self, StackError> {
        Self::start_with(WATCH, &[signal.to_owned()], command, account, log)
    }

    /// Starts a shell script that gets `arguments` and `command`, and runs the command.
    pub(crate) fn start_with(
        script: &str,
        arguments: &[String],
        command: &[String],
        account: &Account,
        log: &Path,
    ) -> Result<Self, StackError> {
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let output = open().map_err(StackError::file("open", log))?;
        let errors = open().map_err(StackError::file("open", log))?;
        account.own(log)?;
        let mut shell = Command::new("/bin/sh");
        shell
            .arg("-c")
            .arg(script)
            .arg("sh")
            .args(arguments)
            .args(command)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            // A Ctrl-C at the terminal is for the owner, which stops its servers in order.
            .process_group(0);
        account.apply(&mut shell);
        let program = PathBuf::from("/bin/sh");
        let child = shell.spawn().map_err(|source| StackError::Spawn { program, source })?;
        let program = command.first().map(PathBuf::from).unwrap_or_default();
        Ok(Self { child, program, log: log.to_owned() })
    }

    /// Waits until `ready` finds what it looks for; fails when the server ends first, or takes
    /// longer than `limit`.
    pub(crate) async fn wait_ready<T>(
        &mut self,
        limit: Duration,
        ready: impl Fn() -> Option<T>,
    ) -> Result<T, StackError> {
        const LOOK: Duration = Duration::from_millis(20);
        let waiting = async {
            loop {
                if let Some(found) = ready() {
                    return Ok(found);
                }
                if let Ok(Some(_)) = self.child.try_wait() {
                    let output = tail(&self.log);
                    return Err(StackError::Failed { program: self.program.clone(), output });
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        match timeout(limit, waiting).await {
            Ok(result) => result,
            Err(_) => Err(StackError::NotReady {
                program: self.program.clone(),
                waited: limit,
                log: self.log.clone(),
            }),
        }
    }

    /// Tells the server to stop and waits for it. `false`: it has not stopped in time.
    pub(crate) async fn stop(&mut self, limit: Duration) -> bool {
        drop(self.child.stdin.take());
        timeout(limit, self.child.wait()).await.is_ok()
    }
}

/// The end of a log.
pub(crate) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let start = text.len().saturating_sub(QUOTED_BYTES);
    String::from_utf8_lossy(&text[start..]).trim().to_owned()
}
