//! A small table against a large one.

use std::{sync::Arc, time::Instant};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::CALLERS;
use crate::{
    args::Scenario,
    caller::Grant,
    compare::{Prepared, in_turns},
    lab::Lab,
    load::Script,
    part::{self, KIND, Part},
    row::Row,
    target::{Connections, Database, Kind, Target, Way},
    trouble::{During, Result, Trouble},
};

/// The rows of the small table.
pub(crate) const SMALL: u64 = 1_000;
/// Rows that are locked: the same number in both tables, spread over the whole table.
const LOCKED: u64 = 448;
/// Rows in a statement while the table is filled.
const PORTION: u64 = 500_000;
/// The lanes that are measured on each table.
pub(crate) const LANES: [(Way, usize); 4] =
    [(Way::Unary, 1), (Way::Stream, 1), (Way::Unary, CALLERS), (Way::Stream, CALLERS)];

/// What a table of so many rows is called.
pub(crate) fn case(rows: u64) -> String {
    format!("{rows} rows")
}

pub(super) async fn measure(lab: &mut Lab) {
    let kind = Kind::LockServerPostgres;
    if !lab.options.measures(kind) {
        return;
    }
    let sizes = [SMALL, lab.options.size_rows];
    // A Postgres of its own: its vacuum must not disturb other measurements.
    let database = Database::start().await;
    let mut targets = Vec::new();
    for rows in sizes {
        targets.push(match &database {
            Ok(database) => filled(lab, database, rows).await,
            Err(trouble) => Err(trouble.clone()),
        });
    }
    for (way, callers) in LANES {
        let lanes = sizes.iter().zip(&targets).map(|(&rows, target)| Prepared {
            row: Row::new(Scenario::Size.name(), kind, way, callers, case(rows)),
            targets: target.clone().map(|target| vec![target]),
            way,
            parts: parts(rows, callers),
            // One caller has one connection.
            connections: if callers == 1 { Connections::all(1) } else { lab.connections },
        });
        let lanes = lanes.collect();
        let rows = in_turns(lanes, Script::Pairs, lab.span(), lab.options.rounds).await;
        lab.rows.extend(rows);
    }
    // The servers go before their database.
    drop(targets);
}

fn parts(rows: u64, callers: usize) -> Vec<Part> {
    let step = rows / LOCKED;
    // Even ones are free.
    let resources: Vec<_> = (0..LOCKED).map(|number| resource(number * step / 2 * 2)).collect();
    part::of(callers, &resources)
}

fn resource(number: u64) -> String {
    format!("row-{number:08}")
}

/// A server whose table has so many rows.
async fn filled(lab: &Lab, database: &Database, rows: u64) -> Result<Arc<Target>> {
    let start = Instant::now();
    let name = database.database().await;
    let target = Target::lock_server_on(&lab.lock_server()?, database, &name).await?;
    let templates = templates(&target).await?;
    let mut connection = PgConnection::connect(name.url()).await.during("connect to Postgres")?;
    let fill = insert(&mut connection).await?;
    for first in (0..rows).step_by(usize::try_from(PORTION).unwrap_or(usize::MAX)) {
        let last = (first + PORTION).min(rows) - 1;
        sqlx::query(AssertSqlSafe(fill.clone()))
            .bind(first.cast_signed())
            .bind(last.cast_signed())
            .bind(&templates)
            .execute(&mut connection)
            .await
            .during("fill the table")?;
    }
    for statement in ["VACUUM ANALYZE locks", "CHECKPOINT"] {
        connection.execute(statement).await.during("put the table in order")?;
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM locks")
        .fetch_one(&mut connection)
        .await
        .during("count the rows")?;
    if count.cast_unsigned() < rows {
        return Err(Trouble::failed(format!("only {count} of {rows} rows are there")));
    }
    eprintln!("size: {rows} rows are there after {:.0?}", start.elapsed());
    Ok(Arc::new(target))
}

/// A free row and a held one, as the server writes them.
async fn templates(target: &Target) -> Result<Vec<String>> {
    let names = vec!["template-free".to_owned(), "template-held".to_owned()];
    let connections = Connections::all(1);
    let callers = target.callers(Way::Unary, part::of(1, &names), connections).await?;
    for mut caller in callers {
        for lock in 0..names.len() {
            if caller.acquire(lock).await? != Grant::Granted {
                return Err(Trouble::failed("a conflict in an empty table"));
            }
        }
        caller.release(0).await?;
    }
    Ok(names)
}

/// Copies of the two rows in turns. Whatever columns the table has, only the name is new, and the
/// held ones stay held for a day.
async fn insert(connection: &mut PgConnection) -> Result<String> {
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT column_name::text FROM information_schema.columns
         WHERE table_name = 'locks' AND table_schema = current_schema()
           AND is_generated = 'NEVER' AND is_identity = 'NO'
         ORDER BY ordinal_position",
    )
    .fetch_all(connection)
    .await
    .during("read the table's columns")?;
    let value = |column: &String| match column.as_str() {
        "resource_id" => "'row-' || lpad(number::text, 8, '0')".to_owned(),
        "expires_at" => "CASE WHEN template.expires_at IS NOT NULL \
                         THEN clock_timestamp() + interval '1 day' END"
            .to_owned(),
        other => format!("template.{other}"),
    };
    let values: Vec<String> = columns.iter().map(value).collect();
    Ok(format!(
        "INSERT INTO locks ({}) SELECT {} FROM generate_series($1::bigint, $2::bigint) AS number \
         JOIN locks AS template ON template.resource_type = '{KIND}' \
         AND template.resource_id = ($3::text[])[1 + number % 2] ORDER BY number",
        columns.join(", "),
        values.join(", "),
    ))
}
