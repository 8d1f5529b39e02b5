//! `Histogram`: durations by their order of magnitude.
#![allow(clippy::float_cmp, reason = "bounds are powers of two")]

use ferroloop_engine::Histogram;

/// How many are in each bucket that has any, by its upper bound.
fn counts(histogram: &Histogram) -> Vec<(f64, u64)> {
    let mut before = 0;
    let mut counts = Vec::new();
    for (bound, below) in histogram.buckets() {
        if below > before {
            counts.push((bound, below - before));
        }
        before = below;
    }
    counts
}

/// Each bucket ends at twice the bound of the one before, and the last takes the rest.
#[test]
fn buckets_are_powers_of_two() {
    let mut histogram = Histogram::default();
    for seconds in [0.0, 0.5e-6, 1e-6, 1.5e-6, 1e-3, 16.0, 17.0, 1e9, f64::INFINITY] {
        histogram.count(seconds);
    }
    let expected =
        [(1e-6, 2), (2e-6, 2), (1.024e-3, 1), (16.777_216, 1), (f64::INFINITY, 3)].to_vec();
    assert_eq!(counts(&histogram), expected);
    assert_eq!(histogram.buckets().count(), 26);
    assert_eq!(histogram.buckets().last(), Some((f64::INFINITY, 9)));
}

/// What no clock should say breaks nothing.
#[test]
fn what_is_no_duration_counts_as_none() {
    let mut histogram = Histogram::default();
    for seconds in [f64::NAN, f64::NEG_INFINITY, -1.0] {
        histogram.count(seconds);
    }
    assert_eq!((histogram.total(), histogram.most()), (0.0, 0.0));
    assert_eq!(counts(&histogram), [(1e-6, 3)]);
}
