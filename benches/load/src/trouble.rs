//! What can go wrong in a run: something is not installed, or something failed.

use std::fmt;

/// Why a target could not be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The machine does not have this program: a row without figures.
    NotInstalled(String),
    /// Something that should have worked: the run shows it and ends with an error.
    Failed(String),
}

/// What most things here return.
pub(crate) type Result<T, E = Trouble> = std::result::Result<T, E>;

impl Trouble {
    /// Something failed, in words for people.
    pub(crate) fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled(what) => write!(f, "{what} is not installed"),
            Self::Failed(what) => f.write_str(what),
        }
    }
}

/// Turns any error into trouble that says what was being done.
pub(crate) trait During<T> {
    /// Names what failed, as in "cannot start etcd: no such file".
    fn during(self, what: &str) -> Result<T>;
}

impl<T, E: fmt::Display> During<T> for std::result::Result<T, E> {
    fn during(self, what: &str) -> Result<T> {
        self.map_err(|error| Trouble::Failed(format!("cannot {what}: {error}")))
    }
}
