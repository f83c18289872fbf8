//! What redb reads and writes: the file itself, or the file under a layer of
//! memory.
//!
//! The lock on the file is not redb's but ours (see [`super::engine`]): redb
//! would let go of it whenever a fault makes us open the file again.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use redb::StorageBackend;
use rustix::fs::Advice;

/// Bytes for which a disk must have room before it is written to again.
const ROOM: usize = 256 << 10;
/// What is written to find out.
const TRIAL_NAME: &str = ".sitewarden.redb.trial";

/// Where the bytes of the database lie. Tests put a disk that fails in the
/// place of the file.
pub(super) trait Disk: Send + Sync {
    /// Opens the bytes, again at each call.
    fn open(&self) -> io::Result<AnyBackend>;
    /// Whether it takes writes, found out beside the database. A full disk
    /// has room for an empty commit, and would be full again at the next.
    fn try_out(&self) -> io::Result<()>;
}

/// The disk that this file lies on.
pub(super) fn file_disk(path: &Path) -> Arc<dyn Disk> {
    Arc::new(FileDisk(path.to_owned()))
}

struct FileDisk(PathBuf);

impl Disk for FileDisk {
    fn open(&self) -> io::Result<AnyBackend> {
        let file = File::options().read(true).write(true).open(&self.0)?;
        // After a failed fsync the kernel may hold pages that never reached
        // the disk and counts them as clean: what is read from now on shall
        // come from the disk. Best effort, for the bytes are checked anyway.
        let _ = file.sync_all();
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
        Ok(AnyBackend::new(FileBytes(file)))
    }

    fn try_out(&self) -> io::Result<()> {
        let path = self.0.with_file_name(TRIAL_NAME);
        let written = File::create(&path).and_then(|file| {
            file.write_all_at(&vec![0; ROOM], 0)?;
            file.sync_all()
        });
        std::fs::remove_file(&path).and(written)
    }
}

/// Some backend.
pub(super) struct AnyBackend(Box<dyn StorageBackend>);

impl AnyBackend {
    pub(super) fn new(backend: impl StorageBackend) -> Self {
        Self(Box::new(backend))
    }
}

impl fmt::Debug for AnyBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl StorageBackend for AnyBackend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// The bytes of a file.
#[derive(Debug)]
pub(super) struct FileBytes(pub(super) File);

impl StorageBackend for FileBytes {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

/// The bytes of a file that nobody needs before it is whole: whoever makes it
/// syncs it once, at the end.
#[derive(Debug)]
pub(super) struct Unsynced(pub(super) FileBytes);

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// Bytes of one block of an [`Overlay`].
const BLOCK: usize = 4096;

/// Bytes that are only read; what is written over them stays in memory. redb
/// repairs and checks a file by writing to it: this way a file can be looked
/// at without being changed, and read while its disk takes no writes.
#[derive(Debug)]
pub(super) struct Overlay<B> {
    base: B,
    layer: RwLock<Layer>,
}

#[derive(Debug)]
struct Layer {
    len: u64,
    /// Bytes of the base that still count; all after them are zero.
    base_len: u64,
    blocks: HashMap<u64, Box<[u8; BLOCK]>>,
}

impl<B: StorageBackend> Overlay<B> {
    pub(super) fn over(base: B) -> io::Result<Self> {
        let len = base.len()?;
        Ok(Self { base, layer: RwLock::new(Layer { len, base_len: len, blocks: HashMap::new() }) })
    }

    fn read_base(&self, base_len: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = usize::try_from(base_len.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        let (from_base, beyond) = out.split_at_mut(there);
        beyond.fill(0);
        if from_base.is_empty() { Ok(()) } else { self.base.read(offset, from_base) }
    }
}

/// Cuts a range of bytes at the borders of blocks: number of the block, offset
/// within it, and length.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        let within = usize::try_from(at % BLOCK as u64).unwrap_or(0);
        let size = (BLOCK - within).min(len - done);
        done += size;
        Some((at / BLOCK as u64, within, size))
    })
}

impl<B: StorageBackend> StorageBackend for Overlay<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.layer.read().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let layer = self.layer.read().unwrap_or_else(PoisonError::into_inner);
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > layer.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        for (block, within, size) in parts(offset, rest.len()) {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(size);
            match layer.blocks.get(&block).and_then(|bytes| bytes.get(within..within + size)) {
                Some(bytes) => part.copy_from_slice(bytes),
                None => self.read_base(layer.base_len, block * BLOCK as u64 + within as u64, part)?,
            }
            rest = after;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut layer = self.layer.write().unwrap_or_else(PoisonError::into_inner);
        if len < layer.len {
            layer.base_len = layer.base_len.min(len);
            layer.blocks.retain(|block, _| block * (BLOCK as u64) < len);
            let edge = usize::try_from(len % BLOCK as u64).unwrap_or(0);
            if let Some(beyond) =
                layer.blocks.get_mut(&(len / BLOCK as u64)).and_then(|bytes| bytes.get_mut(edge..))
            {
                beyond.fill(0);
            }
        }
        layer.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut layer = self.layer.write().unwrap_or_else(PoisonError::into_inner);
        let base_len = layer.base_len;
        let mut rest = data;
        for (block, within, size) in parts(offset, data.len()) {
            let (part, after) = rest.split_at(size);
            let bytes = match layer.blocks.entry(block) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(free) => {
                    let mut bytes = Box::new([0; BLOCK]);
                    self.read_base(base_len, block * BLOCK as u64, bytes.as_mut_slice())?;
                    free.insert(bytes)
                }
            };
            if let Some(bytes) = bytes.get_mut(within..within + size) {
                bytes.copy_from_slice(part);
            }
            rest = after;
        }
        layer.len = layer.len.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..30_000_u64, proptest::collection::vec(any::<u8>(), 1..10_000))
                .prop_map(|(at, data)| Step::Write(at, data)),
            (0..40_000_u64).prop_map(Step::SetLen),
        ]
    }

    proptest! {
        #[test]
        fn an_overlay_reads_as_if_the_base_had_been_written_and_leaves_it_alone(
            base in proptest::collection::vec(any::<u8>(), 0..20_000),
            steps in proptest::collection::vec(any_step(), 0..12),
        ) {
            let bytes = InMemoryBackend::new();
            bytes.set_len(base.len() as u64).unwrap();
            bytes.write(0, &base).unwrap();
            let overlay = Overlay::over(bytes).unwrap();
            let mut expected = base.clone();
            for step in steps {
                match step {
                    Step::Write(at, data) => {
                        let end = usize::try_from(at).unwrap() + data.len();
                        expected.resize(expected.len().max(end), 0);
                        expected[end - data.len()..end].copy_from_slice(&data);
                        overlay.write(at, &data).unwrap();
                    }
                    Step::SetLen(len) => {
                        expected.resize(usize::try_from(len).unwrap(), 0);
                        overlay.set_len(len).unwrap();
                    }
                }
            }
            let mut read = vec![1; expected.len()];
            overlay.read(0, &mut read).unwrap();
            prop_assert_eq!(read, expected);
            let mut untouched = vec![0; base.len()];
            overlay.base.read(0, &mut untouched).unwrap();
            prop_assert_eq!(untouched, base);
            prop_assert!(overlay.read(overlay.len().unwrap(), &mut [0]).is_err());
        }
    }
}
