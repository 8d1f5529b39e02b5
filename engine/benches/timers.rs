//! The timer heap: timers that fire, and timers that are called off before they do.

use std::cell::Cell;
use std::rc::Rc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use ferroloop_engine::{Cancel, Timers};

const TIMERS: u32 = 1000;
const CROWD: u32 = 100_000;

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

fn filled(count: u32) -> Timers<Timer> {
    let mut timers = Timers::new();
    for timer in 0..count {
        insert(&mut timers, deadline(timer));
    }
    timers
}

/// As a request with a timeout does: one timer set and called off among those that wait, which are
/// due later.
fn set_and_cancel(timers: &mut Timers<Timer>, dead: &mut Vec<Timer>) {
    insert(timers, -1.0).set(true);
    timers.note_cancelled();
    timers.purge(dead);
    dead.clear();
}

fn timers(criterion: &mut Criterion) {
    criterion.bench_function("timers: set 1000", |b| b.iter_with_large_drop(|| filled(TIMERS)));
    criterion.bench_function("timers: 1000 come due", |b| {
        b.iter_batched_ref(
            || filled(TIMERS),
            |timers| timers.take_due(f64::MAX, f64::MAX),
            BatchSize::SmallInput,
        );
    });
    for count in [TIMERS, CROWD] {
        let (mut timers, mut dead) = (filled(count), Vec::new());
        criterion.bench_function(&format!("timers: set and cancel among {count}"), |b| {
            b.iter(|| set_and_cancel(&mut timers, &mut dead));
        });
    }
}

criterion_group!(benches, timers);
criterion_main!(benches);
