//! The ready queue: one turn of a loop with a thousand jobs.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ferroloop_engine::Ready;

const JOBS: u64 = 1000;

fn turn(ready: &mut Ready<u64>) -> u64 {
    for job in 0..JOBS {
        ready.push(black_box(job));
    }
    (0..ready.batch()).filter_map(|_| ready.pop()).sum()
}

fn ready(criterion: &mut Criterion) {
    let mut ready = Ready::new();
    criterion.bench_function("ready: queue and run 1000 jobs", |b| b.iter(|| turn(&mut ready)));
}

criterion_group!(benches, ready);
criterion_main!(benches);
