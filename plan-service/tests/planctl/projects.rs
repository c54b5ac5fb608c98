//! `planctl project`.

use proto::{
    plan::v1::{
        GetProjectRequest, GetProjectResponse, ListProjectsRequest, ListProjectsResponse, Project,
        RegisterProjectRequest, RegisterProjectResponse,
    },
    plan_reason as reason,
};
use tonic::Code;

use super::{
    fake::Fake,
    support::{refused, refused_with, service, time},
};

fn project(name: &str, path: &str) -> Project {
    Project { name: name.to_owned(), path: path.to_owned(), create_time: time(0) }
}

fn registers(fake: &Fake) {
    fake.on(|request: RegisterProjectRequest| {
        Ok(RegisterProjectResponse { project: Some(project(&request.name, &request.path)) })
    });
}

#[tokio::test]
async fn a_folder_is_sent_from_the_root_on() {
    let (fake, planctl) = service();
    registers(&fake);
    let answer = planctl.run(&["project", "add", "sample", "some/folder"]).await.ended_with(0);
    let here = std::env::current_dir().unwrap().join("some/folder");
    answer.says(&["Registered.", "name        sample\n", here.to_str().unwrap()]);
    planctl.run(&["project", "add", "other", "/an/absolute/one"]).await.ended_with(0);
    let sent: Vec<_> =
        fake.asked::<RegisterProjectRequest>().into_iter().map(|it| it.path).collect();
    assert_eq!(sent, [here.to_str().unwrap(), "/an/absolute/one"]);
    let answer = planctl.json(&["project", "add", "sample", "/x"]).await;
    assert_eq!(answer["project"]["path"], "/x");
    assert_eq!(answer["project"]["create_time"], "2026-01-02T03:04:00Z");
}

#[tokio::test]
async fn a_path_that_is_refused_is_shown_as_it_was_sent() {
    let (fake, planctl) = service();
    fake.on(|request: RegisterProjectRequest| -> Result<RegisterProjectResponse, _> {
        let field = if request.name == "P" { "name" } else { "path" };
        Err(refused_with(Code::InvalidArgument, reason::INVALID_REQUEST, &[], |details| {
            details.add_bad_request_violation(field, "is wrong");
        }))
    });
    let here = std::env::current_dir().unwrap().join("none");
    let here = here.to_str().unwrap();
    let answer = planctl.run(&["project", "add", "p", "none"]).await.ended_with(64);
    answer.complains(&[
        "error: the request is not valid: path is wrong\n",
        &format!("The path that was sent is {here}.\n"),
    ]);
    let error = planctl.error(&["project", "add", "p", "none"], 64).await;
    assert_eq!(error["metadata"]["path"], here);
    let answer = planctl.run(&["project", "add", "P", "none"]).await.ended_with(64);
    assert!(!answer.stderr.contains(here), "{answer:#?}");
}

#[tokio::test]
async fn projects_are_listed_page_after_page() {
    let (fake, planctl) = service();
    fake.on(|request: ListProjectsRequest| {
        let (name, next) = match request.page_token.as_str() {
            "" => ("first", "more"),
            "more" => ("second", ""),
            other => panic!("{other} is no token"),
        };
        let projects = vec![project(name, "/x\u{1b}[2J")];
        Ok(ListProjectsResponse { projects, next_page_token: next.to_owned() })
    });
    let answer = planctl.run(&["project", "list"]).await.ended_with(0);
    let answer = answer.says(&["PROJECT  PATH", "first    /x\\u{1b}[2J  2026-01-02T03:04:00Z\n"]);
    assert!(!answer.stdout.contains("There are more"), "{answer:#?}");
    let answer = planctl.run(&["project", "list", "--limit", "1"]).await.ended_with(0);
    let answer = answer.says(&["first", "There are more: raise --limit"]);
    assert!(!answer.stdout.contains("second"), "{answer:#?}");
    assert_eq!(fake.asked::<ListProjectsRequest>().last().unwrap().page_size, 1);
    let answer = planctl.json(&["project", "list"]).await;
    assert_eq!(answer["projects"][1]["name"], "second");
    assert_eq!(answer["more"], false);
}

#[tokio::test]
async fn one_project_is_shown_or_is_not_there() {
    let (fake, planctl) = service();
    fake.on(|request: GetProjectRequest| match request.name.as_str() {
        "sample" => Ok(GetProjectResponse { project: Some(project("sample", "/x")) }),
        _ => Err(refused(Code::NotFound, reason::PROJECT_NOT_FOUND, &[("project", "none")])),
    });
    let answer = planctl.run(&["project", "show", "sample"]).await.ended_with(0);
    answer.says(&["name        sample\npath        /x\nregistered  2026-01-02T03:04:00Z\n"]);
    let answer = planctl.run(&["project", "show", "none"]).await.ended_with(3);
    answer.complains(&["error: the service says", "`planctl project list`"]);
    let error = planctl.error(&["project", "show", "none"], 3).await;
    assert_eq!(
        (&error["reason"], &error["metadata"]["project"]),
        (&reason::PROJECT_NOT_FOUND.into(), &"none".into())
    );
}

#[tokio::test]
async fn no_projects_say_how_to_make_one_known() {
    let (fake, planctl) = service();
    fake.on(|_: ListProjectsRequest| Ok(ListProjectsResponse::default()));
    planctl
        .run(&["project", "list"])
        .await
        .ended_with(0)
        .says(&["`planctl project add NAME PATH`"]);
}
