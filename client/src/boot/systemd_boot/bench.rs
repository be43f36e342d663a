//! systemd-boot against the suite for all boot loaders. It is modelled as it behaves: a one-shot
//! entry goes before the default, and is removed before anything is started; whatever is started
//! loses one try in its name; what has no tries left comes last.

use std::collections::BTreeMap;

use super::{
    DEFAULT, Entry, INFO, Interface, ONE_SHOT, SELECTED, Slot, SystemdBoot, entries::Counter,
};
use crate::boot::{
    BootError, BootLoader,
    conformance::{Bench, Change, conforms},
};

/// The EFI variables and the entries; each change of either is all or nothing.
#[derive(Clone, Default)]
struct Firmware {
    variables: BTreeMap<String, String>,
    entries: Vec<String>,
    history: Vec<Firmware>,
}

impl Firmware {
    fn remember(&mut self) {
        let state = Self { history: Vec::new(), ..self.clone() };
        self.history.push(state);
    }

    fn entry(&self, wanted: &str) -> Option<usize> {
        self.entries.iter().position(|name| name.eq_ignore_ascii_case(wanted))
    }
}

impl Interface for Firmware {
    fn variable(&self, name: &str) -> Result<Option<String>, BootError> {
        Ok(self.variables.get(name).cloned())
    }

    fn set_variable(&mut self, name: &str, value: &str) -> Result<(), BootError> {
        self.remember();
        self.variables.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    fn remove_variable(&mut self, name: &str) -> Result<(), BootError> {
        self.remember();
        self.variables.remove(name);
        Ok(())
    }

    fn entries(&self) -> Result<Vec<String>, BootError> {
        Ok(self.entries.clone())
    }

    fn rename_entry(&mut self, from: &str, to: &str) -> Result<(), BootError> {
        self.remember();
        let place = self.entry(from).expect("the entry is there");
        self.entries[place] = to.to_owned();
        Ok(())
    }

    fn place(&self) -> String {
        "/efi/loader/entries".to_owned()
    }
}

struct Device(SystemdBoot<Firmware>);

impl Device {
    fn firmware(&mut self) -> &mut Firmware {
        &mut self.0.interface
    }
}

impl Bench for Device {
    type Disk = Firmware;

    fn new() -> Self {
        let entries = ["other.conf", "rootfs-a.conf", "rootfs-b.conf"].map(str::to_owned).to_vec();
        let mut firmware = Firmware { entries, ..Firmware::default() };
        firmware.variables.insert(INFO.to_owned(), "systemd-boot 252".to_owned());
        firmware.variables.insert(SELECTED.to_owned(), "rootfs-a.conf".to_owned());
        Self(SystemdBoot::new(firmware))
    }

    fn with<T>(&mut self, work: impl FnOnce(&mut dyn BootLoader) -> T) -> T {
        work(&mut self.0)
    }

    fn start(&mut self) -> Slot {
        let firmware = self.firmware();
        let one_shot = firmware.variables.remove(ONE_SHOT);
        let default = firmware.variables.get(DEFAULT).cloned();
        let named = |name: Option<String>| name.and_then(|name| firmware.entry(&name));
        let left = |name: &str| {
            Entry::parse(name).is_some_and(|e| e.counter.is_some_and(|c| !c.has_tries()))
        };
        let first = || {
            let ours = |name: &&String| Entry::parse(name).is_some();
            let best = firmware.entries.iter().filter(ours).min_by_key(|name| (left(name), *name));
            firmware.entry(best.unwrap()).unwrap()
        };
        let place = named(one_shot).or_else(|| named(default)).unwrap_or_else(first);
        let name = firmware.entries[place].clone();
        let entry = Entry::parse(&name).unwrap();
        firmware.variables.insert(SELECTED.to_owned(), name);
        let counter = entry.counter.map(Counter::after_a_try);
        let slot = entry.slot;
        firmware.entries[place] = Entry { counter, ..entry }.name();
        slot
    }

    fn disk(&self) -> Firmware {
        self.0.interface.clone()
    }

    fn put(&mut self, disk: Firmware) {
        *self.firmware() = disk;
    }

    fn cuts(&mut self, change: Change) -> Vec<Firmware> {
        self.firmware().history.clear();
        self.with(change).unwrap();
        self.firmware().remember();
        std::mem::take(&mut self.firmware().history)
    }
}

conforms!(Device);

/// The firmware has forgotten everything, as after a flat battery.
#[test]
fn without_variables_a_system_that_failed_its_trial_is_not_started() {
    let mut device = Device::new();
    device.start();
    device.with(|loader| loader.try_once(Slot::B)).unwrap();
    assert_eq!(device.start(), Slot::B);
    device.firmware().variables.clear();
    assert_eq!(device.start(), Slot::A);
}

/// systemd's own service blesses what reached its target, which is not for it to decide here.
#[test]
fn an_entry_that_somebody_else_blessed_is_still_on_trial() {
    let mut device = Device::new();
    device.start();
    device.with(|loader| loader.try_once(Slot::B)).unwrap();
    device.start();
    device.firmware().rename_entry("rootfs-b+0-1.conf", "rootfs-b.conf").unwrap();
    assert!(device.with(|loader| loader.state()).unwrap().is_trial);
    assert_eq!(device.start(), Slot::A);
}

#[test]
fn what_is_missing_is_named() {
    let mut device = Device::new();
    device.firmware().variables.insert(DEFAULT.to_owned(), "auto-windows".to_owned());
    let error = device.with(|loader| loader.state()).unwrap_err().to_string();
    assert!(error.contains("LoaderEntryDefault=auto-windows"), "{error}");
    device.firmware().variables.remove(DEFAULT);
    device.firmware().entries.pop();
    let error = device.with(|loader| loader.try_once(Slot::B)).unwrap_err().to_string();
    assert!(error.contains("no entry rootfs-b in /efi/loader/entries"), "{error}");
}
