//! `deb`: Debian packages, installed by the device's own dpkg.
//!
//! The payload's `.deb` files are checked before anything is touched: that they can be read, and
//! that they are for this architecture. Whether their dependencies are there shows only when dpkg
//! configures them. dpkg cannot go back to the packages that were there before, so there is no
//! rollback. A run that was interrupted is finished before the next one begins, and after one that
//! failed, so that packages are not left half installed.
//!
//! Nobody can answer questions here: a configuration file that was changed on the device stays.

use std::{
    env,
    fs::File,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rota_artifact::Payload as PayloadFiles;
use rustix::{
    fs::{FlockOperation, fcntl_lock},
    io::Errno,
};

use super::{
    Payload, PayloadError, Workplace,
    files::{self, refused},
    reboot::{REQUIRED, Reboot},
};
use crate::{
    log::chain,
    machine::{Call, RebootNeed},
    modules::Source,
    wake::Wake,
};

/// How long another package manager may keep us waiting.
const LOCK_LIMIT: Duration = Duration::from_mins(10);
const LOCK_LOOK: Duration = Duration::from_secs(1);

const MAX_ANSWER_BYTES: usize = 4096;

pub(super) struct Deb<'a> {
    workplace: Workplace<'a>,
}

impl<'a> Deb<'a> {
    pub(super) fn new(workplace: Workplace<'a>) -> Self {
        Self { workplace }
    }

    /// All packages of the payload, in the order of their names.
    fn packages(&self) -> Result<Vec<PathBuf>, PayloadError> {
        let folder = self.workplace.files();
        let failed = || PayloadError::disk("look at", &folder);
        let mut packages = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed())? {
            let path = entry.map_err(failed())?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                packages.push(path);
            }
        }
        packages.sort();
        Ok(packages)
    }

    /// Refuses what dpkg could not install here.
    fn check(&self, packages: &[PathBuf]) -> Result<(), PayloadError> {
        let mut known = self.words("dpkg", &["--print-architecture"])?;
        known.extend(self.words("dpkg", &["--print-foreign-architectures"])?);
        known.push("all".to_owned());
        for path in packages {
            let name = path.file_name().unwrap_or_default().display();
            let text = path.to_str().unwrap_or_default();
            let architecture = self
                .words("dpkg-deb", &["--field", text, "Architecture"])
                .map_err(|error| refused(format!("{name} is no package: {}", chain(&error))))?;
            if !architecture.iter().all(|one| known.contains(one)) || architecture.is_empty() {
                let (found, known) = (architecture.join(" "), known.join(", "));
                return Err(refused(format!(
                    "{name} is for {found:?}, and this device takes {known}"
                )));
            }
        }
        Ok(())
    }

    fn install(&self) -> Result<(), PayloadError> {
        let _lock = lock(&admin_folder(), LOCK_LIMIT, self.workplace.wake)?;
        self.finish_former_run();
        let packages = self.packages()?;
        self.workplace.run(dpkg().args(["--dry-run", "--install"]).args(&packages))?;
        self.workplace.run(dpkg().arg("--install").args(&packages))
    }

    /// Brings packages into working order that an interrupted run has left. Where that fails, what
    /// is installed next may mend it, or fails for the same reason.
    fn finish_former_run(&self) {
        if let Err(error) = self.workplace.run(dpkg().args(["--configure", "--pending"])) {
            let error = chain(&error);
            self.workplace.log.warning(format_args!("some packages are not configured: {error}"));
        }
    }

    fn words(&self, program: &str, arguments: &[&str]) -> Result<Vec<String>, PayloadError> {
        let printed =
            self.workplace.ask(Command::new(program).args(arguments), MAX_ANSWER_BYTES)?;
        let printed = String::from_utf8_lossy(&printed);
        Ok(printed.split_whitespace().map(str::to_owned).collect())
    }
}

