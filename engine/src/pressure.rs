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
    default: usize,
    high: usize,
    low: usize,
    paused: bool,
}

/// Limits that contradict `high >= low >= 0`, each as given or as it follows from the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidLimits {
    /// The high-water mark.
    pub high: i64,
    /// The low-water mark.
    pub low: i64,
}

impl WaterMarks {
    /// Marks at `default` bytes, and at a quarter of that.
    pub const fn new(default: usize) -> Self {
        Self { default, high: default, low: default / 4, paused: false }
    }

    /// The high-water mark in bytes.
    pub const fn high(&self) -> usize {
        self.high
    }

    /// The low-water mark in bytes.
    pub const fn low(&self) -> usize {
        self.low
    }

    /// Whether the last word was [`Pressure::High`].
    #[inline]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Sets the marks, in bytes, as a user gives them: perhaps below zero. If one is missing, it
    /// follows from the other: `low` is a quarter of `high`. If both are missing, they are the
    /// defaults (S17.1). Ask [`rise`](WaterMarks::rise) next (S17.4).
    ///
    /// # Errors
    ///
    /// [`InvalidLimits`] unless `high >= low >= 0`; then nothing changes.
    pub fn set_limits(&mut self, high: Option<i64>, low: Option<i64>) -> Result<(), InvalidLimits> {
        let (high, low) = match (high, low) {
            (Some(high), Some(low)) => (high, low),
            // `div_euclid` rounds down, as Python's `//` does.
            (Some(high), None) => (high, high.div_euclid(4)),
            (None, Some(low)) => (low.saturating_mul(4), low),
            (None, None) => {
                (self.high, self.low) = (self.default, self.default / 4);
                return Ok(());
            }
        };
        if high < low || low < 0 {
            return Err(InvalidLimits { high, low });
        }
        // No buffer grows beyond what `usize` counts.
        [self.high, self.low] = [high, low].map(|mark| usize::try_from(mark).unwrap_or(usize::MAX));
        Ok(())
    }

    /// `waiting` bytes are queued, perhaps more than before: above the high-water mark, says so
    /// once (S17.2).
    #[inline]
    pub fn rise(&mut self, waiting: usize) -> Option<Pressure> {
        if self.paused || waiting <= self.high {
            return None;
        }
        self.paused = true;
        Some(Pressure::High)
    }

    /// `waiting` bytes are queued, perhaps fewer than before: at or below the low-water mark, says
    /// so once (S17.3).
    #[inline]
    pub fn fall(&mut self, waiting: usize) -> Option<Pressure> {
        if !self.paused || waiting > self.low {
            return None;
        }
        self.paused = false;
        Some(Pressure::Low)
    }
}
