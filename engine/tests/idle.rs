//! `Idle`: the waits of a loop, their time, and what lies between them.
#![allow(clippy::float_cmp, reason = "whole seconds are exact")]

use ferroloop_engine::Idle;

/// Count, sum and greatest of the times at work.
fn busy(idle: &Idle) -> (u64, f64, f64) {
    let count = idle.busy().buckets().last().map_or(0, |(_, count)| count);
    (count, idle.busy().total(), idle.busy().most())
}

/// What lies between two waits is not idle, and a wait counts while it lasts.
#[test]
fn waits_and_their_time_are_counted() {
    let mut idle = Idle::default();
    assert_eq!((idle.waits(), idle.time(100.0)), (0, 0.0));
    idle.begin(100.0);
    assert_eq!((idle.waits(), idle.time(101.0)), (1, 1.0));
    idle.end(102.0);
    assert_eq!((idle.waits(), idle.time(105.0)), (1, 2.0));
    idle.begin(105.0);
    idle.end(106.0);
    assert_eq!((idle.waits(), idle.time(109.0)), (2, 3.0));
}

/// A host may say more than once that it is about to wait.
#[test]
fn who_begins_to_wait_twice_waits_once() {
    let mut idle = Idle::default();
    idle.begin(100.0);
    idle.begin(103.0);
    assert_eq!((idle.waits(), idle.time(104.0)), (1, 4.0));
}

/// From the beginning of a run to its first wait, from one wait to the next, and to the run's end.
#[test]
fn work_is_counted_between_waits() {
    let mut idle = Idle::default();
    idle.work(100.0);
    assert_eq!(busy(&idle), (0, 0.0, 0.0), "it is under way");
    idle.begin(102.0);
    assert_eq!(busy(&idle), (1, 2.0, 2.0));
    idle.work(110.0);
    idle.begin(111.0);
    assert_eq!(busy(&idle), (2, 3.0, 2.0));
    idle.work(120.0);
    idle.rest(124.0);
    assert_eq!(busy(&idle), (3, 7.0, 4.0));
}

/// Between two runs nobody is at work, whether a host waits then or not.
#[test]
fn between_runs_is_no_work() {
    let mut idle = Idle::default();
    idle.work(100.0);
    idle.rest(101.0);
    idle.rest(105.0);
    idle.begin(110.0);
    idle.end(111.0);
    idle.begin(115.0);
    idle.work(120.0);
    idle.rest(121.0);
    assert_eq!(busy(&idle), (2, 2.0, 1.0));
    assert_eq!((idle.waits(), idle.time(130.0)), (2, 6.0));
}

/// A nested run is part of what the outer one does.
#[test]
fn work_within_work_is_one() {
    let mut idle = Idle::default();
    idle.work(100.0);
    idle.work(105.0);
    idle.begin(107.0);
    assert_eq!(busy(&idle), (1, 7.0, 7.0));
}
