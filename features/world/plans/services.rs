//! The scenario's plan services: inside the test, or as processes of their own
//! where they are killed or paused.

use std::{env, ffi::OsString, path::PathBuf, process::ExitCode};

use plan_service::{Config, Server, StartError, testing::TestPlanService};
use proto::plan::v1::plan_service_client::PlanServiceClient;
use service_kit::{
    shutdown::{Signals, run_until_signalled},
    telemetry,
    testing::{Process, Signal, postgres},
};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use super::{PATIENCE, PlanWorld, SOON};
use crate::world::Store;

/// The first argument with which the test's own program is a plan service.
const PROCESS: &str = "plan-service-process";

/// The first argument with which it is the supervisor of a step.
const SUPERVISE: &str = "supervise";

/// What the test's own program does when it is called as one of the service's.
pub(crate) fn supervise() -> Option<ExitCode> {
    let mut args = env::args_os();
    let program = args.next()?;
    let command = args.next()?;
    if command == SUPERVISE {
        return Some(plan_service::supervisor::run());
    }
    if command == PROCESS {
        return Some(serve([program].into_iter().chain(args)));
    }
    None
}

/// Serves as the `plan-service` command does.
#[expect(clippy::print_stdout, reason = "whoever started the service reads its address there")]
fn serve(args: impl Iterator<Item = OsString>) -> ExitCode {
    let config = Config::parse_from_args(args).unwrap_or_else(|error| error.exit());
    telemetry::init(&config.telemetry()).expect("a log");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let served = runtime.block_on(async {
        let signals = Signals::register().map_err(StartError::Signals)?;
        run_until_signalled(signals, Server::start(config), |server, stop| {
            println!("plan-service listening on {}", server.address());
            server.run(stop.asked())
        })
        .await
    });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("plan-service: {}", error.report());
            ExitCode::from(error.exit_code())
        }
    }
}

/// A running plan service and a connection to it.
#[derive(Debug)]
pub(super) struct Instance {
    service: Service,
    channel: Channel,
}

#[derive(Debug)]
enum Service {
    Inside(TestPlanService),
    Process(Box<Process>),
}

fn this_program() -> PathBuf {
    env::current_exe().expect("the path of this program")
}

impl PlanWorld {
    /// Starts an instance with these flags, and has callers talk to it.
    pub(crate) async fn start(&mut self, name: &str, flags: &[&str]) {
        let flags = self.with_all_flags(name, flags).await;
        self.flags.insert(name.to_owned(), flags.clone());
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        self.run_inside(name, &flags).await;
    }

    async fn run_inside(&mut self, name: &str, flags: &[&str]) {
        let supervisor = this_program();
        let started = TestPlanService::start(&supervisor, flags);
        let service = timeout(PATIENCE, started).await.expect("the service starts");
        let url = service.url();
        self.connect(name, Service::Inside(service), url).await;
    }

    /// Starts an instance as a process of its own.
    pub(crate) async fn start_process(&mut self, name: &str, flags: &[&str]) {
        let flags = self.with_all_flags(name, flags).await;
        self.flags.insert(name.to_owned(), flags);
        self.run_process(name).await;
    }

    async fn run_process(&mut self, name: &str) {
        let flags = self.flags.get(name).expect("the instance's flags").clone();
        let args = [PROCESS.to_owned()].into_iter().chain(flags);
        let mut process = Process::start(this_program(), args, [] as [(OsString, OsString); 0]);
        let line = process.wait_for_line(|line| line.contains("listening on "), PATIENCE).await;
        let (_, address) = line.rsplit_once(' ').expect("a line that ends with an address");
        let url = format!("http://{address}");
        self.connect(name, Service::Process(Box::new(process)), url).await;
    }

    /// Starts an instance with the flags that it had, on what it had.
    pub(crate) async fn start_again(&mut self, name: &str) {
        let is_process = self.unclean.remove(name);
        if is_process {
            return self.run_process(name).await;
        }
        let flags = self.flags.get(name).expect("the instance's flags").clone();
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        self.run_inside(name, &flags).await;
    }

    async fn connect(&mut self, name: &str, service: Service, url: String) {
        let endpoint = Endpoint::from_shared(url).expect("a service's address");
        let channel = endpoint.connect().await.expect("connect to the service");
        self.instances.insert(name.to_owned(), Instance { service, channel });
        name.clone_into(&mut self.current);
    }

