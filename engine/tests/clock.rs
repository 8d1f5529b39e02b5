//! The clock's margins and the length of polls.

use std::time::Duration;

use ferroloop_engine::clock::{LONGEST_POLL, due_margin, now, poll_timeout, resolution};

#[test]
fn time_does_not_run_backwards() {
    let first = now();
    let second = now();
    assert!(first > 0.0);
    assert!(second >= first);
}

#[test]
fn the_resolution_is_a_fraction_of_a_second() {
    assert!(resolution() > 0.0);
    assert!(resolution() < 0.1);
}

/// S5.4: adding the margin always moves the clock on.
#[test]
#[expect(clippy::float_cmp, reason = "the numbers are exact")]
fn the_margin_is_never_lost_in_the_addition() {
    for uptime in [0.0, 1.0, 1e6, 4e9, 1e15, 1e300] {
        let margin = due_margin(uptime);
        assert!(uptime + margin > uptime, "at {uptime}");
        assert!(margin >= resolution());
    }
    assert_eq!(due_margin(1e15), 0.125);
    for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
        assert_eq!(due_margin(odd), resolution(), "at {odd}");
    }
}

/// S4.2: to the first deadline, between nothing and a day; without one, forever.
#[test]
fn a_poll_lasts_to_the_next_deadline() {
    assert_eq!(poll_timeout(None, 5.0), None);
    assert_eq!(poll_timeout(Some(7.5), 5.0), Some(Duration::from_millis(2500)));
    assert_eq!(poll_timeout(Some(5.0), 5.0), Some(Duration::ZERO));
    assert_eq!(poll_timeout(Some(4.0), 5.0), Some(Duration::ZERO));
}

/// S5.11, S0.22, and numbers no clock ever shows.
#[test]
fn far_and_odd_deadlines_are_a_day_away() {
    assert_eq!(LONGEST_POLL, Duration::from_secs(86_400));
    for (deadline, now) in [
        (86_405.1, 5.0),
        (1e300, 5.0),
        (f64::INFINITY, 5.0),
        (f64::NAN, 5.0),
        (5.0, f64::NAN),
        (f64::INFINITY, f64::INFINITY),
    ] {
        assert_eq!(poll_timeout(Some(deadline), now), Some(LONGEST_POLL), "{deadline} at {now}");
    }
    assert_eq!(poll_timeout(Some(f64::NEG_INFINITY), 5.0), Some(Duration::ZERO));
}

/// S5.10: a timeout that ended before its deadline would be asked for again and again.
#[test]
fn the_timeout_is_rounded_up() {
    let timeout = |left| poll_timeout(Some(left), 0.0);
    assert_eq!(timeout(1e-12), Some(Duration::from_nanos(1)));
    assert_eq!(timeout(1.5e-9), Some(Duration::from_nanos(2)));
    assert_eq!(timeout(f64::MIN_POSITIVE), Some(Duration::from_nanos(1)));
}
