//! What a step, and a git that starts filters, gets of the service's environment.

use std::{ffi::OsString, os::unix::ffi::OsStrExt as _};

/// The settings of the service, of the lock server and of their command lines,
/// which may hold passwords; and git's, which would point at another repository
/// than is meant.
const KEPT_BACK: [&str; 5] = ["PLAN_SERVICE_", "PLANCTL_", "LOCK_", "LOCKCTL_", "GIT_"];

/// The variables that are passed on.
pub(crate) fn passed_on() -> impl Iterator<Item = (OsString, OsString)> {
    of(std::env::vars_os())
}

fn of(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> impl Iterator<Item = (OsString, OsString)> {
    all.filter(|(name, _)| {
        !KEPT_BACK.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_git_are_kept_back_and_all_else_is_passed_on() {
        let all = [
            "PATH",
            "HOME",
            "PLAN_SERVICE_DATABASE_URL",
            "PLANCTL_ADDR",
            "LOCK_SERVER_LISTEN",
            "LOCKCTL_ADDR",
            "GIT_DIR",
            "GITHUB_TOKEN",
            "LOCKFILE",
            "plan_service_x",
        ];
        let kept: Vec<_> = of(all.iter().map(|name| (name.into(), OsString::new())))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(kept, ["PATH", "HOME", "GITHUB_TOKEN", "LOCKFILE", "plan_service_x"]);
    }
}
