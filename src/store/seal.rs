//! A file that was closed in order needs no check when it is opened again.
//!
//! The check reads every page (redb's own mark of a clean shutdown says
//! nothing of what others did to the file since), which takes seconds at a
//! million sites. So a file that is closed in order gets a seal: an extended
//! attribute that names its inode, its length and the time of its last change,
//! which is set with it. What copies, restores or damages the file breaks the
//! seal, and a file without one is checked whole. Opening takes the seal
//! off for good, so that after a crash there is none. Nor is there one after a
//! panic, or after a record that could not be read: the check at the next
//! start is to look into it.
//!
//! What it cannot see is a disk that gives back other bytes than were
//! written, which is no different while the file is open.
//!
//! A file beside the database was rejected: the database is one file. A
//! file system without extended attributes has no seals, and slower starts.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use rustix::fs::{XattrFlags, fgetxattr, fremovexattr, fsetxattr};

use crate::clock;

/// The attribute's name.
const NAME: &str = "user.sitewarden.closed";
/// Bytes of it that are read: more than it has.
const MOST: usize = 128;

/// Seals a file that was closed in order.
///
/// # Errors
/// When its time or its attribute cannot be set; it has no seal then.
pub(super) fn put_on(file: &File) -> io::Result<()> {
    // To the nanosecond, where a write sets a coarser time: one that comes in
    // the same moment breaks the seal all the same.
    file.set_modified(clock::precise_now().into())?;
    Ok(fsetxattr(file, NAME, text(file)?.as_bytes(), XattrFlags::empty())?)
}

/// Takes the seal off, and tells whether it was whole. It is gone for good
/// when this returns `true`.
pub(super) fn take_off(file: &File) -> bool {
    let mut found = [0; MOST];
    let Ok(length) = fgetxattr(file, NAME, &mut found) else {
        return false;
    };
    let whole = text(file).is_ok_and(|text| found.get(..length) == Some(text.as_bytes()));
    fremovexattr(file, NAME).is_ok() && file.sync_all().is_ok() && whole
}

fn text(file: &File) -> io::Result<String> {
    let found = file.metadata()?;
    Ok(format!("1 {} {} {}.{:09}", found.ino(), found.len(), found.mtime(), found.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn sealed() -> (tempfile::TempDir, File) {
        // Beside the build, not in /tmp, which may have no extended attributes.
        let built = std::env::current_exe().unwrap();
        let directory = tempfile::tempdir_in(built.parent().unwrap()).unwrap();
        let file = File::options()
            .create_new(true)
            .read(true)
            .write(true)
            .open(directory.path().join("file"))
            .unwrap();
        (&file).write_all(b"content").unwrap();
        put_on(&file).unwrap();
        (directory, file)
    }

    #[test]
    fn a_seal_is_whole_once() {
        let (_directory, file) = sealed();
        assert!(take_off(&file));
        assert!(!take_off(&file));
    }

    #[test]
    fn a_write_breaks_the_seal_though_it_comes_in_the_same_moment() {
        let (_directory, mut file) = sealed();
        file.rewind().unwrap();
        file.write_all(b"CONTENT").unwrap();
        assert!(!take_off(&file));
    }

    #[test]
    fn a_copy_has_no_whole_seal() {
        let (directory, file) = sealed();
        let copy = directory.path().join("copy");
        std::fs::copy(directory.path().join("file"), &copy).unwrap();
        let copy = File::options().read(true).write(true).open(copy).unwrap();
        copy.set_modified(file.metadata().unwrap().modified().unwrap()).unwrap();
        fsetxattr(&copy, NAME, text(&file).unwrap().as_bytes(), XattrFlags::empty()).unwrap();
        assert!(!take_off(&copy));
    }
}
