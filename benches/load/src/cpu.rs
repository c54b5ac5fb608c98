//! CPU time and memory of processes, as the kernel counts them in `/proc`.

use std::{fs, path::PathBuf, sync::OnceLock};

use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeVal,
    },
    unistd::{SysconfVar, sysconf},
};

/// CPU seconds, user and system, that a process and all its descendants have used, the dead ones
/// included. Nothing when it is gone.
pub(crate) fn of_tree(root: u32) -> Option<f64> {
    let mut seconds = of_process(root)?;
    let mut waiting = children(root);
    while let Some(pid) = waiting.pop() {
        // One that has just ended is counted by its parent from now on.
        seconds += of_process(pid).unwrap_or(0.0);
        waiting.extend(children(pid));
    }
    Some(seconds)
}

/// CPU seconds of this process, without its children.
pub(crate) fn of_self() -> f64 {
    let used = getrusage(UsageWho::RUSAGE_SELF);
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    used.map_or(0.0, |used| seconds(used.user_time()) + seconds(used.system_time()))
}

/// CPU seconds of the whole machine, all cores together, whoever used them.
pub(crate) fn of_machine() -> f64 {
    busy(&fs::read_to_string("/proc/stat").unwrap_or_default()).map_or(0.0, in_seconds)
}

/// user, nice, system, irq, softirq and steal, from the first line: all but idle and iowait.
fn busy(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.split_whitespace().skip(1);
    let fields: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
    let [user, nice, system, _, _, irq, softirq, steal, ..] = fields[..] else { return None };
    Some(user + nice + system + irq + softirq + steal)
}

/// A figure of `/proc/PID/status` that is given in kB, such as `VmRSS`, in MiB.
pub(crate) fn memory_mib(pid: u32, name: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// With the children that it has waited for.
fn of_process(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let [user, system, of_children @ ..] = times(&stat)?;
    let own = of_only_thread(pid).unwrap_or_else(|| in_seconds(user + system));
    Some(own + in_seconds(of_children.iter().sum()))
}

/// The times of a process are exact, but told in ticks of 10 ms, rounded down: too coarse for each
/// of 64 processes of Postgres. That of a thread is told in nanoseconds; but of threads that have
/// ended nobody tells it, so it serves for a process that has only one.
fn of_only_thread(pid: u32) -> Option<f64> {
    let mut all = threads(pid);
    let (Some(only), None) = (all.next(), all.next()) else { return None };
    let stat = fs::read_to_string(only.join("schedstat")).ok()?;
    let nanos: u64 = stat.split_whitespace().next()?.parse().ok()?;
    Some(nanos as f64 / 1e9)
}

/// utime, stime, cutime and cstime: the 14th to 17th field. The second is the program's name in
/// brackets, which may hold anything.
fn times(stat: &str) -> Option<[u64; 4]> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11).map(str::parse);
    let mut next = || fields.next()?.ok();
    Some([next()?, next()?, next()?, next()?])
}

/// Each thread has its own list.
fn children(pid: u32) -> Vec<u32> {
    let lists = threads(pid).map(|thread| fs::read_to_string(thread.join("children")));
    let lists: Vec<String> = lists.filter_map(Result::ok).collect();
    lists
        .iter()
        .flat_map(|list| list.split_whitespace())
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// The folders of a process's threads.
fn threads(pid: u32) -> impl Iterator<Item = PathBuf> {
    let folders = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    folders.map(|folder| folder.path())
}

fn in_seconds(ticks: u64) -> f64 {
    ticks as f64 / per_second()
}

fn per_second() -> f64 {
    static TICKS: OnceLock<f64> = OnceLock::new();
    *TICKS.get_or_init(|| match sysconf(SysconfVar::CLK_TCK) {
        Ok(Some(ticks)) if ticks > 0 => ticks as f64,
        _ => 100.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0";
        assert_eq!(times(stat), Some([11, 22, 33, 44]));
        assert_eq!(times("7 (short) S 1"), None);
    }

    #[test]
    fn an_idle_machine_is_not_busy() {
        let stat = "cpu  10 1 20 5000 300 2 3 4 0 0\ncpu0 5 0 10 2500 150 1 1 2 0 0\n";
        assert_eq!(busy(stat), Some(40));
        assert_eq!(busy("cpu 1 2"), None);
    }

    #[test]
    fn this_process_has_used_memory_and_is_in_its_own_tree() {
        assert!(memory_mib(std::process::id(), "VmRSS").unwrap() > 0.5);
        assert!((of_tree(std::process::id()).unwrap() - of_self()).abs() < 0.5);
        assert_eq!(of_tree(u32::MAX), None);
    }
}
