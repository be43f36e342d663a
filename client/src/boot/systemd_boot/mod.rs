//! systemd-boot, and what else speaks its boot loader interface: entries with boot counting, chosen
//! by EFI variables.
//!
//! Each system has one entry, `rootfs-a` and `rootfs-b`: a file in `loader/entries` (`.conf`) or in
//! `EFI/Linux` (`.efi`) of the boot partition. `LoaderEntryDefault` names the one that starts. A
//! trial is `LoaderEntryOneShot`, which the boot loader removes before it starts what it names; so
//! the default comes back by itself, however the trial ends.
//!
//! The counter in the name of an entry (`rootfs-b+1.conf`: one try left) is the second wall. An
//! entry that was tried and not kept (`+0-1`), or given up (`+0`), is ordered last, so it is not
//! chosen even where the firmware has lost its variables.
//!
//! The variables hold identifiers of entries, which are compared without regard to case. What an
//! identifier is has changed; this is what systemd's `src/boot/boot.c` makes of it:
//!
//! | systemd-boot | identifier | `LoaderEntryOneShot` is |
//! |---|---|---|
//! | before 252 | the file's name, counter included | an identifier |
//! | from 252 on | the same | a pattern of the shell's kind for identifiers |
//! | with pull request 38897 of September 2025, about 259 | the file's name without the counter | the same |
//!
//! Patterns came between 249 and 252, and the file's name fits itself as a pattern. Since the last
//! change may have been taken into older branches as well, a trial is named by a pattern that fits
//! both kinds of identifiers (`rootfs-b[.+]*conf`), and by the file's name where the boot loader is
//! not known to take patterns. Other entries do not fit the pattern unless their names begin with
//! `rootfs-b.` or `rootfs-b+`.

#[cfg(test)]
mod bench;
mod efivars;
mod entries;

use std::path::{Path, PathBuf};

use efivars::EfiVariables;
use entries::{Counter, Entries, Entry};

use super::{BootError, BootLoader, BootState, PartitionNumbers, Slot};
use crate::host::Host;

/// Where the boot partition is looked for.
const BOOT_PARTITIONS: [&str; 3] = ["/efi", "/boot", "/boot/efi"];

const DEFAULT: &str = "LoaderEntryDefault";
const ONE_SHOT: &str = "LoaderEntryOneShot";
/// What the boot loader started this time.
const SELECTED: &str = "LoaderEntrySelected";
/// Set by every boot loader that speaks the interface: its name and version.
const INFO: &str = "LoaderInfo";

/// Since then `LoaderEntryOneShot` has surely been a pattern for identifiers.
const PATTERNS_SINCE: u32 = 252;

/// What the boot loader has in common with this system. The real thing, or one that loses power.
pub trait Interface {
    /// The value of an EFI variable of the interface.
    fn variable(&self, name: &str) -> Result<Option<String>, BootError>;
    fn set_variable(&mut self, name: &str, value: &str) -> Result<(), BootError>;
    fn remove_variable(&mut self, name: &str) -> Result<(), BootError>;
    /// The names of all entries.
    fn entries(&self) -> Result<Vec<String>, BootError>;
    fn rename_entry(&mut self, from: &str, to: &str) -> Result<(), BootError>;
    /// For messages.
    fn place(&self) -> String;
}

/// The interface of this device.
#[derive(Debug)]
pub struct Device {
    variables: EfiVariables,
    entries: Entries,
}

impl Device {
    /// The interface, if the device was started through it and has entries for two systems.
    pub fn find(host: &Host) -> Option<Self> {
        let variables = EfiVariables::of(host);
        variables.get(INFO).ok().flatten()?;
        let folders = BOOT_PARTITIONS.iter().flat_map(|partition| {
            ["loader/entries", "EFI/Linux"].map(|folder| Path::new(partition).join(folder))
        });
        let has_both = |entries: &Entries| {
            let names = entries.names().unwrap_or_default();
            [Slot::A, Slot::B].iter().all(|slot| {
                names.iter().any(|name| Entry::parse(name).is_some_and(|e| e.slot == *slot))
            })
        };
        let folders = folders.map(|folder: PathBuf| Entries::new(host.path(folder)));
        let entries = { folders }.find(has_both)?;
        Some(Self { variables, entries })
    }
}

impl Interface for Device {
    fn variable(&self, name: &str) -> Result<Option<String>, BootError> {
        self.variables.get(name)
    }

    fn set_variable(&mut self, name: &str, value: &str) -> Result<(), BootError> {
        self.variables.set(name, value)
    }

    fn remove_variable(&mut self, name: &str) -> Result<(), BootError> {
        self.variables.remove(name)
    }

    fn entries(&self) -> Result<Vec<String>, BootError> {
        self.entries.names()
    }

