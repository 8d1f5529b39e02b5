//! Timers against a sorted list (S47.6).
#![allow(clippy::indexing_slicing, reason = "a test may fail")]

use std::cell::Cell;
use std::rc::Rc;

use ferroloop_engine::{Cancel, Timers};
use proptest::prelude::*;

/// So many that most of them have to grow old.
const CROWD: u32 = 5000;

#[derive(Clone, Debug)]
struct Timer {
    id: usize,
    cancelled: Rc<Cell<bool>>,
}

impl Cancel for Timer {
    fn is_cancelled(&self) -> bool {
        self.cancelled.get()
    }
}

/// The heap, and beside it every timer ever made, by id.
#[derive(Default)]
struct Schedule {
    timers: Timers<Timer>,
    made: Vec<Timer>,
}

impl Schedule {
    fn insert(&mut self, when: f64) -> usize {
        let timer = Timer { id: self.made.len(), cancelled: Rc::default() };
        self.made.push(timer.clone());
        self.timers.insert(when, timer);
        self.made.len() - 1
    }

    fn cancel(&mut self, id: usize) {
        if !self.made[id].cancelled.replace(true) {
            self.timers.note_cancelled();
        }
    }

    fn purge(&mut self) -> Vec<usize> {
        let mut dead = Vec::new();
        self.timers.purge(&mut dead);
        dead.iter().map(|timer| timer.id).collect()
    }

    fn due(&mut self, end: f64) -> Vec<usize> {
        self.timers.take_due(end, end).iter().map(|timer| timer.id).collect()
    }
}

/// S5.3: due is what lies before the end, not at it.
#[test]
fn the_end_itself_is_not_due() {
    let mut schedule = Schedule::default();
    schedule.insert(1.0);
    assert_eq!(schedule.due(1.0), []);
    assert_eq!(schedule.due(1.0_f64.next_up()), [0]);
}

/// S5.5.
#[test]
fn equal_deadlines_keep_call_order() {
    let mut schedule = Schedule::default();
    for when in [2.0, 1.0, 2.0, 1.0, 0.0, -0.0] {
        schedule.insert(when);
    }
    assert_eq!(schedule.due(3.0), [4, 5, 1, 3, 0, 2]);
}

/// S5.3, S5.5, S5.8: many at once, in order; the cancelled ones among them count no longer.
#[test]
fn most_are_due_at_once() {
    let mut schedule = Schedule::default();
    let deadlines: Vec<_> = (0..1000).map(|id| f64::from(id * 7919 % 100)).collect();
    for &when in &deadlines {
        schedule.insert(when);
    }
    for id in (0..1000).filter(|id| deadlines[*id] < 60.0) {
        schedule.cancel(id);
    }
    let mut expected: Vec<usize> = (0..1000).filter(|&id| deadlines[id] < 90.0).collect();
    expected.sort_by(|&a, &b| deadlines[a].total_cmp(&deadlines[b]));
    assert_eq!(schedule.due(90.0), expected);
    assert_eq!((schedule.timers.len(), schedule.timers.pending()), (100, 100));
    for when in 0..500 {
        schedule.insert(f64::from(1000 + when));
    }
    schedule.cancel(1001);
    assert_eq!(schedule.purge(), [], "one of 600 is cancelled");
    assert_eq!((schedule.timers.len(), schedule.timers.pending()), (600, 599));
    assert_eq!(schedule.timers.next_deadline(), Some(90.0));
}

/// S5.3: what is not a number is not after the end, whatever that is.
#[test]
fn deadlines_that_are_no_numbers_are_due() {
    let mut schedule = Schedule::default();
    for when in [f64::INFINITY, f64::NAN, 1.0, -f64::NAN, f64::NEG_INFINITY] {
        schedule.insert(when);
    }
    assert_eq!(schedule.timers.next_deadline(), Some(f64::NEG_INFINITY));
    assert_eq!(schedule.due(-1e300), [1, 3, 4]);
    assert_eq!(schedule.due(f64::INFINITY), [2]);
    assert_eq!(schedule.timers.len(), 1, "infinity is never due");
}

/// S5.6: over 100 and more than half cancelled, and not before.
#[test]
fn compaction_starts_past_both_limits() {
    for (scheduled, cancelled, compacts) in [
        (100_u16, 99_u16, false),
        (101, 50, false),
        (101, 51, true),
        (102, 51, false),
        (300, 151, true),
    ] {
        let mut schedule = Schedule::default();
        for id in 0..scheduled {
            schedule.insert(f64::from(id));
        }
        // From the far end, so that the heads stay and only compaction can reach these.
        for id in 0..cancelled {
            schedule.cancel(usize::from(scheduled - 1 - id));
        }
        let dead = schedule.purge().len();
        let expected = if compacts { cancelled } else { 0 };
        assert_eq!(dead, usize::from(expected), "{cancelled} of {scheduled}");
        assert_eq!(schedule.timers.len(), usize::from(scheduled - expected));
    }
}

