//! A git process: what it reads and prints, and its end.

use std::{io, process::ExitStatus, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin},
    time::timeout,
};

/// How much of the end of its complaints is kept.
const STDERR_TAIL: usize = 4 << 10;

/// How long a command may take to end when it is asked to.
const END_GRACE: Duration = Duration::from_secs(5);

/// How a command ended.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    /// It had more to say than was asked for, and was ended.
    pub(super) cut: bool,
    /// The end of its complaints, on one line.
    pub(super) stderr: String,
}

/// A git process and what it has started. Dropped before it has ended, all of
/// them are asked to end, and killed if they do not: git takes its lock files
/// along when it is asked, and would leave them behind if it were killed.
#[derive(Debug)]
pub(super) struct Running {
    child: Option<Child>,
    group: Option<u32>,
    /// It was waited for.
    ended: bool,
}

impl Running {
    pub(super) fn new(child: Child) -> Self {
        Self { group: child.id(), child: Some(child), ended: false }
    }

    /// Gives it what it reads, and waits for its end; or ends it when it has
    /// printed more than so much.
    pub(super) async fn talk(&mut self, stdin: &[u8], most: usize) -> io::Result<Output> {
        let group = self.group;
        let stdout = self.child().stdout.take();
        let read = async {
            let found = head(stdout, most).await?;
            if found.1 {
                signal(group, Signal::SIGTERM);
            }
            io::Result::Ok(found)
        };
        let ((stdout, cut), status, stderr) = self.end(stdin, read).await?;
        Ok(Output { status, stdout, cut, stderr })
    }

    /// Gives it what it reads, hands over each part of what it prints, up to a
    /// NUL, and waits for its end. Keeps none of it.
    pub(super) async fn parts(
        &mut self,
        stdin: &[u8],
        part: impl FnMut(&[u8]),
    ) -> io::Result<Output> {
        let stdout = self.child().stdout.take();
        let ((), status, stderr) = self.end(stdin, parts(stdout, part)).await?;
        Ok(Output { status, stdout: Vec::new(), cut: false, stderr })
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().expect("it is taken when this is dropped")
    }

    /// Waits for its end while this reads what it prints.
    async fn end<T>(
        &mut self,
        stdin: &[u8],
        read: impl Future<Output = io::Result<T>>,
    ) -> io::Result<(T, ExitStatus, String)> {
        let child = self.child();
        let (input, stderr) = (child.stdin.take(), child.stderr.take());
        let (fed, read, stderr) = tokio::join!(feed(input, stdin), read, tail(stderr));
        fed?;
        let read = read?;
        let stderr = one_line(&stderr?);
        let status = self.child().wait().await?;
        self.ended = true;
        Ok((read, status, stderr))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take().filter(|_| !self.ended) else { return };
        let group = self.group;
        signal(group, Signal::SIGTERM);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if timeout(END_GRACE, child.wait()).await.is_err() {
                    signal(group, Signal::SIGKILL);
                    // It is the kernel's to end now.
                    let _ = child.wait().await;
                }
            });
        }
    }
}

/// Only for a group whose first process was not waited for: until then its
/// number is nobody else's.
fn signal(group: Option<u32>, signal: Signal) {
    if let Some(group) = group.and_then(|group| i32::try_from(group).ok()) {
        // It may have ended by itself.
        let _ = killpg(Pid::from_raw(group), signal);
    }
}

/// Writes what a command is to read.
async fn feed(stdin: Option<ChildStdin>, bytes: &[u8]) -> io::Result<()> {
    let Some(mut stdin) = stdin else { return Ok(()) };
    match stdin.write_all(bytes).await {
        // It ended before it had read everything: its exit code tells.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// The first part of a stream, and whether there is more.
async fn head(stream: Option<impl AsyncRead + Unpin>, most: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        stream.take(limit).read_to_end(&mut bytes).await?;
    }
    let cut = bytes.len() > most;
    bytes.truncate(most);
    Ok((bytes, cut))
}

/// Each part of a stream, up to a NUL.
async fn parts(
    stream: Option<impl AsyncRead + Unpin>,
    mut part: impl FnMut(&[u8]),
) -> io::Result<()> {
    let Some(stream) = stream else { return Ok(()) };
    let mut stream = BufReader::new(stream);
    let mut bytes = Vec::new();
    while stream.read_until(0, &mut bytes).await? > 0 {
        part(bytes.strip_suffix(b"\0").unwrap_or(&bytes));
        bytes.clear();
    }
    Ok(())
}

/// The last part of a stream.
async fn tail(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(mut stream) = stream else { return Ok(bytes) };
    let mut buffer = vec![0; STDERR_TAIL];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
        bytes.drain(..bytes.len().saturating_sub(STDERR_TAIL));
    }
}

/// git's words on one line, without what would act on a terminal.
fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty());
    let line = lines.collect::<Vec<_>>().join("; ");
    line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_git_fit_on_a_line() {
        assert_eq!(one_line(b"error: a\n\tb\n\nfatal:\x1b[31m c\n"), "error: a; b; fatal: [31m c");
    }

    #[tokio::test]
    async fn only_the_end_of_complaints_is_kept() {
        let bytes = [vec![b'a'; 3 * STDERR_TAIL], b"the end".to_vec()].concat();
        let kept = tail(Some(bytes.as_slice())).await.unwrap();
        assert_eq!(kept.len(), STDERR_TAIL);
        assert!(kept.ends_with(b"the end"));
    }

    #[tokio::test]
    async fn only_what_is_asked_for_is_read() {
        assert_eq!(head(Some(b"abc".as_slice()), 2).await.unwrap(), (b"ab".to_vec(), true));
        assert_eq!(head(Some(b"abc".as_slice()), 3).await.unwrap(), (b"abc".to_vec(), false));
    }
}
