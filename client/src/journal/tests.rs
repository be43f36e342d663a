use std::{fs::File, rc::Rc, thread, time::Duration};

use super::{
    folder::{LOCK, LOCK_PATIENCE, lock},
    volatile::{Every, Files, Reach, Volatile},
    *,
};
use crate::{
    machine::{Stage, Update},
    records::Software,
};

/// A folder that works for so many operations.
#[derive(Clone, Debug, Default)]
struct Fused(Rc<RefCell<(Files, Option<usize>)>>);

impl Reach for Fused {
    fn with<T>(&self, use_files: impl FnOnce(&mut Files) -> T) -> T {
        use_files(&mut self.0.borrow_mut().0)
    }

    fn operate(&self) -> io::Result<()> {
        match &mut self.0.borrow_mut().1 {
            Some(0) => return Err(io::Error::other("no power")),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }
}

impl Fused {
    fn new(files: Files, operations: Option<usize>) -> Self {
        Self(Rc::new(RefCell::new((files, operations))))
    }

    fn journal(&self) -> Journal<Volatile<Self>> {
        Journal::new(Volatile(self.clone()), "memory")
    }

    fn files(&self) -> Files {
        self.with(|files| files.clone())
    }

    /// What the disk holds after each way in which the power can go now.
    fn after_a_cut(&self) -> Vec<Files> {
        let mut every = Every::default();
        let mut all = Vec::new();
        loop {
            let mut files = self.files();
            files.cut(&mut every);
            all.push(files);
            if !every.advance() {
                return all;
            }
        }
    }
}

fn name<D: Disk>(journal: &Journal<D>) -> String {
    journal.read().unwrap().software().artifact_name
}

fn set<D: Disk>(journal: &mut Journal<D>, name: &str) -> Result<(), JournalError> {
    journal.change(&mut |records| {
        records.software = Some(Software { artifact_name: name.into(), ..Software::default() });
    })
}

/// Twice in a row: a write is cut after any number of operations, the disk keeps any part of what
/// was not synced, and the journal is read again.
#[test]
fn a_write_that_is_cut_anywhere_leaves_the_old_or_the_new() {
    let device = Fused::default();
    set(&mut device.journal(), "one").unwrap();
    set(&mut device.journal(), "two").unwrap();
    let mut worlds = vec![(device.files(), "two".to_owned())];
    for new in ["three", "four"] {
        let mut next = Vec::new();
        for (files, old) in worlds {
            for operations in 0.. {
                let device = Fused::new(files.clone(), Some(operations));
                let is_written = set(&mut device.journal(), new).is_ok();
                for files in device.after_a_cut() {
                    let mut journal = Fused::new(files.clone(), None).journal();
                    let read = name(&journal);
                    assert_eq!(journal.take_damage(), [], "cut {new:?} after {operations}");
                    assert!(
                        read == new || (read == old && !is_written),
                        "cut {new:?} after {operations} operations: {read}"
                    );
                    next.push((files, read));
                }
                if is_written {
                    break;
                }
            }
        }
        worlds = next;
    }
    assert!(worlds.len() > 400, "{} ways", worlds.len());
    for (files, _) in worlds {
        let device = Fused::new(files, None);
        set(&mut device.journal(), "five").unwrap();
        assert_eq!(name(&device.journal()), "five");
    }
}

#[test]
fn what_a_killed_client_left_in_memory_is_synced_before_it_counts() {
    let device = Fused::default();
    set(&mut device.journal(), "one").unwrap();
    // Killed between write and sync.
    let killed = Fused::new(device.files(), Some(2));
    set(&mut killed.journal(), "two").unwrap_err();
    assert_eq!(name(&killed.journal()), "two", "so the next client sees it");
    for operations in 0..12 {
        let next = Fused::new(killed.files(), Some(operations));
        let is_written = set(&mut next.journal(), "three").is_ok();
        for files in next.after_a_cut() {
            let read = name(&Fused::new(files, None).journal());
            assert!(read == "three" || (!is_written && ["one", "two"].contains(&&*read)), "{read}");
        }
    }
}

#[test]
fn a_full_disk_still_takes_the_journal() {
    let device = Fused::default();
    set(&mut device.journal(), "one").unwrap();
    set(&mut device.journal(), "two").unwrap();
    device.with(|files| files.room = Some(2));
    for number in 0..3 {
        let new = format!("full {number}");
        for operations in 0.. {
            let cut = Fused::new(device.files(), Some(operations));
            let is_written = set(&mut cut.journal(), &new).is_ok();
            let old = name(&device.journal());
            for files in cut.after_a_cut() {
                let read = name(&Fused::new(files, None).journal());
                assert!(read == new || (read == old && !is_written), "{read} for {old} or {new}");
            }
            if is_written {
                break;
            }
        }
        set(&mut device.journal(), &new).unwrap();
    }
}

fn damage(device: &Fused, name: &str) {
    let mut content = device.with(|files| files.read(name).unwrap().to_vec());
    let last = content.len() - 3;
    content[last] ^= 1;
    let mut disk = Volatile(device.clone());
    let mut file = disk.create(name).unwrap();
    file.write_all(&content).unwrap();
}

#[test]
fn a_damaged_journal_falls_back_to_the_previous_one() {
    let device = Fused::default();
    set(&mut device.journal(), "one").unwrap();
    set(&mut device.journal(), "two").unwrap();
    damage(&device, CURRENT);
    assert_eq!(name(&device.journal()), "one");

    set(&mut device.journal(), "three").unwrap();
    assert_eq!(name(&device.journal()), "three");
    let previous = device.with(|files| decode(files.read(PREVIOUS).unwrap())).unwrap();
    assert_eq!(previous.sequence, 1);
}

/// What the journal says of an update when the last of these entries is damaged.
fn stage_without_the_last(stages: &[&str]) -> Stage {
    let device = Fused::default();
    for stage in stages {
        let update = format!(r#"{{"origin":"standalone","stage":"{stage}"}}"#);
        let update: Update = serde_json::from_str(&update).unwrap();
        device.journal().change(&mut |records| records.update = Some(update.clone())).unwrap();
    }
    damage(&device, CURRENT);
    let stage = || device.journal().read().unwrap().update.unwrap().stage;
    let damaged = stage();
    device.with(|files| files.spoil(CURRENT, Errno::IO.raw_os_error()));
    assert_eq!(stage(), damaged, "unreadable is damaged");
    damaged
}

#[test]
fn a_damaged_journal_does_not_hide_that_the_installation_began() {
    for before in ["update-store", "pause-install", "before-install"] {
        assert_eq!(stage_without_the_last(&[before, "update-install"]), Stage::Unknown, "{before}");
    }
}

#[test]
fn a_damaged_journal_does_not_hide_that_the_commit_began() {
    for before in ["pause-commit", "before-commit"] {
        let stage = stage_without_the_last(&[before, "update-commit"]);
        assert_eq!(stage, Stage::UpdateCommit, "{before}");
    }
}

#[test]
fn a_damaged_journal_is_as_good_as_the_one_before_on_the_way_back() {
    for (before, last) in [("rollback", "rollback-reboot"), ("update-error", "cleanup")] {
        let stage = stage_without_the_last(&[before, last]);
        assert_eq!(serde_json::to_value(stage).unwrap(), before);
    }
}

/// A device whose current journal is the second, and that has yet another one, complete but not in
/// place, if asked for.
fn with_two_entries(has_new: bool) -> Fused {
    let device = Fused::default();
    set(&mut device.journal(), "one").unwrap();
    set(&mut device.journal(), "two").unwrap();
    if !has_new {
        return device;
    }
    let killed = Fused::new(device.files(), Some(2));
    set(&mut killed.journal(), "new").unwrap_err();
    Fused::new(killed.files(), None)
}

#[test]
fn a_journal_that_cannot_be_read_is_as_a_damaged_one() {
    let medium = [Errno::IO, Errno::UCLEAN, Errno::BADMSG];
    for (bad, has_new, expected) in [
        (PREVIOUS, false, "two"),
        (CURRENT, false, "one"),
        (NEW, true, "two"),
        (CURRENT, true, "new"),
    ] {
        for error in medium {
            let device = with_two_entries(has_new);
            device.with(|files| files.spoil(bad, error.raw_os_error()));
            assert_eq!(name(&device.journal()), expected, "{bad}: {error}");

            set(&mut device.journal(), "three").unwrap();
            assert_eq!(name(&device.journal()), "three", "{bad}: {error}");
            set(&mut device.journal(), "four").unwrap();
            let previous = device.with(|files| decode(files.read(PREVIOUS).unwrap())).unwrap();
            assert_eq!(previous.records.software().artifact_name, "three", "{bad}: {error}");
        }
    }
}

/// What a journal with two entries or three says of its files when one cannot be read, or more.
fn damage_of(has_new: bool, bad: &[(&str, Option<Errno>)]) -> Vec<Damage> {
    let device = with_two_entries(has_new);
    for (name, error) in bad {
        match error {
            Some(error) => device.with(|files| files.spoil(name, error.raw_os_error())),
            None => damage(&device, name),
        }
    }
    let mut journal = device.journal();
    journal.read().unwrap();
    journal.read().unwrap();
    let told = journal.take_damage();
    set(&mut journal, "three").unwrap();
    journal.read().unwrap();
    assert_eq!(journal.take_damage(), [], "each file once");
    told
}

#[test]
fn what_was_passed_over_is_told_with_what_is_lost() {
    let file = |name: &str| format!("memory/{name}");
    let io = Flaw::Unreadable(io::Error::from(Errno::IO).to_string());
    for (error, flaw) in [(None, Flaw::Corrupt), (Some(Errno::IO), io)] {
        for (has_new, bad, loss) in [
            (false, CURRENT, Loss::Newest(file(PREVIOUS))),
            (false, PREVIOUS, Loss::Spare(file(CURRENT))),
            (true, CURRENT, Loss::Spare(file(NEW))),
        ] {
            let told = damage_of(has_new, &[(bad, error)]);
            assert_eq!(told, [Damage { file: file(bad), flaw: flaw.clone(), loss }]);
        }
    }
    let all = damage_of(false, &[(CURRENT, None), (PREVIOUS, None)]);
    assert_eq!(
        all,
        [CURRENT, PREVIOUS].map(|bad| Damage {
            file: file(bad),
            flaw: Flaw::Corrupt,
            loss: Loss::All
        })
    );
    assert_eq!(damage_of(true, &[(NEW, None)]), [], "a power cut may leave that");
    assert_eq!(damage_of(true, &[(NEW, Some(Errno::IO))]).len(), 1);
}

#[test]
fn a_journal_of_which_nothing_can_be_read_is_not_an_empty_one() {
    let device = with_two_entries(false);
    device.with(|files| files.spoil(CURRENT, Errno::IO.raw_os_error()));
    damage(&device, PREVIOUS);
    assert!(matches!(device.journal().read(), Err(JournalError::Read { .. })));
    assert!(matches!(set(&mut device.journal(), "three"), Err(JournalError::Read { .. })));
}

#[test]
fn what_the_process_lacks_is_no_damage() {
    for error in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS] {
        let device = with_two_entries(false);
        device.with(|files| files.spoil(CURRENT, error.raw_os_error()));
        assert!(device.journal().read().is_err(), "{error}");
        assert!(set(&mut device.journal(), "three").is_err(), "{error}");
    }
}

#[test]
fn no_journal_is_an_empty_one() {
    assert_eq!(Fused::default().journal().read().unwrap(), Records::default());
}

#[test]
fn commands_and_daemon_do_not_lose_each_others_changes() {
    let folder = tempfile::tempdir().unwrap();
    thread::scope(|scope| {
        for writer in 0..4 {
            let path = folder.path();
            scope.spawn(move || {
                let mut store = FileStore::new(path);
                for turn in 0..5 {
                    store
                        .change(&mut |records| {
                            let software = records.software.get_or_insert_default();
                            software.provides.insert(format!("{writer}-{turn}"), "x".into());
                        })
                        .unwrap();
                }
            });
        }
    });
    let records = FileStore::new(folder.path()).read().unwrap();
    assert_eq!(records.software().provides.len(), 20);
}

#[test]
fn one_process_at_a_time_claims_the_update() {
    let folder = tempfile::tempdir().unwrap();
    let (mut daemon, mut command) = (FileStore::new(folder.path()), FileStore::new(folder.path()));
    assert!(daemon.claim_update().unwrap() && daemon.claim_update().unwrap());
    assert!(!command.claim_update().unwrap());
    daemon.release_update();
    assert!(command.claim_update().unwrap());
}

#[test]
fn a_process_that_stands_still_while_it_writes_is_not_awaited_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let mut options = File::options();
        options.create(true).truncate(false).write(true).open(folder.path().join(LOCK)).unwrap()
    };
    let held = open();
    lock(&held, Duration::ZERO).unwrap();
    let refused = lock(&open(), Duration::from_millis(20));
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::TimedOut);
    drop(held);
    lock(&open(), LOCK_PATIENCE).unwrap();
}
