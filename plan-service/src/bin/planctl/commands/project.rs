//! `planctl project`: git work trees, made known and shown.

use std::path::{Path, PathBuf};

use proto::{
    plan::v1::{GetProjectRequest, ListProjectsRequest, Project, RegisterProjectRequest},
    plan_reason,
};
use serde_json::json;
use service_kit::cli::{Failure, Output, escape};

use super::{MORE, goes_on, next_page, there};
use crate::{
    args::{Global, PageArgs, ProjectAddArgs, ProjectCommand},
    client::Client,
    exit,
    output::{json, project_card, projects_table},
};

pub(super) async fn execute(
    global: &Global,
    command: &ProjectCommand,
    output: Output,
) -> Result<u8, Failure> {
    match command {
        ProjectCommand::Add(args) => add(global, args, output).await?,
        ProjectCommand::List(args) => list(global, args, output).await?,
        ProjectCommand::Show(args) => show(global, &args.name, output).await?,
    }
    Ok(exit::OK)
}

async fn add(global: &Global, args: &ProjectAddArgs, output: Output) -> Result<(), Failure> {
    let path = absolute(&args.path)?;
    let request = RegisterProjectRequest { name: args.name.clone(), path: path.clone() };
    let client = Client::connect(global).await?;
    let answer = client.call(|mut stub| async move { stub.register_project(request).await }).await;
    let answer = answer.map_err(|failure| with_path(failure, &path))?;
    let project = there(answer.project, "a project")?;
    output.answer(
        || json!({"project": json::project(&project)}),
        |style| format!("{}\n{}", style.heading("Registered."), project_card(&project)),
    )?;
    Ok(())
}

/// Says which path was sent, if that is what is wrong.
fn with_path(failure: Failure, path: &str) -> Failure {
    let wrong = failure.to_json("error")["error"]["metadata"]["fields"]["path"].is_string();
    match wrong && failure.reason() == plan_reason::INVALID_REQUEST {
        true => failure
            .with("path", path)
            .with_advice(format!("The path that was sent is {}.", escape::line(path))),
        false => failure,
    }
}

/// The folder from the root on: the service does not know where this one is.
fn absolute(path: &Path) -> Result<String, Failure> {
    let shown = escape::escaped(&path.to_string_lossy());
    let absolute: PathBuf = std::path::absolute(path)
        .map_err(|error| Failure::usage(format!("{shown:?} cannot be made absolute: {error}")))?;
    absolute.into_os_string().into_string().map_err(|_| {
        Failure::usage(format!(
            "the path {shown:?} is not UTF-8: a project's path is sent as text; rename the folder \
             or add it by a link"
        ))
    })
}

async fn list(global: &Global, args: &PageArgs, output: Output) -> Result<(), Failure> {
    let client = Client::connect(global).await?;
    let (mut projects, mut token) = (Vec::<Project>::new(), String::new());
    loop {
        let page_size = next_page(args.limit, projects.len());
        let request = ListProjectsRequest { page_size, page_token: token };
        let page = client.call(|mut stub| async move { stub.list_projects(request).await }).await?;
        projects.extend(page.projects);
        token = page.next_page_token;
        if !goes_on(args.limit, projects.len(), &token) {
            break;
        }
    }
    let more = !token.is_empty();
    output.answer(
        || json!({"projects": projects.iter().map(json::project).collect::<Vec<_>>(), "more": more}),
        |style| match projects.as_slice() {
            [] => "No projects: `planctl project add NAME PATH` makes one known.\n".to_owned(),
            projects => projects_table(projects, style) + if more { MORE } else { "" },
        },
    )?;
    Ok(())
}

async fn show(global: &Global, name: &str, output: Output) -> Result<(), Failure> {
    let client = Client::connect(global).await?;
    let request = GetProjectRequest { name: name.to_owned() };
    let answer = client.call(|mut stub| async move { stub.get_project(request).await }).await?;
    let project = there(answer.project, "a project")?;
    output.answer(|| json!({"project": json::project(&project)}), |_| project_card(&project))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_path_is_taken_from_this_folder() {
        let here = std::env::current_dir().unwrap();
        let path = absolute(Path::new("a/b")).unwrap();
        assert_eq!(Path::new(&path), here.join("a/b"));
        assert_eq!(absolute(Path::new("/x/y")).unwrap(), "/x/y");
        assert!(absolute(Path::new("")).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_path_that_cannot_be_sent_is_refused() {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        let failure = absolute(Path::new(OsStr::from_bytes(b"/a\xff"))).unwrap_err();
        assert_eq!(failure.code, exit::USAGE);
        assert!(failure.to_text().0.contains("not UTF-8"), "{failure:?}");
    }
}
