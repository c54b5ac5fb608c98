//! Waiting in line: in order of arrival, one grant for each hold that ends.

use std::{cell::RefCell, collections::HashMap, slice::from_ref, time::Duration};

use lock_server::{
    domain::{
        Acquire, Command, EventFilter, EventKind, FencingToken, Forced, HandOn, Leave, Lock,
        LockEventKind, Outcome, OwnerId, Resource, Span, StaleFilter, There, Wait, circles,
    },
    store::{Freed, LOOK_AHEAD, Wake},
};
use tokio::sync::mpsc;

use super::watch::told;
use crate::kit::{
    Kit, MINUTE, acquire, beside, metadata, options, owner, release, renew, resource, token,
};

const DEADLINE: Duration = Duration::from_secs(20);

/// What the callers at one server do and are told.
struct Line {
    kit: Kit,
    wakes: mpsc::UnboundedReceiver<Wake>,
    /// What others were told while one of them was waited for.
    granted: HashMap<(Resource, OwnerId), Lock>,
    /// The places of those in line, as they were told when they came.
    places: RefCell<HashMap<(Resource, OwnerId), i64>>,
}

/// An acquire that waits for a minute.
fn ask(resource: &Resource, by: &str, ttl: Span, again: bool) -> Command {
    Command::Acquire(Acquire {
        resource: resource.clone(),
        owner: owner(by),
        ttl,
        metadata: metadata(&[]),
        wait: Some(Wait { time: MINUTE, again }),
    })
}

fn leave(resource: &Resource, by: &str, untaken: Option<FencingToken>) -> Command {
    let there = untaken.map_or(There::Caller, There::NobodyFor);
    Command::Leave(Leave { resource: resource.clone(), owner: owner(by), there })
}

fn hand_on(resource: &Resource) -> Command {
    Command::HandOn(HandOn { resource: resource.clone() })
}

fn left(granted: Option<Lock>) -> Outcome {
    Outcome::Left { granted }
}

impl Line {
    /// Nobody waits yet.
    async fn at(kit: Kit) -> Self {
        let wakes = kit.store.wakes().expect("nobody has asked before");
        assert!(kit.store.wakes().is_none(), "there is one who listens");
        kit.store.say_alive().await.unwrap();
        Self { kit, wakes, granted: HashMap::new(), places: RefCell::default() }
    }

    /// One holds a resource, and others wait for it, in this order.
    async fn of(kit: Kit, what: &Resource, holder: &str, waiters: &[&str]) -> (Self, Lock) {
        let line = Self::at(kit).await;
        let lock = line.kit.grant(what, holder, MINUTE).await;
        for by in waiters {
            line.waits(what, by).await;
        }
        (line, lock)
    }

    /// Asks and gets in line: the lock that is waited for.
    async fn waits(&self, what: &Resource, by: &str) -> Lock {
        match self.kit.apply(ask(what, by, MINUTE, false)).await {
            Outcome::Waiting { holder, place, .. } => {
                self.places.borrow_mut().insert((what.clone(), owner(by)), place);
                holder
            }
            other => panic!("{by} does not wait: {other:?}"),
        }
    }

    /// Waits until the server that somebody waits at has the lock for them.
    async fn granted(&mut self, what: &Resource, by: &str) -> Lock {
        let one = (what.clone(), owner(by));
        self.look(&one).await;
        loop {
            if let Some(lock) = self.granted.remove(&one) {
                assert_eq!((&lock.resource, &lock.owner), (&one.0, &one.1));
                let now = self.kit.get(what).await.unwrap();
                assert_eq!((&now.owner, now.token), (&lock.owner, lock.token));
                return lock;
            }
            let wake = tokio::time::timeout(DEADLINE, self.wakes.recv()).await;
            match wake.unwrap_or_else(|_| panic!("{by} is not told")).unwrap() {
                Wake::Granted { place, lock } => self.note(place, *lock),
                Wake::Settled { .. } | Wake::Missed => self.look(&one).await,
            }
        }
    }

    fn note(&mut self, place: i64, lock: Lock) {
        let one = (lock.resource.clone(), lock.owner.clone());
        if let Some(told) = self.places.borrow_mut().remove(&one) {
            assert_eq!(place, told, "{one:?}");
        }
        let twice = self.granted.insert(one, lock);
        assert_eq!(twice, None, "told twice");
    }

    /// Takes what somebody was granted without this server's doing.
    async fn look(&mut self, one: &(Resource, OwnerId)) {
        let look = self.kit.store.look_after_waiters().await.unwrap();
        if look.settled.contains(one) {
            match self.kit.apply(ask(&one.0, one.1.as_str(), MINUTE, true)).await {
                Outcome::Claimed { place, lock } => self.note(place, lock),
                other => panic!("{one:?} was told of news and gets {other:?}"),
            }
        }
    }

    /// Whether each of these has a place in line.
    async fn in_line(&self, what: &Resource, who: &[&str]) -> Vec<bool> {
        let waiters: Vec<_> = who.iter().map(|by| (what.clone(), owner(by))).collect();
        let without = self.kit.store.without_place(&waiters).await.unwrap();
        (0..who.len()).map(|position| !without.contains(&position)).collect()
    }

    /// Who holds a resource and how many wait for it.
    async fn stands(&self, what: &Resource) -> Option<(String, u64)> {
        let lock = self.kit.get(what).await?;
        Some((lock.owner.as_str().to_owned(), lock.waiters))
    }

