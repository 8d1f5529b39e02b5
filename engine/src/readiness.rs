//! What a host wants to hear of a descriptor, and what the kernel said about it.

/// Which sides of a descriptor are watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Interest(u8);

impl Interest {
    /// Neither side: the kernel is not asked at all, not even for errors.
    pub const NONE: Self = Self(0);
    /// Bytes to read, a connection to accept, or end of file.
    pub const READ: Self = Self(1);
    /// Room to write, or a connect that has finished.
    pub const WRITE: Self = Self(2);
    /// Both sides.
    pub const BOTH: Self = Self(3);
    /// Together with a side: one report, after which the registration rests. It costs the kernel
    /// less to wake a resting one than to make another.
    pub const ONCE: Self = Self(4);

    /// Whether every side of `other` is in `self`.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// `self` and `other` together.
    #[inline]
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the kernel is not asked at all.
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether the one report has been made: registered, but not watched.
    #[inline]
    pub(crate) const fn is_resting(self) -> bool {
        self.0 == Self::ONCE.0
    }
}

/// Which sides of a descriptor the kernel reported.
///
/// An error or a hangup concerns both sides: whoever reads learns of it from `recv`, whoever writes
/// from `send`, so both are told and each acts only if it had asked (S7.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Readiness(Interest);

impl Readiness {
    /// A report of plain readiness, of an error or hangup (`failed`), or of several at once.
    #[inline]
    pub const fn new(readable: bool, writable: bool, failed: bool) -> Self {
        let mut sides = Interest::NONE;
        if readable || failed {
            sides = sides.with(Interest::READ);
        }
        if writable || failed {
            sides = sides.with(Interest::WRITE);
        }
        Self(sides)
    }

    /// Reading will not block.
    #[inline]
    pub const fn readable(self) -> bool {
        self.0.contains(Interest::READ)
    }

    /// Writing will not block.
    #[inline]
    pub const fn writable(self) -> bool {
        self.0.contains(Interest::WRITE)
    }
}
