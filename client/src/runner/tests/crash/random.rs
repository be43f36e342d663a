//! Long rows of cuts, drawn by a seed.

use std::{
    env,
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use super::{
    explore,
    outside::Outside,
    run::{Ended, Observer, Run},
    scenario::{End, SCENARIOS, Scenario, Wish},
};
use crate::journal::volatile::{Choose, Seeded};

const RUNS: u64 = 10_000;
/// Repeats one run.
const SEED: &str = "ROTA_CRASH_SEED";
const AT_ONCE: usize = 2;
const MOST_CUTS: usize = 6;
/// So many restarts, besides its own two, never use up the journal writes of an update.
const CUTS_WITHIN_LIMIT: usize = 3;

/// One update, cut several times.
fn run(seed: u64) -> Result<(), String> {
    let mut chance = Seeded(seed);
    let mut scenario: Scenario = SCENARIOS[chance.choose(SCENARIOS.len())];
    let mut outside = Outside::new();
    let mut cuts = Vec::new();
    for _ in 0..=chance.choose(MOST_CUTS) {
        // Short distances as often as long ones: recoveries are short.
        let reach = [8, 40, 160][chance.choose(3)];
        let distance = u32::try_from(chance.choose(reach)).unwrap();
        let kind = chance.choose(3);
        let observer =
            if kind == 2 { Observer::Stopper(distance) } else { Observer::Fuse(distance) };
        let run = Run::new(outside, scenario, observer);
        let ended = run.live().map_err(|problem| format!("{cuts:?}: {problem}"))?;
        outside = run.outside.borrow().clone();
        cuts.push((kind, distance));
        if ended == Ended::Over {
            break;
        }
        if kind == 0 {
            outside.cut(&mut chance);
        }
    }
    if cuts.len() > CUTS_WITHIN_LIMIT && scenario.wish == Wish::Deploy {
        // The machine may take it for going in circles.
        scenario.other_ends = &[End::New, End::Old, End::Inconsistent];
    }
    let problem = |problem| format!("{}, cut {cuts:?}: {problem}", scenario.name);
    let run = Run::new(outside, scenario, Observer::Absent);
    let end = explore::end(&run).map_err(problem)?;
    let outside = run.outside.borrow().clone();
    explore::next(outside, scenario, end).map_err(problem)
}

#[test]
fn ten_thousand_updates_with_many_cuts_end_well() {
    let (first, count) = match env::var(SEED) {
        Ok(seed) => (seed.parse().expect("ROTA_CRASH_SEED is a number"), 1),
        Err(_) => (any_seed(), RUNS),
    };
    println!("seeds from {first}; {SEED}=<number> repeats one");
    let next = AtomicU64::new(first);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed - first >= count {
                return;
            }
            if let Err(problem) = run(seed) {
                panic!("{SEED}={seed}: {problem}");
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
}

/// Another one each time.
fn any_seed() -> u64 {
    RandomState::new().hash_one("a seed") >> 32
}
