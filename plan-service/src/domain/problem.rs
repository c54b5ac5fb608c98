//! Why a plan is not well.

use std::fmt;

use serde::{Deserialize, Serialize};
use service_kit::text::cut;

/// The longest message, in bytes.
const MOST_MESSAGE: usize = 4_096;

/// What went wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// For programs.
    pub reason: ProblemReason,
    /// For people: what is wrong, and what would be right.
    pub message: String,
    /// The files that it is about, as people read them.
    #[serde(default)]
    pub files: Vec<String>,
    /// The step or check that it is about.
    #[serde(default)]
    pub step: Option<String>,
}

/// What went wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ProblemReason {
    /// The lease ended before the work did.
    LockLost,
    /// The instance stopped or died in mid-phase.
    Interrupted,
    /// A step's program failed.
    StepFailed,
    /// A step took longer than it may.
    StepTimedOut,
    /// A step's program is not there, or is none.
    ProgramNotFound,
    /// A check failed, in whichever way.
    CheckFailed,
    /// The project's branch has changed the same places.
    MergeConflict,
    /// Steps that ran beside each other have changed the same places.
    StepsConflict,
    /// The project has changes of its own where the merge would write.
    UncommittedChanges,
    /// A step has made a symbolic link that leads out of the project.
    LinkLeadsOut,
    /// The project's folder cannot be worked with any more.
    ProjectUnusable,
    /// git refused something that it should not have.
    GitFailed,
    /// Somebody ended it.
    Cancelled,
    /// A defect of the service.
    Internal,
}

/// The most files that a problem names.
const MOST_FILES: usize = 1_000;

impl Problem {
    /// About no file and no step. A message of more than 4 KiB is cut.
    pub fn new(reason: ProblemReason, message: impl Into<String>) -> Self {
        let message = cut(&message.into(), MOST_MESSAGE);
        Self { reason, message, files: Vec::new(), step: None }
    }

    /// About these files, the first 1,000 of them.
    #[must_use]
    pub fn about(mut self, files: impl IntoIterator<Item = String>) -> Self {
        self.files = files.into_iter().take(MOST_FILES).collect();
        self
    }

    /// In this step.
    #[must_use]
    pub fn in_step(mut self, step: impl Into<String>) -> Self {
        self.step = Some(step.into());
        self
    }
}

impl ProblemReason {
    /// As it stands in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LockLost => "LOCK_LOST",
            Self::Interrupted => "INTERRUPTED",
            Self::StepFailed => "STEP_FAILED",
            Self::StepTimedOut => "STEP_TIMED_OUT",
            Self::ProgramNotFound => "PROGRAM_NOT_FOUND",
            Self::CheckFailed => "CHECK_FAILED",
            Self::MergeConflict => "MERGE_CONFLICT",
            Self::StepsConflict => "STEPS_CONFLICT",
            Self::UncommittedChanges => "UNCOMMITTED_CHANGES",
            Self::LinkLeadsOut => "LINK_LEADS_OUT",
            Self::ProjectUnusable => "PROJECT_UNUSABLE",
            Self::GitFailed => "GIT_FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Internal => "INTERNAL",
        }
    }
}

impl fmt::Display for ProblemReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The first of these files, and how many more there are, as a sentence says it.
pub fn files_in_words(files: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = files.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match files.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_names_five_files_and_counts_the_rest() {
        let files: Vec<_> = (1..=22_000).map(|number| format!("f{number}")).collect();
        assert_eq!(files_in_words(&files[..5]), "f1, f2, f3, f4, f5");
        assert_eq!(files_in_words(&files), "f1, f2, f3, f4, f5 and 21995 more");
    }

    #[test]
    fn what_is_kept_of_a_problem_is_bounded() {
        let problem = Problem::new(ProblemReason::GitFailed, "é".repeat(MOST_MESSAGE));
        assert!(problem.message.len() <= MOST_MESSAGE && problem.message.ends_with("é…"));
        let files = (0..=MOST_FILES).map(|number| number.to_string());
        assert_eq!(problem.about(files).files.len(), MOST_FILES);
    }
}
