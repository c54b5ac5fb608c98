//! The exit codes that mean the same of every command line: one number for each
//! thing that a script may want to do something different about.
//!
//! Those from 64 to 78 are the numbers of BSD's `sysexits.h`, where one fits.

/// Done.
pub const OK: u8 = 0;
/// Anything that has no number of its own.
pub const FAILURE: u8 = 1;
/// `diagnostics` found something that needs attention.
pub const ATTENTION: u8 = 2;
/// The arguments are wrong, by the program's judgement or by the server's.
pub const USAGE: u8 = 64;
/// The server, or what it stands on, cannot be reached.
pub const UNAVAILABLE: u8 = 69;
/// Somebody else holds the lock.
pub const CONFLICT: u8 = 75;
/// The lock is not held, or no longer.
pub const LOST: u8 = 76;

/// The exit code of a process that a signal ended, as shells count it.
pub fn by_signal(signal: i32) -> u8 {
    // Signals go up to 64.
    u8::try_from(signal).map_or(FAILURE, |signal| signal.saturating_add(128))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_count_from_128() {
        assert_eq!(by_signal(15), 143);
        assert_eq!(by_signal(64), 192);
        assert_eq!(by_signal(-1), FAILURE);
    }
}
