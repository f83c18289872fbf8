//! Root at work in the directory of a service that was broken into: links
//! that were put in its way must lead it nowhere. Without root there is
//! nothing to be led to, and these pass at once.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::server::{Server, Setup, program_for_anybody, run_to_end, sitewarden};

/// The user of the service, and his group.
const SERVICE: u32 = 65_534;
const SECRET: &str = "root's own, and longer than nothing";

/// The data directory of a stopped service, owned by its user, in a directory
/// of root's; and what is root's there.
struct Bed {
    setup: Setup,
    data: PathBuf,
    file: PathBuf,
    directory: PathBuf,
}

impl Bed {
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            return None;
        }
        let setup = Server::start().stop_for_another_start();
        let data = setup.data_dir();
        let chowned = Command::new("chown").arg("-R").arg(format!("{SERVICE}:{SERVICE}")).arg(&data).status();
        assert!(chowned.unwrap().success());
        std::fs::set_permissions(setup.directory(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let (file, directory) = (setup.directory().join("shadow"), setup.directory().join("cron.d"));
        std::fs::write(&file, SECRET).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::create_dir(&directory).unwrap();
        let bed = Self { setup, data, file, directory };
        bed.assert_untouched("before");
        Some(bed)
    }

    /// Puts a symbolic link to root's file in the way of this name, then a
    /// hard link, and runs `work` with each.
    fn with_each_link(&self, name: &Path, work: impl Fn(&str)) {
        let _ = std::fs::remove_file(name);
        symlink(&self.file, name).unwrap();
        work("symbolic link");
        self.assert_untouched("symbolic link");
        let _ = std::fs::remove_file(name);
        std::fs::hard_link(&self.file, name).unwrap();
        work("hard link");
        self.assert_untouched("hard link");
        let _ = std::fs::remove_file(name);
    }

    /// Puts in the place of the data directory a link to it, then makes it
    /// root's and writable for its group; runs `work` with each, and with what
    /// is to be said of it.
    fn with_each_doubtful_owner(&self, work: impl Fn(&str, &Path)) {
        let aside = self.data.with_file_name("aside");
        std::fs::rename(&self.data, &aside).unwrap();
        symlink(&aside, &self.data).unwrap();
        work("is a link", &self.data);
        std::fs::remove_file(&self.data).unwrap();
        std::fs::rename(&aside, &self.data).unwrap();
        chown(&self.data, Some(0), Some(0)).unwrap();
        std::fs::set_permissions(&self.data, std::fs::Permissions::from_mode(0o770)).unwrap();
        work("is root's and others can write to it", &self.data);
        self.assert_untouched("doubtful owner");
    }

    fn assert_untouched(&self, when: &str) {
        assert_eq!(std::fs::read_to_string(&self.file).unwrap(), SECRET, "{when}");
        for (path, mode) in [(&self.file, 0o600), (&self.directory, 0o755)] {
            let found = path.symlink_metadata().unwrap();
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (0, 0, mode), "{when}: {path:?}");
        }
        assert_eq!(std::fs::read_dir(&self.directory).unwrap().count(), 0, "{when}");
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn assert_is_the_services(path: &Path) {
    let found = path.symlink_metadata().unwrap();
    assert!(found.is_file(), "{path:?}");
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (SERVICE, SERVICE, 0o600), "{path:?}");
}

#[test]
fn restore_by_root_follows_no_link_in_the_data_directory() {
    let Some(bed) = Bed::new() else { return };
    // What root alone can read.
    let backup = bed.setup.directory().join("backup.redb");
    std::fs::copy(bed.data.join("sitewarden.redb"), &backup).unwrap();
    let restore = || {
        let mut command = sitewarden(&["restore", "--yes"]);
        command.arg(&backup).arg("--data-dir").arg(&bed.data);
        run_to_end(command)
    };
    bed.with_each_link(&bed.data.join(".sitewarden.redb.restore"), |link| {
        let restored = restore();
        assert!(restored.status.success(), "{link}: {}", told(&restored));
        assert_is_the_services(&bed.data.join("sitewarden.redb"));
    });
    // The database itself as a link: root's file is no place to write to.
    bed.with_each_link(&bed.data.join("sitewarden.redb"), |link| {
        assert_eq!(restore().status.code(), Some(1), "{link}");
    });
    assert!(restore().status.success());
    let all: Vec<_> = std::fs::read_dir(&bed.data).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!all.iter().any(|path| path.ends_with(".sitewarden.redb.restore")), "{all:?}");
    assert!(all.iter().all(|path| path.symlink_metadata().unwrap().uid() == SERVICE), "{all:?}");
}

