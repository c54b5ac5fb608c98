//! The longer texts of `planctl --help`.

use crate::exit;

const EXAMPLES: &str = "\
Examples:
  Make a git work tree known, and an action:
    planctl project add sample ~/src/sample
    planctl action create -f rename.toml

  Make a plan, and run it to the end:
    planctl use edit/rename --project sample --arg from=colour --arg to=color
    planctl execute PLAN --watch
    planctl diff PLAN
    planctl apply PLAN --watch

  In a script:
    plan=$(planctl use edit/format --project sample --wait --quiet) &&
      planctl execute \"$plan\" --watch && planctl apply \"$plan\" --wait 5m --watch

  See how it stands, and what one can do next; on a terminal, see it run:
    planctl status PLAN
    planctl list --project sample --state errored

  Begin anew on the project's commit of now, or end it:
    planctl revert PLAN --watch
    planctl cancel PLAN --reason \"not needed any more\"

  See whether all is well:
    planctl diagnostics

A PLAN is the id that `planctl use` printed, a UUID. Spans are written 500ms,
30s, 5m or 1h.

With --output json each command prints one JSON document whose fields are named
as in plan/v1/plan.proto: times in RFC 3339, spans in seconds (\"12.300s\"), fencing
tokens as numbers, bytes in base64, phases, states and kinds by their names there
(PLAN_STATE_ERRORED). What goes on for a while (watch, --watch, --follow) prints
one object a line, each with one field: `plan`, `output` (with the bytes as text
beside them), `progress`, or planctl's own `interrupted`. Errors go to standard
error as {\"error\": {\"reason\": …, \"message\": …, \"metadata\": {…}}}; in the
metadata, `phase` and `state` are named as in a plan, `files` are the first of
the files that it is about, and `fields` says of each wrong field what is wrong
with it; of an action file, `lines` says of each on which line it is. What
cannot be seen is shown as \\u{…} on a terminal and in tables, and escaped in
JSON.";

/// What `planctl action create --help` ends with.
pub(super) const ACTION_FILE: &str = "\
An action file:
  name = \"edit/rename\"              # NAMESPACE/NAME
  description = \"Renames a word in one file.\"

  [[parameters]]
  name = \"from\"                     # stands in commands as {{from}}
  type = \"string\"                   # or integer, boolean, choice, path
  [[parameters]]
  name = \"file\"
  type = \"path\"
  default = \"README.md\"             # without one, a plan must say

  [[steps]]                         # what `execute` runs, in this order
  name = \"replace\"
  argv = [\"sed\", \"-i\", \"s/{{from}}/color/g\", \"{{file}}\"]
  env = { LC_ALL = \"C\" }
  time_limit = \"90s\"                # 10m unless it says otherwise
  group = \"edits\"                   # runs beside its neighbours of this group

  [[checks]]                        # what must succeed before `apply` merges
  name = \"test\"
  argv = [\"make\", \"test\"]

Nothing in it is ever read by a shell.";

/// What `planctl --help` ends with.
pub(super) fn after() -> String {
    format!("{EXAMPLES}\n\n{}", exit::TABLE)
}
