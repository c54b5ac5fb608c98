//! Places at which git stops until the test lets it go on: in the middle of
//! moving refs, and in the middle of writing the work tree.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

use super::{DEADLINE, Gate, Program, Repo};

/// When a move of refs is held up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Before it is made.
    Before,
    /// When it is made, and the service has not heard of it.
    After,
}

/// Writes a program that is git, except that, once the gate is armed by [`arm`],
/// the first of its ref transactions that names this ref stops at the gate `move`.
/// It says `moved` at the end. Once `full` is armed, the others that name this ref
/// fail as on a full disk.
pub(crate) fn held_at(gate: &Gate, program: &Path, name: &str, hold: Hold) {
    let words = gate.path("words.sh");
    let folder = gate.path("");
    let (before, after) = match hold {
        Hold::Before => ("pass move", ":"),
        Hold::After => (":", "pass move"),
    };
    let text = format!(
        r#"#!/bin/sh
case " $* " in *" update-ref "*) ;; *) exec git "$@" ;; esac
GATE='{folder}'
. '{words}'
input="$GATE/input.$$"
cat > "$input"
if [ -e "$GATE/armed.move" ] && grep -qaF -- '{name}' "$input" && mkdir "$GATE/held.move" 2> /dev/null; then
    echo "$$" > "$GATE/id.move"
    {before}
    git "$@" < "$input"
    code=$?
    {after}
    echo "$code" > "$GATE/code"
    at moved
    exit "$code"
fi
if [ -e "$GATE/armed.full" ] && grep -qaF -- '{name}' "$input"; then
    echo 'fatal: no space left on device' >&2
    exit 128
fi
exec git "$@" < "$input"
"#,
        folder = folder.display(),
        words = words.display(),
    );
    fs::write(program, text).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Lets git stop at the gate `write` when it next writes `slow.txt` into a work
/// tree, once the gate is armed by [`arm`].
pub(crate) fn slow_file(gate: &Gate, repo: &Repo) {
    let script = gate.path("smudge.sh");
    let text = format!(
        "GATE='{}'\n. '{}'\nif [ -e \"$GATE/armed.write\" ] && mkdir \"$GATE/held.write\" 2> /dev/null; then \
         pass write; fi\ncat\n",
        gate.path("").display(),
        gate.path("words.sh").display(),
    );
    fs::write(&script, text).unwrap();
    repo.git(&["config", "filter.slow.smudge", &format!("sh '{}'", script.display())]);
    repo.commit(".gitattributes", "slow.txt filter=slow\n");
}

/// Kills the git that stops at the gate `move`, with all that it has started.
pub(crate) async fn kill_held(gate: &Gate) {
    let id = gate.lines("id.move").remove(0);
    let program = Program::of(&id);
    // The service starts each git in a process group of its own.
    killpg(Pid::from_raw(id.parse().unwrap()), Signal::SIGKILL).unwrap();
    program.ends(DEADLINE).await;
}

/// Writes a program that is git, except that the next of its commands with these
/// words (`worktree remove`) stops once a gate is armed by [`arm`], at that gate.
/// It says `GATE.ended` at the end.
pub(crate) fn held_when(gate: &Gate, program: &Path, words: &str) {
    let text = format!(
        r#"#!/bin/sh
case " $* " in *" {words} "*) ;; *) exec git "$@" ;; esac
GATE='{folder}'
. "$GATE/words.sh"
for armed in "$GATE"/armed.*; do
    place="${{armed##*.}}"
    mv "$armed" "$GATE/taken.$place" 2> /dev/null || continue
    pass "$place"
    code=0
    git "$@" || code=$?
    at "$place.ended"
    exit "$code"
done
exec git "$@"
"#,
        folder = gate.path("").display(),
    );
    fs::write(program, text).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
}

/// From now on the next of them stops at this gate.
pub(crate) fn arm(gate: &Gate, place: &str) {
    fs::write(gate.path(&format!("armed.{place}")), "").unwrap();
}
