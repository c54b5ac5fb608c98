//! `planctl action`.

use std::fs;

use proto::{
    plan::v1::{
        Action, CreateActionRequest, CreateActionResponse, GetActionRequest, GetActionResponse,
        ListActionsRequest, ListActionsResponse, StepTemplate,
    },
    plan_reason as reason,
};
use serde_json::json;
use tonic::Code;

use super::{
    fake::Fake,
    support::{refused, service, time},
};

const RENAME: &str = r#"
name = "edit/rename"
description = "renames a word"
[[parameters]]
name = "from"
[[steps]]
name = "sed"
argv = ["sed", "s/{{from}}/x/", "a.txt"]
time_limit = "90s"
"#;

/// Creates all but `edit/taken`.
fn creates(fake: &Fake) {
    fake.on(|request: CreateActionRequest| {
        let action = request.action.expect("an action is sent");
        match action.name.as_str() {
            "edit/taken" => Err(refused(
                Code::AlreadyExists,
                reason::ACTION_EXISTS,
                &[("action", "edit/taken")],
            )),
            _ => {
                Ok(CreateActionResponse { action: Some(Action { create_time: time(0), ..action }) })
            }
        }
    });
}

#[tokio::test]
async fn actions_are_created_from_files_and_from_standard_input() {
    let (fake, planctl) = service();
    creates(&fake);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rename.toml");
    fs::write(&file, RENAME).unwrap();
    let arguments = ["action", "create", "-f", file.to_str().unwrap(), "-f", "-"];
    let other = RENAME.replace("edit/rename", "edit/other");
    let answer = planctl.run_with(&arguments, &[], &other).await.ended_with(0);
    assert_eq!(answer.stdout, "Created edit/rename.\nCreated edit/other.\n");
    let sent = fake.asked::<CreateActionRequest>();
    let action = sent[0].action.as_ref().unwrap();
    assert_eq!(action.steps[0].argv, ["sed", "s/{{from}}/x/", "a.txt"]);
    assert_eq!(action.steps[0].time_limit.unwrap().seconds, 90);
    let arguments = ["action", "create", "--file", file.to_str().unwrap()];
    let answer = planctl.json(&arguments).await;
    assert_eq!(answer["actions"][0]["parameters"][0]["type"], "PARAMETER_TYPE_STRING");
}

#[tokio::test]
async fn a_file_that_is_wrong_is_told_by_line_and_nothing_is_sent() {
    let (fake, planctl) = service();
    creates(&fake);
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let good = write("good.toml", RENAME);
    for (name, text, words) in [
        (
            "key.toml",
            RENAME.replace("argv", "args"),
            &["key.toml: ", "line 8", "`args`", "`argv`"][..],
        ),
        ("toml.toml", RENAME.replace("]]", "]"), &["toml.toml: ", "line "]),
        (
            "field.toml",
            RENAME.replace("{{from}}", "{{to}}"),
            &["field.toml:8: steps[0].argv[1] names {{to}}"],
        ),
        (
            "two.toml",
            RENAME.replace("sed\"\n", "../x\"\n").replace("90s", "2d"),
            &[
                "two.toml is not a valid action",
                "two.toml:7: steps[0].name is not a name",
                "two.toml:9: steps[0].time_limit",
            ],
        ),
    ] {
        let file = write(name, &text);
        let arguments = ["action", "create", "-f", &good, "-f", &file];
        planctl.run(&arguments).await.ended_with(64).complains(words);
        let error = planctl.error(&arguments, 64).await;
        assert_eq!(error["reason"], "ACTION_FILE_INVALID");
        if name == "two.toml" {
            let (fields, lines) = (&error["metadata"]["fields"], &error["metadata"]["lines"]);
            assert!(fields["steps[0].name"].is_string(), "{error}");
            assert_eq!(*lines, json!({"steps[0].name": 7, "steps[0].time_limit": 9}));
        }
    }
    let none = folder.path().join("none.toml");
    let answer = planctl.run(&["action", "create", "-f", none.to_str().unwrap()]).await;
    answer.ended_with(64).complains(&["cannot read ", "none.toml"]);
    let answer = planctl.run(&["action", "create", "-f", "-", "-f", "-"]).await.ended_with(64);
    answer.complains(&["name it once"]);
    assert!(fake.asked::<CreateActionRequest>().is_empty());
}

