//! Finds the program of a step and starts it, or says why that cannot be.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, PipeReader, Read as _},
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    errno::Errno,
    unistd::{AccessFlags, access},
};

use super::protocol::{End, Order};

/// Where programs are looked for without a `PATH`, as the C library does.
const DEFAULT_PATH: &str = "/bin:/usr/bin";
/// How much of a `#!` line is read.
const LONGEST_SHEBANG: u64 = 256;

/// Why a program was not started, in words for the action's author.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotStarted {
    /// It is not there.
    NotFound(String),
    /// It is there and cannot be run.
    NotExecutable(String),
}

impl NotStarted {
    /// The same as the end of the step.
    pub(super) fn into_end(self) -> End {
        match self {
            Self::NotFound(why) => End::NotFound(why),
            Self::NotExecutable(why) => End::NotExecutable(why),
        }
    }
}

/// The file that is the order's program: relative to the step's folder where it
/// has a slash in it, and otherwise in the `PATH` of the step.
///
/// It is looked for here, and not left to the system, because what that says of
/// a program that is not there is the same as of a folder that is not.
pub(super) fn find(order: &Order) -> Result<PathBuf, NotStarted> {
    let cwd = Path::new(&order.cwd);
    if !fs::metadata(cwd).is_ok_and(|found| found.is_dir()) {
        return Err(NotStarted::NotFound(format!(
            "there is no folder {} to run the program in",
            cwd.display()
        )));
    }
    let name = order.argv.first().map_or(OsStr::new(""), OsString::as_os_str);
    if name.as_bytes().contains(&b'/') {
        at_path(name, cwd)
    } else {
        in_path(name, cwd, &path_of(order))
    }
}

/// The `PATH` that the step sees.
fn path_of(order: &Order) -> OsString {
    let own = order.env.iter().rev().find(|(name, _)| name == "PATH").map(|(_, path)| path.clone());
    own.or_else(|| env::var_os("PATH")).unwrap_or_else(|| DEFAULT_PATH.into())
}

fn at_path(name: &OsStr, cwd: &Path) -> Result<PathBuf, NotStarted> {
    let path = cwd.join(name);
    let found = fs::metadata(&path).map_err(|error| {
        let looked = format!("program {name:?} is not there: looked for {}", path.display());
        NotStarted::NotFound(match error.kind() {
            io::ErrorKind::NotFound => {
                format!("{looked}; with a slash in it, it is a path from the top of the worktree")
            }
            _ => format!("{looked}: {error}"),
        })
    })?;
    if found.is_dir() {
        return Err(NotStarted::NotExecutable(format!(
            "program {name:?} is a folder; name a program in it"
        )));
    }
    if access(&path, AccessFlags::X_OK).is_err() {
        return Err(NotStarted::NotExecutable(format!(
            "program {name:?} is not executable; `git update-index --chmod=+x` makes it so in \
             the repository, or name its interpreter first, as in [\"sh\", {name:?}]"
        )));
    }
    Ok(path)
}

fn in_path(name: &OsStr, cwd: &Path, path: &OsStr) -> Result<PathBuf, NotStarted> {
    let mut unusable = None;
    // An empty entry means the step's folder, and joining nothing gives that.
    for folder in env::split_paths(path) {
        let candidate = cwd.join(folder).join(name);
        match fs::metadata(&candidate) {
            Ok(found) if found.is_dir() => {}
            Ok(_) if access(&candidate, AccessFlags::X_OK).is_ok() => return Ok(candidate),
            Ok(_) => unusable = unusable.or(Some(candidate)),
            Err(_) => {}
        }
    }
    Err(match unusable {
        Some(file) => NotStarted::NotExecutable(format!(
            "program {name:?} was found as {}, which is not executable",
            file.display()
        )),
        None => NotStarted::NotFound(format!(
            "program {name:?} is in no folder of PATH ({}); install it where the service runs, \
             or, if it is in the worktree, name its path with a slash, as in \"./{}\"",
            path.display(),
            name.display()
        )),
    })
}

