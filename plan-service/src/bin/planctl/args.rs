//! The command line: what `planctl --help` says and what it makes of the
//! arguments.

mod help;
mod value;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use proto::plan::v1::{PlanPhase, PlanState};
use service_kit::cli::Format;

/// Runs plans on git projects: makes them, executes them in a worktree of their
/// own, shows what they change, and merges it.
///
/// A project is a git work tree on the service's machine. An action is a
/// template of commands. A plan is an action used on a project: it is
/// strategized, executed and applied, each under the plan's lock, so that it is
/// worked on by one run at a time, whoever asks and wherever.
#[derive(Debug, Parser)]
#[command(name = "planctl", version, after_help = help::after(), max_term_width = 100)]
pub(crate) struct Cli {
    /// Where and how.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Where the service is: any of its instances.
    #[arg(
        long,
        value_name = "URL",
        env = "PLANCTL_ADDR",
        default_value = "http://127.0.0.1:50052",
        global = true
    )]
    pub(crate) addr: String,

    /// How to print the answer: for people or for programs.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, global = true)]
    pub(crate) output: Format,

    /// For how long to wait for the answer to each call; and, of what is
    /// watched, for a service that went away.
    #[arg(long, value_name = "SPAN", default_value = "30s", value_parser = value::span, global = true)]
    pub(crate) timeout: Duration,
}

/// What `planctl` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make git work trees known, and show those that are.
    #[command(subcommand)]
    Project(ProjectCommand),
    /// Create actions, and show those that there are.
    #[command(subcommand)]
    Action(ActionCommand),
    /// Make a plan: use an action on a project.
    ///
    /// Checks the arguments and the project, pins the commit to start from and
    /// says what is going to be run. Changes nothing in the project. Prints the
    /// plan, its id first. A strategy that takes long is still being made then
    /// (the plan is PROCESSING): `planctl status PLAN --follow` shows when it is
    /// there, and --wait waits for it.
    ///
    /// Ends with 1 if the plan could be made, but no strategy for it: it is
    /// ERRORED, and its id is printed all the same.
    Use(UseArgs),
    /// Show how a plan stands, its steps, its lock, and what one can do next.
    ///
    /// On a terminal, a plan that is PROCESSING is followed until it rests, in a
    /// live view: a progress bar over the steps of its phase, the steps, and who
    /// holds its lock. With --once, with --output json and where standard output
    /// is no terminal, it is shown once, as it stands now, and the exit code is 0.
    ///
    /// What is followed, there or with --follow, ends with 0 if the phase is
    /// COMPLETE or the plan APPLIED, and with 1 or 76 otherwise.
    Status(StatusArgs),
    /// Run a plan's steps in a worktree of their own, and commit on the plan's
    /// branch what each has changed.
    ///
    /// Answers once the plan's lock is held and the work has begun. If another
    /// run holds it, says which, and ends with 75.
    Execute(ExecuteArgs),
    /// Run a plan's checks, and merge its branch into the project's current one,
    /// all or nothing.
    ///
    /// Uncommitted changes in the project that the merge would touch are refused
    /// before anything happens (81). A merge that conflicts leaves the project
    /// as it is: the plan is CONSTRAINED, and can be reverted.
    Apply(ApplyArgs),
    /// Go back to a new strategy, on the project's commit of now. What was
    /// executed is dropped with the plan's branch.
    ///
    /// Ends with 1 if the plan is ERRORED already when the answer comes.
    Revert(RevertArgs),
    /// Run the phase of a plan again that is ERRORED. Steps whose changes are
    /// committed are not run again.
    Retry(ApplyArgs),
    /// End a plan that is not applied. One that is running is told to stop,
    /// wherever it runs.
    Cancel(CancelArgs),
    /// Print what a plan changes, as a patch.
    ///
    /// Colours as git has them, on a terminal; elsewhere the plain bytes, so
    /// that `planctl diff PLAN | git apply` works, for binary files and whatever
    /// their encoding, too. Ends with 1 if the patch is longer than the service
    /// sends (3 MiB at most), or, with --stat, if there are more files than it
    /// tells (10,000 at most), and says so.
    Diff(DiffArgs),
    /// List the files that each step of a plan has changed: A added, M modified,
    /// D deleted, R renamed, T of another type.
    Changes(PlanArgs),
    /// List plans, the newest first.
    List(ListArgs),
    /// Show what happens to a plan and what its steps write, as it happens,
    /// until it is APPLIED or CANCELLED, or until Ctrl-C.
    ///
    /// When the service goes away, says so, and goes on as soon as it can be
    /// reached again within --timeout.
    Watch(PlanArgs),
    /// Say whether the service, its database and its lock server are well; of a
    /// plan, show its history, its lock and what its steps wrote last.
    ///
    /// Ends with 0 if all is well, 2 if something needs attention, 69 if the
    /// service cannot be reached.
    Diagnostics(DiagnosticsArgs),
    /// Print a completion script for a shell.
    ///
    /// For bash: source <(planctl completions bash)
    Completions(CompletionsArgs),
}

