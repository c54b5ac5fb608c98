//! One run of git: its settings, its environment, its output and its end.
//!
//! Our commands are the same whatever the machine and the caller's shell look
//! like: no hooks, no signing, no garbage collection, no questions, messages in
//! English, and an identity of their own. What decides about people's files
//! (filters, line ends, ignore rules, merge drivers) is left as it is
//! configured.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::time::timeout;

use super::{
    Git, GitError,
    process::{Output, Running},
    retry::Tries,
};
use crate::{domain::Oid, environment};

/// The most that a command may print: some million file names.
const MOST_OUTPUT: usize = 512 << 20;

/// Given by the environment: so the arguments stay readable, and what git
/// starts has them too.
const CONFIG: [(&str, &str); 15] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.quotePath", "false"),
    ("core.filesRefLockTimeout", "1000"),
    ("core.packedRefsTimeout", "1000"),
    ("commit.gpgSign", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("i18n.commitEncoding", "UTF-8"),
    ("add.ignoreErrors", "false"),
    ("clean.requireForce", "false"),
    ("submodule.recurse", "false"),
    ("advice.addEmbeddedRepo", "false"),
    ("advice.addIgnoredFile", "false"),
    ("worktree.guessRemote", "false"),
];

const IDENTITY: [(&str, &str); 4] = [
    ("GIT_AUTHOR_NAME", "plan-service"),
    ("GIT_AUTHOR_EMAIL", "plan-service@localhost"),
    ("GIT_COMMITTER_NAME", "plan-service"),
    ("GIT_COMMITTER_EMAIL", "plan-service@localhost"),
];

/// A command to be run by somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitCommand {
    /// The program and its arguments.
    pub argv: Vec<OsString>,
    /// Variables to set; no other whose name begins with `GIT_` may reach it.
    pub env: BTreeMap<OsString, OsString>,
    /// Where it runs.
    pub cwd: PathBuf,
}

/// A git command, and all that it is to be given.
#[derive(Debug, Clone)]
pub(super) struct Command {
    git: Git,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    config: Vec<(&'static str, &'static str)>,
    cwd: PathBuf,
    stdin: Vec<u8>,
}

impl Command {
    pub(super) fn new(git: &Git, cwd: &Path) -> Self {
        let (git, cwd) = (git.clone(), cwd.to_owned());
        let config = CONFIG.to_vec();
        Self { git, args: Vec::new(), env: Vec::new(), config, cwd, stdin: Vec::new() }
    }

    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    pub(super) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    pub(super) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    pub(super) fn config(mut self, settings: &[(&'static str, &'static str)]) -> Self {
        self.config.extend(settings);
        self
    }

    /// It only looks: git then does not even write down what it has learnt
    /// about the files' times, and so needs no lock.
    pub(super) fn read_only(self) -> Self {
        self.env("GIT_OPTIONAL_LOCKS", "0")
    }

    pub(super) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs it; it must succeed. Gives what it printed.
    pub(super) async fn ok(&self) -> Result<Vec<u8>, GitError> {
        let output = self.output().await?;
        if output.status.success() { Ok(output.stdout) } else { Err(self.error(&output)) }
    }

    /// As [`Self::ok`], again and again while another process has a lock.
    pub(super) async fn ok_unlocked(&self) -> Result<Vec<u8>, GitError> {
        let mut tries = Tries::new(&self.git);
        loop {
            match self.ok().await {
                Err(error) => tries.after(error).await?,
                done => return done,
            }
        }
    }

    /// Runs it; gives its one line.
    pub(super) async fn line(&self) -> Result<String, GitError> {
        let stdout = self.ok().await?;
        Ok(String::from_utf8_lossy(without_newline(&stdout)).into_owned())
    }

    /// Runs it; gives the path that it printed.
    pub(super) async fn path(&self) -> Result<PathBuf, GitError> {
        let stdout = self.ok().await?;
        Ok(PathBuf::from(OsStr::from_bytes(without_newline(&stdout))))
    }

    /// Runs it; gives the object that it named.
    pub(super) async fn oid(&self) -> Result<Oid, GitError> {
        self.oid_of(&self.ok().await?)
    }

    /// The object that it named.
    pub(super) fn oid_of(&self, stdout: &[u8]) -> Result<Oid, GitError> {
        let text = String::from_utf8_lossy(without_newline(stdout));
        Oid::parse(&text)
            .map_err(|error| self.failed(format!("it printed {text:?}, which {error}")))
    }

