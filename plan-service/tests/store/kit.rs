//! A store to test on a database of its own, plans to put into it, and plain SQL
//! beside it.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use plan_service::{
    domain::{
        ActionDraft, ActionName, ActionTemplate, Change, ChangeKind, Changeset, Event, Fence,
        Moment, Name, Oid, Phase, Plan, PlanId, Problem, ProblemReason, Project, RepoPath, Run,
        State, Step, StepState, Strategy,
    },
    store::{Fenced, OpenOptions, OutputKey, OutputTail, PlanWrite, SharedStore, open},
};
use service_kit::{
    database::{DatabaseUrl, Migrate},
    testing::postgres::{self, TestDatabase},
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

/// A store on a database of its own.
pub(crate) struct Kit {
    pub(crate) store: SharedStore,
    pub(crate) url: String,
    _folder: Option<TempDir>,
    _database: Option<TestDatabase>,
}

/// How the suite opens a store.
pub(crate) fn options() -> OpenOptions {
    OpenOptions { max_connections: 8, timeout: Duration::from_secs(60), migrate: Migrate::Auto }
}

pub(crate) async fn open_at(url: &str) -> SharedStore {
    open(&DatabaseUrl::parse(url).unwrap(), &options()).await.unwrap()
}

impl Kit {
    pub(crate) async fn memory() -> Self {
        let url = "sqlite::memory:".to_owned();
        Self { store: open_at(&url).await, url, _folder: None, _database: None }
    }

    pub(crate) async fn file() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // In a folder that is not there yet, with a name that a URL would encode.
        let path = folder.path().join("new folder").join("plans #1.db");
        let url = format!("sqlite://{}", path.display());
        Self { store: open_at(&url).await, url, _folder: Some(folder), _database: None }
    }

    pub(crate) async fn postgres() -> Self {
        let database = postgres::database().await;
        let url = database.url().to_owned();
        Self { store: open_at(&url).await, url, _folder: None, _database: Some(database) }
    }

    /// On a database that is there already.
    pub(crate) async fn at(url: &str) -> Self {
        Self { store: open_at(url).await, url: url.to_owned(), _folder: None, _database: None }
    }

    /// Another store on the same database, as another instance has it.
    pub(crate) async fn another(&self) -> SharedStore {
        open_at(&self.url).await
    }

    /// Runs plain SQL: how many rows it changed.
    pub(crate) async fn sql(&self, sql: &str) -> u64 {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        if let Some(path) = self.url.strip_prefix("sqlite://") {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
            let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
            sql.execute(&mut connection).await.unwrap().rows_affected()
        } else {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            sql.execute(&mut connection).await.unwrap().rows_affected()
        }
    }

    /// Adds a plan under token 1.
    pub(crate) async fn add(&self, plan: &Plan) {
        assert!(self.store.add_plan(plan, fence(plan, 1), event(plan, 1)).await.unwrap());
    }

    /// A new plan, with two steps and a check, added under token 1.
    pub(crate) async fn added(&self) -> Plan {
        let plan = new_plan();
        self.add(&plan).await;
        plan
    }

    /// Writes a plan that nobody else writes: its version then.
    pub(crate) async fn write(&self, token: u64, write: PlanWrite<'_>) -> u64 {
        let fence = fence(write.plan, token);
        written(self.store.write_plan(fence, write).await.unwrap())
    }

    /// Everything that is kept of a plan.
    pub(crate) async fn all_of(&self, plan: PlanId) -> All {
        All {
            plan: self.store.plan(plan).await.unwrap(),
            cancel: self.store.cancel_requested(plan).await.unwrap(),
            events: self.store.events(plan).await.unwrap(),
            changesets: self.store.changesets(plan, None, 1_000, 1_000).await.unwrap(),
            outputs: self.store.outputs(plan).await.unwrap(),
        }
    }
}

/// Everything that is kept of a plan.
#[derive(Debug, PartialEq)]
pub(crate) struct All {
    pub(crate) plan: Option<Plan>,
    pub(crate) cancel: Option<String>,
    pub(crate) events: Vec<Event>,
    pub(crate) changesets: Vec<Changeset>,
    pub(crate) outputs: BTreeMap<OutputKey, OutputTail>,
}