/// Starts it in a group of its own, and gives what it will write.
///
/// Both its streams are one pipe: that keeps what it writes in order.
pub(super) fn start(program: &Path, order: &Order) -> Result<(Child, PipeReader), NotStarted> {
    let spawn = || {
        let (reader, writer) = io::pipe()?;
        let mut command = Command::new(program);
        if let [name, arguments @ ..] = order.argv.as_slice() {
            command.arg0(name).args(arguments);
        }
        command
            .envs(order.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&order.cwd)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .process_group(0)
            .spawn()
            .map(|child| (child, reader))
    };
    spawn().map_err(|error| NotStarted::NotExecutable(explain(program, &error)))
}

/// What the system's refusal means for a program that is there.
fn explain(program: &Path, error: &io::Error) -> String {
    let shown = program.display();
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => match interpreter(program) {
            Some(interpreter) => format!(
                "{shown} cannot be run: its first line wants {interpreter:?}, which is not there"
            ),
            None => format!("{shown} cannot be run: the loader that it was built for is missing"),
        },
        Some(Errno::ENOEXEC) => format!(
            "{shown} cannot be run: it is no binary for this machine, and no script whose first \
             line is #! with an interpreter"
        ),
        Some(Errno::EACCES) => format!(
            "{shown} cannot be run: permission denied for it, its interpreter, or the folder to \
             run it in"
        ),
        Some(Errno::E2BIG) => {
            format!("{shown} cannot be run: its arguments and variables are too long in sum")
        }
        Some(Errno::ETXTBSY) => format!("{shown} cannot be run: somebody is still writing it"),
        _ => format!("{shown} cannot be run: {error}"),
    }
}

/// What stands behind `#!` in the file's first line.
fn interpreter(program: &Path) -> Option<OsString> {
    let mut start = Vec::new();
    fs::File::open(program).ok()?.take(LONGEST_SHEBANG).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    Some(OsStr::from_bytes(line.trim_ascii()).to_owned())
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt as _, time::Duration};

    use super::{super::clock::Deadline, *};

    fn order(cwd: &Path, program: &str, path: &str) -> Order {
        Order {
            argv: vec![program.into()],
            cwd: cwd.into(),
            env: vec![("PATH".into(), path.into())],
            time_limit: Duration::from_secs(1),
            deadline: Deadline::after(Duration::from_secs(1)),
        }
    }

    fn file(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_program_is_found_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let cwd = dir.path();
        file(&cwd.join("here/tool"), 0o644);
        file(&cwd.join("there/tool"), 0o755);
        fs::create_dir_all(cwd.join("folder/tool")).unwrap();
        let found = |program: &str, path: &str| find(&order(cwd, program, path));
        let there = Ok(cwd.join("there/tool"));
        assert_eq!(found("there/tool", ""), there, "from the step's folder");
        assert_eq!(found("tool", "folder:here:there"), there, "past what cannot be run");
        assert!(found("tool", &cwd.join("there").display().to_string()).is_ok());
        assert!(matches!(found("tool", ""), Err(NotStarted::NotFound(_))));
        file(&cwd.join("tool"), 0o755);
        assert!(found("tool", "folder::x").is_ok(), "an empty entry is the step's folder");
        assert!(matches!(found("", "there"), Err(NotStarted::NotFound(_))), "and not a folder");
    }

    #[test]
    fn what_cannot_be_run_is_told_with_what_would_be_right() {
        let dir = tempfile::tempdir().unwrap();
        let cwd = dir.path();
        file(&cwd.join("bin/plain"), 0o644);
        let why = |program: &str| match find(&order(cwd, program, "bin")).unwrap_err() {
            NotStarted::NotFound(why) => ("not found", why),
            NotStarted::NotExecutable(why) => ("not executable", why),
        };
        for (program, kind, words) in [
            ("gone", "not found", "in no folder of PATH (bin)"),
            ("./gone", "not found", "a path from the top of the worktree"),
            ("bin/plain/x", "not found", "Not a directory"),
            ("./bin", "not executable", "is a folder"),
            ("bin/plain", "not executable", "--chmod=+x"),
            ("plain", "not executable", "bin/plain, which is not executable"),
        ] {
            let (found, message) = why(program);
            assert_eq!(found, kind, "{program}: {message}");
            assert!(message.contains(words), "{program}: {message}");
        }
        let nowhere = order(&cwd.join("gone"), "sh", "/bin");
        let NotStarted::NotFound(message) = find(&nowhere).unwrap_err() else { panic!() };
        assert!(message.contains("no folder") && message.contains("gone"), "{message}");
    }
}
