//! A project in a temporary folder, and git as people use it there.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use plan_service::{
    domain::{Fence, Oid, PlanId, RepoPath},
    git::{Git, GitCommand, Repo, Start, Worktree},
};
use tempfile::TempDir;

/// A repository with one commit on `main`, which holds `file`, `src/a` and
/// `src/b`.
pub(crate) struct Project {
    pub(crate) folder: TempDir,
    pub(crate) repo: Repo,
    pub(crate) first: Oid,
}

impl Project {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("project");
        make_repository(&root, &[]);
        Self::open(folder, &root).await
    }

    /// Opens what is at a path in this folder.
    pub(crate) async fn open(folder: TempDir, root: &Path) -> Self {
        let repo = Git::new("git").open(root).await.unwrap();
        let first = Oid::parse(git(root, &["rev-parse", "HEAD"]).trim()).unwrap();
        Self { folder, repo, first }
    }

    pub(crate) fn root(&self) -> &Path {
        self.repo.root()
    }

    /// Runs git in the project as a person would.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(self.root(), args)
    }

    pub(crate) fn oid(&self, name: &str) -> Oid {
        Oid::parse(self.git(&["rev-parse", name]).trim()).unwrap()
    }

    pub(crate) fn write(&self, path: &str, content: &str) {
        write(&self.root().join(path), content);
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.root().join(path)).unwrap();
    }

    /// Commits everything that is there.
    pub(crate) fn commit(&self, message: &str) -> Oid {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.oid("HEAD")
    }

    /// A commit upon another one, with what this does to the files in a folder
    /// of its own: the project's work tree stays as it is.
    pub(crate) fn aside(&self, base: &Oid, change: impl FnOnce(&Path)) -> Oid {
        let folder = self.beside("aside");
        let path = folder.to_str().unwrap();
        self.git(&["worktree", "add", "--quiet", "--detach", path, base.as_str()]);
        change(&folder);
        git(&folder, &["add", "--all"]);
        git(&folder, &["commit", "--quiet", "--allow-empty", "-m", "aside"]);
        let commit = Oid::parse(git(&folder, &["rev-parse", "HEAD"]).trim()).unwrap();
        self.git(&["worktree", "remove", "--force", path]);
        commit
    }

    /// A folder beside the project, which is not there yet.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A worktree on a new branch at the first commit.
    pub(crate) async fn worktree(&self) -> (Worktree, Start) {
        self.git(&["branch", "plan/x", self.first.as_str()]);
        let start = Start::Branch("refs/heads/plan/x".to_owned());
        (self.repo.add_worktree(&self.beside("work"), &start).await.unwrap(), start)
    }

    /// The names in a tree.
    pub(crate) fn names(&self, tree: &Oid) -> Vec<String> {
        let listed = self.git(&["ls-tree", "-r", "--name-only", tree.as_str()]);
        listed.lines().map(str::to_owned).collect()
    }
}

/// A repository with one commit.
pub(crate) fn make_repository(root: &Path, options: &[&str]) {
    fs::create_dir_all(root).unwrap();
    git(root, &[&["init", "--quiet", "--initial-branch=main"], options].concat());
    write(&root.join("file"), "one\ntwo\nthree\n");
    write(&root.join("src/a"), "a\n");
    write(&root.join("src/b"), "b\n");
    git(root, &["add", "--all"]);
    git(root, &["commit", "--quiet", "-m", "first"]);
}

/// Runs git as a person would who has no configuration; it must succeed.
pub(crate) fn git(cwd: &Path, args: &[&str]) -> String {
    let output = try_git(cwd, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?} in {cwd:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn try_git(cwd: &Path, args: &[&str]) -> Output {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        if name.as_bytes().starts_with(b"GIT_") {
            command.env_remove(name);
        }
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command.env("GIT_AUTHOR_NAME", "A Person").env("GIT_AUTHOR_EMAIL", "person@localhost");
    command.env("GIT_COMMITTER_NAME", "A Person").env("GIT_COMMITTER_EMAIL", "person@localhost");
    command.args(["-c", "protocol.file.allow=always"]);
    command.current_dir(cwd).args(args).output().unwrap()
}

/// Runs a command as a supervisor does.
pub(crate) fn run(command: &GitCommand) -> Output {
    let (program, args) = command.argv.split_first().unwrap();
    let mut running = Command::new(program);
    running.args(args).envs(&command.env).current_dir(&command.cwd).output().unwrap()
}

/// Writes a file, with the folders that it needs.
pub(crate) fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// One of the programs beside the tests, which take git's place.
pub(crate) fn program(name: &str) -> Git {
    Git::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/git/programs").join(name))
}

pub(crate) fn fence(plan: PlanId, token: u64) -> Fence {
    Fence { plan, token }
}

pub(crate) fn shown(paths: &[RepoPath]) -> Vec<String> {
    paths.iter().map(RepoPath::shown).collect()
}

pub(crate) fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}
