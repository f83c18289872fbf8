//! A disk in memory that fails on demand, and remembers what was written and
//! synced so that it can be cut off at any point of its past.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use redb::StorageBackend;

use crate::store::disk::{AnyBackend, Disk};

/// What happened, in order.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    /// Something that the test noted.
    Note(usize),
}

/// What the disk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Well,
    /// Reads work; writing fails as on a full disk.
    Full,
    /// Nothing works.
    Dead,
    /// Reads and writes work; a sync does not return.
    Stuck,
}

#[derive(Debug)]
struct Inner {
    bytes: Vec<u8>,
    events: Vec<Event>,
    mood: Mood,
    syncs: usize,
}

#[derive(Debug, Clone)]
pub(super) struct SimulatedDisk(Arc<(Mutex<Inner>, Condvar)>);

impl SimulatedDisk {
    pub(super) fn holding(bytes: Vec<u8>) -> Self {
        let inner = Inner { bytes, events: Vec::new(), mood: Mood::Well, syncs: 0 };
        Self(Arc::new((Mutex::new(inner), Condvar::new())))
    }

    pub(super) fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.clone())
    }

    pub(super) fn set(&self, mood: Mood) {
        self.lock().mood = mood;
        self.0.1.notify_all();
    }

    pub(super) fn note(&self, note: usize) {
        self.lock().events.push(Event::Note(note));
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    /// How many syncs were begun.
    pub(super) fn syncs(&self) -> usize {
        self.lock().syncs
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.0.lock().unwrap()
    }

    fn to_write(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.lock();
        match inner.mood {
            Mood::Well | Mood::Stuck => Ok(inner),
            Mood::Full => Err(io::ErrorKind::StorageFull.into()),
            Mood::Dead => Err(io::Error::other("dead")),
        }
    }

    fn to_read(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let inner = self.lock();
        if inner.mood == Mood::Dead { Err(io::Error::other("dead")) } else { Ok(inner) }
    }
}

impl Disk for SimulatedDisk {
    fn open(&self) -> io::Result<AnyBackend> {
        Ok(AnyBackend::new(self.clone()))
    }

    fn try_out(&self) -> io::Result<()> {
        self.to_write().map(drop)
    }
}

impl StorageBackend for SimulatedDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.to_read()?.bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        let inner = self.to_read()?;
        let found = inner.bytes.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut inner = self.to_write()?;
        apply(&mut inner.bytes, &Event::SetLen(len));
        inner.events.push(Event::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.to_write()?;
        inner.syncs += 1;
        while inner.mood == Mood::Stuck {
            inner = self.0.1.wait(inner).unwrap();
        }
        inner.events.push(Event::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.to_write()?;
        let event = Event::Write(offset, data.to_vec());
        apply(&mut inner.bytes, &event);
        inner.events.push(event);
        Ok(())
    }
}

/// Does to `bytes` what happened to the disk.
pub(super) fn apply(bytes: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write(offset, data) => {
            let start = usize::try_from(*offset).unwrap();
            if bytes.len() < start + data.len() {
                bytes.resize(start + data.len(), 0);
            }
            bytes[start..start + data.len()].copy_from_slice(data);
        }
        Event::SetLen(len) => bytes.resize(usize::try_from(*len).unwrap(), 0),
        Event::Sync | Event::Note(_) => {}
    }
}

/// Random numbers that are the same in every run (SplitMix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }
}
