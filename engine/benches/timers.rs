//! The timer heap: timers that fire, and timers that are called off before they do.

use std::cell::Cell;
use std::rc::Rc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ferroloop_engine::{Cancel, Timers};

const TIMERS: u32 = 1000;

struct Timer(Rc<Cell<bool>>);

impl Cancel for Timer {
    fn is_cancelled(&self) -> bool {
        self.0.get()
    }
}

/// A deadline for each timer, scattered and the same in every run.
fn deadline(timer: u32) -> f64 {
    f64::from(timer.wrapping_mul(2_654_435_761) >> 12)
}

fn insert(timers: &mut Timers<Timer>, when: f64) -> Rc<Cell<bool>> {
    let cancelled = Rc::new(Cell::new(false));
    timers.insert(when, Timer(Rc::clone(&cancelled)));
    cancelled
}

fn filled() -> Timers<Timer> {
    let mut timers = Timers::new();
    for timer in 0..TIMERS {
        insert(&mut timers, deadline(timer));
    }
    timers
}

/// As a request with a timeout does: one timer set and called off among a thousand that wait.
fn set_and_cancel(timers: &mut Timers<Timer>, dead: &mut Vec<Timer>) {
    insert(timers, 1e9).set(true);
    timers.note_cancelled();
    timers.purge(dead);
    dead.clear();
}

fn timers(criterion: &mut Criterion) {
    criterion.bench_function("timers: set 1000", |b| b.iter_with_large_drop(filled));
    criterion.bench_function("timers: 1000 come due", |b| {
        b.iter_batched_ref(filled, |timers| timers.take_due(f64::MAX), BatchSize::SmallInput);
    });
    let (mut timers, mut dead) = (filled(), Vec::new());
    criterion.bench_function("timers: set and cancel among 1000", |b| {
        b.iter(|| set_and_cancel(&mut timers, &mut dead));
    });
}

criterion_group!(benches, timers);
criterion_main!(benches);
