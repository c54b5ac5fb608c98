//! The supervisor's end of the pipes to the service. Apart from the first order
//! and the last report, nothing here ever waits.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    unistd,
};

use super::protocol::{self, Command, Decoder, End, HEADER, Kind, Order};

/// How much of the output is passed on in one piece.
const PIECE: usize = 64 * 1024;

/// Standard input and output.
#[derive(Debug)]
pub(super) struct Link {
    input: io::Stdin,
    output: io::Stdout,
    decoder: Decoder,
    /// What has come in, until it is read as frames.
    incoming: Vec<u8>,
    /// A frame that is being passed on.
    outgoing: Vec<u8>,
    /// How much of it the pipe has taken.
    written: usize,
    /// The service is there.
    open: bool,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            input: io::stdin(),
            output: io::stdout(),
            decoder: Decoder::default(),
            incoming: vec![0; PIECE],
            outgoing: Vec::with_capacity(HEADER + PIECE),
            written: 0,
            open: true,
        }
    }

    /// Waits for the order; none when the service is gone without one. Nothing
    /// waits any more afterwards.
    pub(super) fn order(&mut self) -> io::Result<Option<Order>> {
        let content = loop {
            if let Some((_, content)) = self.decoder.next()? {
                break content;
            }
            match unistd::read(&self.input, &mut self.incoming) {
                Ok(0) => return Ok(None),
                Ok(count) => self.decoder.buffer().extend_from_slice(&self.incoming[..count]),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let Command::Start(order) = protocol::parse(&content)? else {
            return Err(io::Error::other("the first command is not to start"));
        };
        set_nonblocking(self.input.as_fd(), true)?;
        set_nonblocking(self.output.as_fd(), true)?;
        Ok(Some(order))
    }

    /// The next command that is there already. An input that has ended, or makes
    /// no sense, means that the service is gone.
    pub(super) fn command(&mut self) -> Option<Command> {
        while self.open {
            match self.decoder.next() {
                Ok(Some((_, content))) => match protocol::parse(&content) {
                    Ok(command) => return Some(command),
                    Err(_) => self.open = false,
                },
                Ok(None) => match unistd::read(&self.input, &mut self.incoming) {
                    Ok(count) if count > 0 => {
                        self.decoder.buffer().extend_from_slice(&self.incoming[..count]);
                    }
                    Err(Errno::EAGAIN) => return None,
                    Err(Errno::EINTR) => {}
                    Ok(_) | Err(_) => self.open = false,
                },
                Err(_) => self.open = false,
            }
        }
        None
    }

    /// Whether the service is there, as far as is known.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Where commands come from.
    pub(super) fn input(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    /// Where the output goes.
    pub(super) fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Whether there is something that the pipe has not taken yet.
    pub(super) fn is_behind(&self) -> bool {
        self.written < self.outgoing.len()
    }

    /// Reads a part of the step's output to pass it on, and says how much it was:
    /// nothing at its end, none when there is none now.
    pub(super) fn take_from(&mut self, source: BorrowedFd<'_>) -> Option<usize> {
        debug_assert!(!self.is_behind(), "what is there would be lost");
        self.outgoing.resize(HEADER + PIECE, 0);
        let read = loop {
            match unistd::read(source, &mut self.outgoing[HEADER..]) {
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break None,
                other => break Some(other.unwrap_or(0)),
            }
        };
        let count = read.unwrap_or(0);
        self.outgoing[..HEADER].copy_from_slice(&protocol::header(Kind::Bytes, count));
        self.outgoing.truncate(if count == 0 { 0 } else { HEADER + count });
        self.written = 0;
        read
    }

    /// Gives the pipe as much as it takes.
    pub(super) fn pass_on(&mut self) {
        while self.open && self.is_behind() {
            match unistd::write(&self.output, &self.outgoing[self.written..]) {
                Ok(count) => self.written += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                // Nobody reads any more.
                Err(_) => self.open = false,
            }
        }
    }

    /// The service has closed its end of the output.
    pub(super) fn close(&mut self) {
        self.open = false;
    }

    /// Passes on what is left of these bytes, and waits until the service has
    /// taken them, or is gone.
    pub(super) fn tell_output(&mut self, bytes: &[u8]) {
        self.flush();
        self.outgoing = protocol::header(Kind::Bytes, bytes.len()).to_vec();
        self.outgoing.extend_from_slice(bytes);
        self.written = 0;
        self.flush();
    }

    /// The last word.
    pub(super) fn tell_end(&mut self, end: &End) {
        self.flush();
        self.outgoing = protocol::message(end);
        self.written = 0;
        self.flush();
    }

    /// Waits until all is taken. With nobody left to end, waiting does no harm.
    pub(super) fn flush(&mut self) {
        if set_nonblocking(self.output.as_fd(), false).is_err() {
            self.open = false;
        }
        self.pass_on();
    }
}

/// Whether reads and writes of it return at once.
pub(super) fn set_nonblocking(file: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
    let flags = if on { flags | OFlag::O_NONBLOCK } else { flags - OFlag::O_NONBLOCK };
    fcntl(file, FcntlArg::F_SETFL(flags))?;
    Ok(())
}
