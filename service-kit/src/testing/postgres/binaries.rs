//! Where Postgres is installed, and which user may run it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder with `postgres` and `initdb`: `TEST_POSTGRES_BINDIR`, else what `pg_config` says,
/// else the newest of Debian's.
pub(super) fn folder() -> PathBuf {
    let given = std::env::var_os("TEST_POSTGRES_BINDIR").map(PathBuf::from);
    let configured = || output("pg_config", &["--bindir"]).map(PathBuf::from);
    let found = given.or_else(|| configured().filter(|path| complete(path))).or_else(newest);
    found.expect("no Postgres server found: apt-get install postgresql")
}

/// `pg_config` alone also comes with the headers of the client library.
fn complete(folder: &Path) -> bool {
    folder.join("postgres").exists() && folder.join("initdb").exists()
}

fn newest() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let installed = versions.map(|entry| entry.path()).filter(|path| complete(&path.join("bin")));
    Some(installed.max_by_key(|path| number(path))?.join("bin"))
}

/// The ids of user and group that Postgres runs as, if not our own: it refuses to run as root.
pub(super) fn user() -> Option<(u32, u32)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let id = |kind| output("id", &[kind, "postgres"])?.parse().ok();
    let ids = id("-u").zip(id("-g"));
    Some(ids.expect("root needs the user `postgres` to run Postgres: apt-get install postgresql"))
}

fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
