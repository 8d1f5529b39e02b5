//! Tokens survive the trip through the kernel's 64 bits.

use ferroloop_engine::Token;
use proptest::prelude::*;

proptest! {
    #[test]
    fn packing_keeps_both_halves(fd: i32, generation: u32) {
        let token = Token::new(fd, generation);
        prop_assert_eq!(Token::from_u64(token.to_u64()), token);
        prop_assert_eq!(token.fd(), fd);
        prop_assert_eq!(token.generation(), generation);
    }

    #[test]
    fn every_number_is_a_token(packed: u64) {
        prop_assert_eq!(Token::from_u64(packed).to_u64(), packed);
    }
}

#[test]
fn the_layout_is_generation_above_descriptor() {
    assert_eq!(Token::new(7, 3).to_u64(), 0x0000_0003_0000_0007);
    assert_eq!(Token::new(-1, u32::MAX).to_u64(), u64::MAX);
}