    /// The flags of an instance: given ones, and those that make it part of this
    /// scenario.
    async fn with_all_flags(&mut self, name: &str, given: &[&str]) -> Vec<String> {
        let mut flags: Vec<_> = given.iter().map(|&flag| flag.to_owned()).collect();
        let database = self.database_url().await;
        let data = self.scratch.at("data").join(name.replace(' ', "-"));
        let locks = self.locks().url().to_owned();
        let data = data.to_str().expect("a path of text").to_owned();
        let own = [
            ("--listen", "127.0.0.1:0".to_owned()),
            ("--database-url", database),
            ("--data-dir", data),
            ("--lock-server", locks),
            ("--instance-name", name.to_owned()),
        ];
        for (flag, value) in own {
            if !given.contains(&flag) {
                flags.extend([flag.to_owned(), value]);
            }
        }
        flags
    }

    async fn database_url(&mut self) -> String {
        match self.store.expect("the run has a store") {
            Store::Sqlite => format!("sqlite://{}", self.scratch.at("plans.db").display()),
            Store::Postgres => {
                if self.database.is_none() {
                    self.database = Some(postgres::database().await);
                }
                self.database.as_ref().expect("made above").url().to_owned()
            }
        }
    }

    /// What this run keeps its data in.
    pub(crate) fn store(&self) -> Store {
        self.store.expect("the run has a store")
    }

    /// Has callers talk to this instance from now on.
    pub(crate) fn turn_to(&mut self, name: &str) {
        assert!(self.instances.contains_key(name), "no instance {name}");
        name.clone_into(&mut self.current);
    }

    /// The name of the instance that callers talk to.
    pub(crate) fn current(&self) -> &str {
        &self.current
    }

    /// The names of all instances.
    pub(crate) fn instances(&self) -> Vec<String> {
        self.instances.keys().cloned().collect()
    }

    /// The connection to the instance that callers talk to.
    pub(crate) fn channel(&self) -> Channel {
        self.channel_of(&self.current)
    }

    pub(crate) fn channel_of(&self, name: &str) -> Channel {
        let instance = self.instances.get(name);
        instance.unwrap_or_else(|| panic!("no instance {name:?}")).channel.clone()
    }

    pub(crate) fn client(&self) -> PlanServiceClient<Channel> {
        PlanServiceClient::new(self.channel())
    }

    pub(crate) fn client_of(&self, name: &str) -> PlanServiceClient<Channel> {
        PlanServiceClient::new(self.channel_of(name))
    }

    /// Clients of all instances, one after the other, again and again.
    pub(crate) fn clients(&self) -> impl Iterator<Item = PlanServiceClient<Channel>> {
        let channels: Vec<_> = self.instances.values().map(|one| one.channel.clone()).collect();
        channels.into_iter().cycle().map(PlanServiceClient::new)
    }

    /// Stops an instance gracefully.
    pub(crate) async fn stop(&mut self, name: &str) {
        let instance = self.instances.remove(name).expect("the instance runs");
        match instance.service {
            Service::Inside(service) => {
                timeout(SOON, service.stop()).await.expect("the service stops within its grace");
            }
            Service::Process(mut process) => {
                process.signal(Signal::SIGTERM);
                let status = process.wait(SOON).await;
                assert!(status.success(), "{name}: {status}\n{}", process.output());
            }
        }
    }

    /// Sends a signal to an instance that is a process.
    pub(crate) fn signal(&mut self, name: &str, signal: Signal) {
        let instance = self.instances.get(name).expect("the instance runs");
        let Service::Process(process) = &instance.service else { panic!("{name} is no process") };
        process.signal(signal);
    }

    /// Kills an instance that is a process.
    pub(crate) fn kill(&mut self, name: &str) {
        let instance = self.instances.remove(name).expect("the instance runs");
        let Service::Process(mut process) = instance.service else {
            panic!("{name} is no process")
        };
        process.kill();
        self.unclean.insert(name.to_owned());
    }

    /// Waits until an instance ends by itself, and says with which code.
    pub(crate) async fn exit_code(&mut self, name: &str) -> Option<i32> {
        let instance = self.instances.remove(name).expect("the instance runs");
        let Service::Process(mut process) = instance.service else {
            panic!("{name} is no process")
        };
        let status = process.wait(PATIENCE).await;
        if !status.success() {
            panic!("{name}: {status}\n{}", process.output());
        }
        status.code()
    }
}
