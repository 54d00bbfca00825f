//! Files.

use gradloom_ir::{Error, Result};
use std::io::Write;
use std::path::Path;

/// Writes a file under a temporary name beside it and renames it, so that a reader or a crash never sees half of it.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().ok_or_else(|| Error::user("write", format!("{} names no file", path.display())))?;
    let temporary = path.with_file_name(format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut f = std::fs::File::create(&temporary)?;
        f.write_all(bytes)?;
        f.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|e| {
        // the rename did not happen, so the temporary file is ours to remove; that it may not exist is no further error
        let _ = std::fs::remove_file(&temporary);
        Error::io(format!("write {}", path.display()), &e)
    })
}
