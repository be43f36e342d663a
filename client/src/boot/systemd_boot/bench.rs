//! systemd-boot against the suite for all boot loaders, in the three forms that the module's
//! description has. It is modelled as it behaves: a one-shot entry goes before the default, and is
//! removed before anything is started; whatever is started loses one try in its name; what has no
//! tries left comes last.

use std::collections::BTreeMap;

use super::{
    DEFAULT, Entry, INFO, Interface, ONE_SHOT, SELECTED, Slot, SystemdBoot, entries::Counter,
};
use crate::boot::{
    BootError, BootLoader, BootState,
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

    fn version(&self) -> u32 {
        let info = &self.variables[INFO];
        info.strip_prefix("systemd-boot ").unwrap().parse().unwrap()
    }

    /// By what the boot loader knows an entry.
    fn id(&self, name: &str) -> String {
        let name = name.to_lowercase();
        match name.split_once('+') {
            Some((stem, rest)) if self.version() >= 259 => {
                format!("{stem}.{}", rest.split_once('.').unwrap().1)
            }
            _ => name,
        }
    }

    /// All entries in the order of the menu.
    fn menu(&self) -> Vec<&String> {
        let mut menu: Vec<_> = self.entries.iter().collect();
        let is_bad = |name: &str| {
            Entry::parse(name).is_some_and(|e| e.counter.is_some_and(|c| !c.has_tries()))
        };
        menu.sort_by_key(|name| (is_bad(name), *name));
        menu
    }

    /// The first entry that a variable fits.
    fn named(&self, variable: &str) -> Option<String> {
        let wanted = self.variables.get(variable)?.to_lowercase();
        let fits = |name: &&&String| match self.id(name) {
            id if self.version() < 252 => id == wanted,
            id => fits(wanted.as_bytes(), id.as_bytes()),
        };
        self.menu().iter().find(fits).map(|name| (*name).clone())
    }
}

/// As far as patterns go here.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skipped| fits(rest, &text[skipped..])),
        ([b'[', rest @ ..], [first, text @ ..]) => {
            let end = rest.iter().position(|byte| *byte == b']').unwrap();
            rest[..end].contains(first) && fits(&rest[end + 1..], text)
        }
        ([one, pattern @ ..], [first, text @ ..]) => one == first && fits(pattern, text),
        _ => false,
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

/// With systemd-boot of a version.
struct Device<const VERSION: u32>(SystemdBoot<Firmware>);

impl<const VERSION: u32> Device<VERSION> {
    fn firmware(&mut self) -> &mut Firmware {
        &mut self.0.interface
    }
}

impl<const VERSION: u32> Bench for Device<VERSION> {
    type Disk = Firmware;

    fn new() -> Self {
        let entries = ["other.conf", "rootfs-a.conf", "rootfs-b.conf", "rootfs-b (old).conf"];
        let entries = entries.map(str::to_owned).to_vec();
        let mut firmware = Firmware { entries, ..Firmware::default() };
        firmware.variables.insert(INFO.to_owned(), format!("systemd-boot {VERSION}"));
        firmware.variables.insert(SELECTED.to_owned(), "rootfs-a.conf".to_owned());
        Self(SystemdBoot::new(firmware))
    }

    fn with<T>(&mut self, work: impl FnOnce(&mut dyn BootLoader) -> T) -> T {
        work(&mut self.0)
    }

    fn start(&mut self) -> Slot {
        let firmware = self.firmware();
        let one_shot = firmware.named(ONE_SHOT);
        firmware.variables.remove(ONE_SHOT);
        let default = || firmware.named(DEFAULT);
        let first = || firmware.menu().into_iter().find(|name| Entry::parse(name).is_some());
        let name = one_shot.or_else(default).or_else(|| first().cloned()).unwrap();
        let entry = Entry::parse(&name).unwrap();
        let counter = entry.counter.map(Counter::after_a_try);
        let slot = entry.slot;
        let (place, id) = (firmware.entry(&name).unwrap(), firmware.id(&name));
        firmware.variables.insert(SELECTED.to_owned(), id);
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

mod names_with_counters {
    super::conforms!(super::Device<249>);
}

mod patterns_for_names_with_counters {
    super::conforms!(super::Device<252>);
}

mod patterns_for_names_without_counters {
    super::conforms!(super::Device<259>);
}

#[test]
fn only_what_is_known_to_take_patterns_gets_one() {
    for (info, expected) in [
        ("systemd-boot 249.11-0ubuntu3.12", "rootfs-b+1.conf"),
        ("systemd-boot 252.39-1~deb12u2", "rootfs-b[.+]*conf"),
        ("systemd-boot 260", "rootfs-b[.+]*conf"),
        ("something else 300", "rootfs-b+1.conf"),
        ("systemd-boot", "rootfs-b+1.conf"),
    ] {
        let mut device = Device::<259>::new();
        device.firmware().variables.insert(INFO.to_owned(), info.to_owned());
        device.with(|loader| loader.try_once(Slot::B)).unwrap();
        assert_eq!(device.firmware().variables[ONE_SHOT], expected, "{info}");
        let on_trial = BootState { selected: Slot::B, is_trial: true };
        assert_eq!(device.with(|loader| loader.state()).unwrap(), on_trial, "{info}");
    }
}

/// The firmware has forgotten everything, as after a flat battery; the boot loader says who it is
/// at each start.
#[test]
fn without_variables_a_system_that_failed_its_trial_is_not_started() {
    let mut device = Device::<259>::new();
    device.start();
    device.with(|loader| loader.try_once(Slot::B)).unwrap();
    assert_eq!(device.start(), Slot::B);
    device.firmware().variables.retain(|name, _| name == INFO);
    assert_eq!(device.start(), Slot::A);
}

/// systemd's own service blesses what reached its target, which is not for it to decide here.
#[test]
fn an_entry_that_somebody_else_blessed_is_still_on_trial() {
    let mut device = Device::<259>::new();
    device.start();
    device.with(|loader| loader.try_once(Slot::B)).unwrap();
    device.start();
    device.firmware().rename_entry("rootfs-b+0-1.conf", "rootfs-b.conf").unwrap();
    assert!(device.with(|loader| loader.state()).unwrap().is_trial);
    assert_eq!(device.start(), Slot::A);
}

#[test]
fn what_is_missing_is_named() {
    let mut device = Device::<259>::new();
    device.firmware().variables.insert(DEFAULT.to_owned(), "auto-windows".to_owned());
    let error = device.with(|loader| loader.state()).unwrap_err().to_string();
    assert!(error.contains("LoaderEntryDefault=auto-windows"), "{error}");
    device.firmware().variables.remove(DEFAULT);
    device.firmware().entries.retain(|name| Entry::slot_of(name) != Some(Slot::B));
    let error = device.with(|loader| loader.try_once(Slot::B)).unwrap_err().to_string();
    assert!(error.contains("no entry rootfs-b in /efi/loader/entries"), "{error}");
}
