//! Places at which git stops until the test lets it go on: in the middle of
//! moving refs, and in the middle of writing the work tree.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::{Gate, Repo};

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
/// It says `moved` at the end.
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
    {before}
    git "$@" < "$input"
    code=$?
    {after}
    echo "$code" > "$GATE/code"
    at moved
    exit "$code"
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

/// From now on the next of them stops at this gate.
pub(crate) fn arm(gate: &Gate, place: &str) {
    fs::write(gate.path(&format!("armed.{place}")), "").unwrap();
}
