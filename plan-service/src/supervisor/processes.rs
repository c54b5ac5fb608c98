//! Who descends from whom, as `/proc` tells it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

use nix::unistd::Pid;

/// A process, as it was when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its id.
    pub(crate) id: Pid,
    /// `R`, `S`, `D`, `T`, `t`, `Z`, …
    pub(crate) state: u8,
    /// Its parent.
    pub(crate) parent: Pid,
    /// Its session.
    pub(crate) session: Pid,
    /// How many threads it has.
    pub(crate) threads: u32,
}

impl Process {
    /// It has ended, and nobody has asked how yet. One whose first thread has
    /// ended looks the same, but others of it may still run.
    pub(crate) fn is_zombie(&self) -> bool {
        matches!(self.state, b'Z' | b'X') && self.threads <= 1
    }

    /// A signal has stopped it, or a debugger.
    pub(crate) fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }
}

/// All processes that can be seen.
///
/// # Errors
/// There is no `/proc`.
pub(crate) fn all() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.parse().ok());
        // One that has ended meanwhile is none.
        found.extend(id.and_then(|id| look_at(Pid::from_raw(id))));
    }
    Ok(found)
}

/// One process, if there is such.
pub(crate) fn look_at(id: Pid) -> Option<Process> {
    parse(id, &fs::read(format!("/proc/{id}/stat")).ok()?)
}

/// Those of `all` that descend from one of `roots`, who are not among them.
pub(crate) fn descendants(all: &[Process], roots: &[Pid]) -> Vec<Process> {
    let mut children = BTreeMap::<Pid, Vec<Process>>::new();
    for process in all {
        children.entry(process.parent).or_default().push(*process);
    }
    let mut seen: BTreeSet<Pid> = roots.iter().copied().collect();
    let mut next = roots.to_vec();
    let mut found = Vec::new();
    while let Some(parent) = next.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            // They were not all looked at in the same moment: no circles.
            if seen.insert(child.id) {
                next.push(child.id);
                found.push(*child);
            }
        }
    }
    found
}

/// `pid (name) state ppid pgrp session …`, where the name may hold anything, and
/// 14 fields later the number of threads.
fn parse(id: Pid, stat: &[u8]) -> Option<Process> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = Pid::from_raw(fields.next()?.parse().ok()?);
    let session = Pid::from_raw(fields.nth(1)?.parse().ok()?);
    let threads = fields.nth(13)?.parse().ok()?;
    Some(Process { id, state, parent, session, threads })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(id: i32, parent: i32) -> Process {
        let [id, parent] = [id, parent].map(Pid::from_raw);
        Process { id, state: b'S', parent, session: parent, threads: 1 }
    }

    #[test]
    fn a_name_may_look_like_the_rest_of_the_line() {
        let line = b"7 (a) Z 1 2 3 (\xff) S 4 5 6 0 -1 0 0 0 0 0 0 0 0 0 20 0 3 0 77";
        let found = parse(Pid::from_raw(7), line).unwrap();
        let [id, parent, session] = [7, 4, 6].map(Pid::from_raw);
        assert_eq!(found, Process { id, state: b'S', parent, session, threads: 3 });
        assert_eq!(parse(id, b"7 (a"), None);
        assert_eq!(parse(id, b"7 (a) S 4"), None);
    }

    #[test]
    fn a_process_lives_as_long_as_one_of_its_threads() {
        let mut dead = process(2, 1);
        dead.state = b'Z';
        assert!(dead.is_zombie());
        dead.threads = 2;
        assert!(!dead.is_zombie());
        assert!(!dead.is_stopped());
    }

    #[test]
    fn descendants_are_found_over_generations_and_circles_end() {
        let all = [
            process(2, 1),
            process(3, 2),
            process(4, 3),
            process(5, 1),
            process(6, 7),
            process(7, 6),
        ];
        let ids = |roots: &[i32]| {
            let roots: Vec<_> = roots.iter().copied().map(Pid::from_raw).collect();
            let mut ids: Vec<_> =
                descendants(&all, &roots).iter().map(|found| found.id.as_raw()).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(ids(&[2]), [3, 4]);
        assert_eq!(ids(&[1]), [2, 3, 4, 5]);
        assert_eq!(ids(&[6]), [7]);
        assert_eq!(ids(&[3, 1]), [2, 4, 5]);
    }

    #[test]
    fn this_process_is_seen_with_its_parent() {
        let me = Pid::this();
        let found = all().unwrap().into_iter().find(|process| process.id == me).unwrap();
        assert_eq!(found.parent, Pid::parent());
        assert!(!found.is_zombie() && found.threads > 1, "the test harness has some");
        assert_eq!(look_at(me).map(|process| process.session), Some(found.session));
    }
}
