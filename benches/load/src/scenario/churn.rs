//! What millions of pairs leave behind: the first and the last tenth, and how large the table and
//! its indexes are after each part.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Row as _};

use super::MANY;
use crate::{
    args::Scenario,
    caller::Caller,
    lab::Lab,
    load::{Script, counted},
    part,
    row::Row,
    target::{Database, Kind, Target, Way},
    trouble::{During, Result, Trouble},
};

/// No part goes on for longer.
const LIMIT: Duration = Duration::from_secs(20 * 60);

pub(super) async fn measure(lab: &mut Lab) {
    let kind = Kind::LockServerPostgres;
    if !lab.options.measures(kind) {
        return;
    }
    let row = |case: &str| Row::new(Scenario::Churn.name(), kind, Way::Stream, MANY, case);
    let mut rows = ["before", "first tenth", "in between", "last tenth"].map(row);
    if let Err(trouble) = churn(lab, &mut rows).await {
        rows.iter_mut().for_each(|row| row.fail(trouble.clone()));
    }
    lab.rows.extend(rows);
}

async fn churn(lab: &Lab, rows: &mut [Row; 4]) -> Result<()> {
    // A Postgres of its own, which vacuums nothing else.
    let postgres = Database::start().await?;
    let name = postgres.database().await;
    let target = Target::lock_server_on(&lab.lock_server()?, &postgres, &name).await?;
    let parts = part::own(MANY, lab.locks_each());
    let mut callers = target.callers(Way::Stream, parts, lab.connections).await?;
    let mut database = PgConnection::connect(name.url()).await.during("connect to Postgres")?;

    let all = lab.options.churn_pairs;
    let lap = (MANY * lab.locks_each()) as u64;
    let [before, first, between, last] = rows;
    for (row, pairs) in
        [(before, lap), (first, all / 10), (between, all - 2 * (all / 10)), (last, all / 10)]
    {
        callers = part_of_it(callers, pairs, &target, row).await?;
        sizes(&mut database, row).await?;
        eprintln!("churn: {} done", row.case);
    }
    Ok(())
}

async fn part_of_it(
    callers: Vec<Caller>,
    pairs: u64,
    target: &Target,
    row: &mut Row,
) -> Result<Vec<Caller>> {
    let (callers, run) = counted(callers, pairs, LIMIT, target.meter()).await?;
    row.add("pairs", run.tally.steps as f64);
    row.add_run(&run, Script::Pairs);
    if run.tally.steps < pairs {
        row.fail(Trouble::failed(format!("only {} of {pairs} pairs", run.tally.steps)));
    }
    Ok(callers)
}

/// The table and each of its indexes.
async fn sizes(database: &mut PgConnection, row: &mut Row) -> Result<()> {
    const SIZES: &str = "
        SELECT 'table and all'::text AS name, pg_total_relation_size('locks') AS size
        UNION ALL SELECT 'table', pg_relation_size('locks')
        UNION ALL SELECT * FROM (
            SELECT relname::text, pg_relation_size(indexrelid)
            FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
            WHERE indrelid = 'locks'::regclass ORDER BY relname) AS indexes";
    for size in sqlx::query(SIZES).fetch_all(database).await.during("ask for sizes")? {
        let name: String = size.try_get("name").during("read a name")?;
        let bytes: i64 = size.try_get("size").during("read a size")?;
        row.add(&format!("{name} MiB"), bytes as f64 / f64::from(1 << 20));
    }
    Ok(())
}