    /// Runs it; whether it ended with 0. Any exit code over 1 is an error.
    pub(super) async fn yes(&self) -> Result<bool, GitError> {
        let output = self.output().await?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(self.error(&output)),
        }
    }

    /// Runs it, however it ends.
    pub(super) async fn output(&self) -> Result<Output, GitError> {
        let output = self.first(MOST_OUTPUT).await?;
        if output.cut {
            return Err(self.failed(format!("it printed more than {MOST_OUTPUT} bytes")));
        }
        Ok(output)
    }

    /// Runs it until it has printed more than so much, however it ends.
    pub(super) async fn first(&self, most: usize) -> Result<Output, GitError> {
        let mut running = self.spawn()?;
        self.in_time(running.talk(&self.stdin, most)).await
    }

    /// Runs it, however it ends, and hands over each part of what it prints, up to
    /// a NUL: there may be more of them than should be kept.
    pub(super) async fn parts(&self, part: impl FnMut(&[u8])) -> Result<Output, GitError> {
        let mut running = self.spawn()?;
        self.in_time(running.parts(&self.stdin, part)).await
    }

    async fn in_time(
        &self,
        running: impl Future<Output = io::Result<Output>>,
    ) -> Result<Output, GitError> {
        // In a box: it is part of nearly every future of the service.
        match Box::pin(timeout(self.git.time_limit, running)).await {
            Ok(result) => {
                result.map_err(|error| self.failed(format!("its output was lost: {error}")))
            }
            Err(_elapsed) => Err(self.failed(format!(
                "it took longer than {} and was ended",
                humantime::format_duration(self.git.time_limit)
            ))),
        }
    }

    /// For a supervisor.
    pub(super) fn for_others(self, argv: Vec<OsString>) -> GitCommand {
        GitCommand { argv, env: self.own_env().collect(), cwd: self.cwd }
    }

    /// What failed, with git's own words.
    pub(super) fn error(&self, output: &Output) -> GitError {
        let stderr = match (output.stderr.is_empty(), output.status.code()) {
            (false, _) => output.stderr.clone(),
            (true, Some(_)) => "it did not say why".to_owned(),
            (true, None) => format!("it was ended ({})", output.status),
        };
        GitError { what: self.what(), status: output.status.code(), stderr }
    }

    /// What failed, in words of ours.
    pub(super) fn failed(&self, why: impl Into<String>) -> GitError {
        GitError::new(self.what(), why)
    }

    fn what(&self) -> String {
        // The arguments that say what is done: `git worktree add`.
        let words = self.args.iter().take(2).filter_map(|arg| arg.to_str());
        let words =
            words.take_while(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
        let words = words.filter(|word| !word.starts_with('-')).collect::<Vec<_>>();
        format!("git {} in {:?}", words.join(" "), self.cwd)
    }

    fn own_env(&self) -> impl Iterator<Item = (OsString, OsString)> {
        let fixed = [("LC_ALL", "C"), ("GIT_TERMINAL_PROMPT", "0"), ("GIT_ADVICE", "0")];
        let count = ("GIT_CONFIG_COUNT".to_owned(), self.config.len().to_string());
        let config = self.config.iter().enumerate().flat_map(|(n, (key, value))| {
            [
                (format!("GIT_CONFIG_KEY_{n}"), (*key).to_owned()),
                (format!("GIT_CONFIG_VALUE_{n}"), (*value).to_owned()),
            ]
        });
        let fixed = fixed.into_iter().chain(IDENTITY);
        let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let texts = fixed.chain([count]).chain(config);
        texts.map(|(name, value)| (name.into(), value.into())).chain(self.env.iter().cloned())
    }

    fn spawn(&self) -> Result<Running, GitError> {
        let mut command = tokio::process::Command::new(&self.git.program);
        command.args(&self.args).env_clear().envs(environment::passed_on()).envs(self.own_env());
        command.current_dir(&self.cwd).process_group(0);
        command.stdin(if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() });
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().map_err(|error| self.not_started(&error))?;
        Ok(Running::new(child))
    }

    /// Why it could not be started: a folder that is gone looks like a program
    /// that is gone.
    fn not_started(&self, error: &io::Error) -> GitError {
        if error.kind() == io::ErrorKind::NotFound && !self.cwd.is_dir() {
            return self.failed("this folder does not exist any more");
        }
        self.failed(format!(
            "{:?} cannot be started ({error}): install git {}.{} or newer, or name another program",
            self.git.program,
            super::OLDEST.0,
            super::OLDEST.1
        ))
    }
}

fn without_newline(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\n").unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_named() {
        let command = Command::new(&Git::new("git"), Path::new("/srv/a b"));
        let add = command.clone().args(["worktree", "add", "--detach", "--"]).arg("/x");
        assert_eq!(add.what(), "git worktree add in \"/srv/a b\"");
        assert_eq!(command.args(["cat-file", "--batch"]).what(), "git cat-file in \"/srv/a b\"");
    }
}
