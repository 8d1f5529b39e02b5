//! `Lateness`: how late timers come.
#![allow(clippy::float_cmp, reason = "sums of powers of two are exact")]

use std::cell::Cell;

use ferroloop_engine::{Cancel, Lateness, Timers};

/// A second in whole powers of two: what lies between is exact.
const STEP: f64 = 1.0 / 1024.0;

struct Timer(Cell<bool>);

impl Cancel for Timer {
    fn is_cancelled(&self) -> bool {
        self.0.get()
    }
}

fn timers(deadlines: impl IntoIterator<Item = f64>) -> Timers<Timer> {
    let mut timers = Timers::new();
    for when in deadlines {
        timers.insert(when, Timer(Cell::new(false)));
    }
    timers
}

/// The sum and the greatest; whoever is early, by the clock's margin, is punctual.
#[test]
fn sum_and_maximum() {
    let mut lateness = Lateness::default();
    for (when, now) in [(1.0, 1.0 + STEP), (1.0, 1.0 + 3.0 * STEP), (2.0, 2.0 - STEP)] {
        lateness.count(when, now);
    }
    assert_eq!((lateness.delays().total(), lateness.delays().most()), (4.0 * STEP, 3.0 * STEP));
}

/// What was due before its timer was made is not late for that.
#[test]
fn nobody_is_late_from_before_the_last_look() {
    let mut lateness = Lateness::default();
    lateness.note_punctual(5.0);
    for when in [-1e300, f64::NEG_INFINITY, 4.0, 5.0] {
        lateness.count(when, 5.0 + STEP);
    }
    assert_eq!((lateness.delays().total(), lateness.delays().most()), (4.0 * STEP, STEP));
}

/// Clocks that say nonsense break nothing.
#[test]
fn times_that_are_no_numbers() {
    let mut lateness = Lateness::default();
    for now in [f64::NAN, f64::NEG_INFINITY, -1.0] {
        lateness.count(1.0, now);
        lateness.note_punctual(now);
    }
    assert_eq!((lateness.delays().total(), lateness.delays().most()), (0.0, 0.0));
    assert_eq!(lateness.delays().buckets().last(), Some((f64::INFINITY, 3)));
}

/// Few are popped and many are sorted: all count, and each look is the last for the next timers.
#[test]
fn timers_count_when_they_are_taken() {
    for many in [3_u16, 1000] {
        let mut timers = timers((0..many).map(|_| 1.0));
        timers.insert(9.0, Timer(Cell::new(false)));
        timers.take_due(1.0 + STEP, 1.0 + STEP);
        assert_eq!(timers.lateness().total(), f64::from(many) * STEP);
        timers.insert(0.0, Timer(Cell::new(false)));
        timers.take_due(1.0 + 2.0 * STEP, 1.0 + 2.0 * STEP);
        assert_eq!(timers.lateness().total(), f64::from(many + 1) * STEP);
        assert_eq!(timers.lateness().most(), STEP);
    }
}

/// A look that finds nothing due counts as one, and what is cancelled does not.
#[test]
fn looks_and_cancelled_timers() {
    for many in [3_u16, 1000] {
        let mut timers = timers([]);
        timers.take_due(7.0, 7.0);
        for _ in 0..many {
            timers.insert(1.0, Timer(Cell::new(true)));
            timers.note_cancelled();
        }
        timers.insert(1.0, Timer(Cell::new(false)));
        assert_eq!(timers.take_due(7.0 + STEP, 8.0).len(), usize::from(many) + 1);
        assert_eq!((timers.lateness().total(), timers.pending()), (STEP, 0));
        assert_eq!(timers.lateness().buckets().last(), Some((f64::INFINITY, 1)));
    }
}
