//! A started program in a temporary folder: both are gone when this is dropped, and also when this
//! process is killed.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child as Shell, Command, Stdio},
    time::{Duration, Instant},
};

use crate::trouble::{During, Result, Trouble};

const GUARD: &str = include_str!("guard.sh");

/// How long a program may take to be ready; a JVM on a busy machine is the slowest.
const START: Duration = Duration::from_secs(60);

/// One running program.
#[derive(Debug)]
pub(crate) struct Child {
    name: String,
    shell: Shell,
    pid: u32,
    folder: PathBuf,
}

impl Child {
    /// A new folder for a program that is to be started; its path is known before.
    pub(crate) fn folder(name: &str) -> Result<PathBuf> {
        let folder = tempfile::Builder::new().prefix(&format!("lock-bench-{name}-")).tempdir();
        Ok(folder.during("make a temporary folder")?.keep())
    }

    /// Starts the program in the folder, which goes with it.
    pub(crate) fn start(
        name: &str,
        folder: PathBuf,
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Self> {
        // A session of its own: Control-C at the terminal ends this process only, and the pipe to
        // the shell with it.
        let mut shell = Command::new("setsid")
            .args(["sh", "-c", GUARD, "guard"])
            .arg(&folder)
            .arg(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .during(&format!("start {name}"))?;
        let mut first = String::new();
        if let Some(stdout) = shell.stdout.take() {
            BufReader::new(stdout).read_line(&mut first).during(&format!("start {name}"))?;
        }
        let pid = first.trim().parse().during(&format!("read the process id of {name}"))?;
        Ok(Self { name: name.to_owned(), shell, pid, folder })
    }

    /// The process id of the program.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Its folder, which goes with it.
    pub(crate) fn its_folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until a condition holds, or says why it cannot.
    pub(crate) async fn wait_until(&self, mut ready: impl AsyncFnMut() -> bool) -> Result<()> {
        let latest = Instant::now() + START;
        while !ready().await {
            let why = match () {
                () if !self.alive() => "ended",
                () if Instant::now() > latest => "was not ready in time",
                () => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            return Err(Trouble::failed(format!(
                "{} {why}; its output:\n{}",
                self.name,
                self.log()
            )));
        }
        Ok(())
    }

    /// Waits for a line on standard output with this text, and returns what follows it.
    pub(crate) async fn wait_for(&self, text: &str) -> Result<String> {
        let mut found = None;
        self.wait_until(async || {
            let output = read(&self.folder.join("out"));
            let complete = output.rfind('\n').map_or("", |end| &output[..end]);
            found =
                complete.lines().find_map(|line| Some(line.split_once(text)?.1.trim().to_owned()));
            found.is_some()
        })
        .await?;
        found.ok_or_else(|| Trouble::failed(format!("{} did not say {text:?}", self.name)))
    }

    fn alive(&self) -> bool {
        // A zombie has no executable.
        Path::new(&format!("/proc/{}/exe", self.pid)).read_link().is_ok()
    }

    /// The last lines that it wrote.
    fn log(&self) -> String {
        let text = read(&self.folder.join("out")) + &read(&self.folder.join("log"));
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The end of its input; then the shell kills the program and removes the folder.
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
