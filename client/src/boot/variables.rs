//! Mender's boot loader variables, which U-Boot and GRUB share: what they mean.

use std::{collections::BTreeMap, path::Path};

use super::{BootError, BootLoader, BootState, Slot};

/// Decimal number of the partition to start.
const BOOT_PART: &str = "mender_boot_part";
/// The same for U-Boot, which reads numbers as hexadecimal.
const BOOT_PART_HEX: &str = "mender_boot_part_hex";
/// `1` during a trial.
const UPGRADE_AVAILABLE: &str = "upgrade_available";
/// How often the boot loader has started a system on trial.
const BOOTCOUNT: &str = "bootcount";
/// `1`: the integration promises to set the next one at every start.
const CHECK_CANARY: &str = "mender_check_saveenv_canary";
const CANARY: &str = "mender_saveenv_canary";

/// Named values that the boot loader reads.
pub trait Environment {
    /// All that is set.
    fn read(&mut self) -> Result<BTreeMap<String, String>, BootError>;
    /// Sets all of these or, if the power fails, none.
    fn write(&mut self, changes: &[(&'static str, String)]) -> Result<(), BootError>;
    /// Whether `mender_boot_part_hex` means something here.
    fn wants_hexadecimal(&self) -> bool;
}

/// The numbers by which the boot loader knows the two systems' partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionNumbers {
    a: u32,
    b: u32,
}

impl PartitionNumbers {
    /// From the ends of the devices' names.
    pub fn of(parts: [&Path; 2]) -> Result<Self, BootError> {
        let [a, b] = parts.map(trailing_number);
        let (a, b) = (a?, b?);
        if a == b { Err(BootError::SameNumber { number: a }) } else { Ok(Self { a, b }) }
    }

    pub fn number(self, slot: Slot) -> u32 {
        match slot {
            Slot::A => self.a,
            Slot::B => self.b,
        }
    }

    pub fn slot(self, number: u32) -> Option<Slot> {
        [Slot::A, Slot::B].into_iter().find(|slot| self.number(*slot) == number)
    }
}

fn trailing_number(path: &Path) -> Result<u32, BootError> {
    let text = path.to_string_lossy();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let number = text.get(digits..).and_then(|digits| digits.parse().ok());
    number.ok_or_else(|| BootError::NoPartitionNumber { path: text.into_owned() })
}

/// A boot loader that goes by these variables.
#[derive(Debug)]
pub struct Variables<E> {
    environment: E,
    numbers: PartitionNumbers,
}

impl<E: Environment> Variables<E> {
    pub fn new(environment: E, numbers: PartitionNumbers) -> Self {
        Self { environment, numbers }
    }

    fn write(&mut self, slot: Option<Slot>, rest: &[(&'static str, u32)]) -> Result<(), BootError> {
        let mut changes = Vec::new();
        if let Some(slot) = slot {
            let number = self.numbers.number(slot);
            changes.push((BOOT_PART, number.to_string()));
            if self.environment.wants_hexadecimal() {
                changes.push((BOOT_PART_HEX, format!("{number:x}")));
            }
        }
        changes.extend(rest.iter().map(|(name, value)| (*name, value.to_string())));
        self.environment.write(&changes)
    }

    fn check_canary(values: &BTreeMap<String, String>) -> Result<(), BootError> {
        let is_one = |name| values.get(name).is_some_and(|value| value == "1");
        if is_one(CHECK_CANARY) && !is_one(CANARY) {
            let found = values.get(CANARY).cloned().unwrap_or_default();
            return Err(BootError::CanaryMissing { found });
        }
        Ok(())
    }
}

impl<E: Environment> BootLoader for Variables<E> {
    fn partition_numbers(&self) -> Option<PartitionNumbers> {
        Some(self.numbers)
    }

    fn state(&mut self) -> Result<BootState, BootError> {
        let values = self.environment.read()?;
        Self::check_canary(&values)?;
        let get = |name| values.get(name).ok_or(BootError::NotSet { name });
        let number = get(BOOT_PART)?;
        let selected = number.parse().ok().and_then(|number| self.numbers.slot(number));
        let PartitionNumbers { a, b } = self.numbers;
        let selected = selected.ok_or_else(|| BootError::BadValue {
            name: BOOT_PART,
            value: number.clone(),
            expected: format!("{a} or {b}, as RootfsPartA and RootfsPartB end"),
        })?;
        let is_trial = match get(UPGRADE_AVAILABLE)?.as_str() {
            "0" => false,
            "1" => true,
            other => {
                return Err(BootError::BadValue {
                    name: UPGRADE_AVAILABLE,
                    value: other.to_owned(),
                    expected: "0 or 1".to_owned(),
                });
            }
        };
        Ok(BootState { selected, is_trial })
    }

    fn try_once(&mut self, slot: Slot) -> Result<(), BootError> {
        self.write(Some(slot), &[(UPGRADE_AVAILABLE, 1), (BOOTCOUNT, 0)])
    }

    fn commit(&mut self) -> Result<(), BootError> {
        self.write(None, &[(UPGRADE_AVAILABLE, 0)])
    }

    fn select(&mut self, slot: Slot) -> Result<(), BootError> {
        self.write(Some(slot), &[(UPGRADE_AVAILABLE, 0)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An environment in memory.
    #[derive(Debug, Default)]
    struct Memory(BTreeMap<String, String>);

    impl Environment for Memory {
        fn read(&mut self) -> Result<BTreeMap<String, String>, BootError> {
            Ok(self.0.clone())
        }

        fn write(&mut self, changes: &[(&'static str, String)]) -> Result<(), BootError> {
            self.0.extend(changes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            Ok(())
        }

        fn wants_hexadecimal(&self) -> bool {
            true
        }
    }

    fn loader(values: &[(&str, &str)]) -> Variables<Memory> {
        let values = values.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let numbers = [Path::new("/dev/mmcblk0p2"), Path::new("/dev/mmcblk0p11")];
        Variables::new(Memory(values.collect()), PartitionNumbers::of(numbers).unwrap())
    }

    #[test]
    fn the_other_partition_is_named_in_both_ways() {
        let mut loader = loader(&[(BOOT_PART, "2"), (UPGRADE_AVAILABLE, "0")]);
        assert_eq!(loader.state().unwrap(), BootState { selected: Slot::A, is_trial: false });
        loader.try_once(Slot::B).unwrap();
        assert_eq!(loader.state().unwrap(), BootState { selected: Slot::B, is_trial: true });
        let values = loader.environment.0;
        let get = |name: &str| values.get(name).map(String::as_str);
        assert_eq!(get(BOOT_PART), Some("11"));
        assert_eq!(get(BOOT_PART_HEX), Some("b"));
        assert_eq!(get(BOOTCOUNT), Some("0"));
    }

    #[test]
    fn what_an_integration_lacks_is_named() {
        for (values, expected) in [
            (&[][..], "mender_boot_part is not set"),
            (&[(BOOT_PART, "2")], "upgrade_available is not set"),
            (&[(BOOT_PART, "3"), (UPGRADE_AVAILABLE, "0")], "mender_boot_part=3"),
            (&[(BOOT_PART, "2"), (UPGRADE_AVAILABLE, "yes")], "upgrade_available=yes"),
            (
                &[(BOOT_PART, "2"), (UPGRADE_AVAILABLE, "0"), (CHECK_CANARY, "1"), (CANARY, "0")],
                "does not save its environment",
            ),
        ] {
            let error = loader(values).state().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let sound =
            [(BOOT_PART, "2"), (UPGRADE_AVAILABLE, "0"), (CHECK_CANARY, "1"), (CANARY, "1")];
        assert!(loader(&sound).state().is_ok());
    }

    #[test]
    fn partitions_need_different_numbers() {
        let of = |a: &str, b: &str| PartitionNumbers::of([Path::new(a), Path::new(b)]);
        assert!(matches!(of("/dev/sda2", "/dev/sdb2"), Err(BootError::SameNumber { number: 2 })));
        assert!(matches!(of("/dev/sda", "/dev/sdb2"), Err(BootError::NoPartitionNumber { .. })));
        assert_eq!(of("/dev/ubi0_0", "/dev/ubi0_1").unwrap(), PartitionNumbers { a: 0, b: 1 });
    }
}
