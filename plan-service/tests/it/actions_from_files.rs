//! An instance that has its actions from files knows these and no others,
//! whatever its database holds and whoever shares that.

use std::fs;

use proto::plan::v1 as wire;
use tonic::Code;

use super::support::{Instance, PLAN_SERVICE, Scene, Template, failure, run, sh};

const FILE: &str = "name = 'file/one'\n[[steps]]\nname = 'say'\nargv = ['true']\n";

async fn known(instance: &Instance) -> Vec<String> {
    let request = wire::ListActionsRequest::default();
    let answer = instance.plans().raw().list_actions(request).await.unwrap().into_inner();
    answer.actions.into_iter().map(|action| action.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_database_do_not_mix() {
    let scene = Scene::on_postgres("20s").await;
    let open = scene.instance("open", &[]).await;
    open.plans().create(Template::new("made/here").step(sh("say", "true"))).await;
    let folder = scene.path("actions");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("one.toml"), FILE).unwrap();
    let flags = ["--allow-actions-from", folder.to_str().unwrap()];
    let strict = scene.instance("strict", &flags).await;
    open.plans().create(Template::new("made/later").step(sh("say", "true"))).await;

    assert_eq!(known(&strict).await, ["file/one"]);
    assert_eq!(known(&open).await, ["made/here", "made/later"]);
    let repo = scene.repo("project");
    strict.plans().register(&repo).await;
    for action in ["made/here", "made/later"] {
        let get = wire::GetActionRequest { name: action.to_owned() };
        let status = strict.plans().raw().get_action(get).await.unwrap_err();
        failure(&status, Code::NotFound, "plan.v1", "ACTION_NOT_FOUND");
        let request = wire::UseActionRequest {
            action: action.to_owned(),
            project: repo.name.clone(),
            ..Default::default()
        };
        let status = strict.plans().raw().use_action(request).await.unwrap_err();
        failure(&status, Code::NotFound, "plan.v1", "ACTION_NOT_FOUND");
    }
    let template = Template::new("made/there").step(sh("say", "true")).action();
    let request = wire::CreateActionRequest { action: Some(template) };
    let status = strict.plans().raw().create_action(request).await.unwrap_err();
    failure(&status, Code::PermissionDenied, "plan.v1", "ACTIONS_FROM_FILES");
    let id = strict.plans().make("file/one", &repo).await;
    // A plan has its action with it, wherever it is run.
    open.plans().execute_whole(&id).await;
    let names = wire::ListActionsRequest { page_size: 1, ..Default::default() };
    let answer = strict.plans().raw().list_actions(names).await.unwrap().into_inner();
    assert_eq!((answer.actions.len(), answer.next_page_token.as_str()), (1, ""));
}

#[tokio::test]
async fn a_folder_without_actions_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let data_dir = folder.path().join("data");
    let flags = ["--allow-actions-from", path, "--data-dir", data_dir.to_str().unwrap()];
    run(PLAN_SERVICE, &flags).await.ended_with(64).complains(&[path, "holds no file *.toml"]);
}
