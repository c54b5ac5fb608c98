//! PgBouncer in transaction mode, as Debian packages it.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use tempfile::TempDir;

use super::{Process, TestDatabase, free_port};

/// How long it may take to start on a busy machine.
const START: Duration = Duration::from_secs(30);

/// A running PgBouncer with so few connections to the database that statements change connections
/// all the time.
#[derive(Debug)]
pub struct PgBouncer {
    url: String,
    _process: Process,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts one in front of a database, with more lines of `pgbouncer.ini`.
    pub async fn before(database: &TestDatabase, more: &str) -> Self {
        let (_, place) = database.url().split_once('@').expect("a user");
        let (address, name) = place.split_once('/').expect("a database");
        let (host, upstream) = address.split_once(':').expect("a port");
        let port = free_port();
        let folder = tempfile::tempdir().expect("make a temporary folder");
        // PgBouncer gives its rights up before it reads the file.
        let readable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), readable).expect("let others read the folder");
        let ini = folder.path().join("pgbouncer.ini");
        let settings = format!(
            "[databases]\n* = host={host} port={upstream} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = 3\n{more}"
        );
        fs::write(&ini, settings).expect("write pgbouncer.ini");
        let ini = ini.to_str().expect("a path of text");
        let is_root = nix::unistd::geteuid().is_root();
        let args = if is_root { vec!["-u", "postgres", ini] } else { vec![ini] };
        let mut process = Process::start(installed(), args, [("LC_ALL", "C")]);
        process.wait_for_line(|line| line.contains("process up"), START).await;
        let url = format!("postgres://postgres@127.0.0.1:{port}/{name}");
        Self { url, _process: process, _folder: folder }
    }

    /// The database's URL through it.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Where PgBouncer is installed.
fn installed() -> String {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let places = path.split(':').map(|folder| format!("{folder}/pgbouncer"));
    let mut found = places.filter(|program| Path::new(program).is_file());
    found.next().expect("PgBouncer is needed: apt-get install --no-install-recommends pgbouncer")
}
