//! The run folder: `<out>/<run-id>/<scenario>/<repeat>/` and the link `<out>/latest`.

use std::path::{Path, PathBuf};

use super::RunError;
use crate::clock;
use crate::rng::Rng;

/// A run's folder on disk.
#[derive(Clone, Debug)]
pub struct RunFolder {
    pub run_id: String,
    pub path: PathBuf,
}

impl RunFolder {
    /// Makes `<out>/<run-id>` with a fresh id and points `<out>/latest` at it.
    pub fn create(out: &Path) -> Result<Self, RunError> {
        let stamp: String = clock::wall_rfc3339().chars().take(19).filter(char::is_ascii_alphanumeric).collect();
        let run_id = format!("{}-{:04x}", stamp.replace('T', "-"), Rng::from_entropy().u64() & 0xffff);
        let path = out.join(&run_id);
        std::fs::create_dir_all(&path).map_err(io("cannot create the run folder", &path))?;
        let path = path.canonicalize().map_err(io("cannot find the run folder", &path))?;
        let latest = out.join("latest");
        if latest.symlink_metadata().is_ok_and(|m| m.is_symlink()) {
            let _ = std::fs::remove_file(&latest);
        }
        #[cfg(unix)]
        if let Err(error) = std::os::unix::fs::symlink(&run_id, &latest) {
            // Two runs at once, or a file of the user's own: the link is a convenience.
            tracing::debug!(%error, "latest");
        }
        Ok(Self { run_id, path })
    }

    /// Makes a run folder of its own below this one, for one variant of a matrix: everything that takes a run folder takes
    /// it. Its id is another too: no two variants may share a consumer group.
    pub fn variant(&self, number: usize, name: &str) -> Result<Self, RunError> {
        let path = self.path.join(name);
        std::fs::create_dir_all(&path).map_err(io("cannot create", &path))?;
        Ok(Self { run_id: format!("{}.{number}", self.run_id), path })
    }

    /// Makes the folder of one scenario's repeat, with its `logs/`.
    pub fn scenario(&self, name: &str, repeat: u32) -> Result<PathBuf, RunError> {
        let path = self.path.join(name).join(repeat.to_string());
        let logs = path.join("logs");
        std::fs::create_dir_all(&logs).map_err(io("cannot create", &logs))?;
        Ok(path)
    }
}

/// An error with its place.
pub(super) fn io<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> RunError + 'a {
    move |source| RunError::Io { what, path: path.to_owned(), source }
}

/// Writes a file as a whole: a reader sees the old one or the new one.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), RunError> {
    let draft = path.with_extension("part");
    std::fs::write(&draft, content).map_err(io("cannot write", path))?;
    std::fs::rename(&draft, path).map_err(io("cannot write", path))
}
