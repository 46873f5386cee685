//! The socket in a run folder. A socket's path holds 107 bytes at most: a folder deeper than that is reached by its
//! open descriptor.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The socket's name in a run folder.
pub const NAME: &str = "engine.sock";
/// Bytes of a socket's path that every Unix takes (macOS 103, Linux 107).
const LONGEST: usize = 100;

/// Opens the socket in `folder`, for its owner alone. One that is left of a dead engine is replaced: the caller holds the
/// folder's lock, so no living engine has it.
///
/// # Errors
/// When the file system refuses.
pub fn listen(folder: &Path) -> io::Result<UnixListener> {
    let path = folder.join(NAME);
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = through_short_path(&path, |short| UnixListener::bind(short))?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Connects to the socket at `path`.
///
/// # Errors
/// When nobody listens there.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    through_short_path(path, |short| UnixStream::connect(short))
}

/// Calls `act` with a path to the same place that is short enough for a socket.
fn through_short_path<T>(path: &Path, act: impl Fn(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= LONGEST {
        return act(path);
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return act(path) };
    let folder = File::open(folder)?;
    let short: PathBuf = format!("/proc/self/fd/{}", folder.as_raw_fd()).into();
    act(&short.join(name))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn a_deep_folder_has_its_socket_and_a_dead_one_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a-rather-long-name".repeat(5)).join("b".repeat(100));
        fs::create_dir_all(&deep).unwrap();
        for _ in 0..2 {
            let listener = listen(&deep).unwrap();
            let path = deep.join(NAME);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let mut near = connect(&path).unwrap();
            let (mut far, _) = listener.accept().unwrap();
            near.write_all(b"x").unwrap();
            let mut heard = [0];
            far.read_exact(&mut heard).unwrap();
            assert_eq!(&heard, b"x");
        }
        // The listener is gone, its file is not.
        let error = connect(&deep.join(NAME)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