    /// What is not held any more and waited for.
    async fn due(&self) -> Vec<Resource> {
        let look = self.kit.store.look_after_waiters().await.unwrap();
        look.due.into_iter().filter(|(_, left)| *left == Span::ZERO).map(|(what, _)| what).collect()
    }

    /// Makes a resource free, with those in line still in line.
    async fn make_free(&self, what: &Resource) {
        let of = format!("WHERE resource_id = '{}'", what.id());
        let changed = self
            .kit
            .sql_of(
                &format!(
                    "UPDATE locks SET expires_at = NULL, freed_at = unixepoch() * 1000000 {of}"
                ),
                &format!("UPDATE locks SET expires_at = NULL, freed_at = clock_timestamp() {of}"),
            )
            .await;
        assert_eq!(changed, 1);
    }

    /// Moves somebody's place to another server, which is heard of no more in so
    /// many seconds.
    async fn move_place(&self, by: &str, alive_for: i64) {
        let other = "00000000-0000-0000-0000-000000000001";
        let of = format!("WHERE owner_id = '{by}'");
        self.kit
            .sql_of(
                &format!(
                    "INSERT INTO lock_servers VALUES
                         ('{other}', (unixepoch() + {alive_for}) * 1000000)
                     ON CONFLICT (server) DO UPDATE SET alive_until = excluded.alive_until;
                     UPDATE lock_waiters SET server = '{other}' {of}"
                ),
                &format!(
                    "INSERT INTO lock_servers
                     VALUES ('{other}', clock_timestamp() + {alive_for} * interval '1 s')
                     ON CONFLICT (server) DO UPDATE SET alive_until = excluded.alive_until;
                     UPDATE lock_waiters SET servers = ARRAY['{other}'::uuid] {of}"
                ),
            )
            .await;
    }

    /// How many rows a table of waiters has.
    async fn rows(&self, table: &str) -> u64 {
        let column = if table == "lock_waiters" { "ttl" } else { "alive_until" };
        self.kit.sql(&format!("UPDATE {table} SET {column} = {column}")).await
    }
}

pub(crate) async fn is_granted_in_order_of_arrival(kit: Kit) {
    let plan = resource("42");
    let (mut line, mut last) = Line::of(kit, &plan, "first", &[]).await;
    let names = ["a", "b", "c"];
    for (before, by) in names.iter().enumerate() {
        let holder = line.waits(&plan, by).await;
        assert_eq!((&holder.owner, holder.token), (&last.owner, last.token));
        assert_eq!(holder.waiters, before as u64 + 1, "itself, too");
    }
    for (position, by) in names.iter().enumerate() {
        let after = (names.len() - position) as u64;
        let conflict = line.kit.apply(acquire(&plan, "newcomer", MINUTE)).await;
        let Outcome::Conflict { holder } = conflict else { panic!("{conflict:?}") };
        assert_eq!((&holder.owner, holder.waiters), (&last.owner, after));

        let released = line.kit.apply(release(&plan, last.owner.as_str(), Some(last.token))).await;
        assert_eq!(released, Outcome::Released { ended: true });
        let lock = line.granted(&plan, by).await;
        assert!(lock.token > last.token, "{} after {}", lock.token, last.token);
        assert_eq!(lock.waiters, after - 1);
        assert_eq!(line.in_line(&plan, &names[..=position]).await, vec![false; position + 1]);
        last = lock;
    }
    line.kit.apply(release(&plan, "c", None)).await;
    assert_eq!(line.kit.get(&plan).await, None);
    assert_eq!(line.rows("lock_waiters").await, 0);
    let events = line.kit.events(&EventFilter::default()).await;
    assert_eq!(events, [], "a release that is handed on is an ordinary one");
}

pub(crate) async fn an_expiry_is_one_grant(kit: Kit) {
    let plan = resource("42");
    let (mut line, lock) = Line::of(kit, &plan, "me", &["a", "b"]).await;
    let early = line.kit.apply(hand_on(&plan)).await;
    let Outcome::HandedOn { lock: Some(held) } = early else { panic!("{early:?}") };
    assert_eq!((held.token, held.waiters), (lock.token, 2), "it is held");
    assert_eq!(line.due().await, []);

    line.kit.age(&plan, 1).await;
    assert_eq!(line.due().await, from_ref(&plan));
    for _ in 0..2 {
        let handed = line.kit.apply(hand_on(&plan)).await;
        let Outcome::HandedOn { lock: Some(handed) } = handed else { panic!("{handed:?}") };
        assert_eq!((handed.owner, handed.waiters), (owner("a"), 1));
        assert!(handed.token > lock.token);
    }
    line.granted(&plan, "a").await;
    assert_eq!(line.due().await, []);
    assert_eq!(line.in_line(&plan, &["a", "b"]).await, [false, true]);
    let events = line.kit.events(&EventFilter::default()).await;
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!((event.kind, event.actor.as_str()), (Some(EventKind::TakenOver), "a"));
    assert_eq!((&event.owner, event.token), (&Some(owner("me")), Some(lock.token)));

    // With nobody there: as it stands.
    let nobody = line.kit.apply(hand_on(&resource("never seen"))).await;
    assert_eq!(nobody, Outcome::HandedOn { lock: None });
}

