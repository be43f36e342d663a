//! What modules do to the device: those of whole systems as `rootfs-image` does, those of files as
//! `single-file` does.

use std::{
    io::{self, Write},
    rc::Rc,
};

use super::{
    outside::{BootEnvironment, FILE, Partition, Version},
    run::{Folder, Run},
    scenario::Payload,
    steps::Step,
};
use crate::{
    journal::{Disk, DiskFile, volatile::Volatile},
    machine::Call,
};

/// The call ended with an error.
#[derive(Debug)]
pub(super) struct Failed;

impl From<io::Error> for Failed {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// In the work tree: what to go back to.
const BEFORE: &str = "before";
const HEADER: &str = "header";

/// Makes the work tree.
pub(super) fn unpack(run: &Rc<Run>) -> Result<(), Failed> {
    run.change(|outside| {
        outside.removed_tree = None;
        outside.tree = crate::journal::volatile::Files::default();
    });
    if run.scenario.fails(Step::Open) {
        return Err(Failed);
    }
    let mut tree = tree(run);
    let wanted = run.outside.borrow().wanted;
    Ok(replace(&mut tree, HEADER, &[wanted])?)
}

pub(super) fn download(run: &Rc<Run>) -> Result<(), Failed> {
    begin(run, "Download");
    if run.scenario.fails(Step::Store) {
        return Err(Failed);
    }
    if run.scenario.payload == Payload::System {
        write_system(run)?;
    }
    Ok(())
}

fn write_system(run: &Rc<Run>) -> Result<(), Failed> {
    if run.outside.borrow().boot.is_trial {
        return Err(Failed);
    }
    let other = 1 - run.outside.borrow().running;
    let system = Partition::System(run.outside.borrow().wanted, run.scenario.image);
    run.change(|outside| outside.partitions[other] = (Partition::Garbage, Partition::Garbage));
    run.point();
    run.change(|outside| outside.partitions[other].0 = system);
    run.point();
    run.change(|outside| outside.partitions[other].1 = system);
    run.point();
    Ok(())
}

pub(super) fn call(run: &Rc<Run>, call: Call) -> Result<(), Failed> {
    begin(run, call.as_str());
    let fails = run.scenario.fails(Step::Module(call));
    // What fails to be undone or committed has not been; what fails to be installed has been.
    if fails && call != Call::ArtifactInstall {
        return Err(Failed);
    }
    match (run.scenario.payload, call) {
        (Payload::System, _) => call_of_system(run, call)?,
        (Payload::File | Payload::Service, Call::ArtifactInstall) => {
            let before = run.outside.borrow().application.read(FILE).unwrap_or(&[0]).to_vec();
            replace(&mut tree(run), BEFORE, &before)?;
            replace_file(run)?;
        }
        (Payload::FileForGood, Call::ArtifactInstall) => replace_file(run)?,
        (Payload::File | Payload::Service, Call::ArtifactRollback) => {
            if let Some(before) = tree(run).read(BEFORE)? {
                replace(&mut application(run), FILE, &before)?;
            }
        }
        _ => {}
    }
    run.point();
    if fails { Err(Failed) } else { Ok(()) }
}

fn call_of_system(run: &Rc<Run>, call: Call) -> Result<(), Failed> {
    let (boot, running) = (run.outside.borrow().boot, run.outside.borrow().running);
    let set = |partition, is_trial| {
        run.change(|outside| {
            outside.boot = BootEnvironment { partition, is_trial, has_tried: false };
        });
    };
    let runs_what_is_booted = running == boot.partition;
    match call {
        Call::ArtifactInstall if boot.is_trial => return Err(Failed),
        Call::ArtifactInstall => {
            replace(&mut tree(run), BEFORE, &[u8::try_from(running).unwrap()])?;
            set(1 - running, true);
        }
        Call::ArtifactVerifyReboot if boot.is_trial && runs_what_is_booted => {}
        Call::ArtifactCommit if boot.is_trial && runs_what_is_booted => set(boot.partition, false),
        Call::ArtifactVerifyReboot | Call::ArtifactCommit => return Err(Failed),
        Call::ArtifactRollback if boot.is_trial => set(1 - boot.partition, false),
        Call::ArtifactRollback => {
            if let Some(before) = tree(run).read(BEFORE)? {
                set(usize::from(before[0]), false);
            }
        }
        Call::ArtifactVerifyRollbackReboot if boot.is_trial || !runs_what_is_booted => {
            return Err(Failed);
        }
        _ => {}
    }
    Ok(())
}

/// A call begins.
pub(super) fn begin(run: &Rc<Run>, call: &'static str) {
    run.point();
    run.change(|outside| outside.called(call));
    run.point();
}

fn replace_file(run: &Rc<Run>) -> Result<(), Failed> {
    let version: Version = run.outside.borrow().wanted;
    Ok(replace(&mut application(run), FILE, &[version])?)
}

fn tree(run: &Rc<Run>) -> Volatile<Folder> {
    Volatile(Folder::new(run, |outside| &mut outside.tree))
}

fn application(run: &Rc<Run>) -> Volatile<Folder> {
    Volatile(Folder::new(run, |outside| &mut outside.application))
}

/// Writes a file in the only order that survives.
fn replace(folder: &mut Volatile<Folder>, name: &str, content: &[u8]) -> io::Result<()> {
    let new = format!("{name}.new");
    let mut file = folder.create(&new)?;
    file.write_all(content)?;
    file.sync()?;
    folder.rename(&new, name)?;
    folder.sync()
}
