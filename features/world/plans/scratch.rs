//! The folder of a scenario, what its steps leave in it, and the processes that
//! they have started.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use service_kit::testing::eventually;
use tempfile::TempDir;

use super::SOON;

/// A folder with one for what steps write, which they know as `$OUT`.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
}

impl Scratch {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let scratch = Self { folder };
        for sub in [scratch.out(), scratch.at("projects"), scratch.at("data")] {
            fs::create_dir(sub).expect("a folder in it");
        }
        scratch
    }

    /// Something in the folder, by its path there.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        // Links resolved, as the service tells paths.
        let folder = self.folder.path().canonicalize().expect("the folder's path");
        folder.join(path)
    }

    /// What steps know as `$OUT`.
    pub(crate) fn out(&self) -> PathBuf {
        self.at("out")
    }

    /// Lets a script go on that awaits this.
    pub(crate) fn give(&self, mark: &str) {
        fs::write(self.out().join(mark), "").expect("write a mark");
    }

    /// Takes back what was given.
    pub(crate) fn take(&self, mark: &str) {
        let _ = fs::remove_file(self.out().join(mark));
    }

    /// Waits until a script has come there.
    pub(crate) async fn reached(&self, mark: &str) {
        let path = self.out().join(mark);
        eventually(&format!("{mark} is reached"), SOON, async || path.exists().then_some(())).await;
    }

    /// The lines of what steps have written to a file.
    pub(crate) fn lines(&self, file: &str) -> Vec<String> {
        let text = fs::read_to_string(self.out().join(file)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// All that steps have written.
    pub(crate) fn everything(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.out()).expect("read the folder");
        let file = |entry: fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).unwrap_or_default())
        };
        entries.map(|entry| file(entry.expect("an entry"))).collect()
    }

    /// The folders that an instance's runs have left in its data folder.
    pub(crate) fn worktrees(&self, instance: &str) -> Vec<PathBuf> {
        let folder = self.at("data").join(instance).join("worktrees");
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }

    /// The processes that steps of this scenario have started, by their command
    /// lines: each has `$OUT` in its environment.
    pub(crate) fn processes(&self) -> Vec<String> {
        let mut wanted = OsString::from("OUT=");
        wanted.push(self.out());
        let entries = fs::read_dir("/proc").expect("read /proc");
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.filter(|path| has_variable(path, &wanted)).map(|path| command_line(&path)).collect()
    }

    /// Waits until no process of a step is left.
    pub(crate) async fn no_process_is_left(&self) {
        let mut seen = Vec::new();
        let gone = async {
            eventually("no process of a step is left", SOON, async || {
                seen = self.processes();
                seen.is_empty().then_some(())
            })
            .await;
        };
        gone.await;
    }
}

fn has_variable(process: &Path, wanted: &OsString) -> bool {
    let Ok(variables) = fs::read(process.join("environ")) else { return false };
    variables.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
}

fn command_line(process: &Path) -> String {
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&line).replace('\0', " ");
    format!("{}: {words}", process.display())
}
