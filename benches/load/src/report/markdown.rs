//! The report for people.

use serde_json::Value;

use super::plot::Plot;
use crate::{
    args::Scenario,
    goals::Goal,
    lab::Lab,
    row::Row,
    scenario::{ALL, TUNING},
    table,
};

/// The project's targets as a table.
pub(super) fn goals(goals: &[Goal]) -> String {
    let body = goals.iter().map(|goal| {
        let met = match goal.met() {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "not measured",
        };
        let measured = goal.measured.map_or("–".to_owned(), |value| format!("{value:.2}"));
        [goal.figure.as_str(), &goal.against, &goal.bound.text(), &measured, met]
            .map(str::to_owned)
            .to_vec()
    });
    table::aligned(&["figure", "against", "target", "measured", "met"], &body.collect::<Vec<_>>())
}

/// The whole report.
pub(super) fn report(lab: &Lab, machine: &Value, all: &[Goal], plots: &[Plot]) -> String {
    let mut text = "# Results of lock-bench\n\n".to_owned();
    if lab.options.smoke {
        text += "A smoke test: the figures mean nothing.\n\n";
    }
    text += &facts(lab, machine);
    text += "\n## The project's targets\n\n";
    text += "Medians of the ratios that each round has.\n\n";
    text += &goals(all);
    for plot in plots {
        text += &format!("\n![{}]({})\n", plot.title, plot.file);
    }
    text += &section(
        lab,
        TUNING,
        "How many connections are best for gRPC without a store, for Redis and ZooKeeper, and for the \
         obvious server's pool.",
    );
    for scenario in ALL {
        text += &section(lab, scenario.name(), Scenario::meaning(scenario));
    }
    text
}

fn facts(lab: &Lab, machine: &Value) -> String {
    let said = |name: &str| match &machine[name] {
        Value::String(text) => text.clone(),
        Value::Null => "not installed or not known".to_owned(),
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    let options = &lab.options;
    let runs = format!(
        "{} rounds of {} s each, the targets in turns; medians are shown",
        options.rounds,
        options.seconds.as_secs_f64()
    );
    let connections = lab.connections;
    let connections = format!(
        "HTTP/2: {} for calls, {} for streams, the same for all gRPC targets; Redis: {}; \
         ZooKeeper: {}",
        connections.unary, connections.stream, connections.redis, connections.zookeeper
    );
    let rows: Vec<Vec<String>> = [
        ("date", said("time")),
        ("commit", said("commit")),
        ("command", format!("`{}`", said("command"))),
        ("CPU", format!("{}, {} cores", said("cpu"), said("cores"))),
        ("memory", format!("{} MiB", said("memory_mib"))),
        ("kernel", said("kernel")),
        ("Rust", said("rustc")),
        ("Postgres", format!("{}, with {}", said("postgres"), said("postgres_settings"))),
        ("SQLite", said("sqlite")),
        ("etcd", said("etcd")),
        ("Redis", said("redis")),
        ("ZooKeeper", said("zookeeper")),
        ("runs", runs),
        ("connections", connections),
        ("obvious server", format!("a pool of {} connections", lab.pool)),
    ]
    .into_iter()
    .map(|(name, value)| vec![name.to_owned(), value])
    .collect();
    table::aligned(&["", ""], &rows)
}

fn section(lab: &Lab, name: &str, meaning: &str) -> String {
    let rows: Vec<&Row> = lab.rows.iter().filter(|row| row.scenario == name).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n## {name}\n\n{meaning}\n\n{}", table::table(&rows))
}
