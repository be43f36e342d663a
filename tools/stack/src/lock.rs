//! Locks between processes that the kernel releases when their holder is gone.

use std::{
    fs::{File, OpenOptions},
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

use crate::{StackError, account::Account};

/// A held lock on a file.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// How a lock is taken.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mode {
    /// For nobody else, now or not at all.
    TryExclusive,
    /// For nobody else, waiting for the holder.
    Exclusive,
    /// Together with others.
    Shared,
}

impl Lock {
    /// Takes the lock. `None`: somebody else has it, and [`Mode::TryExclusive`] does not wait.
    pub(crate) fn take(
        path: &Path,
        mode: Mode,
        account: &Account,
    ) -> Result<Option<Self>, StackError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(StackError::file("open", path))?;
        account.own(path)?;
        let operation = match mode {
            Mode::TryExclusive => FlockOperation::NonBlockingLockExclusive,
            Mode::Exclusive => FlockOperation::LockExclusive,
            Mode::Shared => FlockOperation::LockShared,
        };
        match flock(&file, operation) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(StackError::file("lock", path)(error.into())),
        }
    }
}
