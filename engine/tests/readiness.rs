//! The two small sets: what is wanted, what was reported.

use ferroloop_engine::{Interest, Readiness};

#[test]
fn sides_come_and_go_independently() {
    let both = Interest::READ.with(Interest::WRITE);
    assert_eq!(both, Interest::BOTH);
    assert!(both.contains(Interest::READ) && both.contains(Interest::WRITE));
    assert!(!Interest::READ.contains(Interest::BOTH));
    assert!(Interest::READ.contains(Interest::NONE));
    assert!(Interest::default().is_none() && !both.is_none());
}

/// S7.7: an error or a hangup is news for both sides.
#[test]
fn a_failure_concerns_both_sides() {
    let sides = |readiness: Readiness| (readiness.readable(), readiness.writable());
    assert_eq!(sides(Readiness::new(true, false, false)), (true, false));
    assert_eq!(sides(Readiness::new(false, true, false)), (false, true));
    assert_eq!(sides(Readiness::new(false, false, true)), (true, true));
    assert_eq!(sides(Readiness::new(true, true, false)), (true, true));
    assert_eq!(sides(Readiness::new(false, false, false)), (false, false));
    assert_eq!(Readiness::new(false, false, true), Readiness::new(true, true, false));
}
