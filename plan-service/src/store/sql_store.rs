//! The store on a database of either engine: each method is one transaction,
//! within the time that there is.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::{
    AddedProject, ChangesetHandle, Ending, Fenced, OutputKey, OutputMark, OutputTail, PlanFilter,
    PlanWrite, Store, StoreError, StoredAction,
    database::{Database, Engine},
};
use crate::domain::{
    ActionName, ActionTemplate, Change, Changeset, ChangesetId, Event, Fence, Merge, Moment, Name,
    Phase, Plan, PlanId, Project, State,
};

mod actions;
mod changesets;
mod fence;
mod outputs;
mod plans;
mod projects;
mod read;

/// The store on a database of either engine.
#[derive(Debug)]
pub(super) struct SqlStore {
    database: Database,
}

impl SqlStore {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Store for SqlStore {
    fn engine(&self) -> &'static str {
        match self.database.engine() {
            Engine::Postgres => "postgres",
            Engine::Sqlite => "sqlite",
        }
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let db = &self.database;
        db.in_time(|| read::probe(db)).await
    }

    async fn close(&self) {
        self.database.close().await;
    }

    async fn add_project(&self, project: &Project) -> Result<AddedProject, StoreError> {
        let db = &self.database;
        db.in_time(|| projects::add(db, project)).await
    }

    async fn project(&self, name: &Name) -> Result<Option<Project>, StoreError> {
        let db = &self.database;
        db.in_time(|| projects::get(db, name)).await
    }

    async fn projects(&self, after: Option<&Name>, limit: u32) -> Result<Vec<Project>, StoreError> {
        let db = &self.database;
        db.in_time(|| projects::list(db, after, limit)).await
    }

    async fn add_action(
        &self,
        template: &ActionTemplate,
        created_at: Moment,
    ) -> Result<bool, StoreError> {
        let db = &self.database;
        db.in_time(|| actions::add(db, template, created_at)).await
    }

    async fn action(&self, name: &ActionName) -> Result<Option<StoredAction>, StoreError> {
        let db = &self.database;
        db.in_time(|| actions::get(db, name)).await
    }

    async fn actions(
        &self,
        namespace: Option<&Name>,
        after: Option<&ActionName>,
        limit: u32,
    ) -> Result<Vec<StoredAction>, StoreError> {
        let db = &self.database;
        db.in_time(|| actions::list(db, namespace, after, limit)).await
    }

    async fn add_plan(&self, plan: &Plan, fence: Fence, event: Event) -> Result<bool, StoreError> {
        let db = &self.database;
        db.in_time(|| plans::add(db, plan, fence, &event)).await
    }

    async fn plan(&self, id: PlanId) -> Result<Option<Plan>, StoreError> {
        let db = &self.database;
        db.in_time(|| read::plan(db, id)).await
    }

    async fn plan_version(&self, id: PlanId) -> Result<Option<u64>, StoreError> {
        let db = &self.database;
        db.in_time(|| read::version(db, id)).await
    }

    async fn plans(
        &self,
        filter: &PlanFilter,
        before: Option<PlanId>,
        limit: u32,
    ) -> Result<Vec<Plan>, StoreError> {
        let db = &self.database;
        db.in_time(|| read::list(db, filter, before, limit)).await
    }

    async fn processing_plans(&self) -> Result<Vec<PlanId>, StoreError> {
        let db = &self.database;
        db.in_time(|| read::processing(db)).await
    }

    async fn noted_merges(&self, project: &Name) -> Result<Vec<(PlanId, Merge)>, StoreError> {
        let db = &self.database;
        db.in_time(|| read::noted_merges(db, project)).await
    }

    async fn count_plans(&self) -> Result<Vec<(Phase, State, u64)>, StoreError> {
        let db = &self.database;
        db.in_time(|| read::count(db)).await
    }

    async fn write_plan(&self, fence: Fence, write: PlanWrite<'_>) -> Result<Fenced, StoreError> {
        let (db, write) = (&self.database, &write);
        db.in_time(|| plans::write(db, fence, write)).await
    }

    async fn end_run(&self, fence: Fence, write: PlanWrite<'_>) -> Result<Ending, StoreError> {
        let db = &self.database;
        db.in_time(|| plans::end(db, fence, &write)).await
    }

    async fn request_cancel(
        &self,
        id: PlanId,
        reason: &str,
        at: Moment,
    ) -> Result<bool, StoreError> {
        let db = &self.database;
        db.in_time(|| plans::request_cancel(db, id, reason, at)).await
    }

    async fn cancel_requested(&self, id: PlanId) -> Result<Option<String>, StoreError> {
        let db = &self.database;
        db.in_time(|| read::cancel_requested(db, id)).await
    }

    async fn start_changeset(
        &self,
        fence: Fence,
        step: &Name,
        at: Moment,
    ) -> Result<Option<ChangesetHandle>, StoreError> {
        let db = &self.database;
        db.in_time(|| changesets::start(db, fence, step, at)).await
    }

    async fn record_changes(
        &self,
        changeset: &ChangesetHandle,
        changes: &[Change],
    ) -> Result<Fenced, StoreError> {
        let db = &self.database;
        db.in_time(|| changesets::record(db, changeset, changes)).await
    }

    async fn changesets(
        &self,
        plan: PlanId,
        after: Option<ChangesetId>,
        limit: u32,
        most_changes: u32,
    ) -> Result<Vec<Changeset>, StoreError> {
        let db = &self.database;
        db.in_time(|| changesets::list(db, plan, after, limit, most_changes)).await
    }

    async fn write_output(
        &self,
        fence: Fence,
        key: &OutputKey,
        output: &OutputTail,
    ) -> Result<Fenced, StoreError> {
        let db = &self.database;
        db.in_time(|| outputs::write(db, fence, key, output)).await
    }

    async fn outputs(&self, plan: PlanId) -> Result<BTreeMap<OutputKey, OutputTail>, StoreError> {
        let db = &self.database;
        db.in_time(|| outputs::get(db, plan)).await
    }

    async fn output_marks(
        &self,
        plan: PlanId,
    ) -> Result<BTreeMap<OutputKey, OutputMark>, StoreError> {
        let db = &self.database;
        db.in_time(|| outputs::marks(db, plan)).await
    }

    async fn output(
        &self,
        plan: PlanId,
        key: &OutputKey,
    ) -> Result<Option<(u64, OutputTail)>, StoreError> {
        let db = &self.database;
        db.in_time(|| outputs::get_one(db, plan, key)).await
    }

    async fn events(&self, plan: PlanId) -> Result<Vec<Event>, StoreError> {
        let db = &self.database;
        db.in_time(|| read::events(db, plan)).await
    }
}
