//! What is told at the end: tables on standard output, JSON, and a folder with a report and plots.

mod json;
mod markdown;
mod plot;
mod svg;

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    goals::goals,
    lab::Lab,
    row::Row,
    table,
    trouble::{During, Result},
};

/// A scenario's table, as soon as it is measured.
#[expect(clippy::print_stdout, reason = "what the command is for")]
pub(crate) fn print_scenario(lab: &Lab, scenario: &str) {
    let rows: Vec<&Row> = lab.rows.iter().filter(|row| row.scenario == scenario).collect();
    if !rows.is_empty() {
        println!("\n## {scenario}\n\n{}", table::table(&rows));
    }
}

/// The project's targets, on standard output, and the files that were asked for.
#[expect(clippy::print_stdout, reason = "what the command is for")]
pub(crate) fn finish(lab: &Lab, machine: &Value) -> Result<()> {
    let goals = goals(lab);
    println!("\n## The project's targets\n\n{}", markdown::goals(&goals));
    if lab.options.smoke {
        println!("A smoke test: the figures mean nothing.");
    }
    let results = || json::results(lab, machine, &goals);
    if let Some(file) = &lab.options.json {
        write(file, &results())?;
    }
    if let Some(folder) = &lab.options.out {
        fs::create_dir_all(folder).during(&format!("make {}", folder.display()))?;
        write(&folder.join("results.json"), &results())?;
        let plots = plot::plots(lab);
        for plot in &plots {
            write(&folder.join(plot.file), &plot.svg)?;
        }
        write(&folder.join("report.md"), &markdown::report(lab, machine, &goals, &plots))?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).during(&format!("write {}", file.display()))
}