pub(crate) async fn a_lease_that_runs_out_is_seen_ahead(kit: Kit) {
    let plan = resource("42");
    let line = Line::at(kit).await;
    let soon = Span::from_micros(LOOK_AHEAD.micros() * 2 / 3);
    line.kit.grant(&plan, "me", soon).await;
    line.waits(&plan, "a").await;
    let later = resource("later");
    line.kit.grant(&later, "me", MINUTE).await;
    line.waits(&later, "a").await;
    line.kit.grant(&resource("alone"), "me", soon).await;
    let look = line.kit.store.look_after_waiters().await.unwrap();
    let [(what, left)] = &look.due[..] else { panic!("{look:?}") };
    assert_eq!(*what, plan);
    assert!(*left <= soon, "{left}");
    assert_eq!(look.settled, []);
}

/// It is handed on instead.
pub(crate) async fn a_purge_leaves_what_is_waited_for(kit: Kit) {
    let plan = resource("42");
    let (mut line, _) = Line::of(kit, &plan, "me", &["a", "b"]).await;
    line.kit.age(&plan, 100).await;
    assert_eq!(line.kit.purge(&StaleFilter::default(), 10).await, 0);
    assert_eq!(line.due().await, from_ref(&plan));
    line.kit.apply(hand_on(&plan)).await;
    line.granted(&plan, "a").await;
    assert_eq!(line.stands(&plan).await, Some(("a".into(), 1)));
}

pub(crate) async fn a_forced_release_is_one_grant(kit: Kit) {
    let plan = resource("42");
    let (mut line, lock) = Line::of(kit, &plan, "me", &["a", "b"]).await;
    let forced = line.kit.force(&plan, lock.token, "stuck").await;
    let Forced::Released(broken) = forced else { panic!("{forced:?}") };
    assert_eq!((broken.owner, broken.token, broken.waiters), (owner("me"), lock.token, 2));
    let next = line.granted(&plan, "a").await;
    assert!(next.token > lock.token);
    assert_eq!(line.stands(&plan).await, Some(("a".into(), 1)));
    let lost = line.kit.apply(renew(&plan, "me", lock.token, None)).await;
    let Outcome::NotHeld { holder, forced: Some(by) } = lost else { panic!("{lost:?}") };
    assert_eq!((holder, by.reason.as_str()), (Some(owner("a")), "stuck"));
    let again = line.kit.force(&plan, lock.token, "stuck").await;
    assert!(matches!(again, Forced::MovedOn(_)), "{again:?}");
    assert_eq!(line.stands(&plan).await, Some(("a".into(), 1)));
    let kinds: Vec<_> =
        line.kit.events(&EventFilter::default()).await.iter().map(|event| event.kind).collect();
    let expected = [EventKind::ForceReleaseRefused, EventKind::ForceReleased].map(Some);
    assert_eq!(kinds, expected);
}

pub(crate) async fn releasing_all_of_an_owner_hands_on(kit: Kit) {
    let (plan, other) = (resource("42"), resource("43"));
    let (mut line, _) = Line::of(kit, &plan, "me", &["a", "b"]).await;
    line.kit.grant(&other, "me", MINUTE).await;
    line.kit.grant(&resource("alone"), "me", MINUTE).await;
    line.waits(&other, "b").await;
    line.kit.age(&other, 1).await;
    let (mut rows, mut live) = (0, 0);
    loop {
        let freed = line.kit.store.release_owner(&owner("me"), 2).await.unwrap();
        assert!(freed.rows <= 2, "{freed:?}");
        if freed.rows == 0 {
            break;
        }
        (rows, live) = (rows + freed.rows, live + freed.live);
    }
    assert_eq!((rows, live), (3, 2));
    line.granted(&plan, "a").await;
    line.granted(&other, "b").await;
    assert_eq!(line.stands(&plan).await, Some(("a".into(), 1)));
    assert_eq!(line.stands(&other).await, Some(("b".into(), 0)));
    assert_eq!(line.kit.get(&resource("alone")).await, None);
}

pub(crate) async fn a_lease_counts_from_its_grant(kit: Kit) {
    let plan = resource("42");
    let (mut line, lock) = Line::of(kit, &plan, "me", &["first"]).await;
    let ttl = Span::from_micros(7_000_000);
    let with = Command::Acquire(Acquire {
        resource: plan.clone(),
        owner: owner("second"),
        ttl,
        metadata: metadata(&[("job", "7")]),
        wait: Some(Wait { time: MINUTE, again: false }),
    });
    assert!(matches!(line.kit.apply(with).await, Outcome::Waiting { .. }));
    line.kit
        .sql_of(
            "UPDATE lock_waiters SET arrived_at = arrived_at - 3600000000",
            "UPDATE lock_waiters SET arrived_at = arrived_at - interval '1 h'",
        )
        .await;
    line.kit.apply(release(&plan, "me", None)).await;
    let first = line.granted(&plan, "first").await;
    assert_eq!(first.expires_at, first.acquired_at.plus(MINUTE));
    line.kit.apply(release(&plan, "first", None)).await;
    let second = line.granted(&plan, "second").await;
    assert!(lock.acquired_at <= first.acquired_at && first.acquired_at <= second.acquired_at);
    assert_eq!(second.expires_at, second.acquired_at.plus(ttl));
    assert_eq!((second.ttl, second.renewed_at), (ttl, second.acquired_at));
    assert_eq!(second.metadata, metadata(&[("job", "7")]));
    assert!(second.is_live());
    let renewed = line.kit.apply(renew(&plan, "second", second.token, None)).await;
    assert!(matches!(renewed, Outcome::Renewed(_)), "{renewed:?}");
}

