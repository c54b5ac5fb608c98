//! Actions.

use crate::{
    domain::{ActionName, ActionTemplate, Moment, Name},
    store::{
        StoreError, StoredAction,
        connection::{Row, sql},
        database::Database,
    },
};

/// The primary key decides who is first.
pub(super) async fn add(
    db: &Database,
    template: &ActionTemplate,
    created_at: Moment,
) -> Result<bool, StoreError> {
    let mut transaction = db.write().await?;
    let add =
        sql("INSERT INTO actions (name, namespace, template, created_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING");
    let add = add
        .bind(template.name.as_str())
        .bind(template.name.namespace())
        .bind(document(template)?)
        .bind(created_at.micros());
    let is_new = transaction.execute(add).await? == 1;
    transaction.commit().await?;
    Ok(is_new)
}

pub(super) async fn get(
    db: &Database,
    name: &ActionName,
) -> Result<Option<StoredAction>, StoreError> {
    let mut transaction = db.read().await?;
    let get = sql("SELECT name, template, created_at FROM actions WHERE name = $1");
    let row = transaction.row(get.bind(name.as_str())).await?;
    transaction.commit().await?;
    row.as_ref().map(of).transpose()
}

pub(super) async fn list(
    db: &Database,
    namespace: Option<&Name>,
    after: Option<&ActionName>,
    limit: u32,
) -> Result<Vec<StoredAction>, StoreError> {
    let mut transaction = db.read().await?;
    let mut list = sql("SELECT name, template, created_at FROM actions WHERE name > ");
    // Every name is greater than none.
    list.push_value(after.map_or("", ActionName::as_str));
    if let Some(namespace) = namespace {
        list.push(" AND namespace = ");
        list.push_value(namespace.as_str());
    }
    list.push(" ORDER BY name LIMIT ");
    list.push_value(limit);
    let rows = transaction.rows(list).await?;
    transaction.commit().await?;
    rows.iter().map(of).collect()
}

fn document(template: &ActionTemplate) -> Result<String, StoreError> {
    serde_json::to_string(template)
        .map_err(|error| StoreError::wrong(format!("action {}: {error}", template.name)))
}

fn of(row: &Row) -> Result<StoredAction, StoreError> {
    let (name, template): (String, String) = (row.get("name")?, row.get("template")?);
    let template = serde_json::from_str(&template)
        .map_err(|error| StoreError::Unreadable(format!("action {name}: {error}")))?;
    Ok(StoredAction { template, created_at: Moment::from_micros(row.get("created_at")?) })
}
