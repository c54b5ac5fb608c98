//! The exit codes of `planctl`: one number for each thing that a script may
//! want to do something different about. They mean what they mean of `lockctl`.

pub(crate) use service_kit::cli::exit::{
    ATTENTION, CONFLICT, FAILURE, LOST, OK, UNAVAILABLE, USAGE, by_signal,
};

/// There is no such project, action or plan.
pub(crate) const NOT_FOUND: u8 = 3;
/// There is one of that name already.
pub(crate) const EXISTS: u8 = 73;
/// The service does not allow it, whoever asks.
pub(crate) const NOT_ALLOWED: u8 = 77;
/// The plan, or its project, is not where that is possible.
pub(crate) const NOT_NOW: u8 = 81;

/// The table that ends `planctl --help`.
pub(crate) const TABLE: &str = "\
Exit codes:
    0  done; of what is watched, or rests already when the answer comes: the
       phase is COMPLETE, or the plan APPLIED
    1  any other failure; of what is watched, or rests already when the answer
       comes: the plan rests in another state
    2  diagnostics: something needs attention
    3  there is no such project, action or plan
   64  wrong arguments or a wrong action file, found here or by the service
   69  the service, its database or its lock server cannot be reached
   73  there is a project, an action or a plan of that name already
   75  somebody else holds the lock of the plan or of its project: try again later
   76  as 1 of a plan, where the run lost its lock and was ended; it can be
       retried
   77  the service does not allow it: its actions come from files
   81  not from where the plan or its project stands; the message says what is
       possible
128+N  signal N ended it: 130 after Ctrl-C, and the plan goes on";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_code() {
        for code in [
            OK,
            FAILURE,
            ATTENTION,
            NOT_FOUND,
            USAGE,
            UNAVAILABLE,
            EXISTS,
            CONFLICT,
            LOST,
            NOT_ALLOWED,
            NOT_NOW,
        ] {
            let start = format!("{code:>5}  ");
            assert!(TABLE.lines().any(|line| line.starts_with(&start)), "{code} is missing");
        }
    }
}
