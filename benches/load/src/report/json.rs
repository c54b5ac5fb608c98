//! All results as JSON: every figure with each of its rounds.

use serde_json::{Map, Value, json};

use crate::{
    goals::Goal,
    lab::Lab,
    row::{Row, median},
};

/// One document.
pub(super) fn results(lab: &Lab, machine: &Value, goals: &[Goal]) -> String {
    let document = json!({
        "machine": machine,
        "settings": {
            "seconds": lab.options.seconds.as_secs_f64(),
            "rounds": lab.options.rounds,
            "smoke": lab.options.smoke,
            "unary_connections": lab.connections.unary,
            "stream_connections": lab.connections.stream,
            "redis_connections": lab.connections.redis,
            "zookeeper_connections": lab.connections.zookeeper,
            "obvious_pool": lab.pool,
        },
        "rows": lab.rows.iter().map(row).collect::<Vec<_>>(),
        "targets": goals.iter().map(goal).collect::<Vec<_>>(),
    });
    format!("{document:#}\n")
}

fn row(row: &Row) -> Value {
    let figures = row.figures().map(|(name, rounds)| {
        (name.to_owned(), json!({ "median": median(rounds), "rounds": rounds }))
    });
    json!({
        "scenario": row.scenario,
        "case": row.case,
        "target": row.target,
        "way": row.way,
        "callers": row.callers,
        "note": row.note,
        "trouble": row.trouble.as_ref().map(ToString::to_string),
        "figures": figures.collect::<Map<_, _>>(),
    })
}

fn goal(goal: &Goal) -> Value {
    json!({
        "figure": goal.figure,
        "against": goal.against,
        "bound": goal.bound.text(),
        "measured": goal.measured,
        "met": goal.met(),
    })
}