#[test]
fn backup_by_root_follows_no_link_beside_its_file() {
    let Some(bed) = Bed::new() else { return };
    let file = bed.data.join("copy.redb");
    let backup = || {
        let mut command = sitewarden(&["backup", "--force", "--data-dir"]);
        command.arg(&bed.data).arg(&file).current_dir(bed.setup.directory());
        run_to_end(command)
    };
    // While the server is down, and while it runs.
    let down = |link: &str| {
        let made = backup();
        assert!(made.status.success(), "{link}: {}", told(&made));
        assert!(file.symlink_metadata().unwrap().is_file(), "{link}");
    };
    bed.with_each_link(&bed.data.join("copy.redb.part"), down);
    bed.with_each_link(&file, down);
    let setup = Setup::new();
    let mut serve = setup.command();
    serve.arg("--data-dir").arg(&bed.data).current_dir(bed.setup.directory());
    let server = setup.start_with(serve);
    let running = |link: &str| {
        let mut command = sitewarden(&["backup", "--force", "--socket"]);
        command.arg(bed.data.join("control.sock")).arg(&file);
        let made = run_to_end(command);
        assert!(made.status.success(), "{link}: {}", told(&made));
        assert!(file.symlink_metadata().unwrap().is_file(), "{link}");
    };
    bed.with_each_link(&bed.data.join("copy.redb.part"), running);
    bed.with_each_link(&file, running);
    drop(server);
}

#[test]
fn an_upgrade_of_the_package_follows_no_link_in_the_data_directory() {
    let Some(bed) = Bed::new() else { return };
    // The script as it is, but for where the host has things.
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/debian/preinst");
    let config = bed.setup.directory().join("service.toml");
    std::fs::write(&config, format!("data_dir = \"{}\"\n", bed.data.display())).unwrap();
    program_for_anybody(bed.setup.directory());
    let script = std::fs::read_to_string(script).unwrap();
    assert!(script.contains("=/etc/sitewarden/sitewarden.toml\n"), "{script}");
    let script = script
        .replace("=/etc/sitewarden/sitewarden.toml\n", &format!("={}\n", config.display()))
        .replace("/run/", &format!("{}/run/", bed.setup.directory().display()));
    let preinst = bed.setup.directory().join("preinst");
    std::fs::write(&preinst, script).unwrap();
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bed.setup.directory().display());
    let upgrade = || {
        let mut command = Command::new("sh");
        command.arg(&preinst).args(["upgrade", "0.1.0-1"]).env_clear().env("PATH", &path).current_dir("/");
        run_to_end(command)
    };
    let snapshots = || -> Vec<PathBuf> {
        let found = std::fs::read_dir(bed.data.join("backup")).unwrap();
        let path = |name: std::io::Result<std::fs::DirEntry>| name.unwrap().path();
        let is_one = |path: &PathBuf| path.to_str().unwrap().contains("/pre-upgrade-0.1.0-1-");
        found.map(path).filter(is_one).collect()
    };

    let made = upgrade();
    assert!(made.status.success() && told(&made).contains("kept a snapshot"), "{}", told(&made));
    let [snapshot] = &snapshots()[..] else { panic!("{:?}", snapshots()) };
    assert_is_the_services(snapshot);

    // The directory of backups is a link to one of root's.
    std::fs::rename(bed.data.join("backup"), bed.data.join("aside")).unwrap();
    symlink(&bed.directory, bed.data.join("backup")).unwrap();
    let refused = upgrade();
    assert!(!refused.status.success(), "{}", told(&refused));
    assert!(told(&refused).contains("no snapshot could be taken"), "{}", told(&refused));
    bed.assert_untouched("the directory");
    std::fs::remove_file(bed.data.join("backup")).unwrap();
    std::fs::rename(bed.data.join("aside"), bed.data.join("backup")).unwrap();

    // The snapshot's name, of this minute and the next, is a link to a file of
    // root's, and so is what it is written to at first.
    let seconds = chrono::Utc::now().timestamp();
    for second in seconds..seconds + 120 {
        let time = chrono::DateTime::from_timestamp(second, 0).unwrap().format("%Y%m%dT%H%M%SZ");
        let name = bed.data.join(format!("backup/pre-upgrade-0.1.0-1-{time}.redb"));
        for name in [name.with_extension("redb.part"), name] {
            let _ = std::fs::remove_file(&name);
            symlink(&bed.file, &name).unwrap();
            chown(bed.data.join("backup"), Some(SERVICE), Some(SERVICE)).unwrap();
        }
    }
    let outcome = upgrade();
    bed.assert_untouched(&told(&outcome));

    // The data directory itself does not tell whose it is.
    bed.with_each_doubtful_owner(|doubt, _| {
        let refused = upgrade();
        assert!(!refused.status.success(), "{doubt}: {}", told(&refused));
        assert!(told(&refused).contains(doubt), "{}", told(&refused));
    });
}

#[test]
fn root_takes_no_link_and_no_directory_of_everybody_for_a_data_directory() {
    let Some(bed) = Bed::new() else { return };
    let copy = bed.setup.directory().join("copy.redb");
    std::fs::copy(bed.data.join("sitewarden.redb"), &copy).unwrap();
    bed.with_each_doubtful_owner(|doubt, data| {
        let slash = format!("{}/", data.display());
        let config = bed.setup.directory().join("service.toml");
        for data in [data.to_str().unwrap(), &slash] {
            std::fs::write(&config, format!("data_dir = \"{data}\"\n")).unwrap();
            let commands: [&[&str]; 2] = [
                &["restore", "--yes", "--data-dir", data, copy.to_str().unwrap()],
                &["admin", "list", "--config", config.to_str().unwrap()],
            ];
            for arguments in commands {
                let refused = run_to_end(sitewarden(arguments));
                assert!(!refused.status.success(), "{arguments:?}: {}", told(&refused));
                assert!(told(&refused).contains(doubt), "{arguments:?}: {}", told(&refused));
            }
        }
    });
}
