//! Every world that can be reached from one update by killing the client or cutting the power,
//! again and again.

use std::{
    collections::{HashSet, VecDeque},
    env,
    rc::Rc,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    outside::{Entries, Outside},
    run::{Ended, Observer, Run},
    scenario::{End, NEXT, SCENARIOS, Scenario},
    steps::{self, Taken},
};
use crate::journal::volatile::Every;

/// After how many cuts to stop, in all scenarios: 2 takes minutes, 3 an hour. Without it, one, or
/// two where most can happen.
const CUTS: &str = "ROTA_CRASH_CUTS";
const TO_SECOND_CUT: usize = 3;
const AT_ONCE: usize = 2;

/// Lets an update end, and looks at how it did.
pub(super) fn end(run: &Rc<Run>) -> Result<End, String> {
    match run.live()? {
        Ended::Over => run.outside.borrow().check(&run.scenario),
        Ended::Early => Err("it did not end".to_owned()),
    }
}

/// Installs yet another update on a device on which one has ended.
pub(super) fn next(mut outside: Outside, last: Scenario, end: End) -> Result<(), String> {
    if end == End::Inconsistent {
        // A trial that nobody could call off is in the way until it is over.
        outside.reboot();
        outside.reboot();
    }
    outside.want_next();
    outside.journal.room = None;
    let next = Scenario { payload: last.payload, ..NEXT };
    let run = Run::new(outside, next, Observer::Absent);
    run.live()?;
    match run.outside.borrow().check(&next) {
        Ok(End::New) => Ok(()),
        other => Err(format!("the next update: {other:?}")),
    }
}

/// All worlds in which the client may find itself when it was killed, or the power cut, in this one.
fn after_cuts(outside: &Outside) -> HashSet<Outside> {
    let mut worlds = HashSet::from([outside.clone()]);
    let mut every = Every::default();
    loop {
        let mut world = outside.clone();
        world.cut(&mut every);
        worlds.insert(world);
        if !every.advance() {
            return worlds;
        }
    }
}

/// The worlds that were reached from one update.
struct Explorer {
    scenario: Scenario,
    entries: Entries,
    passed: HashSet<u64>,
    reached: HashSet<u64>,
    ended: HashSet<u64>,
    taken: Taken,
    /// Where the update is to be taken up, after how many cuts.
    queue: VecDeque<(Outside, Option<Rc<Cut>>)>,
}

/// How a world was reached.
struct Cut {
    number: u32,
    before: Outside,
    after: Outside,
    earlier: Option<Rc<Cut>>,
}

/// The story of a world.
fn tell(cut: Option<&Cut>) -> String {
    let Some(Cut { number, before, after, earlier }) = cut else { return String::new() };
    let told = tell(earlier.as_deref());
    format!("{told}\n{number}. cut: {before:?}\n    leaves {after:?}")
}

impl Explorer {
    fn new(scenario: Scenario) -> Self {
        let mut start = Outside::new();
        if scenario.is_disk_full {
            start.journal.room = Some(2);
        }
        Self {
            scenario,
            entries: Entries::default(),
            passed: HashSet::new(),
            reached: HashSet::new(),
            ended: HashSet::new(),
            taken: Taken::new(),
            queue: VecDeque::from([(start, None)]),
        }
    }

    fn explore(&mut self, most_cuts: u32) -> Result<(), String> {
        while let Some((world, cut)) = self.queue.pop_front() {
            let story = |problem| format!("{problem}{}", tell(cut.as_deref()));
            let run = Run::new(world, self.scenario, Observer::Watching(Vec::new()));
            let end = end(&run).map_err(story)?;
            if cut.is_none() && end != self.scenario.end {
                return Err(format!("it ended {end:?} without a cut"));
            }
            self.taken.extend(run.taken.borrow().iter());
            let last = run.outside.borrow().clone();
            if self.ended.insert(last.key(&mut self.entries)) {
                next(last, self.scenario, end).map_err(story)?;
            }
            let Observer::Watching(passed) = run.observer.replace(Observer::Absent) else {
                unreachable!("a watching observer goes on watching")
            };
            if cut.as_ref().map_or(0, |cut| cut.number) < most_cuts {
                self.cut(&passed, cut.as_ref());
            }
        }
        Ok(())
    }

    fn cut(&mut self, passed: &[Outside], last: Option<&Rc<Cut>>) {
        for before in passed {
            if !self.passed.insert(before.key(&mut self.entries)) {
                continue;
            }
            for after in after_cuts(before) {
                if self.reached.insert(after.key(&mut self.entries)) {
                    let cut = Cut {
                        number: last.map_or(0, |cut| cut.number) + 1,
                        before: before.clone(),
                        after: after.clone(),
                        earlier: last.cloned(),
                    };
                    self.queue.push_back((after, Some(Rc::new(cut))));
                }
            }
        }
    }
}

/// Explores all scenarios; the first ones to their second cut.
#[test]
fn from_every_world_an_update_ends_well() {
    let wanted = env::var(CUTS).ok().map(|cuts| cuts.parse().expect("ROTA_CRASH_CUTS is a number"));
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let taken = Mutex::new(Taken::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(scenario) = SCENARIOS.get(index) else { return };
            let cuts = wanted.unwrap_or(if index < TO_SECOND_CUT { 2 } else { 1 });
            let mut explorer = Explorer::new(*scenario);
            if let Err(problem) = explorer.explore(cuts) {
                wrong.lock().unwrap().push(format!("{}: {problem}", scenario.name));
            }
            taken.lock().unwrap().extend(explorer.taken.iter());
            let (worlds, ends) = (explorer.reached.len(), explorer.ended.len());
            println!("{}: {worlds} worlds after up to {cuts} cuts, {ends} ends", scenario.name);
            assert!(ends >= 5 && worlds > ends, "{}: nothing was cut", scenario.name);
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let missing = steps::missing(&taken.into_inner().unwrap());
    assert!(missing.is_empty(), "no update went through {missing:?}");
}
