//! One caller of any target: it takes, renews and gives back the locks of its part, one command
//! after the other.

mod advisory;
#[cfg_attr(not(feature = "etcd"), path = "caller/no_etcd.rs")]
pub(crate) mod etcd;
mod locks;
mod redis;
mod rows;
mod session;
mod statement;
mod unary;
mod zookeeper;

use std::time::Duration;

pub(crate) use self::{
    advisory::Advisory,
    etcd::Etcd,
    redis::{Redis, load_script},
    rows::{ROWS, Rows},
    session::{Line, Session},
    statement::Statement,
    unary::{Unary, connect},
    zookeeper::Zookeeper,
};
use crate::trouble::{Result, Trouble};

/// What an attempt came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// The caller has the lock.
    Granted,
    /// Another one holds it.
    Conflict,
}

/// One of the ways to call. An enum, so that the load is one loop without boxed futures.
pub(crate) enum Caller {
    /// A gRPC call for each command.
    Unary(Unary),
    /// A message on a shared stream for each command.
    Session(Session),
    /// A statement for each command, on a connection to Postgres of its own.
    Statement(Statement),
    /// Postgres' advisory locks.
    Advisory(Advisory),
    /// Statements that take and give back many rows at once.
    Rows(Rows),
    /// etcd's lock API.
    Etcd(Box<Etcd>),
    /// Redis: `SET NX`, and a script to release.
    Redis(Redis),
    /// ZooKeeper: an ephemeral node.
    Zookeeper(Zookeeper),
}

impl Caller {
    /// Tries to take a lock.
    pub(crate) async fn acquire(&mut self, lock: usize) -> Result<Grant> {
        match self {
            Self::Unary(caller) => caller.acquire(lock, None).await,
            Self::Session(caller) => caller.acquire(lock, None).await,
            Self::Statement(caller) => caller.acquire(lock).await,
            Self::Advisory(caller) => caller.acquire(lock).await,
            Self::Rows(caller) => caller.acquire(lock).await,
            Self::Etcd(caller) => caller.acquire(lock).await,
            Self::Redis(caller) => caller.acquire(lock).await,
            Self::Zookeeper(caller) => caller.acquire(lock).await,
        }
    }

    /// Waits in line for a lock. Only `lock-server` looks at the limit; none of the others are asked
    /// to wait for so long.
    pub(crate) async fn wait_for(&mut self, lock: usize, at_most: Duration) -> Result<()> {
        let grant = match self {
            Self::Unary(caller) => caller.acquire(lock, Some(at_most)).await,
            Self::Session(caller) => caller.acquire(lock, Some(at_most)).await,
            Self::Advisory(caller) => caller.wait_for(lock).await,
            // It always lets its callers wait.
            Self::Etcd(caller) => caller.acquire(lock).await,
            Self::Zookeeper(caller) => caller.wait_for(lock).await,
            Self::Statement(_) | Self::Rows(_) | Self::Redis(_) => {
                return Err(Trouble::failed("nobody can wait in line there"));
            }
        };
        match grant? {
            Grant::Granted => Ok(()),
            Grant::Conflict => Err(Trouble::failed("a wait ended without a grant")),
        }
    }

    /// Gives back a lock that this caller holds.
    pub(crate) async fn release(&mut self, lock: usize) -> Result<()> {
        match self {
            Self::Unary(caller) => caller.release(lock).await,
            Self::Session(caller) => caller.release(lock).await,
            Self::Statement(caller) => caller.release(lock).await,
            Self::Advisory(caller) => caller.release(lock).await,
            Self::Rows(caller) => caller.release(lock).await,
            Self::Etcd(caller) => caller.release(lock).await,
            Self::Redis(caller) => caller.release(lock).await,
            Self::Zookeeper(caller) => caller.release(lock).await,
        }
    }

    /// Renews the lease of a lock that this caller holds.
    pub(crate) async fn renew(&mut self, lock: usize) -> Result<()> {
        match self {
            Self::Unary(caller) => caller.renew(lock).await,
            Self::Session(caller) => caller.renew(lock).await,
            _ => Err(Trouble::failed("renewals are measured over gRPC only")),
        }
    }

    /// How many locks it goes round.
    pub(crate) fn locks(&self) -> usize {
        match self {
            Self::Unary(caller) => caller.locks(),
            Self::Session(caller) => caller.locks(),
            Self::Statement(caller) => caller.part.resources.len(),
            Self::Advisory(caller) => caller.part.resources.len(),
            Self::Rows(caller) => caller.sets(),
            Self::Etcd(caller) => caller.part.resources.len(),
            Self::Redis(caller) => caller.part.resources.len(),
            Self::Zookeeper(caller) => caller.part.resources.len(),
        }
    }

    /// How many locks one command is about.
    pub(crate) fn weight(&self) -> u64 {
        match self {
            Self::Rows(_) => ROWS as u64,
            _ => 1,
        }
    }
}

/// An answer that cannot be right.
fn odd(what: &str) -> Trouble {
    Trouble::failed(format!("an answer that cannot be: {what}"))
}
