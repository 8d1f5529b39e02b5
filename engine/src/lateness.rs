//! How late timers come.

/// Less than 1 µs, 2 µs, 4 µs and so on up to 2^24 µs, which are 17 s; and the rest.
const BUCKETS: usize = 26;

const MICROSECONDS: f64 = 1e6;

/// How much later than its deadline each timer was taken, as a histogram.
///
/// A deadline that had passed when its timer was made says nothing about the loop. When that was is
/// not known, but a time before it is: the last one at which no timer was late.
#[derive(Debug, Default)]
pub struct Lateness {
    counts: [u64; BUCKETS],
    total: f64,
    most: f64,
    /// A time at which no timer was late, the last one known.
    punctual: f64,
}

impl Lateness {
    /// A timer with the deadline `when` is taken (seconds of the loop's clock).
    #[inline]
    pub fn count(&mut self, when: f64, now: f64) {
        let late = (now - when.max(self.punctual)).max(0.0);
        if let Some(count) = self.counts.get_mut(bucket(late)) {
            *count += 1;
        }
        self.total += late;
        self.most = self.most.max(late);
    }

    /// At `now` no timer was late.
    #[inline]
    pub fn note_punctual(&mut self, now: f64) {
        self.punctual = now;
    }

    /// All delays together, in seconds.
    pub fn total(&self) -> f64 {
        self.total
    }

    /// The greatest of them.
    pub fn most(&self) -> f64 {
        self.most
    }

    /// How many timers were late by less than so many seconds, for growing numbers of seconds. The
    /// last is infinity, so there all of them count.
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
fn bucket(late: f64) -> usize {
    let microseconds = (late * MICROSECONDS) as u64;
    let bits = u64::BITS - microseconds.leading_zeros();
    (bits as usize).min(BUCKETS - 1)
}
