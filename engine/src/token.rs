//! The name of one registration: a descriptor number and the generation of its slot.

use std::os::fd::RawFd;

/// A file descriptor number together with the generation of the slot it was registered in.
///
/// The kernel recycles descriptor numbers at once: close 7, open something else, and it is 7 again.
/// An event still under way for the old 7 must not reach the new one, so every registration gets a
/// new generation and an event only counts if its generation is the slot's current one.
///
/// Both halves fit the 64 bits of user data the kernel hands back with an event (`epoll_ctl(2)`,
/// `epoll_data`), so finding the slot again costs one index and one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    fd: RawFd,
    generation: u32,
}

impl Token {
    /// Names registration number `generation` of descriptor `fd`.
    #[inline]
    pub const fn new(fd: RawFd, generation: u32) -> Self {
        Self { fd, generation }
    }

    /// The descriptor number.
    #[inline]
    pub const fn fd(self) -> RawFd {
        self.fd
    }

    /// Which registration of that number is meant.
    #[inline]
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// Packs the token for the kernel: generation above, descriptor below.
    #[inline]
    pub const fn to_u64(self) -> u64 {
        (self.generation as u64) << 32 | self.fd.cast_unsigned() as u64
    }

    /// Takes apart what [`Token::to_u64`] made. Every `u64` is a token; only current ones matter.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is the descriptor")]
    pub const fn from_u64(packed: u64) -> Self {
        Self::new((packed as u32).cast_signed(), (packed >> 32) as u32)
    }
}