#[tokio::test]
async fn of_several_files_the_one_that_was_refused_is_named() {
    let (fake, planctl) = service();
    creates(&fake);
    let folder = tempfile::tempdir().unwrap();
    let files = ["edit/one", "edit/taken", "edit/three"].map(|name| {
        let file = folder.path().join(format!("{}.toml", &name[5..]));
        fs::write(&file, RENAME.replace("edit/rename", name)).unwrap();
        file.to_str().unwrap().to_owned()
    });
    let arguments = ["action", "create", "-f", &files[0], "-f", &files[1], "-f", &files[2]];
    let answer = planctl.run(&arguments).await.ended_with(73);
    answer.complains(&["taken.toml", "Created before it: edit/one."]);
    let error = planctl.error(&arguments, 73).await;
    assert_eq!(error["metadata"]["created"], "edit/one");
    assert!(
        !fake
            .asked::<CreateActionRequest>()
            .iter()
            .any(|it| { it.action.as_ref().unwrap().name == "edit/three" })
    );
}

#[tokio::test]
async fn a_service_that_has_its_actions_from_files_says_so() {
    let (fake, planctl) = service();
    fake.on(|_: CreateActionRequest| -> Result<CreateActionResponse, _> {
        Err(refused(Code::PermissionDenied, reason::ACTIONS_FROM_FILES, &[]))
    });
    let answer = planctl.run_with(&["action", "create", "-f", "-"], &[], RENAME).await;
    answer.ended_with(77).complains(&["error: the service says ACTIONS_FROM_FILES"]);
}

#[tokio::test]
async fn actions_are_listed_and_shown() {
    let (fake, planctl) = service();
    let action = Action {
        name: "edit/rename".to_owned(),
        description: "renames a word".to_owned(),
        steps: vec![StepTemplate {
            name: "sed".to_owned(),
            argv: vec!["sed".to_owned(), "s/a b/x/".to_owned()],
            ..StepTemplate::default()
        }],
        ..Action::default()
    };
    let listed = action.clone();
    fake.on(move |_: ListActionsRequest| {
        Ok(ListActionsResponse { actions: vec![listed.clone()], ..ListActionsResponse::default() })
    });
    fake.on(move |_: GetActionRequest| Ok(GetActionResponse { action: Some(action.clone()) }));
    let answer = planctl.run(&["action", "list", "--namespace", "edit"]).await.ended_with(0);
    answer
        .says(&["ACTION       STEPS", "edit/rename  1      0                   renames a word\n"]);
    let asked = fake.asked::<ListActionsRequest>();
    assert_eq!(asked[0].namespace.as_deref(), Some("edit"));
    let answer = planctl.run(&["action", "show", "edit/rename"]).await.ended_with(0);
    answer.says(&["name        edit/rename\n", "Steps\n  sed: sed 's/a b/x/'\n"]);
    fake.on(|_: ListActionsRequest| Ok(ListActionsResponse::default()));
    let answer = planctl.run(&["action", "list", "--namespace", "zz"]).await.ended_with(0);
    answer.says(&["No actions in namespace zz: `planctl action list` shows"]);
    let answer = planctl.run(&["action", "list"]).await.ended_with(0);
    answer.says(&["No actions: `planctl action create -f FILE` creates one.\n"]);
    let answer = planctl.json(&["action", "show", "edit/rename"]).await;
    assert_eq!(answer["action"]["steps"][0]["argv"][1], "s/a b/x/");
}
