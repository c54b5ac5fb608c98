//! The longer texts of `lockctl --help`.

use crate::exit;

const EXAMPLES: &str = "\
Examples:
  Hold a lock while a command runs, and let it go afterwards:
    lockctl run plan/42 --ttl 30s -- ./apply.sh

  The same, after those who came before:
    lockctl run plan/42 --wait 5m -- ./apply.sh

  Take a lock, keep it a while longer, give it back:
    lockctl acquire plan/42 --owner me --ttl 60s --metadata task=import
    lockctl renew plan/42 --owner me --token 1763690400000000
    lockctl release plan/42 --owner me

  See who holds what, and whose lease ran out:
    lockctl get plan/42
    lockctl list --type plan
    lockctl stale --older-than 5m --output json

  See what happens to them:
    lockctl watch --type plan

  Break a lock whose holder hangs, and see what was broken of late:
    lockctl force-release plan/42 --token 1763690400000000 --reason \"hangs since noon\"
    lockctl events --since 2h

A resource is written TYPE/ID, such as plan/42; the id may hold slashes of its
own. Spans are written 500ms, 30s, 5m or 1h, times 2026-01-02T15:04:05Z.

With --output json each command but watch prints one JSON document whose fields
are named as in lock/v1/lock.proto: times in RFC 3339, spans in seconds (\"12.300s\"),
fencing tokens as numbers. `retried` says that an attempt before the last had no
answer and may have done what the last one found done. Errors go to standard
error as {\"error\": {\"reason\": …, \"message\": …, \"metadata\": {…}}}, and what went
wrong beside the work of `run` as {\"warning\": {…}} with the same fields. What
cannot be seen in an id is shown as \\u{…} in tables, and escaped in JSON.";

/// The token is required: see [`super::ForceReleaseArgs`].
pub(super) const FORCE_RELEASE_USAGE: &str =
    "lockctl force-release [OPTIONS] --token <TOKEN> --reason <TEXT> <TYPE/ID>";

/// What `lockctl run --help` says.
pub(super) const RUN: &str = "\
Hold a lock while a command runs.

The lock is renewed for as long as the command runs, and given back afterwards.
If it cannot be given back, it runs out by itself: the exit code is still the
command's own, and standard error has a warning. Who asks lockctl to end (INT,
TERM, HUP or QUIT) while it gives the lock back waits for 1 s more at most.

The command finds LOCK_RESOURCE, LOCK_OWNER_ID and LOCK_FENCING_TOKEN in its
environment. lockctl ends with the command's own exit code, or with 128+N if
signal N ended it (1 for a real-time signal).

The command gets a process group of its own, and the terminal if lockctl has it.
INT, TERM, HUP, QUIT, USR1, USR2, WINCH, TSTP and CONT are passed on to the
whole group; with one that asks to end (the first four), a stopped command is
woken up to hear it. When the command has ended, processes that it left behind
in its group are ended too (TERM, then KILL after 2 s), and only then is the
lock given back. A process that leaves the group, as daemons do, is not looked
after.

If the lease cannot be renewed, the whole group gets TERM shortly before the
lease can be somebody else's (a sixth of the lease before, between 100 ms and
5 s) and KILL while it still cannot. If the server says that the lease is gone,
the group gets TERM at once and KILL 200 ms later. Either way lockctl ends with
76, and says who broke the lock and why if somebody did (lockctl force-release).
A suspended command (Ctrl-Z) suspends lockctl, and the lease runs on: if it has
run out by the time of `fg`, the command ends without running another line.

With --wait it waits in line for the lock, and the command starts once it is
granted. On a terminal a line on standard error shows meanwhile who holds it and
until when, and how many wait; elsewhere one line says that it has to wait. Who
asks lockctl to end gives its place up.

Each run has an owner of its own unless --owner names one; LOCKCTL_OWNER, which
other commands read, does not count. If that owner holds the lock already, in
another run say, nothing is run and lockctl ends with 75. With --reenter it goes
on: the two then run at the same time, and the first to end gives the lock back
under the other, which is ended.

A lease that somebody else makes shorter meanwhile (lockctl renew --ttl) is
noticed with the next renewal only, and the command may run past its end until
then.

Nothing looks after the command if lockctl itself is killed with KILL or stopped
with STOP: the lease then runs out under it. What the lock protects should check
LOCK_FENCING_TOKEN.";

/// What `lockctl --help` ends with.
pub(super) fn after() -> String {
    format!("{EXAMPLES}\n\n{}", exit::TABLE)
}
