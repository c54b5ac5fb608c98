//! What the machine says of processes and time.

use std::{fs, time::Duration};

use service_kit::testing::eventually;

/// Seconds since the machine started, by the clock that goes on while it sleeps:
/// as `/proc/uptime` tells it to scripts.
pub(crate) fn uptime() -> f64 {
    let text = fs::read_to_string("/proc/uptime").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// The most memory that a process has had, in bytes.
pub(crate) fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

/// A process that a command of a plan has told of: its id, and when it began, so
/// that another one with the same id is not taken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    id: u32,
    began: String,
}

impl Program {
    /// The process of this id, which lives.
    pub(crate) fn of(id: &str) -> Self {
        let id = id.trim().parse().unwrap_or_else(|_| panic!("{id:?} is a process id"));
        let (_, began) = look(id).unwrap_or_else(|| panic!("process {id} lives"));
        Self { id, began }
    }

    /// Whether it still runs: one that has ended and was not waited for does not.
    pub(crate) fn lives(&self) -> bool {
        look(self.id).is_some_and(|(state, began)| began == self.began && !"ZX".contains(&state))
    }

    /// Waits for its end.
    pub(crate) async fn ends(&self, deadline: Duration) {
        let what = format!("process {} ends", self.id);
        eventually(&what, deadline, async || (!self.lives()).then_some(())).await;
    }
}

/// State and start of a process.
fn look(id: u32) -> Option<(String, String)> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.to_owned();
    Some((state, fields.nth(18)?.to_owned()))
}
