//! Water marks: defaults, contradictions, and each verdict once.
#![allow(clippy::expect_used, reason = "a test may fail")]

use ferroloop_engine::{InvalidLimits, Pressure, WaterMarks};
use proptest::prelude::*;

fn limits(high: Option<i64>, low: Option<i64>) -> Result<(usize, usize), InvalidLimits> {
    let mut marks = WaterMarks::new(64 * 1024);
    marks.set_limits(high, low)?;
    Ok((marks.high(), marks.low()))
}

/// S17.1, S0.29.
#[test]
fn a_missing_mark_follows_from_the_other() {
    assert_eq!(limits(None, None), Ok((65_536, 16_384)));
    assert_eq!(limits(Some(1000), None), Ok((1000, 250)));
    assert_eq!(limits(Some(7), None), Ok((7, 1)));
    assert_eq!(limits(None, Some(1000)), Ok((4000, 1000)));
    assert_eq!(limits(Some(10), Some(10)), Ok((10, 10)));
    assert_eq!(limits(Some(0), Some(0)), Ok((0, 0)));
    let most = usize::try_from(i64::MAX).unwrap_or(usize::MAX);
    assert_eq!(limits(None, Some(i64::MAX)), Ok((most, most)));
}

/// S17.1: refused with the numbers for the message, and nothing changed.
#[test]
fn contradictions_are_refused() {
    assert_eq!(limits(Some(10), Some(11)), Err(InvalidLimits { high: 10, low: 11 }));
    assert_eq!(limits(Some(10), Some(-1)), Err(InvalidLimits { high: 10, low: -1 }));
    assert_eq!(limits(Some(-1), None), Err(InvalidLimits { high: -1, low: -1 }));
    assert_eq!(limits(None, Some(-1)), Err(InvalidLimits { high: -4, low: -1 }));

    let mut marks = WaterMarks::new(64 * 1024);
    marks.set_limits(Some(100), Some(50)).expect("valid");
    marks.set_limits(Some(1), Some(2)).expect_err("invalid");
    assert_eq!((marks.high(), marks.low()), (100, 50));
}

/// S17.2, S17.3: strictly above, and at or below; each once.
#[test]
fn each_verdict_is_given_once() {
    let mut marks = WaterMarks::new(64 * 1024);
    marks.set_limits(Some(100), Some(20)).expect("valid");
    assert_eq!(marks.rise(100), None);
    assert_eq!(marks.rise(101), Some(Pressure::High));
    assert!(marks.is_paused());
    assert_eq!(marks.rise(500), None);
    assert_eq!(marks.fall(21), None);
    assert_eq!(marks.fall(20), Some(Pressure::Low));
    assert!(!marks.is_paused());
    assert_eq!(marks.fall(0), None);
}

/// With both marks at zero every queued byte pauses and only emptiness resumes.
#[test]
fn zero_marks_mean_pause_until_empty() {
    let mut marks = WaterMarks::new(64 * 1024);
    marks.set_limits(Some(0), None).expect("valid");
    assert_eq!(marks.rise(0), None);
    assert_eq!(marks.rise(1), Some(Pressure::High));
    assert_eq!(marks.fall(1), None);
    assert_eq!(marks.fall(0), Some(Pressure::Low));
}

proptest! {
    /// Whatever the sizes, pauses and resumes alternate, beginning with a pause.
    #[test]
    fn verdicts_alternate(sizes in prop::collection::vec(0_usize..300, 0..100)) {
        let mut marks = WaterMarks::new(64 * 1024);
        marks.set_limits(Some(200), Some(100)).expect("valid");
        let verdicts: Vec<_> =
            sizes.into_iter().flat_map(|size| [marks.rise(size), marks.fall(size)]).flatten().collect();
        for (turn, verdict) in verdicts.into_iter().enumerate() {
            let expected = if turn % 2 == 0 { Pressure::High } else { Pressure::Low };
            prop_assert_eq!(verdict, expected);
        }
    }
}
