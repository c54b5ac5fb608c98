//! A started binary with its output at hand.

use std::ffi::OsStr;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::eventually::within;

/// How long the output of an ended process may take to arrive.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A running program. It is killed when this is dropped.
pub struct Process {
    child: Child,
    lines: Lines,
}

type Lines = Arc<Mutex<Vec<String>>>;

impl Process {
    /// Starts the program with more environment variables than the test's own.
    pub fn start(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
        envs: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
    ) -> Self {
        let program = program.as_ref();
        let mut child = Command::new(program)
            .args(args)
            .envs(envs)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let lines = Lines::default();
        collect(child.stdout.take(), &lines);
        collect(child.stderr.take(), &lines);
        Self { child, lines }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The first line, of standard output or standard error, that `wanted` accepts, from the start
    /// of the output on. Panics when there is none by the deadline or by the end of the process.
    pub async fn wait_for_line(
        &mut self,
        wanted: impl Fn(&str) -> bool,
        deadline: Duration,
    ) -> String {
        let found = within(deadline, async || {
            // Looked at before the output: a line may come just before the end.
            let ended = self.status().is_some() && self.all_read();
            let line = self.lines().iter().find(|line| wanted(line)).cloned();
            line.map(Some).or_else(|| ended.then_some(None))
        });
        let why = match found.await {
            Some(Some(line)) => return line,
            Some(None) => "the process ended before".to_owned(),
            None => format!("within {deadline:?}"),
        };
        panic!("no such line {why}; its output:\n{}", self.output());
    }

    /// All lines so far, of standard output and standard error as they came.
    pub fn output(&self) -> String {
        self.lines().join("\n")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        signal::kill(Pid::from_raw(id), signal).expect("signal the process");
    }

    /// Kills the process and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits for the end of the process, and panics with its output when it still runs then.
    pub async fn wait(&mut self, deadline: Duration) -> ExitStatus {
        let Some(status) = within(deadline, async || self.status()).await else {
            panic!("still runs after {deadline:?}:\n{}", self.output());
        };
        // The last lines may still be on their way; but a child of the process may keep the
        // streams open for long, and is not waited for.
        within(LAST_LINES, async || self.all_read().then_some(())).await;
        status
    }

    /// The exit status; none while it runs.
    fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("ask for the process")
    }

    /// Each reader holds a reference to the lines until it has seen the end of its stream.
    fn all_read(&self) -> bool {
        Arc::strong_count(&self.lines) == 1
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("id", &self.child.id()).finish_non_exhaustive()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn collect(stream: Option<impl Read + Send + 'static>, lines: &Lines) {
    let stream = BufReader::new(stream.expect("a piped stream"));
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in stream.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        }
    });
}
