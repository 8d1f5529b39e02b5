//! Where the C library keeps large blocks of memory.
//!
//! glibc gives a block of 128 KiB or more a memory map of its own, unless a block as large was
//! freed before: from then on such blocks come from the heap (`mallopt(3)`, M_MMAP_THRESHOLD).
//! Memory mapped this way starts 16 bytes into a page, and the kernel, whose source is
//! page-aligned, copies into it a third more slowly. Until the same event, memory at the end of the
//! heap goes back to the system and comes again, with a page fault for every 4 KiB
//! (M_TRIM_THRESHOLD). A program soon frees a block of its largest size, but a buffer that lasts as
//! long as its connection is never freed.

use std::hint::black_box;
use std::sync::Once;

/// More than the buffers of connections usually have: asyncio's streams hold up to 128 KiB and what
/// one read brings.
const LARGE: usize = 1024 * 1024;

static PREFER_HEAP: Once = Once::new();

/// Frees a large block, once in a process. It is never touched, so it costs no memory; settings of
/// the program's own (`mallopt`, GLIBC_TUNABLES) stay in force.
pub(crate) fn prefer_heap() {
    PREFER_HEAP.call_once(|| {
        let mut block = Vec::<u8>::new();
        // Where there is not so much memory, nothing is lost.
        let _ = block.try_reserve_exact(LARGE);
        drop(black_box(block));
    });
}
