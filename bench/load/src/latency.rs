//! How long exchanges take: a histogram with 64 steps to each power of two, so to less than two per cent.

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

    /// The time that this many of a thousand exchanges stay below.
    pub(crate) fn quantile(&self, of_thousand: u64) -> Duration {
        let total: u64 = self.counts.iter().sum();
        let mut below = 0;
        for (index, count) in self.counts.iter().enumerate() {
            below += count;
            if below * 1000 >= of_thousand * total {
                return Duration::from_nanos(upper(index));
            }
        }
        Duration::ZERO
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
    fn quantiles() {
        let mut latencies = Latencies::default();
        for micros in 1..=1000 {
            latencies.add(Duration::from_micros(micros));
        }
        let median = latencies.quantile(500).as_micros();
        assert!((500..510).contains(&median), "{median}");
        assert!(latencies.quantile(999) >= Duration::from_micros(999));
        assert_eq!(Latencies::default().quantile(500), Duration::ZERO);
    }
}
