//! Durations of all orders of magnitude, in little room.

/// Less than 1 µs, 2 µs, 4 µs and so on up to 2^24 µs, which are 17 s; and the rest.
const BUCKETS: usize = 26;

const MICROSECONDS: f64 = 1e6;

/// How many durations there have been of each order of magnitude, their sum, and the longest.
#[derive(Debug, Default)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    total: f64,
    most: f64,
}

impl Histogram {
    /// One more, of so many seconds. What is negative, or no number, is none at all.
    #[inline]
    pub fn count(&mut self, seconds: f64) {
        let seconds = seconds.max(0.0);
        if let Some(count) = self.counts.get_mut(bucket(seconds)) {
            *count += 1;
        }
        self.total += seconds;
        self.most = self.most.max(seconds);
    }

    /// All together, in seconds.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The longest.
    pub fn most(&self) -> f64 {
        self.most
    }

    /// How many were less than so many seconds, for growing numbers of seconds. The last is
    /// infinity, so there all of them count.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let bounds = (0..BUCKETS - 1).map(|power| f64::from(1_u32 << power) / MICROSECONDS);
        let below = self.counts.iter().scan(0, |below, count| {
            *below += count;
            Some(*below)
        });
        bounds.chain([f64::INFINITY]).zip(below)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "never negative")]
fn bucket(seconds: f64) -> usize {
    let microseconds = (seconds * MICROSECONDS) as u64;
    let bits = u64::BITS - microseconds.leading_zeros();
    (bits as usize).min(BUCKETS - 1)
}