pub(crate) async fn the_calls_of_an_owner_share_a_place(kit: Kit) {
    let plan = resource("42");
    let (mut line, _) = Line::of(kit, &plan, "me", &["a", "b"]).await;
    let ttl = Span::from_micros(2 * MINUTE.micros());
    for again in [false, true] {
        let outcome = line.kit.apply(ask(&plan, "a", ttl, again)).await;
        let Outcome::Waiting { holder, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!(holder.waiters, 2);
    }
    line.kit.apply(release(&plan, "me", None)).await;
    assert_eq!(line.granted(&plan, "a").await.ttl, ttl, "in its old place, as asked for last");
    assert_eq!(line.in_line(&plan, &["a", "b"]).await, [false, true]);
}

pub(crate) async fn who_has_it_does_not_wait(kit: Kit) {
    let plan = resource("42");
    let (line, lock) = Line::of(kit, &plan, "me", &["a"]).await;
    let outcome = line.kit.apply(ask(&plan, "me", MINUTE, false)).await;
    let Outcome::Granted { lock: held, reentrant: true } = outcome else { panic!("{outcome:?}") };
    assert_eq!((held.token, held.waiters), (lock.token, 1));
    assert_eq!(line.in_line(&plan, &["me", "a"]).await, [false, true]);

    // Nor who finds it free, or stale and not waited for.
    for stale in [false, true] {
        let other = resource(&format!("other {stale}"));
        if stale {
            line.kit.grant(&other, "you", MINUTE).await;
            line.kit.age(&other, 1).await;
        }
        let outcome = line.kit.apply(ask(&other, "me", MINUTE, false)).await;
        let Outcome::Granted { lock, reentrant: false } = outcome else { panic!("{outcome:?}") };
        assert_eq!((lock.owner, lock.waiters), (owner("me"), 0));
        assert_eq!(line.in_line(&other, &["me"]).await, [false]);
    }
}

/// Of what is stale and of what is free, with a wait or without.
pub(crate) async fn a_newcomer_never_overtakes(kit: Kit) {
    let mut line = Line::at(kit).await;
    for (is_free, waits) in [(false, false), (false, true), (true, false), (true, true)] {
        let plan = resource(&format!("{is_free} {waits}"));
        line.kit.grant(&plan, "me", MINUTE).await;
        line.waits(&plan, "a").await;
        line.waits(&plan, "b").await;
        if is_free {
            line.make_free(&plan).await;
        } else {
            line.kit.age(&plan, 1).await;
        }
        assert_eq!(line.due().await, from_ref(&plan));
        let command =
            if waits { ask(&plan, "c", MINUTE, false) } else { acquire(&plan, "c", MINUTE) };
        let outcome = line.kit.apply(command).await;
        let (holder, waiters) = match outcome {
            Outcome::Conflict { holder } if !waits => (holder, 1),
            Outcome::Waiting { holder, .. } if waits => (holder, 2),
            other => panic!("{plan}: {other:?}"),
        };
        assert_eq!((&holder.owner, holder.waiters), (&owner("a"), waiters), "{plan}");
        line.granted(&plan, "a").await;
        assert_eq!(line.in_line(&plan, &["a", "b", "c"]).await, [false, true, waits]);
        line.kit.apply(release(&plan, "a", None)).await;
        line.granted(&plan, "b").await;
    }
}

pub(crate) async fn the_first_in_line_may_come_for_it(kit: Kit) {
    let mut line = Line::at(kit).await;
    for waits in [false, true] {
        let plan = resource(&waits.to_string());
        line.kit.grant(&plan, "me", MINUTE).await;
        line.waits(&plan, "a").await;
        line.waits(&plan, "b").await;
        line.kit.age(&plan, 1).await;
        let ask = if waits { ask(&plan, "a", MINUTE, true) } else { acquire(&plan, "a", MINUTE) };
        let outcome = line.kit.apply(ask).await;
        let lock = match outcome {
            Outcome::Claimed { lock, .. } if waits => lock,
            Outcome::Granted { lock, .. } if !waits => lock,
            other => panic!("{other:?}"),
        };
        assert_eq!((lock.owner, lock.waiters), (owner("a"), 1));
        assert_eq!(line.in_line(&plan, &["b"]).await, [true]);
        line.kit.apply(release(&plan, "a", None)).await;
        line.granted(&plan, "b").await;
    }
}

/// Who asks how it stands is not put in line anew, and is not heard of by it.
pub(crate) async fn who_is_not_in_line_is_told_so(kit: Kit) {
    let plan = resource("42");
    let (mut line, _) = Line::of(kit, &plan, "me", &["a", "b"]).await;
    let again = async |line: &Line, by| line.kit.apply(ask(&plan, by, MINUTE, true)).await;
    assert_eq!(again(&line, "stranger").await, Outcome::NotInLine { holds: false });
    line.kit.apply(leave(&plan, "b", None)).await;
    assert_eq!(again(&line, "b").await, Outcome::NotInLine { holds: false });
    assert_eq!(again(&line, "me").await, Outcome::NotInLine { holds: true });
    assert_eq!(line.stands(&plan).await, Some(("me".into(), 1)));

    line.kit.apply(release(&plan, "me", None)).await;
    let lock = line.granted(&plan, "a").await;
    assert_eq!(again(&line, "a").await, Outcome::NotInLine { holds: true });
    line.kit.apply(leave(&plan, "a", Some(lock.token))).await;
    assert_eq!(line.kit.get(&plan).await, None, "it was not taken");
    assert_eq!(again(&line, "a").await, Outcome::NotInLine { holds: false });
    assert_eq!(line.kit.get(&plan).await, None);
}

/// Who asks how it stands may find it over, and hands it to who is before it.
pub(crate) async fn asking_again_hands_on(kit: Kit) {
    let plan = resource("42");
    let (mut line, _) = Line::of(kit, &plan, "me", &["a", "b"]).await;
    line.kit.age(&plan, 1).await;
    let outcome = line.kit.apply(ask(&plan, "b", MINUTE, true)).await;
    let Outcome::Waiting { holder, .. } = outcome else { panic!("{outcome:?}") };
    assert_eq!((holder.owner, holder.waiters), (owner("a"), 1));
    line.granted(&plan, "a").await;
    assert_eq!(line.in_line(&plan, &["a", "b"]).await, [false, true]);
}

pub(crate) async fn a_line_may_be_full(kit: Kit) {
    let plan = resource("42");
    let most = options("sqlite::memory:").waiting.most_for_one;
    let (mut line, _) = Line::of(kit, &plan, "me", &[]).await;
    let all: Vec<_> =
        (0..most).map(|number| ask(&plan, &format!("waiter {number}"), MINUTE, false)).collect();
    for outcome in line.kit.store.apply(&all).await.unwrap() {
        assert!(matches!(outcome, Outcome::Waiting { .. }), "{outcome:?}");
    }
    let refused = line.kit.apply(ask(&plan, "late", MINUTE, false)).await;
    assert_eq!(refused, Outcome::QueueFull { most });
    assert_eq!(line.in_line(&plan, &["late"]).await, [false]);
    line.waits(&plan, "waiter 1").await;
    let elsewhere = resource("43");
    line.kit.grant(&elsewhere, "me", MINUTE).await;
    line.waits(&elsewhere, "late").await;
    assert_eq!(line.kit.apply(leave(&plan, "waiter 1", None)).await, left(None));
    line.waits(&plan, "late").await;
    line.kit.apply(release(&plan, "me", None)).await;
    line.granted(&plan, "waiter 0").await;
    assert_eq!(line.stands(&plan).await, Some(("waiter 0".into(), u64::from(most) - 1)));
}

pub(crate) async fn who_leaves_is_not_granted(kit: Kit) {
    let plan = resource("42");
    let (mut line, _) = Line::of(kit, &plan, "me", &["a", "b", "c"]).await;
    for who in ["a", "a", "stranger", "me"] {
        assert_eq!(line.kit.apply(leave(&plan, who, None)).await, left(None));
    }
    assert_eq!(line.kit.apply(leave(&resource("never seen"), "a", None)).await, left(None));
    assert_eq!(line.stands(&plan).await, Some(("me".into(), 2)));
    line.kit.apply(release(&plan, "me", None)).await;
    line.granted(&plan, "b").await;
    assert_eq!(line.kit.apply(leave(&plan, "c", None)).await, left(None));
    assert_eq!(line.stands(&plan).await, Some(("b".into(), 0)));
    line.kit.apply(release(&plan, "b", None)).await;
    assert_eq!(line.kit.get(&plan).await, None);
    assert_eq!(line.rows("lock_waiters").await, 0);
}

/// What was granted and not taken is passed on; a hold that its owner knows of
/// is not.
pub(crate) async fn an_untaken_grant_is_passed_on(kit: Kit) {
    let plan = resource("42");
    let (mut line, lock) = Line::of(kit, &plan, "me", &["a", "b", "c"]).await;
    line.kit.store.watch(false).await.unwrap();
    line.kit.apply(release(&plan, "me", None)).await;
    let to_a = line.granted(&plan, "a").await;
    for (by, token) in [("b", to_a.token), ("a", beside(to_a.token))] {
        assert_eq!(line.kit.apply(leave(&plan, by, Some(token))).await, left(None));
        assert_eq!(line.stands(&plan).await, Some(("a".into(), 2)), "another's or another one");
    }
    // It is not in line any more: its grant is what it has.
    assert_eq!(line.kit.apply(leave(&plan, "a", None)).await, left(None));
    assert_eq!(line.stands(&plan).await, Some(("a".into(), 2)));

    assert_eq!(line.kit.apply(leave(&plan, "a", Some(to_a.token))).await, left(None));
    let to_b = line.granted(&plan, "b").await;
    assert!(to_b.token > to_a.token);
    assert_eq!(line.kit.apply(leave(&plan, "a", Some(to_a.token))).await, left(None));
    assert_eq!(line.stands(&plan).await, Some(("b".into(), 1)), "once");

    // Renewed, a moment after its grant.
    line.kit
        .sql_of(
            "UPDATE locks SET acquired_at = acquired_at - 1000, renewed_at = renewed_at - 1000",
            "UPDATE locks SET acquired_at = acquired_at - interval '1 ms',
                              renewed_at = renewed_at - interval '1 ms'",
        )
        .await;
    line.kit.apply(renew(&plan, "b", to_b.token, None)).await;
    line.kit.apply(leave(&plan, "b", Some(to_b.token))).await;
    assert_eq!(line.stands(&plan).await, Some(("b".into(), 1)));
    // Re-entered.
    line.kit.apply(release(&plan, "b", None)).await;
    let to_c = line.granted(&plan, "c").await;
    line.kit.apply(acquire(&plan, "c", MINUTE)).await;
    line.kit.apply(leave(&plan, "c", Some(to_c.token))).await;
    assert_eq!(line.stands(&plan).await, Some(("c".into(), 0)));

    // With nobody in line it is free.
    line.waits(&plan, "d").await;
    line.kit.apply(release(&plan, "c", None)).await;
    let to_d = line.granted(&plan, "d").await;
    line.kit.apply(leave(&plan, "d", Some(to_d.token))).await;
    assert_eq!(line.kit.get(&plan).await, None);
    let granted = [lock.token, to_a.token, to_b.token, to_c.token, to_d.token];
    assert_each_ends(&told(&line.kit, false).await, &granted);
}

/// Panics unless watchers were told that each hold ended before the next one began.
fn assert_each_ends(told: &[(LockEventKind, String, u64)], holds: &[FencingToken]) {
    let told: Vec<_> = told.iter().map(|(kind, _, token)| (*kind, *token)).collect();
    let of_each = holds.iter().flat_map(|token| {
        [LockEventKind::Acquired, LockEventKind::Released].map(|kind| (kind, token.get()))
    });
    // That the first one was granted was not watched.
    assert_eq!(told, of_each.skip(1).collect::<Vec<_>>());
}

pub(crate) async fn releasing_all_of_an_owner_ends_its_waits(kit: Kit) {
    let plan = resource("42");
    let (mut line, _) = Line::of(kit, &plan, "me", &["a", "b"]).await;
    let other = resource("43");
    line.kit.grant(&other, "me", MINUTE).await;
    line.waits(&other, "a").await;
    let freed = line.kit.store.release_owner(&owner("a"), 10).await.unwrap();
    assert_eq!(freed, Freed { rows: 0, live: 0 });
    assert_eq!(line.stands(&plan).await, Some(("me".into(), 1)));
    assert_eq!(line.stands(&other).await, Some(("me".into(), 0)));
    let mut settled = line.kit.store.look_after_waiters().await.unwrap().settled;
    settled.sort();
    assert_eq!(settled, [(plan.clone(), owner("a")), (other.clone(), owner("a"))]);
    let mut told = Vec::new();
    while told.len() < 2 {
        match tokio::time::timeout(DEADLINE, line.wakes.recv()).await.unwrap().unwrap() {
            Wake::Settled { resource, owner } => told.push((resource, owner)),
            Wake::Missed => {}
            wake @ Wake::Granted { .. } => panic!("{wake:?}"),
        }
    }
    told.sort();
    assert_eq!(told, settled);

    // The call that waited is told; one that comes after waits, behind the others.
    let place = line.places.borrow()[&(plan.clone(), owner("a"))];
    let cancelled = line.kit.apply(ask(&plan, "a", MINUTE, true)).await;
    assert_eq!(cancelled, Outcome::Cancelled { place });
    assert_eq!(line.in_line(&plan, &["a", "b"]).await, [false, true]);
    assert_eq!(line.waits(&plan, "a").await.waiters, 2);
    assert_eq!(line.waits(&other, "a").await.waiters, 1, "not told before");
    line.kit.apply(release(&plan, "me", None)).await;
    line.granted(&plan, "b").await;
    line.kit.apply(release(&plan, "b", None)).await;
    line.granted(&plan, "a").await;

    // One that is gone leaves nothing behind.
    line.kit.store.release_owner(&owner("a"), 10).await.unwrap();
    assert_eq!(line.kit.apply(leave(&other, "a", None)).await, left(None));
    assert_eq!(line.rows("lock_waiters").await, 0);
    assert_eq!(line.stands(&other).await, Some(("me".into(), 0)));
}

/// Neither by a release nor by one who comes.
pub(crate) async fn whose_wait_is_over_is_passed_by(kit: Kit) {
    let plan = resource("42");
    let (mut line, _) = Line::of(kit, &plan, "me", &["a", "b", "c"]).await;
    line.kit.sql("UPDATE lock_waiters SET waits_until = arrived_at WHERE owner_id <> 'c'").await;
    line.kit.apply(release(&plan, "me", None)).await;
    line.granted(&plan, "c").await;
    assert_eq!(line.stands(&plan).await, Some(("c".into(), 0)));
    assert_eq!(line.rows("lock_waiters").await, 0);

    line.waits(&plan, "a").await;
    line.kit.sql("UPDATE lock_waiters SET waits_until = arrived_at").await;
    line.kit.apply(release(&plan, "c", None)).await;
    assert_eq!(line.kit.get(&plan).await, None, "nobody is there");

    line.kit.grant(&plan, "me", MINUTE).await;
    line.waits(&plan, "a").await;
    line.kit.sql("UPDATE lock_waiters SET waits_until = arrived_at").await;
    line.kit.age(&plan, 1).await;
    let lock = line.kit.grant(&plan, "newcomer", MINUTE).await;
    assert_eq!(lock.waiters, 0);
    let newest = line.kit.events(&EventFilter::default()).await.remove(0);
    assert_eq!(newest.actor, "newcomer");

    // A hand-on leaves what nobody is there for as it is.
    line.waits(&plan, "a").await;
    line.kit.sql("UPDATE lock_waiters SET waits_until = arrived_at").await;
    line.kit.age(&plan, 1).await;
    let handed = line.kit.apply(hand_on(&plan)).await;
    let Outcome::HandedOn { lock: Some(stale) } = handed else { panic!("{handed:?}") };
    assert_eq!((stale.owner.as_str(), stale.is_live(), stale.waiters), ("newcomer", false, 0));
    assert_eq!(line.due().await, []);
    assert_eq!(line.kit.purge(&StaleFilter::default(), 10).await, 1);
    assert_eq!(line.rows("lock_waiters").await, 0);
}

pub(crate) async fn who_waits_where_nobody_is_is_passed_by(kit: Kit) {
    let plan = resource("42");
    let (mut line, _) = Line::of(kit, &plan, "me", &["a", "b"]).await;
    line.move_place("a", -1).await;
    line.kit.apply(release(&plan, "me", None)).await;
    line.granted(&plan, "b").await;
    assert_eq!(line.stands(&plan).await, Some(("b".into(), 0)));
    assert_eq!(line.rows("lock_waiters").await, 0);
}

pub(crate) async fn a_place_is_kept_while_its_server_may_come_back(kit: Kit) {
    let plan = resource("42");
    let (mut line, _) = Line::of(kit, &plan, "me", &["a", "b"]).await;
    line.move_place("a", 60).await;
    assert_eq!(line.in_line(&plan, &["a", "b"]).await, [false, true], "not here");
    assert_eq!(line.kit.apply(leave(&plan, "a", None)).await, left(None));
    assert_eq!(line.waits(&plan, "a").await.waiters, 2, "its owner has its place again");
    assert_eq!(line.in_line(&plan, &["a", "b"]).await, [true, true]);
    line.kit.apply(release(&plan, "me", None)).await;
    line.granted(&plan, "a").await;
    assert_eq!(line.stands(&plan).await, Some(("a".into(), 1)));

    // Granted meanwhile: its owner finds it.
    line.move_place("b", 60).await;
    line.kit.apply(release(&plan, "a", None)).await;
    assert_eq!(line.stands(&plan).await, Some(("b".into(), 0)));
    let place = line.places.borrow()[&(plan.clone(), owner("b"))];
    let outcome = line.kit.apply(ask(&plan, "b", MINUTE, true)).await;
    let Outcome::Claimed { lock, place: claimed } = outcome else { panic!("{outcome:?}") };
    assert_eq!((lock.owner, claimed), (owner("b"), place));

    // The server that may come back may take it, too, until it is gone: what is
    // taken here is nobody's to pass on.
    line.move_place("nobody", -1).await;
    line.kit.store.drop_gone_waiters(10).await.unwrap();
    assert_eq!(line.rows("lock_waiters").await, 0);
    assert_eq!(line.stands(&plan).await, Some(("b".into(), 0)));
}

pub(crate) async fn what_is_granted_where_nobody_is_is_passed_on(kit: Kit) {
    let (plan, kept) = (resource("42"), resource("43"));
    let (mut line, lock) = Line::of(kit, &plan, "me", &["a", "b"]).await;
    line.kit.grant(&kept, "me", MINUTE).await;
    line.waits(&kept, "c").await;
    line.kit.store.watch(false).await.unwrap();
    assert_eq!(line.kit.store.drop_gone_waiters(10).await.unwrap(), 0);
    for by in ["a", "c"] {
        line.move_place(by, 60).await;
    }
    line.kit.apply(release(&plan, "me", None)).await;
    line.kit.apply(release(&kept, "me", None)).await;
    assert_eq!(line.kit.store.drop_gone_waiters(10).await.unwrap(), 0, "they may come back");
    // One of them has been heard of.
    line.kit.apply(acquire(&kept, "c", MINUTE)).await;
    line.move_place("nobody", -1).await;
    assert_eq!(line.kit.store.drop_gone_waiters(1).await.unwrap(), 1);
    assert_eq!(line.kit.store.drop_gone_waiters(10).await.unwrap(), 1);
    assert_eq!(line.kit.store.drop_gone_waiters(10).await.unwrap(), 0);
    let to_b = line.granted(&plan, "b").await;
    let mut told = told(&line.kit, false).await;
    told.retain(|(_, id, _)| id == plan.id());
    let to_a = token(told[1].2);
    told.push((LockEventKind::Released, plan.id().to_owned(), to_b.token.get()));
    assert_each_ends(&told, &[lock.token, to_a, to_b.token]);
    assert_eq!(line.stands(&kept).await, Some(("c".into(), 0)));
    assert_eq!(line.rows("lock_waiters").await, 0);
    assert_eq!(line.rows("lock_servers").await, 1, "this one's");
}

pub(crate) async fn who_is_gone_is_dropped_from_the_line(kit: Kit) {
    let plan = resource("42");
    let (mut line, _) = Line::of(kit, &plan, "me", &["a", "b", "c"]).await;
    line.kit.store.release_owner(&owner("c"), 10).await.unwrap();
    for by in ["a", "c"] {
        line.move_place(by, -1).await;
    }
    assert_eq!(line.kit.store.drop_gone_waiters(10).await.unwrap(), 1);
    assert_eq!(line.stands(&plan).await, Some(("me".into(), 1)));
    assert_eq!(line.rows("lock_waiters").await, 1);
    while line.wakes.try_recv().is_ok() {}
    line.kit.apply(release(&plan, "me", None)).await;
    line.granted(&plan, "b").await;
}

pub(crate) async fn a_circle_is_seen(kit: Kit) {
    let (x, y) = (resource("x"), resource("y"));
    let line = Line::at(kit).await;
    line.kit.grant(&x, "a", MINUTE).await;
    line.kit.grant(&y, "b", MINUTE).await;
    let may_close = async |what: &Resource, by: &str, again: bool| match line
        .kit
        .apply(ask(what, by, MINUTE, again))
        .await
    {
        Outcome::Waiting { may_close_circle, .. } => may_close_circle,
        other => panic!("{by} does not wait: {other:?}"),
    };
    assert!(!may_close(&x, "bystander", false).await, "it holds nothing");
    line.kit.apply(leave(&x, "bystander", None)).await;
    assert!(!may_close(&y, "a", false).await, "nobody waits for what it holds");
    assert!(may_close(&x, "b", false).await);
    assert!(may_close(&y, "a", true).await, "by now it may");
    assert!(!may_close(&x, "bystander", false).await);

    let mut waits = line.kit.store.waits_for().await.unwrap();
    waits.sort_by_key(|wait| wait.place);
    let told: Vec<_> = waits
        .iter()
        .map(|wait| (wait.owner.as_str(), wait.resource.clone(), wait.holder.as_str()))
        .collect();
    assert_eq!(told, [("a", y.clone(), "b"), ("b", x.clone(), "a")]);
    let circles = circles(&waits);
    let circles: Vec<_> = circles.iter().map(ToString::to_string).collect();
    assert_eq!(circles, ["b → plan/x → a → plan/y → b"]);

    // Broken by who leaves, and by a lease that has run out.
    line.kit.apply(leave(&x, "bystander", None)).await;
    line.kit.apply(leave(&x, "b", None)).await;
    assert_eq!(line.kit.store.waits_for().await.unwrap(), []);
    may_close(&x, "b", false).await;
    assert_eq!(line.kit.store.waits_for().await.unwrap().len(), 2);
    line.kit.age(&y, 1).await;
    assert!(lock_server::domain::circles(&line.kit.store.waits_for().await.unwrap()).is_empty());
}

pub(crate) async fn a_batch_may_hold_all_of_it(kit: Kit) {
    let plan = resource("42");
    let (mut line, lock) = Line::of(kit, &plan, "me", &[]).await;
    let batch = [
        ask(&plan, "a", MINUTE, false),
        acquire(&plan, "newcomer", MINUTE),
        ask(&plan, "b", MINUTE, false),
        ask(&plan, "c", MINUTE, false),
        leave(&plan, "b", None),
        release(&plan, "me", Some(lock.token)),
        renew(&plan, "me", lock.token, None),
        hand_on(&plan),
    ];
    let outcomes = line.kit.store.apply(&batch).await.unwrap();
    let queue_of = |outcome: &Outcome| match outcome {
        Outcome::Waiting { holder, .. } | Outcome::Conflict { holder } => holder.waiters,
        Outcome::HandedOn { lock: Some(lock) } => lock.waiters,
        other => panic!("{other:?}"),
    };
    assert_eq!([0, 1, 2, 3, 7].map(|place| queue_of(&outcomes[place])), [1, 1, 2, 3, 1]);
    assert!(matches!(outcomes[1], Outcome::Conflict { .. }), "{:?}", outcomes[1]);
    assert_eq!(outcomes[4..6], [left(None), Outcome::Released { ended: true }]);
    assert_eq!(outcomes[6], Outcome::not_held(Some(owner("a"))));
    line.granted(&plan, "a").await;
    assert_eq!(line.in_line(&plan, &["a", "b", "c"]).await, [false, false, true]);
}

pub(crate) async fn what_is_waited_for_is_not_forgotten(kit: Kit) {
    let plan = resource("42");
    let (mut line, lock) = Line::of(kit, &plan, "me", &["a"]).await;
    line.make_free(&plan).await;
    line.kit
        .sql_of(
            "UPDATE locks SET freed_at = freed_at - 7200000000,
             not_free_before = not_free_before - 7200000000",
            "UPDATE locks SET freed_at = freed_at - interval '2 h', sweep_at = '-infinity'",
        )
        .await;
    assert_eq!(line.kit.store.prune(MINUTE, 10).await.unwrap(), 0);
    assert_eq!(line.due().await, from_ref(&plan));
    line.kit.apply(hand_on(&plan)).await;
    assert!(line.granted(&plan, "a").await.token > lock.token);
    assert_eq!(line.kit.events(&EventFilter::default()).await, [], "it was free");
}

/// Many, who come and go while it is handed on.
pub(crate) async fn everybody_gets_a_turn(kit: Kit) {
    const WAITERS: u64 = 8;
    const ROUNDS: usize = 3;
    let plan = resource("42");
    let (mut line, mut last) = Line::of(kit, &plan, "me", &[]).await;
    let names: Vec<_> = (0..WAITERS).map(|number| format!("waiter {number}")).collect();
    for by in &names {
        line.waits(&plan, by).await;
    }
    for round in 0..ROUNDS {
        for by in &names {
            let commands = [release(&plan, last.owner.as_str(), Some(last.token))];
            let outcomes = line.kit.store.apply(&commands).await.unwrap();
            assert_eq!(outcomes, [Outcome::Released { ended: true }]);
            let lock = line.granted(&plan, by).await;
            assert!(lock.token > last.token, "round {round}");
            if last.owner != owner("me") {
                line.waits(&plan, last.owner.as_str()).await;
            }
            last = lock;
        }
    }
    assert_eq!(line.stands(&plan).await.unwrap().1, WAITERS - 1);
}
