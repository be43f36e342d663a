//! How many cuts there were in each phase, and how they ended.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use super::phase::Phase;

/// Counts cuts; shared by all machines.
#[derive(Debug, Default)]
pub(crate) struct Table(Mutex<BTreeMap<Phase, Ends>>);

#[derive(Clone, Copy, Debug, Default)]
struct Ends {
    old: usize,
    new: usize,
}

impl Table {
    pub(super) fn add(&self, phase: Phase, is_new: bool) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = rows.entry(phase).or_default();
        *(if is_new { &mut ends.new } else { &mut ends.old }) += 1;
    }

    /// How many cuts there were.
    pub(crate) fn cuts(&self) -> usize {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rows.values().map(|ends| ends.old + ends.new).sum()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(
            formatter,
            "  {:<14} {:>5} {:>10} {:>10}",
            "phase", "cuts", "ended old", "ended new"
        )?;
        for phase in Phase::ALL {
            let Ends { old, new } = rows.get(&phase).copied().unwrap_or_default();
            writeln!(formatter, "  {phase:<14} {:>5} {old:>10} {new:>10}", old + new)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_a_row() {
        let table = Table::default();
        table.add(Phase::Write, false);
        table.add(Phase::Write, true);
        table.add(Phase::Reboot, true);
        assert_eq!(table.cuts(), 3);
        let printed = table.to_string();
        let row = |name: &str| -> Vec<String> {
            let line = printed.lines().find(|line| line.trim_start().starts_with(name));
            line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        assert_eq!(row("write"), ["write", "2", "1", "1"]);
        assert_eq!(row("reboot"), ["reboot", "1", "0", "1"]);
        assert_eq!(row("commit"), ["commit", "0", "0", "0"]);
    }
}
