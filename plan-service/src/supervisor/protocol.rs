//! What the service and a supervisor say to each other, each over a pipe of its
//! own: frames of one byte that tells the kind, four that tell the length (big
//! endian), and so many bytes.
//!
//! A `J` frame holds JSON: a [`Command`] on the way down, an [`End`] on the way
//! up. A `B` frame holds a part of the step's output. The first command is the
//! only [`Command::Start`], and the one [`End`] is the last frame.

use std::{ffi::OsString, io, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::clock::Deadline;

/// What comes before the content of a frame.
pub(crate) const HEADER: usize = 5;
/// A step's arguments and variables stay far below this.
const LONGEST: usize = 256 * 1024 * 1024;
/// How much room is made for what comes next.
const ROOM: usize = 64 * 1024;

/// What the service tells a supervisor.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Run this.
    Start(Order),
    /// The lease has become longer, or shorter.
    Deadline(Deadline),
    /// End it.
    Stop(Stop),
}

/// What to run, where, and for how long.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The program and its arguments.
    pub(crate) argv: Vec<OsString>,
    /// The folder to run in. No `PathBuf`, of which serde takes only UTF-8.
    pub(crate) cwd: OsString,
    /// Variables beside the supervisor's own.
    pub(crate) env: Vec<(OsString, OsString)>,
    /// How long it may run.
    pub(crate) time_limit: Duration,
    /// When the lease ends, as it is now.
    pub(crate) deadline: Deadline,
}

/// How to end a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// `SIGTERM`, and `SIGKILL` to what is left after a grace of two seconds.
    Gently,
    /// `SIGKILL`.
    AtOnce,
}

/// How a step ended. Whichever it is, none of its processes is left; the end of
/// the output names those that could not be killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal, which did not come from the supervisor.
    Signaled(i32),
    /// It took longer than it may, and was ended.
    TimedOut,
    /// Its lease ended before it did: it was ended, or not even started.
    DeadlinePassed,
    /// It was ended because [`Stop`] was asked for.
    Stopped,
    /// There is no such program, or no such folder to run it in: in words.
    NotFound(String),
    /// There is one, but it cannot be run: why, in words.
    NotExecutable(String),
    /// The supervisor died, or could not tell: nothing is known of the step. What
    /// was left of its session has been killed; a process that had left the
    /// session may live.
    SupervisorGone,
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A message.
    Json,
    /// A part of the output.
    Bytes,
}

/// The bytes in front of so many bytes of content.
pub(crate) fn header(kind: Kind, length: usize) -> [u8; HEADER] {
    let length = u32::try_from(length).expect("no frame is longer than 4 GiB");
    let [a, b, c, d] = length.to_be_bytes();
    let kind = match kind {
        Kind::Json => b'J',
        Kind::Bytes => b'B',
    };
    [kind, a, b, c, d]
}

/// A whole frame with this message.
pub(crate) fn message(content: &impl Serialize) -> Vec<u8> {
    let content = serde_json::to_vec(content).expect("these messages are JSON");
    let mut frame = header(Kind::Json, content.len()).to_vec();
    frame.extend(content);
    frame
}

/// Reads a message.
pub(crate) fn parse<T: DeserializeOwned>(content: &[u8]) -> io::Result<T> {
    Ok(serde_json::from_slice(content)?)
}

/// Takes bytes as they come and gives whole frames.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    /// How many of them have been given already.
    used: usize,
}

impl Decoder {
    /// Where to put what comes next: behind what is there, with room for more.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.used);
        self.used = 0;
        self.bytes.reserve(ROOM);
        &mut self.bytes
    }

    /// The next frame, if it is there as a whole.
    ///
    /// # Errors
    /// These are no frames.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Kind, Vec<u8>)>> {
        let rest = &self.bytes[self.used..];
        let Some((&[kind, a, b, c, d], content)) = rest.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let kind = match kind {
            b'J' => Kind::Json,
            b'B' => Kind::Bytes,
            _ => return Err(io::Error::other("a frame of a kind that there is not")),
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if length > LONGEST {
            return Err(io::Error::other("a frame that is too long"));
        }
        let Some(content) = content.get(..length) else {
            return Ok(None);
        };
        let content = content.to_vec();
        self.used += HEADER + length;
        Ok(Some((kind, content)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn order() -> Order {
        let odd = OsString::from_vec(vec![b'a', 0xff]);
        Order {
            argv: vec!["sh".into(), odd.clone()],
            cwd: odd.clone(),
            env: vec![("A".into(), odd)],
            time_limit: Duration::from_millis(1_500),
            deadline: Deadline::after(Duration::from_secs(1)),
        }
    }

    #[test]
    fn messages_come_as_they_were_sent_whatever_bytes_are_in_them() {
        let mut decoder = Decoder::default();
        let sent = Command::Start(order());
        decoder.buffer().extend(message(&sent));
        let (kind, content) = decoder.next().unwrap().unwrap();
        assert_eq!(kind, Kind::Json);
        assert_eq!(parse::<Command>(&content).unwrap(), sent);
        assert_eq!(decoder.next().unwrap(), None);
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut bytes = message(&End::Exited(3));
        bytes.extend(header(Kind::Bytes, 4));
        bytes.extend(b"abcd");
        bytes.extend(header(Kind::Bytes, 0));
        for size in 1..bytes.len() {
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for part in bytes.chunks(size) {
                decoder.buffer().extend(part);
                while let Some(frame) = decoder.next().unwrap() {
                    found.push(frame);
                }
            }
            assert_eq!(found.len(), 3, "cut into {size}");
            assert_eq!(parse::<End>(&found[0].1).unwrap(), End::Exited(3));
            assert_eq!(found[1], (Kind::Bytes, b"abcd".to_vec()));
            assert_eq!(found[2], (Kind::Bytes, Vec::new()));
        }
    }

    #[test]
    fn what_is_no_frame_is_an_error() {
        for bytes in [b"Xabcdef".as_slice(), b"J\xff\xff\xff\xff"] {
            let mut decoder = Decoder::default();
            decoder.buffer().extend(bytes);
            assert!(decoder.next().is_err(), "{bytes:?}");
        }
    }
}