/// What can be done with projects.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// Make a git work tree on the service's machine known under a name.
    ///
    /// It must have a commit, and must not be known already (73).
    Add(ProjectAddArgs),
    /// List the projects by name.
    List(PageArgs),
    /// Show one project.
    Show(NameArgs),
}

/// What can be done with actions.
#[derive(Debug, Subcommand)]
pub(crate) enum ActionCommand {
    /// Create actions from TOML files. All files are checked before the first
    /// action is created.
    #[command(after_help = help::ACTION_FILE)]
    Create(ActionCreateArgs),
    /// List the actions by name.
    List(ActionListArgs),
    /// Show one action: its parameters, steps and checks.
    Show(NameArgs),
}

/// Arguments of `project add`.
#[derive(Debug, Args)]
pub(crate) struct ProjectAddArgs {
    /// What to call it: a lower-case letter, then up to 62 of a-z, 0-9, _ and -.
    pub(crate) name: String,
    /// The work tree's folder; a relative one is taken from this folder, and the
    /// service must find it at the same place.
    pub(crate) path: PathBuf,
}

/// How many.
#[derive(Debug, Args)]
pub(crate) struct PageArgs {
    /// At most this many [default: all].
    #[arg(long, value_name = "N", value_parser = value::limit())]
    pub(crate) limit: Option<u64>,
}

/// Which one.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// Its name.
    pub(crate) name: String,
}

/// Arguments of `action create`.
#[derive(Debug, Args)]
pub(crate) struct ActionCreateArgs {
    /// The file; `-` is standard input. Repeatable.
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// Arguments of `action list`.
#[derive(Debug, Args)]
pub(crate) struct ActionListArgs {
    /// Only actions of this namespace.
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// Arguments of `use`.
#[derive(Debug, Args)]
pub(crate) struct UseArgs {
    /// Which action, NAMESPACE/NAME.
    #[arg(value_name = "ACTION")]
    pub(crate) action: String,
    /// On which project.
    #[arg(long, value_name = "NAME")]
    pub(crate) project: String,
    /// The value of a parameter. Repeatable.
    #[arg(long = "arg", value_name = "KEY=VALUE", value_parser = value::argument)]
    pub(crate) arguments: Vec<(String, String)>,
    /// The id of the new plan [default: a new UUIDv7].
    ///
    /// A call that got no answer can be sent again with the same id: it makes no
    /// second plan.
    #[arg(long, value_name = "UUID")]
    pub(crate) id: Option<String>,
    /// Wait until the strategy is made. Ends with 0 if it is COMPLETE.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print nothing but the plan's id.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Which plan.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The plan's id.
    #[arg(value_name = "PLAN")]
    pub(crate) plan: String,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Show it as it goes on, until it rests: on a terminal redrawn in place,
    /// elsewhere a line for each change.
    #[arg(short = 'w', long)]
    pub(crate) follow: bool,
    /// Show it as it stands now, also on a terminal while it is PROCESSING.
    #[arg(long, conflicts_with = "follow")]
    pub(crate) once: bool,
}

/// Whether to look on.
#[derive(Debug, Args)]
pub(crate) struct WatchFlag {
    /// Show what the steps write, until the plan rests. Ends with 0 if the phase
    /// is COMPLETE or the plan APPLIED, and with 1 or 76 otherwise.
    ///
    /// Ctrl-C ends planctl with 130, and the plan goes on.
    #[arg(long)]
    pub(crate) watch: bool,
}

/// Arguments of `execute`.
#[derive(Debug, Args)]
pub(crate) struct ExecuteArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) watch: WatchFlag,
}

