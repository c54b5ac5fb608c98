//! `planctl diff`: what a plan changes.

use std::io::{self, IsTerminal as _, Write as _};

use proto::plan::v1::{GetDiffRequest, GetDiffResponse};
use service_kit::cli::{Failure, Output, Style, escape::shell_word};

use crate::{
    args::{Color, DiffArgs, Global},
    client::Client,
    exit,
    output::{json, patch, words},
};

/// The longest patch that the service sends.
const MOST_BYTES: i32 = 3 << 20;

pub(super) async fn execute(
    global: &Global,
    args: &DiffArgs,
    output: Output,
) -> Result<u8, Failure> {
    let client = Client::connect(global).await?;
    // Of --stat the files are wanted and not the patch, which 0 would not say.
    let max_bytes = if args.stat { 1 } else { MOST_BYTES };
    let request = GetDiffRequest { plan_id: args.plan.plan.clone(), max_bytes };
    let diff = client.call(|mut stub| async move { stub.get_diff(request).await }).await?;
    if args.stat {
        let style = style(args.color);
        output.answer(|| without_patch(&diff), |_| patch::stat(&diff.files, style))?;
        return Ok(exit::OK);
    }
    if output.is_json() {
        output.answer(|| json::diff(&diff), |_| String::new())?;
    } else {
        print(&diff.patch, args.color)?;
        if diff.patch.is_empty() {
            output.note("the plan changes nothing");
        }
    }
    if !diff.truncated {
        return Ok(exit::OK);
    }
    output.warning(&truncated(&args.plan.plan, &diff));
    Ok(exit::FAILURE)
}

/// Somebody who looks gets it escaped, and coloured if that is wanted. A
/// program gets what the service sent.
fn print(text: &str, color: Color) -> io::Result<()> {
    let style = style(color);
    let mut stdout = io::stdout().lock();
    let for_people = stdout.is_terminal() || style.is_on();
    let shown = for_people.then(|| patch::coloured(text, style));
    stdout.write_all(shown.as_deref().unwrap_or(text).as_bytes())?;
    stdout.flush()
}

fn style(color: Color) -> Style {
    match color {
        Color::Auto => Style::of(&io::stdout()),
        Color::Always => Style::always(),
        Color::Never => Style::plain(),
    }
}

/// The document of --stat.
fn without_patch(diff: &GetDiffResponse) -> serde_json::Value {
    let mut document = json::diff(diff);
    if let Some(fields) = document.as_object_mut() {
        fields.remove("patch");
        fields.remove("truncated");
    }
    document
}

fn truncated(plan: &str, diff: &GetDiffResponse) -> Failure {
    let (base, head) = (words::short(&diff.base_commit), words::short(&diff.head_commit));
    let message = format!(
        "the patch is cut off after {} bytes and cannot be applied: in the project, `git diff \
         {base} {head}` prints all of it, and `planctl diff {} --stat` counts its files",
        diff.patch.len(),
        shell_word(plan),
    );
    Failure::new("TRUNCATED", message)
        .with("base_commit", &diff.base_commit)
        .with("head_commit", &diff.head_commit)
}
