//! A store that hands every call to the test, which says what becomes of it.

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use crate::{
    domain::{
        Acquire, Command, EventFilter, EventPage, FencingToken, ForceRelease, Forced, ListFilter,
        Lock, LockPage, Metadata, Outcome, OwnerId, Purge, Release, Renew, Resource, ResourceType,
        Span, StaleFilter, StalePage, Timestamp, WaitsFor,
    },
    store::{Batching, Freed, Look, Store, StoreError, Wake},
};

/// A command by its name: its kind, its resource and, where there are several
/// alike, a number, such as `renew a 2`. The name is its owner's, so that it can
/// be told from the others.
pub(super) fn command(name: &str) -> Command {
    let mut words = name.split(' ');
    let (kind, id) = (words.next().unwrap(), words.next().unwrap());
    let resource = Resource::parse_id(ResourceType::parse("plan").unwrap(), id).unwrap();
    let owner = OwnerId::parse(name).unwrap();
    match kind {
        "acquire" => {
            let (ttl, metadata) = (Span::from_micros(1), Metadata::default());
            Command::Acquire(Acquire { resource, owner, ttl, metadata, wait: None })
        }
        "renew" => {
            let token = FencingToken::new(1).unwrap();
            Command::Renew(Renew { resource, owner, token, ttl: None })
        }
        "release" => Command::Release(Release { resource, owner, token: None }),
        other => panic!("no kind {other}"),
    }
}

/// The name of a command.
pub(super) fn name_of(command: &Command) -> &str {
    match command {
        Command::Acquire(acquire) => acquire.owner.as_str(),
        Command::Renew(renew) => renew.owner.as_str(),
        Command::Release(release) => release.owner.as_str(),
        other => unreachable!("{other:?} has no name here"),
    }
}

/// What the store says became of a command: its name.
pub(super) fn outcome_of(command: &Command) -> Outcome {
    Outcome::not_held(Some(OwnerId::parse(name_of(command)).unwrap()))
}

/// A call to the store, which waits for what the test says.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) commands: Vec<Command>,
    /// It was made with `apply`, for a command that was left out before.
    pub(super) alone: bool,
    says: oneshot::Sender<Says>,
}

#[derive(Debug)]
enum Says {
    Done(Vec<Option<Outcome>>),
    Failed(StoreError),
    Panics,
}

impl Call {
    pub(super) fn names(&self) -> Vec<&str> {
        self.commands.iter().map(name_of).collect()
    }

    /// Every command is carried out.
    pub(super) fn answer(self) {
        self.leave_out(&[]);
    }

    /// All but these are carried out.
    pub(super) fn leave_out(self, names: &[&str]) {
        let decided =
            |command: &Command| (!names.contains(&name_of(command))).then(|| outcome_of(command));
        let outcomes = self.commands.iter().map(decided).collect();
        self.says.send(Says::Done(outcomes)).unwrap();
    }

    pub(super) fn fail(self, error: StoreError) {
        self.says.send(Says::Failed(error)).unwrap();
    }

    pub(super) fn panic(self) {
        self.says.send(Says::Panics).unwrap();
    }
}

/// The store.
#[derive(Debug)]
pub(super) struct Scripted {
    pub(super) batching: Batching,
    /// Where the test gets the calls from.
    pub(super) calls: mpsc::UnboundedSender<Call>,
}

impl Scripted {
    async fn call(
        &self,
        commands: &[Command],
        alone: bool,
    ) -> Result<Vec<Option<Outcome>>, StoreError> {
        let (says, said) = oneshot::channel();
        self.calls.send(Call { commands: commands.to_vec(), alone, says }).unwrap();
        match said.await.expect("the test says what becomes of each call") {
            Says::Done(outcomes) => Ok(outcomes),
            Says::Failed(error) => Err(error),
            Says::Panics => panic!("the test says so"),
        }
    }
}

#[async_trait]
impl Store for Scripted {
    fn engine(&self) -> &'static str {
        "scripted"
    }

    async fn apply(&self, commands: &[Command]) -> Result<Vec<Outcome>, StoreError> {
        let outcomes = self.call(commands, true).await?;
        Ok(outcomes.into_iter().map(Option::unwrap).collect())
    }

    async fn apply_now(&self, commands: &[Command]) -> Result<Vec<Option<Outcome>>, StoreError> {
        self.call(commands, false).await
    }

    fn batching(&self) -> Batching {
        self.batching
    }

    async fn release_owner(&self, _: &OwnerId, _: u32) -> Result<Freed, StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn get(&self, _: &Resource) -> Result<Option<Lock>, StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn list(
        &self,
        _: &ListFilter,
        _: Option<&Resource>,
        _: u32,
    ) -> Result<LockPage, StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn list_stale(
        &self,
        _: &StaleFilter,
        _: Option<&(Timestamp, Resource)>,
        _: u32,
    ) -> Result<StalePage, StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn purge(&self, _: &mut Purge, _: u32) -> Result<u64, StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn force_release(&self, _: &ForceRelease) -> Result<Forced, StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn events(
        &self,
        _: &EventFilter,
        _: Option<(Timestamp, i64)>,
        _: u32,
    ) -> Result<EventPage, StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn forget_events(&self, _: Span, _: u32) -> Result<u64, StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn prune(&self, _: Span, _: u32) -> Result<u64, StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn probe(&self) -> Result<(), StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    fn wakes(&self) -> Option<mpsc::UnboundedReceiver<Wake>> {
        None
    }

    async fn say_alive(&self) -> Result<(), StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn look_after_waiters(&self) -> Result<Look, StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn without_place(&self, _: &[(Resource, OwnerId)]) -> Result<Vec<usize>, StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn send_waiters_away(&self) -> Result<(), StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn waits_for(&self) -> Result<Vec<WaitsFor>, StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn drop_gone_waiters(&self, _: u32) -> Result<u64, StoreError> {
        unreachable!("a batcher does not ask for this")
    }

    async fn close(&self) {}
}
