//! The built binary, driven by a client that was not written here: Python's
//! grpcio, which knows of the service only what reflection tells it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use service_kit::testing::{Process, postgres};

use super::support::{DEADLINE, Serving};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/python");

/// A Python with the packages, made once and kept between runs until the list
/// of packages changes.
fn python() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpcio");
    let (python, installed) = (folder.join("bin/python"), folder.join("installed.txt"));
    let requirements = Path::new(SCRIPTS).join("requirements.txt");
    let wanted = fs::read(&requirements).unwrap();
    // Tests may run in several processes.
    let only_one = File::create(folder.with_extension("lock")).unwrap();
    only_one.lock().unwrap();
    if fs::read(&installed).is_ok_and(|there| there == wanted) {
        return python;
    }
    must(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
    must(
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .arg("--requirement")
            .arg(&requirements),
    );
    fs::write(installed, wanted).unwrap();
    python
}

/// Runs a command of the set-up, which must go well.
#[track_caller]
fn must(command: &mut Command) {
    let needs = "the Python client needs python3 with venv, and grpcio from PyPI";
    let output = command.output().unwrap_or_else(|error| panic!("{needs}: {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{needs}: {command:?}:\n{said}");
}

async fn drive(server: &Serving) {
    let python = tokio::task::spawn_blocking(python).await.unwrap();
    let script = format!("{SCRIPTS}/smoke.py");
    let env = [("PYTHONDONTWRITEBYTECODE", "1"), ("PYTHONUTF8", "1")];
    let mut client = Process::start(python, [script.as_str(), server.address()], env);
    let status = client.wait(DEADLINE).await;
    assert!(status.success(), "{status}:\n{}", client.output());
    assert!(client.output().contains("all is well"), "{}", client.output());
}

#[tokio::test]
async fn a_python_client_drives_the_binary_on_sqlite() {
    let server = Serving::start(&["--database-url", "sqlite::memory:"]).await;
    drive(&server).await;
}

#[tokio::test]
async fn a_python_client_drives_the_binary_on_postgres() {
    let database = postgres::database().await;
    let server = Serving::start(&["--database-url", database.url()]).await;
    drive(&server).await;
}
