//! `Idle`: the waits of a loop and their time.

use std::time::{Duration, Instant};

use ferroloop_engine::Idle;

const SECOND: Duration = Duration::from_secs(1);

/// What lies between two waits is not idle, and a wait counts while it lasts.
#[test]
fn waits_and_their_time_are_counted() {
    let start = Instant::now();
    let mut idle = Idle::default();
    assert_eq!((idle.waits(), idle.time(start)), (0, Duration::ZERO));
    idle.begin(start);
    assert_eq!((idle.waits(), idle.time(start + SECOND)), (1, SECOND));
    idle.end(start + 2 * SECOND);
    assert_eq!((idle.waits(), idle.time(start + 5 * SECOND)), (1, 2 * SECOND));
    idle.begin(start + 5 * SECOND);
    idle.end(start + 6 * SECOND);
    assert_eq!((idle.waits(), idle.time(start + 9 * SECOND)), (2, 3 * SECOND));
}
