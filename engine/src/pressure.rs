//! Flow control: when a writer should pause, and when it may go on.

/// A change of mind about the writer, to be told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// More waits than the high-water mark: pause writing.
    High,
    /// The low-water mark is reached again: resume writing.
    Low,
}

/// The two marks between which a writer is left alone, and whether it is paused.
///
/// Two marks and not one, so that a writer at the edge is not paused and resumed with every byte.
#[derive(Clone, Copy, Debug)]
pub struct WaterMarks {
    default: i64,
    high: i64,
    low: i64,
    paused: bool,
}

/// Limits that contradict `high >= low >= 0`, as completed by the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLimits {
    /// The high-water mark that was asked for or followed from `low`.
    pub high: i64,
    /// The low-water mark that was asked for or followed from `high`.
    pub low: i64,
}

impl WaterMarks {
    /// Marks at `default` bytes, and at a quarter of that.
    pub const fn new(default: i64) -> Self {
        Self { default, high: default, low: default / 4, paused: false }
    }

    /// The high-water mark in bytes.
    pub const fn high(&self) -> i64 {
        self.high
    }

    /// The low-water mark in bytes.
    pub const fn low(&self) -> i64 {
        self.low
    }

    /// Whether the last word was [`Pressure::High`].
    #[inline]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Sets the marks, in bytes. Of two, the one missing follows from the other: `low` is a quarter
    /// of `high`; both missing are the defaults (S17.1). Ask [`rise`](WaterMarks::rise) next (S17.4).
    ///
    /// # Errors
    ///
    /// [`InvalidLimits`] unless `high >= low >= 0`; then nothing changes.
    pub fn set_limits(&mut self, high: Option<i64>, low: Option<i64>) -> Result<(), InvalidLimits> {
        let high = high.unwrap_or_else(|| low.map_or(self.default, |low| low.saturating_mul(4)));
        // `div_euclid` rounds down, as Python's `//` does.
        let low = low.unwrap_or(high.div_euclid(4));
        if high < low || low < 0 {
            return Err(InvalidLimits { high, low });
        }
        self.high = high;
        self.low = low;
        Ok(())
    }

    /// `waiting` bytes are queued, perhaps more than before: above the high-water mark, says so
    /// once (S17.2).
    #[inline]
    pub fn rise(&mut self, waiting: usize) -> Option<Pressure> {
        if self.paused || bytes(waiting) <= self.high {
            return None;
        }
        self.paused = true;
        Some(Pressure::High)
    }

    /// `waiting` bytes are queued, perhaps fewer than before: at or below the low-water mark, says
    /// so once (S17.3).
    #[inline]
    pub fn fall(&mut self, waiting: usize) -> Option<Pressure> {
        if !self.paused || bytes(waiting) > self.low {
            return None;
        }
        self.paused = false;
        Some(Pressure::Low)
    }
}

fn bytes(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