/// Arguments of `revert`.
#[derive(Debug, Args)]
pub(crate) struct RevertArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    #[command(flatten)]
    pub(crate) watch: WatchFlag,
}

/// Arguments of `apply` and of `retry`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// For how long to wait in line for the project's lock if another plan is
    /// being applied to it [default: not at all].
    #[arg(long, value_name = "SPAN", value_parser = value::wait, allow_hyphen_values = true)]
    pub(crate) wait: Option<Duration>,
    #[command(flatten)]
    pub(crate) watch: WatchFlag,
}

/// Arguments of `cancel`.
#[derive(Debug, Args)]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// Why, for others to read.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// How much each file changes, and no patch. In JSON, `truncated` says then
    /// whether files are missing in `files`; `file_count` counts all.
    #[arg(long)]
    pub(crate) stat: bool,
    /// When to colour.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub(crate) color: Color,
}

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only plans on this project.
    #[arg(long, value_name = "NAME")]
    pub(crate) project: Option<String>,
    /// Only plans of this action.
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Option<String>,
    /// Only plans in this phase.
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) phase: Option<Phase>,
    /// Only plans in this state.
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) state: Option<State>,
    #[command(flatten)]
    pub(crate) page: PageArgs,
}

/// A phase, as one types it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Phase {
    Action,
    Strategize,
    Execute,
    Apply,
}

/// A state, as one types it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum State {
    Queued,
    Processing,
    Complete,
    Errored,
    Constrained,
    Cancelled,
    Applied,
}

/// Arguments of `diagnostics`.
#[derive(Debug, Args)]
pub(crate) struct DiagnosticsArgs {
    /// Show this plan from near, too.
    #[arg(value_name = "PLAN")]
    pub(crate) plan: Option<String>,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

impl From<Phase> for PlanPhase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Action => Self::Action,
            Phase::Strategize => Self::Strategize,
            Phase::Execute => Self::Execute,
            Phase::Apply => Self::Apply,
        }
    }
}

impl From<State> for PlanState {
    fn from(state: State) -> Self {
        match state {
            State::Queued => Self::Queued,
            State::Processing => Self::Processing,
            State::Complete => Self::Complete,
            State::Errored => Self::Errored,
            State::Constrained => Self::Constrained,
            State::Cancelled => Self::Cancelled,
            State::Applied => Self::Applied,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(format!("planctl {line}").split(' '))
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_longest_answers_of_a_service_come_in_time() {
        let service = plan_service::Config::try_parse_from(["plan-service"]).unwrap();
        let limit = parse("list").unwrap().global.timeout;
        // A move may ask for two locks, and again for one that is given back.
        let longest = service.work.lock_timeout * 4;
        assert!(longest < limit, "{longest:?} are not within {limit:?}");
    }

    #[test]
    fn a_status_is_shown_once_or_followed() {
        for (line, expected) in [
            ("status p", (false, false)),
            ("status p --once", (false, true)),
            ("status p -w", (true, false)),
        ] {
            let Command::Status(args) = parse(line).unwrap().command else { panic!("not status") };
            assert_eq!((args.follow, args.once), expected, "{line}");
        }
        assert!(parse("status p --once -w").is_err());
    }

    #[test]
    fn phases_and_states_are_read_in_either_case() {
        for line in ["list --phase EXECUTE --state errored", "list --phase execute --state ERRORED"]
        {
            let Command::List(list) = parse(line).unwrap().command else { panic!("not list") };
            assert_eq!((list.phase, list.state), (Some(Phase::Execute), Some(State::Errored)));
        }
        assert!(parse("list --phase done").is_err());
    }

    #[test]
    fn an_action_takes_one_file_or_more() {
        let line = "action create -f a.toml --file -";
        let Command::Action(ActionCommand::Create(create)) = parse(line).unwrap().command else {
            panic!("not create")
        };
        assert_eq!(create.files, [PathBuf::from("a.toml"), PathBuf::from("-")]);
        assert!(parse("action create").is_err());
    }

    #[test]
    fn arguments_keep_their_order_and_their_equals_signs() {
        let Command::Use(used) =
            parse("use edit/x --project p --arg b=1 --arg a=x=y").unwrap().command
        else {
            panic!("not use")
        };
        let arguments: Vec<_> =
            used.arguments.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(arguments, [("b", "1"), ("a", "x=y")]);
        assert!(parse("use edit/x").is_err(), "a project is needed");
    }
}
