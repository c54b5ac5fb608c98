//! The script that makes a repository of the sample.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::support::{git, write};

/// A home whose owner signs commits, without a key, and has hooks that refuse.
fn strict_home(folder: &Path) -> PathBuf {
    let home = folder.join("home");
    let hooks = home.join("hooks");
    write(
        &home.join(".gitconfig"),
        &format!(
            "[commit]\n\tgpgsign = true\n[gpg]\n\tprogram = false\n[core]\n\thooksPath = {}\n",
            hooks.display()
        ),
    );
    for hook in ["pre-commit", "commit-msg", "post-commit"] {
        write(&hooks.join(hook), "#!/bin/sh\ntouch \"$HOME/hook-was-run\"\nexit 1\n");
        fs::set_permissions(hooks.join(hook), fs::Permissions::from_mode(0o755)).unwrap();
    }
    home
}

fn new_sample(home: &Path, path: &str, at: &str) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/new-sample.sh");
    let mut command = Command::new("sh");
    command.arg(script).arg(at).env("HOME", home).env("PATH", path);
    command.env_remove("GIT_CONFIG_GLOBAL").env_remove("XDG_CONFIG_HOME");
    command.current_dir(home.parent().unwrap()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn whatever_the_machines_user_has_configured() {
    let folder = tempfile::tempdir().unwrap();
    let home = strict_home(folder.path());
    let path = std::env::var("PATH").unwrap();
    for at in ["sample", "a/b c"] {
        let made = new_sample(&home, &path, at);
        assert!(made.status.success(), "{}", said(&made));
        let root = folder.path().join(at);
        assert_eq!(git(&root, &["status", "--porcelain"]), "");
        assert_eq!(git(&root, &["log", "--format=%an %s"]), "sample A program that greets\n");
        assert_eq!(git(&root, &["symbolic-ref", "HEAD"]), "refs/heads/main\n");
    }
    assert!(!home.join("hook-was-run").exists());
    let again = new_sample(&home, &path, "sample");
    assert_eq!(again.status.code(), Some(64));
    assert!(said(&again).contains("sample is there already"), "{}", said(&again));
    assert!(folder.path().join("sample/src/main.c").is_file(), "what was there is not touched");
}

#[test]
fn what_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let home = strict_home(folder.path());
    // A git that does all but commit.
    let bin = folder.path().join("bin");
    let real = git(folder.path(), &["--exec-path"]);
    let real = Path::new(real.trim()).join("git");
    write(
        &bin.join("git"),
        &format!("#!/bin/sh\ncase \"$*\" in *commit*) exit 1;; esac\nexec {real:?} \"$@\"\n"),
    );
    fs::set_permissions(bin.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let failed = new_sample(&home, &path, "sample");
    assert!(!failed.status.success());
    assert!(!folder.path().join("sample").exists(), "{}", said(&failed));
    // So it can be tried again.
    let made = new_sample(&home, &std::env::var("PATH").unwrap(), "sample");
    assert!(made.status.success(), "{}", said(&made));
}
