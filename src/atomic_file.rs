//! Files that exist complete or not at all, their locks, their digests, and whether they can be written.

use std::{
    fs::{File, Permissions, TryLockError},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use cli_kit::exit::Failure;
use jiff::Timestamp;
use ring::digest::{self, Digest};
use tempfile::{Builder, NamedTempFile};

/// Writes a file that replaces the one at `path`, if there is one. A reader sees either the old content or
/// the new, even if this program is killed or fails meanwhile. The file gets those permissions, or else a new
/// file's default.
///
/// # Errors
/// When it can't be written; the old file is then unchanged.
pub fn replace(path: &Path, content: &[u8], permissions: Option<Permissions>) -> io::Result<()> {
    let file = beside(path, content)?;
    if let Some(permissions) = permissions {
        file.as_file().set_permissions(permissions)?;
    }
    file.persist(path).map_err(|error| error.error)?;
    // The file is already in place. If the folder can't be synced, the system will write it later.
    sync_folder(path).ok();
    Ok(())
}

/// Writes a new file into a folder: `<stem>-<time in UTC>.<extension>`, or with `-2` and so on after the time
/// if that name is taken. When this returns, the file is on the disk.
///
/// # Errors
/// When it can't be written; then there is no new file.
pub fn create(folder: &Path, stem: &str, extension: &str, content: &[u8]) -> io::Result<PathBuf> {
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let names = (1_u32..).map(|count| match count {
        1 => format!("{stem}-{time}.{extension}"),
        count => format!("{stem}-{time}-{count}.{extension}"),
    });
    let mut file = beside(&folder.join(stem), content)?;
    for name in names {
        let path = folder.join(name);
        // Never overwrites a file: a process that wants the same name at the same time gets the next one.
        match file.persist_noclobber(&path) {
            Ok(_) => {
                sync_folder(&path)?;
                return Ok(path);
            }
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => file = error.file,
            Err(error) => return Err(error.error),
        }
    }
    Err(io::Error::other("every name is taken"))
}

/// Waits for the lock on that file; runs `waiting` first if another process holds it. Dropping the returned
/// value releases the lock, and so does the end of this program, however it ends.
///
/// # Errors
/// When it can't be locked.
pub fn lock(path: &Path, waiting: impl FnOnce()) -> io::Result<File> {
    let lock = File::options().create(true).truncate(false).write(true).open(path)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(error)) => return Err(error),
        Err(TryLockError::WouldBlock) => {
            waiting();
            lock.lock()?;
        }
    }
    Ok(lock)
}

/// A temporary file in the same folder, because only there a rename is atomic. It is on the disk when this
/// returns, and removed when dropped.
fn beside(path: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // The default for new files, before the umask.
    let all_users = Permissions::from_mode(0o666);
    let mut file = Builder::new().prefix(".new-").permissions(all_users).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// A new name is on the disk once its folder is synced.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// SHA-256, in hexadecimal.
pub fn sha256(content: &[u8]) -> String {
    hex(&digest::digest(&digest::SHA256, content))
}

/// A digest, in hexadecimal.
pub fn hex(digest: &Digest) -> String {
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Finds out before a long run whether its result can be written to this file.
///
/// # Errors
/// When it can't.
pub fn writable(file: &Path) -> anyhow::Result<()> {
    let existed = file.exists();
    File::options()
        .create(true)
        .append(true)
        .open(file)
        .map_err(|error| Failure::usage(format!("{} can't be written: {error}", file.display())))?;
    // An interrupted run must not leave an empty file behind.
    if !existed {
        std::fs::remove_file(file)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codec.rs");
        fs::write(&path, "old").unwrap();
        replace(&path, b"new", Some(Permissions::from_mode(0o640))).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        // A folder can't be replaced.
        fs::create_dir(folder.path().join("folder")).unwrap();
        replace(&folder.path().join("folder"), b"new", None).unwrap_err();
        assert_eq!(names(folder.path()), ["codec.rs", "folder"]);
    }

    #[test]
    fn a_new_file_never_takes_the_name_of_another() {
        let folder = tempfile::tempdir().unwrap();
        let kept: Vec<_> = (0..20_u8)
            .map(|number| create(folder.path(), "01", "rs", &[number]).unwrap())
            .collect();
        for (number, path) in (0..20_u8).zip(&kept) {
            assert_eq!(fs::read(path).unwrap(), [number], "{}", path.display());
        }
        assert_eq!(names(folder.path()).len(), 20);
    }
}
