//! The exit codes of `lockctl`: one number for each thing that a script may
//! want to do something different about.
//!
//! Those from 64 to 78 are the numbers of BSD's `sysexits.h`, where one fits; 79
//! and 80 come after them.

pub(crate) use service_kit::cli::exit::{
    ATTENTION, CONFLICT, FAILURE, LOST, OK, UNAVAILABLE, USAGE, by_signal,
};

/// `get` or `force-release` found the resource free.
pub(crate) const FREE: u8 = 3;
/// Waiting would close a circle of owners that wait for each other.
pub(crate) const DEADLOCK: u8 = 79;
/// Somebody released everything of the owner that waited.
pub(crate) const WAIT_CANCELLED: u8 = 80;
/// `run` cannot execute the command.
pub(crate) const CANNOT_EXECUTE: u8 = 126;
/// `run` cannot find the command.
pub(crate) const NOT_FOUND: u8 = 127;

/// The table that ends `lockctl --help`.
pub(crate) const TABLE: &str = "\
Exit codes:
    0  done
    1  any other failure
    2  diagnostics: something needs attention
    3  get, force-release: the resource is free
   64  wrong arguments, found here or by the server
   69  the server, or the database behind it, cannot be reached
   75  another owner holds the resource, still when the wait was over: try again
       later; run: or the same owner does, in another run say
   76  the lock is not held, or its lease ran out; force-release: nobody holds
       it under that token; run: the lease was lost and the command was ended
   79  acquire, run: waiting would close a circle of owners that wait for each
       other
   80  acquire, run: the wait was cancelled, because everything of its owner was
       released
  126  run: the command cannot be executed
  127  run: the command cannot be found
128+N  run: signal N ended the command, 1 for a real-time signal; run otherwise
       ends with the command's own exit code";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_code() {
        for code in [
            OK,
            FAILURE,
            ATTENTION,
            FREE,
            USAGE,
            UNAVAILABLE,
            CONFLICT,
            LOST,
            DEADLOCK,
            WAIT_CANCELLED,
            CANNOT_EXECUTE,
            NOT_FOUND,
        ] {
            let start = format!("{code:>5}  ");
            assert!(TABLE.lines().any(|line| line.starts_with(&start)), "{code} is missing");
        }
    }
}
