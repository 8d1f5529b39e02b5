//! The loop's clock: the one `time.monotonic()` reads, rounded as Python rounds it.
//!
//! A loop compares its own `time()` with deadlines that programs computed from `time.monotonic()`,
//! so both must give the same float for the same instant, to the last bit. (On macOS they do not
//! yet: Python reads `mach_absolute_time`, which stands still while the machine sleeps, and rustix
//! offers only `CLOCK_MONOTONIC`, which does not.)

use std::sync::OnceLock;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

const NANOS_PER_SEC: i64 = 1_000_000_000;

/// The longest single poll, one day (S0.22; asyncio's `MAXIMUM_SELECT_TIMEOUT`).
pub const LONGEST_POLL: Duration = Duration::from_secs(86_400);

/// Seconds of `CLOCK_MONOTONIC`, equal to what `time.monotonic()` returns at the same instant.
///
/// See `clock_gettime(2)`; the rounding is that of `PyTime_AsSecondsDouble`.
#[inline]
pub fn now() -> f64 {
    seconds(nanoseconds(clock_gettime(ClockId::Monotonic)))
}

/// Nanoseconds as one integer, as Python keeps them: 292 years of uptime.
fn nanoseconds(time: Timespec) -> i64 {
    let whole = time.tv_sec.saturating_mul(NANOS_PER_SEC);
    #[allow(clippy::useless_conversion, reason = "tv_nsec is a c_long on some platforms")]
    whole.saturating_add(i64::from(time.tv_nsec))
}

/// Whole seconds are exact; everything else is one correctly rounded conversion and one division.
#[expect(clippy::cast_precision_loss, reason = "the rounding is the point")]
fn seconds(nanos: i64) -> f64 {
    if nanos % NANOS_PER_SEC == 0 {
        (nanos / NANOS_PER_SEC) as f64
    } else {
        nanos as f64 / NANOS_PER_SEC as f64
    }
}

/// The clock's resolution in seconds, as `time.get_clock_info('monotonic').resolution` gives it.
pub fn resolution() -> f64 {
    static RESOLUTION: OnceLock<f64> = OnceLock::new();
    *RESOLUTION.get_or_init(|| seconds(nanoseconds(clock_getres(ClockId::Monotonic))))
}

/// How far ahead of `now` (seconds) a deadline already counts as reached: the clock's resolution,
/// but never less than one step of the float `now` itself (S5.4).
///
/// After weeks of uptime the step between two floats grows past a nanosecond; a margin below it
/// would vanish in the addition, and a timer due this instant would wait for the next tick.
pub fn due_margin(now: f64) -> f64 {
    let magnitude = now.abs();
    let step = magnitude.next_up() - magnitude;
    // `f64::max` ignores a NaN, and an infinite step (at the largest float) is no margin.
    if step.is_infinite() { resolution() } else { resolution().max(step) }
}

/// How long a poll may sleep: until `next_deadline` (seconds, same clock as `now`), at least zero
/// and at most [`LONGEST_POLL`]; `None`, forever, if there is no deadline (S4.2).
///
/// Rounded up to the nanosecond, so that the poll does not end just before the deadline (S5.10).
/// If the difference is not a number, the poll sleeps as long as it may.
pub fn poll_timeout(next_deadline: Option<f64>, now: f64) -> Option<Duration> {
    let left = next_deadline? - now;
    if left <= 0.0 {
        return Some(Duration::ZERO);
    }
    if left.is_nan() || left >= LONGEST_POLL.as_secs_f64() {
        return Some(LONGEST_POLL);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and below a day"
    )]
    let nanos = (left * 1e9).ceil() as u64;
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::seconds;

    /// Pairs taken from `PyTime_AsSecondsDouble` of Python 3.11 to 3.14.
    #[test]
    fn seconds_are_rounded_as_python_rounds_them() {
        for (nanos, expected) in [
            (0, 0.0),
            (1, 1e-9),
            (999_999_999, 0.999_999_999),
            (1_000_000_000, 1.0),
            (1_000_000_001, 1.000_000_001),
            (123_456_789_012_345, 123_456.789_012_345),
            (31_536_000_000_000_001, 31_536_000.0),
            (9_007_199_254_740_993_000, 9_007_199_254.740_993),
            (9_007_199_261_740_992_001, 9_007_199_261.740_992),
            (9_223_372_036_000_000_000, 9_223_372_036.0),
            (i64::MAX, 9_223_372_036.854_776),
        ] {
            assert_eq!(seconds(nanos).to_bits(), f64::to_bits(expected), "{nanos} ns");
        }
    }
}
