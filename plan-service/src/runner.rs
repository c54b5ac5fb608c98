//! Runs commands so that they are over when the lease is.
//!
//! A command does not run below the service but below a supervisor, a process of
//! its own for each ([`crate::supervisor`]): it ends the command at the lease's
//! deadline even if this process is stopped or dead. Here is the service's side
//! of that: it starts supervisors, tells them of renewed deadlines, reads what
//! they pass on, and cleans up where one is gone before its time.
//!
//! ```text
//! service ── Running ──▶ supervisor (session of its own) ──▶ command (group of its own)
//!             deadline, stop ──▶                              stdin: nothing
//!             ◀── output, end                                 stdout, stderr: one pipe
//! ```

mod keeper;
mod reports;
mod tail;

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    process::{ChildStdout, Command},
    sync::{mpsc, watch},
    task::JoinHandle,
};

pub use self::tail::TailBuffer;
use self::{keeper::Keeper, reports::Reports};
pub use crate::supervisor::{
    clock::Deadline,
    protocol::{End, Stop},
};
use crate::{
    environment,
    supervisor::protocol::{self, Order},
};

/// Starts commands.
#[derive(Debug, Clone)]
pub struct Runner {
    program: PathBuf,
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The program and its arguments. The program is looked for in `PATH`, or,
    /// with a slash in it, from `cwd`.
    pub argv: Vec<OsString>,
    /// The folder that it runs in.
    pub cwd: PathBuf,
    /// Variables beside those of the service, of which it gets all but the
    /// service's settings and git's.
    pub env: BTreeMap<OsString, OsString>,
    /// How long it may run.
    pub time_limit: Duration,
}

/// A command that could not even be tried.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// What the job says can be given to no program.
    #[error("{0}")]
    Job(String),
    /// The supervisor did not start.
    #[error("cannot start {} to supervise a command", .program.display())]
    Supervisor {
        /// The supervisor's program.
        program: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// A running command. Dropped, it and all that it has started is killed at once.
#[derive(Debug)]
pub struct Running {
    reports: Reports<ChildStdout>,
    stops: Option<mpsc::UnboundedSender<Stop>>,
    keeper: JoinHandle<()>,
    end: Option<End>,
    supervisor: u32,
}

impl Runner {
    /// `program` is run as `program supervise`.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into() }
    }

    /// Starts the command. It ends at the deadline at the latest, which may be
    /// moved as long as it runs; where nobody can move it any more, it stays.
    ///
    /// # Errors
    /// The job is none, or the supervisor did not start. That the command's
    /// program is not there, is told as its end.
    pub async fn start(
        &self,
        job: Job,
        mut deadline: watch::Receiver<Deadline>,
    ) -> Result<Running, RunnerError> {
        check(&job)?;
        let failed = |source| RunnerError::Supervisor { program: self.program.clone(), source };
        let mut supervisor = Command::new(&self.program)
            .arg("supervise")
            .env_clear()
            .envs(environment::passed_on())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut input = supervisor.stdin.take().expect("a piped stream");
        let output = supervisor.stdout.take().expect("a piped stream");
        let id = supervisor.id().expect("nobody has waited for it yet");
        let order = Order {
            argv: job.argv,
            cwd: job.cwd.into(),
            env: job.env.into_iter().collect(),
            time_limit: job.time_limit,
            deadline: *deadline.borrow_and_update(),
        };
        // A supervisor that is gone already is told of by its end.
        let _ = input.write_all(&protocol::message(&protocol::Command::Start(order))).await;
        let (stops, asked) = mpsc::unbounded_channel();
        let keeper = Keeper::new(supervisor, id, input, deadline, asked);
        Ok(Running {
            reports: Reports::new(output),
            stops: Some(stops),
            keeper: tokio::spawn(keeper.keep()),
            end: None,
            supervisor: id,
        })
    }
}

/// What the system would refuse with less clear words.
fn check(job: &Job) -> Result<(), RunnerError> {
    let wrong = |what: String| Err(RunnerError::Job(what));
    if job.argv.first().is_none_or(|program| program.is_empty()) {
        return wrong("the command is empty; it starts with a program".to_owned());
    }
    let has_nul = |text: &OsStr| text.as_bytes().contains(&0);
    if let Some(argument) = job.argv.iter().find(|argument| has_nul(argument)) {
        return wrong(format!("argument {argument:?} holds a NUL, which no program can be given"));
    }
    for (name, value) in &job.env {
        if name.is_empty() || has_nul(name) || name.as_bytes().contains(&b'=') || has_nul(value) {
            return wrong(format!(
                "variable {name:?} is none: a name has no '=' and no NUL, a value no NUL"
            ));
        }
    }
    if has_nul(job.cwd.as_os_str()) {
        return wrong(format!("folder {:?} holds a NUL, which no path does", job.cwd));
    }
    Ok(())
}

impl Running {
    /// The next part of what the command writes, standard output and standard
    /// error together in the order in which they came; none at the end. Cancel
    /// safe.
    pub async fn output(&mut self) -> Option<Vec<u8>> {
        if self.end.is_some() {
            return None;
        }
        match self.reports.next().await {
            Ok(bytes) => Some(bytes),
            Err(end) => {
                self.end = Some(end);
                None
            }
        }
    }

    /// Asks the command to end. May be called again, to end it at once.
    pub fn stop(&self, how: Stop) {
        if let Some(stops) = &self.stops {
            // Where nobody takes it, the supervisor has ended.
            let _ = stops.send(how);
        }
    }

    /// How the command ended; waits for that, and drops what is left of the
    /// output. Afterwards nothing of it is left in the process table. Cancel
    /// safe.
    pub async fn end(&mut self) -> End {
        while self.output().await.is_some() {}
        // The keeper may have had to clean up.
        self.stops = None;
        if !self.keeper.is_finished() {
            // It does not panic, and is not aborted.
            let _ = (&mut self.keeper).await;
        }
        self.end.clone().unwrap_or(End::SupervisorGone)
    }

    /// The process id of the supervisor, which is also the number of the
    /// command's session.
    pub fn supervisor(&self) -> u32 {
        self.supervisor
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(argv: &[&str], env: &[(&str, &str)], cwd: &str) -> Job {
        Job {
            argv: argv.iter().map(OsString::from).collect(),
            cwd: cwd.into(),
            env: env.iter().map(|(name, value)| (name.into(), value.into())).collect(),
            time_limit: Duration::from_secs(1),
        }
    }

    #[test]
    fn what_no_program_can_be_given_is_refused_by_name() {
        let good = job(&["sh", ""], &[("A", "=")], "/");
        assert!(check(&good).is_ok());
        for (bad, words) in [
            (job(&[], &[], "/"), "the command is empty"),
            (job(&[""], &[], "/"), "the command is empty"),
            (job(&["sh", "a\0b"], &[], "/"), "a\\0b"),
            (job(&["sh"], &[("A=B", "")], "/"), "\"A=B\""),
            (job(&["sh"], &[("", "")], "/"), "\"\""),
            (job(&["sh"], &[("A", "\0")], "/"), "\"A\""),
            (job(&["sh"], &[], "/\0"), "folder"),
        ] {
            let message = check(&bad).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[tokio::test]
    async fn a_supervisor_that_is_not_there_is_an_error_with_its_path() {
        let runner = Runner::new("/gone/plan-service");
        let (_renew, deadline) = watch::channel(Deadline::after(Duration::from_secs(1)));
        let error = runner.start(job(&["true"], &[], "/"), deadline).await.unwrap_err();
        assert!(error.to_string().contains("/gone/plan-service"), "{error}");
    }
}