impl Payload for Deb<'_> {
    fn download(&mut self, payload: &mut PayloadFiles<'_, Source>) -> Result<(), PayloadError> {
        files::store(&self.workplace, payload)?;
        let packages = self.packages()?;
        if packages.is_empty() {
            return Err(refused("it has no file that ends in .deb"));
        }
        Reboot::of(&files::meta_data(&self.workplace)?)?;
        self.check(&packages)
    }

    fn call(&mut self, call: Call) -> Result<(), PayloadError> {
        match call {
            Call::ArtifactInstall => self.install(),
            Call::ArtifactFailure => {
                let _lock = lock(&admin_folder(), LOCK_LIMIT, self.workplace.wake)?;
                self.finish_former_run();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn needs_reboot(&mut self) -> Result<RebootNeed, PayloadError> {
        Ok(Reboot::of(&files::meta_data(&self.workplace)?)?.need(Path::new(REQUIRED)))
    }

    fn supports_rollback(&self) -> Result<bool, PayloadError> {
        Ok(false)
    }
}

/// dpkg, under the lock that is held here, with nobody to ask.
fn dpkg() -> Command {
    let mut command = Command::new("dpkg");
    command
        .args(["--force-confdef", "--force-confold"])
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("DPKG_FRONTEND_LOCKED", "true")
        .env("LC_ALL", "C.UTF-8");
    command
}

/// Where dpkg keeps its data; by the variables that dpkg itself goes by.
fn admin_folder() -> PathBuf {
    if let Some(folder) = env::var_os("DPKG_ADMINDIR") {
        return folder.into();
    }
    PathBuf::from(env::var_os("DPKG_ROOT").unwrap_or_else(|| "/".into())).join("var/lib/dpkg")
}

/// Takes the lock that package managers hold around their runs of dpkg; dropping it lets go.
fn lock(folder: &Path, limit: Duration, wake: &Wake) -> Result<File, PayloadError> {
    let path = folder.join("lock-frontend");
    let mut options = File::options();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(PayloadError::disk("open", &path))?;
    let started = Instant::now();
    loop {
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::ACCESS | Errno::AGAIN) if started.elapsed() >= limit => {
                return Err(PayloadError::Device(format!(
                    "another package manager has been at work for {} s",
                    limit.as_secs()
                )));
            }
            Err(Errno::ACCESS | Errno::AGAIN) => wake.sleep(LOCK_LOOK)?,
            Err(error) => return Err(PayloadError::disk("lock", &path)(error.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Child, Stdio},
    };

    use super::*;

    /// Another process that holds the lock, as apt would.
    fn holder(folder: &Path) -> Child {
        let script = r#"use Fcntl qw(:DEFAULT); open(F, ">>", $ARGV[0]) or die;
            my $lock = pack("s s x4 q q i x4", F_WRLCK, 0, 0, 0, 0);
            fcntl(F, F_SETLK, $lock) or die $!;
            $| = 1; print "held\n"; sleep 600;"#;
        let mut child = Command::new("perl")
            .args(["-e", script])
            .arg(folder.join("lock-frontend"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("perl, of Debian's perl-base");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "held\n");
        child
    }

    #[test]
    fn another_package_manager_is_waited_for_but_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let wake = Wake::default();
        let mut other = holder(folder.path());
        let error = lock(folder.path(), Duration::ZERO, &wake).unwrap_err();
        assert!(error.to_string().contains("another package manager"), "{error}");
        other.kill().unwrap();
        other.wait().unwrap();
        lock(folder.path(), Duration::ZERO, &wake).unwrap();

        let mut other = holder(folder.path());
        let ending = std::thread::spawn(move || {
            other.kill().unwrap();
            other.wait().unwrap();
        });
        lock(folder.path(), LOCK_LIMIT, &wake).unwrap();
        ending.join().unwrap();
    }

    #[test]
    fn without_dpkg_the_lock_cannot_be_taken() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing");
        assert!(lock(&missing, Duration::ZERO, &Wake::default()).is_err());
    }
}
