//! What the figures depend on: machine, versions and commit.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

use crate::target::{ZOOKEEPER_JAR, settings};

/// The machine's memory.
pub(crate) fn memory_mib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// Everything, with what Postgres says its version is.
pub(crate) async fn describe(postgres: Option<String>, command: &str) -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let postgres_settings: Vec<String> =
        settings().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "cpu": cpu_model(),
        "cores": cores,
        "memory_mib": memory_mib(),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "rustc": first_line("rustc", &["--version"]),
        "postgres": postgres,
        "postgres_settings": postgres_settings,
        "sqlite": sqlite().await,
        "etcd": first_line("etcd", &["--version"]),
        "redis": first_line("redis-server", &["--version"]),
        "zookeeper": zookeeper(),
        "commit": commit(),
        "command": command,
        "time": time::OffsetDateTime::now_utc().date().to_string(),
    })
}

fn cpu_model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The one that this program is built with, which is the one of `lock-server`.
async fn sqlite() -> Option<String> {
    let mut connection = SqliteConnection::connect("sqlite::memory:").await.ok()?;
    sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut connection).await.ok()
}

/// The version is in the name of a file beside the one without it.
fn zookeeper() -> Option<String> {
    let files = fs::read_dir(Path::new(ZOOKEEPER_JAR).parent()?).ok()?.flatten();
    files.filter_map(|file| version(file.file_name().to_str()?)).next()
}

fn version(file: &str) -> Option<String> {
    let version = file.strip_prefix("zookeeper-")?.strip_suffix(".jar")?;
    version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
}

/// The commit, and whether the tree has changed since.
fn commit() -> Option<String> {
    let commit = first_line("git", &["rev-parse", "HEAD"])?;
    let changed = first_line("git", &["status", "--porcelain"]).is_some_and(|it| !it.is_empty());
    Some(if changed { format!("{commit} and uncommitted changes") } else { commit })
}

fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_server_itself_tells_its_version() {
        assert_eq!(version("zookeeper-3.8.0.jar").as_deref(), Some("3.8.0"));
        assert_eq!(version("zookeeper-jute-3.8.0.jar"), None);
        assert_eq!(version("zookeeper.jar"), None);
    }
}
