//! `Idle`: the waits of a loop and their time.
#![allow(clippy::float_cmp, reason = "whole seconds are exact")]

use ferroloop_engine::Idle;

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
