//! Projects.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

use crate::{
    domain::{Moment, Name, Project},
    store::{
        AddedProject, StoreError,
        connection::{Row, sql},
        database::Database,
    },
};

/// The unique constraints decide who is first.
pub(super) async fn add(db: &Database, project: &Project) -> Result<AddedProject, StoreError> {
    let path = project.path.as_os_str().as_bytes();
    let mut transaction = db.write().await?;
    let add = sql(
        "INSERT INTO projects (name, path, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    );
    let add = add.bind(project.name.as_str()).bind(path).bind(project.created_at.micros());
    if transaction.execute(add).await? == 1 {
        transaction.commit().await?;
        return Ok(AddedProject::Added);
    }
    let taken = sql("SELECT name, path, created_at FROM projects WHERE name = $1");
    if let Some(row) = transaction.row(taken.bind(project.name.as_str())).await? {
        transaction.rollback().await?;
        return Ok(AddedProject::NameTaken(of(&row)?));
    }
    let taken = sql("SELECT name, path, created_at FROM projects WHERE path = $1");
    let row = transaction.row(taken.bind(path)).await?;
    transaction.rollback().await?;
    // Nothing here takes a project away again.
    let row = row.ok_or(StoreError::Database(sqlx::Error::RowNotFound))?;
    Ok(AddedProject::PathTaken(of(&row)?))
}

pub(super) async fn get(db: &Database, name: &Name) -> Result<Option<Project>, StoreError> {
    let mut transaction = db.read().await?;
    let get = sql("SELECT name, path, created_at FROM projects WHERE name = $1");
    let row = transaction.row(get.bind(name.as_str())).await?;
    transaction.commit().await?;
    row.as_ref().map(of).transpose()
}

pub(super) async fn list(
    db: &Database,
    after: Option<&Name>,
    limit: u32,
) -> Result<Vec<Project>, StoreError> {
    let mut transaction = db.read().await?;
    let list =
        sql("SELECT name, path, created_at FROM projects WHERE name > $1 ORDER BY name LIMIT $2");
    // Every name is greater than none.
    let list = list.bind(after.map_or("", Name::as_str)).bind(limit);
    let rows = transaction.rows(list).await?;
    transaction.commit().await?;
    rows.iter().map(of).collect()
}

fn of(row: &Row) -> Result<Project, StoreError> {
    let name: String = row.get("name")?;
    let name = Name::parse(&name)
        .map_err(|error| StoreError::Unreadable(format!("project {name:?}: its name {error}")))?;
    Ok(Project {
        name,
        path: OsString::from_vec(row.get("path")?).into(),
        created_at: Moment::from_micros(row.get("created_at")?),
    })
}
