//! The memory in which a password is hashed.
//!
//! glibc serves large requests from the system directly, but raises the size
//! from which it does so whenever such a block is freed, up to 32 MiB
//! (mallopt(3), `M_MMAP_THRESHOLD`). After a few logins, blocks of 19 MiB would
//! come out of its arenas, where small neighbours keep them resident for good:
//! hundreds of logins took hundreds of megabytes. So there are only as many
//! buffers as hashes may run, handed from one login to the next, and each
//! reserves more than 32 MiB: always from the system directly, which takes it
//! back whole. What is reserved and not used is never resident.

use argon2::Block;

/// Blocks of 1 KiB that our own hashes need.
const USUAL_BLOCKS: usize = 19 * 1024;
/// Blocks that are reserved: more than glibc ever serves out of an arena.
const RESERVED_BLOCKS: usize = 33 * 1024;
/// Most blocks for a hash that was stored with other parameters than ours (RFC
/// 9106, section 4, second recommended option: 64 MiB).
pub(super) const MAX_BLOCKS: usize = 64 * 1024;

/// The hash needs more than [`MAX_BLOCKS`], or the system has no memory left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoMemory;

/// Memory for one hash at a time; none before it is first needed.
#[derive(Default)]
pub(super) struct Buffer(Vec<Block>);

impl Buffer {
    /// `count` blocks, which still hold what the last hash wrote into them.
    ///
    /// # Errors
    /// [`NoMemory`] for more than [`MAX_BLOCKS`], or when the system has none.
    pub(super) fn blocks(&mut self, count: usize) -> Result<&mut [Block], NoMemory> {
        if count > MAX_BLOCKS {
            return Err(NoMemory);
        }
        if self.0.capacity() < count {
            self.0 = Vec::new();
            self.0.try_reserve_exact(count.max(RESERVED_BLOCKS)).map_err(|_| NoMemory)?;
        }
        if self.0.len() < count {
            self.0.resize(count, Block::new());
        }
        self.0.get_mut(..count).ok_or(NoMemory)
    }

    /// Frees the memory after a hash that needed more than usual.
    pub(super) fn shrink(&mut self) {
        if self.0.len() > USUAL_BLOCKS {
            self.0 = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_holds_what_one_hash_needs_and_no_more_than_the_bound() {
        let mut buffer = Buffer::default();
        assert_eq!(buffer.blocks(MAX_BLOCKS + 1).err(), Some(NoMemory));
        assert_eq!(buffer.0.capacity(), 0, "nothing was taken");
        assert_eq!(buffer.blocks(USUAL_BLOCKS).unwrap().len(), USUAL_BLOCKS);
        let address = buffer.0.as_ptr();
        buffer.shrink();
        assert_eq!(buffer.blocks(8).unwrap().len(), 8);
        assert_eq!(buffer.0.as_ptr(), address, "made once");
        assert_eq!(buffer.blocks(MAX_BLOCKS).unwrap().len(), MAX_BLOCKS);
        buffer.shrink();
        assert_eq!(buffer.0.capacity(), 0);
    }
}