/// S5.6: compaction sets the count to zero, so the next one needs new cancellations.
#[test]
fn compaction_forgets_the_count() {
    let mut schedule = Schedule::default();
    for id in 0..400 {
        schedule.insert(f64::from(id));
    }
    for id in 100..400 {
        schedule.cancel(id);
    }
    assert_eq!(schedule.purge().len(), 300);
    for id in 400..500 {
        schedule.insert(f64::from(id));
    }
    schedule.cancel(450);
    assert_eq!(schedule.purge(), []);
    assert_eq!(schedule.timers.len(), 200);
}

/// S5.7, S5.9: a cancelled head goes, so it cannot shorten the poll; one behind it stays.
#[test]
fn only_cancelled_heads_go_otherwise() {
    let mut schedule = Schedule::default();
    for id in 0..5 {
        schedule.insert(f64::from(id));
    }
    for id in [0, 1, 3] {
        schedule.cancel(id);
    }
    assert_eq!(schedule.purge(), [0, 1]);
    assert_eq!(schedule.timers.next_deadline(), Some(2.0));
    assert_eq!(schedule.timers.len(), 3);
}

/// S5.5, S5.7, S5.9: timers that have grown old and later ones come in one order, and either may be
/// the cancelled head.
#[test]
fn old_and_young_are_one_schedule() {
    let mut schedule = Schedule::default();
    for id in 0..CROWD {
        schedule.insert(f64::from(id % 10 * 2));
    }
    schedule.cancel(7);
    assert_eq!(schedule.purge(), [7], "it does not grow old");
    assert_eq!(schedule.timers.pending(), schedule.timers.len());
    let young: Vec<_> = [0.0, 1.0, 3.0, 1.0].map(|when| schedule.insert(when)).to_vec();
    assert_eq!(schedule.timers.len(), CROWD as usize - 1 + young.len());

    let zeros: Vec<_> = (0..CROWD as usize).step_by(10).chain([young[0]]).collect();
    assert_eq!(schedule.due(1.0), zeros);
    schedule.cancel(young[1]);
    assert_eq!(schedule.purge(), [young[1]]);
    assert_eq!(schedule.timers.next_deadline(), Some(1.0));
    assert_eq!(schedule.due(2.0), [young[3]]);
    schedule.cancel(1);
    assert_eq!(schedule.purge(), [1]);
    assert_eq!(schedule.timers.next_deadline(), Some(2.0));
    assert_eq!(schedule.due(4.0).last(), Some(&young[2]));
}

/// S5.6: the cancelled ones go wherever they are.
#[test]
fn compaction_reaches_old_and_young() {
    let mut schedule = Schedule::default();
    for _ in 0..CROWD {
        schedule.insert(2.0);
    }
    schedule.purge();
    schedule.insert(1.0);
    let young: Vec<_> = (0..10).map(|_| schedule.insert(3.0)).collect();
    let old: Vec<_> = (0..=CROWD as usize / 2).collect();
    for &id in old.iter().chain(&young) {
        schedule.cancel(id);
    }
    assert_eq!(sorted(schedule.purge()), [old, young].concat());
    assert_eq!(schedule.timers.len(), schedule.timers.pending());
}

#[test]
fn nothing_is_dropped_inside() {
    let mut schedule = Schedule::default();
    for id in 0..CROWD {
        schedule.insert(f64::from(id));
    }
    for id in 0..150 {
        schedule.cancel(id);
    }
    let mut out = Vec::new();
    schedule.timers.purge(&mut out);
    schedule.insert(150.5);
    out.extend(schedule.timers.take_due(151.0, 151.0));
    out.extend(schedule.timers.take_due(f64::INFINITY, f64::INFINITY));
    assert!(schedule.timers.is_empty());
    assert_eq!(out.len(), schedule.made.len());
    assert!(schedule.made.iter().all(|timer| Rc::strong_count(&timer.cancelled) == 2));
}

/// What may happen to a schedule. Few distinct deadlines, so that ties are common.
#[derive(Clone, Debug)]
enum Step {
    Insert(f64),
    Crowd(f64),
    Cancel(prop::sample::Index),
    Purge,
    Due(f64),
}

