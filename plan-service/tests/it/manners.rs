//! How an instance starts and refuses to, and what stands beside the service.

use proto::plan::v1::{self as wire, PlanPhase, PlanState};
use service_kit::testing::postgres;
use tonic::transport::Endpoint;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use super::support::{DEADLINE, Instance, PLAN_SERVICE, Scene, Template, run, sh};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_do_not_share_a_data_folder() {
    let scene = Scene::on_sqlite("60s").await;
    let mut first = scene.instance("same", &[]).await;
    let folder = scene.path("same");
    let folder = folder.to_str().unwrap();
    let args = [
        "--data-dir",
        folder,
        "--listen",
        "127.0.0.1:0",
        "--lock-server",
        scene.locks.url(),
        "--database-url",
        scene.database(),
    ];
    run(PLAN_SERVICE, &args).await.ended_with(1).complains(&[folder, "--data-dir"]);
    first.plans().diagnose(None).await;
    // However it ended, the folder is free then.
    first.kill();
    first.start_again().await;
    first.plans().diagnose(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_text_is_for_loopback() {
    let scene = Scene::on_sqlite("60s").await;
    let data = scene.path("data");
    let args = [
        "--listen",
        "0.0.0.0:0",
        "--data-dir",
        data.to_str().unwrap(),
        "--database-url",
        "sqlite::memory:",
    ];
    let refused = run(PLAN_SERVICE, &args).await;
    assert_ne!(refused.code, 0);
    refused.complains(&["--listen 0.0.0.0:0", "--insecure"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_whether_it_can_be_used() {
    let scene = Scene::on_sqlite("60s").await;
    let mut instance = scene.instance("only", &[]).await;
    let channel = Endpoint::from_shared(instance.url()).unwrap().timeout(DEADLINE).connect_lazy();
    let mut health = HealthClient::new(channel);
    for service in ["", "plan.v1.PlanService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
    let address = instance.address().to_owned();
    for (args, word) in [(&["health"][..], "ready"), (&["health", "--live"], "alive")] {
        let args = [args, &["--listen", &address]].concat();
        let well = run(PLAN_SERVICE, &args).await.ended_with(0);
        assert!(well.stdout.contains(&address) && well.stdout.contains(word), "{well:?}");
    }
    instance.kill();
    let args = ["health", "--listen", &address];
    run(PLAN_SERVICE, &args).await.ended_with(1).complains(&[&address]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_names_the_service() {
    let scene = Scene::on_sqlite("60s").await;
    let instance = scene.instance("only", &[]).await;
    let channel = Endpoint::from_shared(instance.url()).unwrap().timeout(DEADLINE).connect_lazy();
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(futures::stream::iter([request])).await;
    let answer = answers.unwrap().into_inner().message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"plan.v1.PlanService"), "{names:?}");
    assert!(!names.contains(&"lock.v1.LockService"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_can_be_run_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}", folder.path().join("plans.db").display());
    let database = postgres::database().await;
    let data = folder.path().join("data");
    for url in [file.as_str(), database.url()] {
        let never = [
            "--database-url",
            url,
            "--migrate",
            "never",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            data.to_str().unwrap(),
        ];
        let refused = run(PLAN_SERVICE, &never).await.ended_with(1);
        refused.complains(&["plan-service migrate", "--migrate auto"]);
        for _again in 0..2 {
            let args = ["migrate", "--database-url", url];
            run(PLAN_SERVICE, &args).await.ended_with(0);
        }
        Instance::start(&data, &never[..4]).await;
    }
}

/// One SQLite file, and what one instance makes the other one uses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_share_a_sqlite_file() {
    const PLANS: usize = 12;
    let scene = Scene::on_sqlite("20s").await;
    let instances = [scene.instance("one", &[]).await, scene.instance("other", &[]).await];
    let repo = scene.repo("project");
    instances[0].plans().register(&repo).await;
    let template = Template::new("test/small").step(sh("write", "echo x > \"$PLAN_ID\""));
    instances[1].plans().create(template).await;
    let lives = (0..PLANS).map(async |at| {
        let [one, other] = [&instances[at % 2], &instances[(at + 1) % 2]].map(Instance::plans);
        let id = one.make("test/small", &repo).await;
        other.execute_whole(&id).await;
        one.apply_whole(&id).await;
    });
    futures::future::join_all(lives).await;
    assert_eq!(repo.merges(), PLANS);
    repo.assert_clean();
    repo.assert_no_traces();
    let counts = instances[0].plans().diagnose(None).await.plans;
    let applied = wire::StateCount {
        phase: PlanPhase::Apply.into(),
        state: PlanState::Applied.into(),
        count: PLANS as u64,
    };
    assert_eq!(counts, [applied]);
}

/// The lock server's tables and the plans' in one database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_database_for_locks_and_plans() {
    let database = postgres::database().await;
    let scene = Scene::on(database.url().to_owned(), database.url(), "20s").await;
    let instance = scene.instance("only", &[]).await;
    let repo = scene.repo("project");
    instance.plans().register(&repo).await;
    let template = Template::new("test/small").step(sh("write", "echo x > x"));
    let id = instance.plans().plan_of(template, &repo).await;
    instance.plans().execute_whole(&id).await;
    instance.plans().apply_whole(&id).await;
    assert_eq!(repo.merges_of(&id), 1);
}
