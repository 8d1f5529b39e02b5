//! `VirtualClock`: where it jumps to, and after what.
#![allow(clippy::float_cmp, reason = "a jump goes to the very deadline")]

use std::time::Duration;

use ferroloop_engine::VirtualClock;

const THRESHOLD: Duration = Duration::from_millis(7);

/// To the very deadline, and never back.
#[test]
fn it_jumps_forward_only() {
    let mut clock = VirtualClock::new(THRESHOLD);
    assert_eq!(clock.now(), 0.0);
    clock.jump(0.1 + 0.2);
    assert_eq!(clock.now(), 0.1 + 0.2);
    for earlier in [0.1, -1.0, f64::NAN] {
        clock.jump(earlier);
        assert_eq!(clock.now(), 0.1 + 0.2);
    }
}

/// What has been reached needs no jump, and the end of time is never reached.
#[test]
fn it_waits_before_a_jump() {
    let mut clock = VirtualClock::new(THRESHOLD);
    assert_eq!(clock.threshold_before(5.0), Some(THRESHOLD));
    clock.jump(5.0);
    for deadline in [5.0, 4.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        assert_eq!(clock.threshold_before(deadline), None);
    }
}