pub(crate) fn written(fenced: Fenced) -> u64 {
    match fenced {
        Fenced::Written(version) => version,
        Fenced::Refused => panic!("refused"),
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn action_name(text: &str) -> ActionName {
    ActionName::parse(text).unwrap()
}

pub(crate) fn oid(digit: char) -> Oid {
    Oid::parse(&digit.to_string().repeat(40)).unwrap()
}

pub(crate) fn project(called: &str, path: &str) -> Project {
    let created_at = Moment::from_micros(1_700_000_000_000_001);
    Project { name: name(called), path: PathBuf::from(path), created_at }
}

pub(crate) fn template(called: &str, description: &str) -> ActionTemplate {
    let draft: ActionDraft = toml::from_str(&format!(
        r#"
        name = "{called}"
        description = "{description}"
        [[parameters]]
        name = "word"
        type = "choice"
        choices = ["a", "b"]
        default = "a"
        [[steps]]
        name = "first"
        argv = ["echo", "{{{{word}}}}"]
        env = {{ WORD = "{{{{word}}}}" }}
        group = "both"
        [[steps]]
        name = "second"
        argv = ["true"]
        time_limit = "90s"
        group = "both"
        [[checks]]
        name = "first"
        argv = ["true"]
        "#
    ))
    .unwrap();
    draft.check().unwrap()
}

fn step(called: &str) -> Step {
    Step {
        name: name(called),
        argv: vec!["echo".to_owned(), "a\0b\u{202e}\"'".to_owned()],
        env: BTreeMap::from([("WORD".to_owned(), "ä\n".to_owned())]),
        time_limit: Duration::from_millis(1_500),
        group: Some(name("both")),
        state: StepState::Waiting,
        exit_code: Some(-1),
        signal: Some(9),
        started_at: Some(Moment::from_micros(5)),
        ended_at: None,
        commit: Some(oid('c')),
        output_bytes: 0,
    }
}

/// A plan that begins, as if it were made now.
pub(crate) fn new_plan() -> Plan {
    plan_at(Moment::now().micros())
}

/// A plan that was made then.
pub(crate) fn plan_at(micros: i64) -> Plan {
    Plan {
        id: PlanId::new(),
        project: name("site"),
        action: action_name("edit/rename"),
        template: template("edit/rename", "renames"),
        arguments: BTreeMap::from([("word".to_owned(), "b".to_owned())]),
        phase: Phase::Action,
        state: State::Queued,
        problem: None,
        created_at: Moment::from_micros(micros),
        updated_at: Moment::from_micros(micros),
        generation: 0,
        strategy: Some(Strategy { base: oid('a'), branch: "refs/heads/main".to_owned() }),
        steps: vec![step("first"), step("second")],
        checks: vec![step("first")],
        head: None,
        merge: None,
        run: Some(Run {
            owner_id: "me".to_owned(),
            instance: "here".to_owned(),
            started_at: Moment::from_micros(7),
        }),
        ended_by: Some("somebody".to_owned()),
        fencing_token: 0,
        version: 0,
        cancel_requested: None,
    }
}

pub(crate) fn fence(plan: &Plan, token: u64) -> Fence {
    Fence { plan: plan.id, token }
}

/// The event that a plan is where it is.
pub(crate) fn event(plan: &Plan, token: u64) -> Event {
    Event {
        at: Moment::now(),
        phase: plan.phase,
        state: plan.state,
        problem: plan.problem.clone(),
        fencing_token: token,
        instance: "here".to_owned(),
    }
}

pub(crate) fn problem() -> Problem {
    Problem::new(ProblemReason::MergeConflict, "nul \0, quote ' and \u{202e}")
        .about(["a.txt".to_owned()])
        .in_step("first")
}

/// A change that is told apart by its number.
pub(crate) fn change(number: usize) -> Change {
    Change {
        kind: ChangeKind::Modified,
        path: RepoPath(format!("src/{number}.rs").into_bytes()),
        old_path: None,
        old_mode: "100644".to_owned(),
        new_mode: "100755".to_owned(),
        binary: false,
        added_lines: number as u64,
        removed_lines: 1,
    }
}

pub(crate) fn key(check: bool, called: &str) -> OutputKey {
    OutputKey { check, name: name(called) }
}
