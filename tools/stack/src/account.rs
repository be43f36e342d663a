//! The unprivileged account that Postgres runs as when we are root.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use tokio::process::Command;

use crate::StackError;

/// Whose processes and files the servers' are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Account {
    /// Those of the user we run as.
    Own,
    /// Those of another user; we are root.
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    /// An account that is not root: our own, or else `postgres` or `nobody`.
    pub(crate) fn unprivileged() -> Result<Self, StackError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        let path = "/etc/passwd";
        let passwd = fs::read_to_string(path).map_err(StackError::file("read", path))?;
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| find(&passwd, name))
            .ok_or(StackError::NoAccount)
    }

    /// The account's user id.
    pub(crate) fn uid(&self) -> u32 {
        match self {
            Self::Own => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => *uid,
        }
    }

    /// Makes a command run as the account.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
    }

    /// Makes a directory that belongs to the account, unless it is there already.
    pub(crate) fn create_dir(&self, path: &Path, mode: u32) -> Result<(), StackError> {
        match fs::create_dir(path) {
            Ok(()) => {
                fs::set_permissions(path, fs::Permissions::from_mode(mode))
                    .map_err(StackError::file("set the mode of", path))?;
                self.own(path)
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                // Never through a link that somebody else may have put there.
                let found = fs::symlink_metadata(path).map_err(StackError::file("read", path))?;
                if found.is_dir() && found.uid() == self.uid() {
                    Ok(())
                } else {
                    Err(StackError::Foreign { path: path.to_owned() })
                }
            }
            Err(error) => Err(StackError::file("create", path)(error)),
        }
    }

    /// Gives a file or directory to the account.
    pub(crate) fn own(&self, path: &Path) -> Result<(), StackError> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid, .. } => {
                chown(path, Some(*uid), Some(*gid)).map_err(StackError::file("give away", path))
            }
        }
    }

    /// Makes sure that the account can get at `dir` at all.
    pub(crate) fn check_reach(&self, dir: &Path) -> Result<(), StackError> {
        let Self::Other { name, uid, gid } = self else { return Ok(()) };
        let blocked =
            dir.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()).find(|dir| {
                fs::metadata(dir).is_ok_and(|found| {
                    let bit = match found {
                        ref found if found.uid() == *uid => 0o100,
                        ref found if found.gid() == *gid => 0o010,
                        _ => 0o001,
                    };
                    found.mode() & bit == 0
                })
            });
        match blocked {
            Some(dir) => {
                Err(StackError::Unreachable { user: name.clone(), dir: PathBuf::from(dir) })
            }
            None => Ok(()),
        }
    }
}

/// The entry of `name` in the text of `/etc/passwd`.
fn find(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name);
        let (uid, gid) = (fields.nth(1)?, fields.next()?);
        let account = Account::Other {
            name: name.to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
        };
        found.then_some(account)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        broken line\n\
        postgres2:x:1:1::/:/bin/false\n\
        postgres:x:104:106:PostgreSQL,,,:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let account = Account::Other { name: "postgres".to_owned(), uid: 104, gid: 106 };
        assert_eq!(find(PASSWD, "postgres"), Some(account));
        assert_eq!(find(PASSWD, "nobody"), None);
    }

    #[test]
    fn a_directory_that_others_may_not_enter_is_named() {
        let root = tempfile::tempdir().unwrap();
        let closed = root.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let nobody = Account::Other { name: "nobody".to_owned(), uid: 65534, gid: 65534 };
        let error = nobody.check_reach(&closed.join("data")).unwrap_err();
        assert!(matches!(error, StackError::Unreachable { dir, .. } if dir == closed));
        assert!(Account::Own.check_reach(&closed.join("data")).is_ok());
    }
}
