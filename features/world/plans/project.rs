//! Projects: real git repositories, and what somebody does in them beside the
//! service.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Whoever works in a project, told to git by the command line: the machine's
/// user may have no configuration, or a strange one.
const SOMEBODY: [&str; 8] = [
    "-c",
    "user.name=Somebody",
    "-c",
    "user.email=somebody@example.org",
    "-c",
    "commit.gpgsign=false",
    "-c",
    "core.hooksPath=/dev/null",
];

/// A git work tree, and how it was when somebody last did something in it.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) path: PathBuf,
    noted: Snapshot,
}

/// All of a project that is not the plans': its branches, its index, its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// What HEAD is: the name of a branch, or a commit.
    head: String,
    /// The commit of HEAD.
    pub(crate) commit: String,
    branches: String,
    status: String,
    files: BTreeMap<PathBuf, String>,
}

/// What git prints, without the last line break.
pub(crate) fn git(folder: &Path, args: &[&str]) -> String {
    let output = git_with(folder, args);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?} in {}: {told}", folder.display());
    String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
}

/// How a git command ends, whatever it does.
pub(crate) fn git_with(folder: &Path, args: &[&str]) -> Output {
    Command::new("git")
        .args(SOMEBODY)
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .output()
        .expect("run git")
}

impl Project {
    /// A new repository of a few files on main.
    pub(crate) fn create(path: PathBuf) -> Self {
        fs::create_dir_all(path.join("dir")).expect("a folder");
        git(&path, &["init", "-q", "-b", "main"]);
        let lines: String = (1..=10).map(|n| format!("line {n}\n")).collect();
        let files = [
            ("README.md", "# A project\n"),
            ("one.txt", lines.as_str()),
            ("two.txt", "two\n"),
            ("dir/three.txt", "three\n"),
            ("tool.sh", "#!/bin/sh\necho tool\n"),
        ];
        for (file, text) in files {
            fs::write(path.join(file), text).expect("write a file");
        }
        git(&path, &["add", "-A"]);
        git(&path, &["commit", "-q", "-m", "begin"]);
        let noted = snapshot(&path);
        Self { path, noted }
    }

    /// How it was when somebody last did something in it.
    pub(crate) fn noted(&self) -> &Snapshot {
        &self.noted
    }

    /// How it is now.
    pub(crate) fn now(&self) -> Snapshot {
        snapshot(&self.path)
    }

    /// Notes how it is, after somebody has done something.
    pub(crate) fn note(&mut self) {
        self.noted = snapshot(&self.path);
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.path, args)
    }

    /// Writes a file, in a folder that may not be there yet.
    pub(crate) fn write(&mut self, file: &str, text: &str) {
        let path = self.path.join(file);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("a folder");
        fs::write(path, text).expect("write a file");
        self.note();
    }

    /// Commits one file, and nothing else that lies around.
    pub(crate) fn commit(&mut self, file: &str, text: &str) {
        self.write(file, text);
        self.git(&["add", "--", file]);
        self.git(&["commit", "-q", "-m", "later", "--", file]);
        self.note();
    }

    /// The text of a file; none when it is not there.
    pub(crate) fn text(&self, file: &str) -> Option<String> {
        fs::read(self.path.join(file))
            .ok()
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The commits that a commit was made from.
    pub(crate) fn parents(&self, commit: &str) -> Vec<String> {
        let line = self.git(&["rev-list", "--parents", "-n", "1", commit]);
        line.split(' ').skip(1).map(str::to_owned).collect()
    }

    /// The merges of a branch, each with its second parent.
    pub(crate) fn merges(&self, branch: &str) -> Vec<(String, String)> {
        let list = self.git(&["rev-list", "--merges", branch]);
        let merges = list.lines().map(str::to_owned);
        merges.map(|merge| (merge.clone(), self.parents(&merge).swap_remove(1))).collect()
    }

    /// All refs with what they point to.
    pub(crate) fn refs(&self) -> String {
        self.git(&["for-each-ref", "--format=%(refname) %(objectname)"])
    }

    /// How many work trees git knows of, its own among them.
    pub(crate) fn worktrees(&self) -> usize {
        let list = self.git(&["worktree", "list", "--porcelain"]);
        list.lines().filter(|line| line.starts_with("worktree ")).count()
    }
}

fn snapshot(path: &Path) -> Snapshot {
    let head = git_with(path, &["symbolic-ref", "-q", "HEAD"]);
    let branches = git(path, &["for-each-ref", "--format=%(refname) %(objectname)", "refs/heads"]);
    let others = branches.lines().filter(|line| !line.starts_with("refs/heads/plan/"));
    let mut files = BTreeMap::new();
    collect(path, &mut files);
    Snapshot {
        head: String::from_utf8_lossy(&head.stdout).trim().to_owned(),
        commit: git(path, &["rev-parse", "HEAD"]),
        branches: others.collect::<Vec<_>>().join("\n"),
        status: git(path, &["status", "--porcelain=v1", "--untracked-files=all"]),
        files,
    }
}

/// Every file below a folder but git's own, with its bytes; a link with its
/// target.
fn collect(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
    for entry in fs::read_dir(folder).expect("read a folder") {
        let path = entry.expect("an entry").path();
        if path.file_name() == Some(OsStr::new(".git")) {
            continue;
        }
        if path.is_symlink() {
            let target = fs::read_link(&path).expect("read a link");
            files.insert(path, format!("-> {}", target.as_os_str().as_bytes().escape_ascii()));
        } else if path.is_dir() {
            collect(&path, files);
        } else {
            let bytes = fs::read(&path).expect("read a file");
            files.insert(path, bytes.escape_ascii().to_string());
        }
    }
}
