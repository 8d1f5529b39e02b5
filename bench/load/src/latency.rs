//! How long exchanges take: a histogram with 64 steps to each power of two, so to less than two per
//! cent.

use std::fmt;
use std::time::Duration;

const STEPS: u32 = 64;

#[derive(Default)]
pub(crate) struct Latencies {
    counts: Vec<u64>,
}

impl Latencies {
    pub(crate) fn add(&mut self, time: Duration) {
        let index = index(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        if index >= self.counts.len() {
            self.counts.resize(index + 1, 0);
        }
        self.counts[index] += 1;
    }
}

/// A JSON list of pairs: less than so many nanoseconds, and how often.
impl fmt::Display for Latencies {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.counts.iter().enumerate().filter(|&(_, &count)| count > 0);
        to.write_str("[")?;
        for (number, (index, count)) in known.enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(to, "{comma}[{}, {count}]", upper(index))?;
        }
        to.write_str("]")
    }
}

/// Below 64 every number is a step of its own; above, the six bits after the first count.
fn index(nanos: u64) -> usize {
    let power = nanos.max(u64::from(STEPS)).ilog2() - STEPS.ilog2();
    usize::try_from(u64::from(power * STEPS) + (nanos >> power)).unwrap_or(0)
}

/// The first number of the next step.
fn upper(index: usize) -> u64 {
    let next = index as u64 + 1;
    let power = (next / u64::from(STEPS)).saturating_sub(1);
    (next - power * u64::from(STEPS)) << power
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Latencies, index, upper};

    #[test]
    fn every_number_lies_in_its_step() {
        for nanos in (0..100).chain([1000, 12_345, 1 << 33, (1 << 33) - 1]) {
            let step = index(nanos);
            assert!(nanos < upper(step), "{nanos}");
            assert!(step == 0 || nanos >= upper(step - 1), "{nanos}");
        }
    }

    #[test]
    fn steps_that_were_met_are_shown() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.to_string(), "[]");
        for nanos in [5, 12_345, 5] {
            latencies.add(Duration::from_nanos(nanos));
        }
        assert_eq!(latencies.to_string(), format!("[[6, 2], [{}, 1]]", upper(index(12_345))));
    }
}
