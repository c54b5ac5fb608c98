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
        return stat(args, &diff, output);
    }
    if output.is_json() {
        output.answer(|| json::diff(&diff), |_| String::new())?;
    } else {
        print(&diff, args.color)?;
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

/// How much each file changes.
fn stat(args: &DiffArgs, diff: &GetDiffResponse, output: Output) -> Result<u8, Failure> {
    // The files are told in full where nobody counts them.
    let (told, count) = (diff.files.len(), diff.file_count.max(diff.files.len() as u64));
    let is_cut = count > told as u64;
    let style = style(args.color);
    output.answer(
        || without_patch(diff, count, is_cut),
        |_| patch::stat(&diff.files, count, style),
    )?;
    if !is_cut {
        return Ok(exit::OK);
    }
    let (base, head) = commits(diff);
    let message = format!(
        "only {told} of {count} files are listed: in the project, `git diff --stat {base} {head}` \
         lists all of them"
    );
    output.warning(&cut_off(message, diff).with("file_count", count.to_string()));
    Ok(exit::FAILURE)
}

/// Somebody who looks gets it as text, escaped, and coloured if that is wanted. A
/// program gets the bytes.
fn print(diff: &GetDiffResponse, color: Color) -> io::Result<()> {
    let style = style(color);
    let mut stdout = io::stdout().lock();
    let for_people = stdout.is_terminal() || style.is_on();
    match for_people {
        true => stdout.write_all(patch::coloured(&diff.patch, style).as_bytes())?,
        false => stdout.write_all(bytes(diff))?,
    }
    stdout.flush()
}

/// The patch as it is.
fn bytes(diff: &GetDiffResponse) -> &[u8] {
    if diff.raw_patch.is_empty() { diff.patch.as_bytes() } else { &diff.raw_patch }
}

fn style(color: Color) -> Style {
    match color {
        Color::Auto => Style::of(&io::stdout()),
        Color::Always => Style::always(),
        Color::Never => Style::plain(),
    }
}

/// The document of --stat, in which it is the files that may be cut off.
fn without_patch(diff: &GetDiffResponse, count: u64, is_cut: bool) -> serde_json::Value {
    let mut document = json::diff(diff);
    if let Some(fields) = document.as_object_mut() {
        fields.remove("patch");
        fields.remove("raw_patch");
        fields.insert("truncated".to_owned(), is_cut.into());
        fields.insert("file_count".to_owned(), count.into());
    }
    document
}

/// Both commits, as one would type them.
fn commits(diff: &GetDiffResponse) -> (String, String) {
    (words::short(&diff.base_commit), words::short(&diff.head_commit))
}

fn truncated(plan: &str, diff: &GetDiffResponse) -> Failure {
    let (base, head) = commits(diff);
    let message = format!(
        "the patch is cut off after {} bytes and cannot be applied: in the project, `git diff \
         {base} {head}` prints all of it, and `planctl diff {} --stat` counts its files",
        bytes(diff).len(),
        shell_word(plan),
    );
    cut_off(message, diff)
}

fn cut_off(message: String, diff: &GetDiffResponse) -> Failure {
    Failure::new("TRUNCATED", message)
        .with("base_commit", &diff.base_commit)
        .with("head_commit", &diff.head_commit)
}
