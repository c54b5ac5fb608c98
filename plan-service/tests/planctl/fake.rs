//! A plan service that answers as it is told to, on a free port and on threads
//! of its own.
//!
//! Each call is answered by what was set for its request's type, and is
//! remembered. A watch tells what a test sends it.

use std::{
    any::{Any, TypeId},
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use proto::plan::v1::{
    ApplyPlanRequest, ApplyPlanResponse, CancelPlanRequest, CancelPlanResponse,
    CreateActionRequest, CreateActionResponse, ExecutePlanRequest, ExecutePlanResponse,
    GetActionRequest, GetActionResponse, GetDiagnosticsRequest, GetDiagnosticsResponse,
    GetDiffRequest, GetDiffResponse, GetPlanRequest, GetPlanResponse, GetProjectRequest,
    GetProjectResponse, ListActionsRequest, ListActionsResponse, ListChangesetsRequest,
    ListChangesetsResponse, ListPlansRequest, ListPlansResponse, ListProjectsRequest,
    ListProjectsResponse, RegisterProjectRequest, RegisterProjectResponse, RetryPlanRequest,
    RetryPlanResponse, RevertPlanRequest, RevertPlanResponse, UseActionRequest, UseActionResponse,
    WatchPlanRequest, WatchPlanResponse,
    plan_service_server::{PlanService, PlanServiceServer},
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, async_trait, transport::server::TcpIncoming};

type Thing = Box<dyn Any + Send>;
type Answer = Arc<dyn Fn(Thing) -> Result<Thing, Status> + Send + Sync>;
type Told = Result<WatchPlanResponse, Status>;

#[derive(Default)]
struct State {
    answers: Mutex<HashMap<TypeId, Answer>>,
    asked: Mutex<Vec<Thing>>,
    watches: Mutex<VecDeque<mpsc::UnboundedReceiver<Told>>>,
}

/// The service, until it is dropped.
pub(crate) struct Fake {
    state: Arc<State>,
    address: std::net::SocketAddr,
    _alive: oneshot::Sender<()>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let state = Arc::<State>::default();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (alive, end) = oneshot::channel();
        let service = Service(Arc::clone(&state));
        thread::spawn(move || serve(listener, service, end));
        Self { state, address, _alive: alive }
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How requests of this type are answered from now on.
    pub(crate) fn on<Q, A>(&self, answer: impl Fn(Q) -> Result<A, Status> + Send + Sync + 'static)
    where
        Q: Send + 'static,
        A: Send + 'static,
    {
        let answer = move |asked: Thing| -> Result<Thing, Status> {
            let asked = *asked.downcast::<Q>().expect("kept under its type");
            answer(asked).map(|answer| Box::new(answer) as Thing)
        };
        lock(&self.state.answers).insert(TypeId::of::<Q>(), Arc::new(answer));
    }

    /// Everything of this type that it was asked, in order.
    pub(crate) fn asked<Q: Clone + 'static>(&self) -> Vec<Q> {
        lock(&self.state.asked).iter().filter_map(|it| it.downcast_ref::<Q>().cloned()).collect()
    }

    /// What the next watch that nothing is set for tells, and that it ends once
    /// the sender is dropped. A watch too many is told that the service is away.
    pub(crate) fn on_watch(&self) -> mpsc::UnboundedSender<Told> {
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.state.watches).push_back(receiver);
        sender
    }
}

#[tokio::main(worker_threads = 1)]
async fn serve(listener: std::net::TcpListener, service: Service, end: oneshot::Receiver<()>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = tonic::transport::Server::builder()
        .add_service(PlanServiceServer::new(service))
        .serve_with_incoming(incoming);
    tokio::select! {
        result = server => result.expect("the fake serves"),
        _ = end => {}
    }
}

struct Service(Arc<State>);

impl Service {
    fn answer<Q, A>(&self, request: Request<Q>) -> Result<Response<A>, Status>
    where
        Q: Clone + Send + 'static,
        A: Send + 'static,
    {
        let request = request.into_inner();
        lock(&self.0.asked).push(Box::new(request.clone()));
        let answer = lock(&self.0.answers).get(&TypeId::of::<Q>()).cloned();
        let name = std::any::type_name::<Q>();
        let answer = answer.ok_or_else(|| Status::internal(format!("no answer to {name}")))?;
        // It may wait for what the test does next.
        let answer = tokio::task::block_in_place(|| answer(Box::new(request)))?;
        Ok(Response::new(*answer.downcast::<A>().expect("the answer of this request")))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

macro_rules! answered {
    ($($name:ident: $request:ty => $response:ty,)*) => {
        #[async_trait]
        impl PlanService for Service {
            $(async fn $name(
                &self,
                request: Request<$request>,
            ) -> Result<Response<$response>, Status> {
                self.answer(request)
            })*

            type WatchPlanStream = UnboundedReceiverStream<Told>;

            async fn watch_plan(
                &self,
                request: Request<WatchPlanRequest>,
            ) -> Result<Response<Self::WatchPlanStream>, Status> {
                lock(&self.0.asked).push(Box::new(request.into_inner()));
                let watch = lock(&self.0.watches).pop_front();
                let watch = watch.ok_or_else(|| Status::unavailable("not now"))?;
                Ok(Response::new(UnboundedReceiverStream::new(watch)))
            }
        }
    };
}

answered! {
    register_project: RegisterProjectRequest => RegisterProjectResponse,
    get_project: GetProjectRequest => GetProjectResponse,
    list_projects: ListProjectsRequest => ListProjectsResponse,
    create_action: CreateActionRequest => CreateActionResponse,
    get_action: GetActionRequest => GetActionResponse,
    list_actions: ListActionsRequest => ListActionsResponse,
    use_action: UseActionRequest => UseActionResponse,
    get_plan: GetPlanRequest => GetPlanResponse,
    list_plans: ListPlansRequest => ListPlansResponse,
    execute_plan: ExecutePlanRequest => ExecutePlanResponse,
    apply_plan: ApplyPlanRequest => ApplyPlanResponse,
    revert_plan: RevertPlanRequest => RevertPlanResponse,
    retry_plan: RetryPlanRequest => RetryPlanResponse,
    cancel_plan: CancelPlanRequest => CancelPlanResponse,
    get_diff: GetDiffRequest => GetDiffResponse,
    list_changesets: ListChangesetsRequest => ListChangesetsResponse,
    get_diagnostics: GetDiagnosticsRequest => GetDiagnosticsResponse,
}