    fn rename_entry(&mut self, from: &str, to: &str) -> Result<(), BootError> {
        self.entries.rename(from, to)
    }

    fn place(&self) -> String {
        self.entries.place()
    }
}

/// A boot loader that speaks the interface.
#[derive(Debug)]
pub struct SystemdBoot<I = Device> {
    interface: I,
}

impl<I: Interface> SystemdBoot<I> {
    pub fn new(interface: I) -> Self {
        Self { interface }
    }

    /// A system's entry, and the name of its file.
    fn entry(&self, slot: Slot) -> Result<(Entry, String), BootError> {
        let names = self.interface.entries()?.into_iter();
        let mut entries = names.filter_map(|name| Some((Entry::parse(&name)?, name)));
        entries.find(|(entry, _)| entry.slot == slot).ok_or_else(|| BootError::NoEntry {
            name: Entry::stem(slot).to_owned(),
            folder: self.interface.place(),
        })
    }

    /// The system that a variable names.
    fn named_by(&self, variable: &'static str) -> Result<Option<Slot>, BootError> {
        let Some(value) = self.interface.variable(variable)? else { return Ok(None) };
        match Entry::slot_of(&value) {
            Some(slot) => Ok(Some(slot)),
            None => Err(BootError::BadValue {
                name: variable,
                value,
                expected: "the entry rootfs-a or rootfs-b".to_owned(),
            }),
        }
    }

    /// The system that starts if nothing else is said. Until the first update nothing names it but
    /// that it was started.
    fn default(&self) -> Result<Slot, BootError> {
        let default = match self.named_by(DEFAULT)? {
            None => self.named_by(SELECTED)?,
            default => default,
        };
        default.ok_or(BootError::NotSet { name: SELECTED })
    }

    /// Gives a system's entry another counter, and returns the new name.
    fn count(&mut self, slot: Slot, counter: Option<Counter>) -> Result<String, BootError> {
        let (entry, name) = self.entry(slot)?;
        if entry.counter == counter {
            return Ok(name);
        }
        let new = Entry { counter, ..entry }.name();
        self.interface.rename_entry(&name, &new)?;
        Ok(new)
    }

    /// Makes an entry the default, under the name that it keeps.
    fn set_default(&mut self, slot: Slot) -> Result<(), BootError> {
        let name = self.count(slot, None)?;
        if self.interface.variable(DEFAULT)?.as_deref() == Some(&name) {
            return Ok(());
        }
        self.interface.set_variable(DEFAULT, &name)
    }
}

/// Whether a boot loader compares entries with patterns, by what it says of itself, as in
/// `systemd-boot 252.39-1~deb12u2`.
fn takes_patterns(info: &str) -> bool {
    let version = info.strip_prefix("systemd-boot ").unwrap_or_default();
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    let number = version.get(..end).and_then(|number| number.parse::<u32>().ok());
    number.is_some_and(|number| number >= PATTERNS_SINCE)
}

impl<I: Interface> BootLoader for SystemdBoot<I> {
    fn partition_numbers(&self) -> Option<PartitionNumbers> {
        None
    }

    fn state(&mut self) -> Result<BootState, BootError> {
        let default = self.default()?;
        if let Some(selected) = self.named_by(ONE_SHOT)? {
            return Ok(BootState { selected, is_trial: true });
        }
        let selected = self.named_by(SELECTED)?.unwrap_or(default);
        let is_given_up = self.entry(selected)?.0.counter == Some(Counter::GIVEN_UP);
        if selected == default || is_given_up {
            return Ok(BootState { selected: default, is_trial: false });
        }
        Ok(BootState { selected, is_trial: true })
    }

    fn try_once(&mut self, slot: Slot) -> Result<(), BootError> {
        // The way back comes first.
        self.set_default(slot.other())?;
        let name = self.count(slot, Some(Counter::ONE_TRY))?;
        let info = self.interface.variable(INFO)?.unwrap_or_default();
        let extension = Entry::parse(&name).map(|entry| entry.extension);
        match extension.filter(|_| takes_patterns(&info)) {
            Some(extension) => {
                self.interface.set_variable(ONE_SHOT, &Entry::pattern(slot, extension))
            }
            None => self.interface.set_variable(ONE_SHOT, &name),
        }
    }

    fn commit(&mut self) -> Result<(), BootError> {
        let BootState { selected, .. } = self.state()?;
        // What is not yet removed would start once more, which is no harm now, but is no trial.
        self.interface.remove_variable(ONE_SHOT)?;
        self.set_default(selected)
    }

    fn select(&mut self, slot: Slot) -> Result<(), BootError> {
        self.interface.remove_variable(ONE_SHOT)?;
        self.set_default(slot)?;
        self.count(slot.other(), Some(Counter::GIVEN_UP)).map(|_| ())
    }
}
