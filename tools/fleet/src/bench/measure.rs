//! What a process costs: the operating system's own accounting of it.

use std::{
    path::Path,
    process::{self, ExitCode, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Args;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};

use crate::report::{self, median};

/// What one run of a command cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Cost {
    /// Seconds on the clock.
    pub(crate) wall: f64,
    /// Seconds of CPU, user and system, in all its threads and children.
    pub(crate) cpu: f64,
    /// The largest resident set of a process in it, in bytes.
    pub(crate) peak: f64,
}

/// A command to be measured.
#[derive(Debug, Args)]
pub(crate) struct Command {
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// The child's part: runs the command and prints its cost. A process of its own for each
/// measurement, because peak memory is accounted for all children a process ever had.
pub(crate) fn run_child(command: &Command) -> ExitCode {
    match measured(&command.words).and_then(|cost| Ok(serde_json::to_string(&cost)?)) {
        Ok(json) => {
            use std::io::Write;
            let written = writeln!(std::io::stdout(), "{json}");
            if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            report::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn measured(words: &[String]) -> Result<Cost> {
    let (program, arguments) = words.split_first().context("no command")?;
    let began = Instant::now();
    let status = process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // What a program says on the way would only be in the way of the table.
        .stderr(Stdio::null())
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    let wall = began.elapsed().as_secs_f64();
    ensure!(status.success(), "{} ended with {status}; run it to see why", words.join(" "));
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| Micros(time.num_microseconds()).seconds();
    Ok(Cost {
        wall,
        cpu: seconds(usage.user_time()) + seconds(usage.system_time()),
        peak: Kibibytes(usage.max_rss()).bytes(),
    })
}

struct Micros(i64);

impl Micros {
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    fn seconds(&self) -> f64 {
        self.0 as f64 / 1e6
    }
}

struct Kibibytes(i64);

impl Kibibytes {
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    fn bytes(&self) -> f64 {
        self.0 as f64 * 1024.0
    }
}

/// Runs two commands in turn, each `runs` times after one warm-up; the medians of each.
pub(crate) fn in_turn(ours: &[String], other: &[String], runs: usize) -> Result<(Cost, Cost)> {
    let (mut costs, mut others) = (Vec::new(), Vec::new());
    for run in 0..=runs {
        let (cost, other) = (once(ours)?, once(other)?);
        if run > 0 {
            costs.push(cost);
            others.push(other);
        }
    }
    Ok((medians(&costs), medians(&others)))
}

/// What one run of a command costs.
pub(crate) fn once(words: &[String]) -> Result<Cost> {
    let output = process::Command::new(std::env::current_exe()?)
        .args(["measure", "--"])
        .args(words)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "{} could not be measured", words.join(" "));
    serde_json::from_slice(&output.stdout).context("the measurement cannot be read")
}

fn medians(costs: &[Cost]) -> Cost {
    let of = |part: fn(&Cost) -> f64| median(&mut costs.iter().map(part).collect::<Vec<_>>());
    Cost { wall: of(|cost| cost.wall), cpu: of(|cost| cost.cpu), peak: of(|cost| cost.peak) }
}

/// Seconds of CPU that a process and all below it have used so far.
pub(crate) fn cpu_of_tree(root: u32) -> Result<f64> {
    // Linux counts in hundredths of a second (USER_HZ), whatever the kernel's own tick.
    const TICKS_PER_SECOND: f64 = 100.0;
    let mut ticks = 0_u64;
    let mut found = false;
    let processes = processes()?;
    for process in &processes {
        if below(&processes, process.id, root) {
            ticks += process.ticks;
            found |= process.id == root;
        }
    }
    ensure!(found, "process {root} has ended");
    #[expect(clippy::cast_precision_loss, reason = "a measurement")]
    let ticks = ticks as f64;
    Ok(ticks / TICKS_PER_SECOND)
}

struct Process {
    id: u32,
    parent: u32,
    /// User and system time, its own and its ended children's.
    ticks: u64,
}

fn processes() -> Result<Vec<Process>> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc").context("no /proc")? {
        let path = entry?.path();
        let id = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        // A process may end while the list is read.
        if let Some(process) = id.and_then(|id| read_process(&path, id)) {
            all.push(process);
        }
    }
    Ok(all)
}

fn read_process(path: &Path, id: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(path.join("stat")).ok()?;
    // The name in parentheses may hold anything; the fields come after the last one.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    Some(Process { id, parent: u32::try_from(number(1)?).ok()?, ticks })
}

fn below(processes: &[Process], id: u32, root: u32) -> bool {
    let mut current = id;
    // Deeper than any tree of ours; a list read while it changes cannot make this hang.
    for _ in 0..64 {
        if current == root {
            return true;
        }
        match processes.iter().find(|process| process.id == current) {
            Some(process) if process.parent != 0 => current = process.parent,
            _ => return false,
        }
    }
    false
}
