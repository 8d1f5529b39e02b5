//! What a connection sends: a byte stream in which every position of a period has its own
//! neighbourhood, and every connection its own start, so that lost, doubled, swapped or foreign
//! bytes do not go unseen.

/// Prime, so that no message size or buffer size is a multiple of it.
const PERIOD: usize = 4093;

pub(crate) struct Pattern {
    bytes: Vec<u8>,
}

impl Pattern {
    /// `longest`: the longest piece that will be asked for.
    pub(crate) fn new(longest: usize) -> Self {
        let mut period = Vec::with_capacity(PERIOD);
        let mut state = 0x2545_F491_u32;
        for _ in 0..PERIOD {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            period.push(state.to_be_bytes()[0]);
        }
        Self { bytes: period.iter().copied().cycle().take(PERIOD + longest).collect() }
    }

    /// The `length` bytes from position `offset` of the stream.
    pub(crate) fn piece(&self, offset: usize, length: usize) -> &[u8] {
        let start = offset % PERIOD;
        &self.bytes[start..start + length]
    }
}

#[cfg(test)]
mod tests {
    use super::{PERIOD, Pattern};

    #[test]
    fn a_piece_continues_where_the_one_before_ended() {
        let pattern = Pattern::new(100);
        let whole = pattern.piece(PERIOD - 50, 100).to_vec();
        assert_eq!(&whole[..50], pattern.piece(PERIOD - 50, 50));
        assert_eq!(&whole[50..], pattern.piece(PERIOD, 50));
    }

    #[test]
    fn no_two_positions_of_a_period_look_alike() {
        let pattern = Pattern::new(8);
        let mut pieces: Vec<_> = (0..PERIOD).map(|offset| pattern.piece(offset, 8)).collect();
        pieces.sort_unstable();
        pieces.dedup();
        assert_eq!(pieces.len(), PERIOD);
    }
}