fn deadline() -> impl Strategy<Value = f64> {
    prop_oneof![
        10 => (0_i32..20).prop_map(f64::from),
        1 => prop::sample::select(vec![f64::NAN, -f64::NAN, f64::INFINITY, -0.0, -1e300]),
        1 => any::<f64>(),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        60 => deadline().prop_map(Step::Insert),
        1 => deadline().prop_map(Step::Crowd),
        50 => any::<prop::sample::Index>().prop_map(Step::Cancel),
        10 => Just(Step::Purge),
        10 => deadline().prop_map(Step::Due),
    ]
}

/// The model: (deadline, id) in order of scheduling, sorted when asked.
#[derive(Default)]
struct Model {
    scheduled: Vec<(f64, usize)>,
    cancelled: Vec<usize>,
    count: usize,
}

impl Model {
    fn insert(&mut self, when: f64, ids: impl IntoIterator<Item = usize>) {
        let when = if when.is_nan() { f64::NEG_INFINITY } else { when + 0.0 };
        self.scheduled.extend(ids.into_iter().map(|id| (when, id)));
        // Stable: ties stay in order of scheduling.
        self.scheduled.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    }

    fn is_cancelled(&self, id: usize) -> bool {
        self.cancelled.contains(&id)
    }

    fn cancel(&mut self, id: usize) {
        if !self.is_cancelled(id) && self.scheduled.iter().any(|&(_, other)| other == id) {
            self.cancelled.push(id);
            self.count += 1;
        }
    }

    fn take_first(&mut self) -> usize {
        let (_, id) = self.scheduled.remove(0);
        if self.is_cancelled(id) {
            self.count = self.count.saturating_sub(1);
        }
        id
    }

    fn purge(&mut self) -> Vec<usize> {
        let total = self.scheduled.len();
        if total > 100 && self.count * 2 > total {
            let (dead, alive) = std::mem::take(&mut self.scheduled)
                .into_iter()
                .partition(|&(_, id)| self.is_cancelled(id));
            self.scheduled = alive;
            self.count = 0;
            let dead: Vec<(f64, usize)> = dead;
            return dead.into_iter().map(|(_, id)| id).collect();
        }
        let mut dead = Vec::new();
        while self.scheduled.first().is_some_and(|&(_, id)| self.is_cancelled(id)) {
            dead.push(self.take_first());
        }
        dead
    }

    /// Those that grow old are looked at, too: any of the cancelled may go with those that must.
    fn purge_with(&mut self, gone: &[usize]) {
        let must = self.purge();
        assert!(must.iter().all(|id| gone.contains(id)));
        let may: Vec<_> = gone.iter().filter(|id| !must.contains(id)).collect();
        assert!(may.iter().all(|id| self.is_cancelled(**id)));
        self.scheduled.retain(|(_, id)| !may.contains(&id));
        self.count = self.count.saturating_sub(may.len());
    }

    fn due(&mut self, end: f64) -> Vec<usize> {
        let mut due = Vec::new();
        while self.scheduled.first().is_some_and(|&(when, _)| when < end) {
            due.push(self.take_first());
        }
        due
    }
}

fn sorted(mut ids: Vec<usize>) -> Vec<usize> {
    ids.sort_unstable();
    ids
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// S5.3 to S5.8: any life of a schedule gives what a sorted list gives.
    #[test]
    fn behaves_as_a_sorted_list(steps in prop::collection::vec(step(), 0..600)) {
        let mut schedule = Schedule::default();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Insert(when) => model.insert(when, [schedule.insert(when)]),
                Step::Crowd(when) => model.insert(when, (0..CROWD).map(|_| schedule.insert(when))),
                Step::Cancel(which) if !schedule.made.is_empty() => {
                    let id = which.index(schedule.made.len());
                    // S5.8: only one that is still in the heap counts.
                    if model.scheduled.iter().any(|&(_, other)| other == id) {
                        schedule.cancel(id);
                        model.cancel(id);
                    }
                }
                Step::Cancel(_) => {}
                // Which order the dead leave in is nobody's business.
                Step::Purge if schedule.made.len() < CROWD as usize => {
                    prop_assert_eq!(sorted(schedule.purge()), sorted(model.purge()));
                }
                Step::Purge => model.purge_with(&schedule.purge()),
                Step::Due(end) => prop_assert_eq!(schedule.due(end), model.due(end)),
            }
            prop_assert_eq!(schedule.timers.len(), model.scheduled.len());
        }
        let ids = schedule.timers.iter().map(|timer| timer.id).collect();
        let expected = model.scheduled.iter().map(|&(_, id)| id).collect();
        prop_assert_eq!(sorted(ids), sorted(expected));
    }
}
