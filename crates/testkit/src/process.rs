//! What Linux says of a process.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};

/// The most memory that a process ever had resident, in bytes.
///
/// # Errors
/// When there is no such process.
pub fn peak_memory(pid: u32) -> Result<u64> {
    memory(pid, "VmHWM:")
}

/// The memory that a process has resident now, in bytes.
///
/// # Errors
/// When there is no such process.
pub fn resident_memory(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, field: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes: u64 =
        line.with_context(|| format!("no {field}"))?.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024)
}

/// The processor time of a process, its living children, and the children that it has waited for.
///
/// # Errors
/// When there is no such process.
pub fn processor_time(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may hold anything; after it come state, and as 12th to 15th the times.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let times = fields.split_whitespace().skip(11).take(4).map(str::parse::<u64>);
    let ticks = times.sum::<Result<u64, _>>()?;
    let mut time = Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
    for child in children(pid)? {
        time += processor_time(child).unwrap_or_default();
    }
    Ok(time)
}

/// The kernel's unit of time in /proc, the same on every architecture that Linux still builds for.
const TICKS_PER_SECOND: u64 = 100;

/// Keeps a process, its children, and what they start from now on, on these processors.
///
/// # Errors
/// When there is no such process, or no such processor.
pub fn keep_on(pid: u32, processors: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &processor in processors {
        ensure!(processor < CpuSet::MAX_CPU, "no processor has the number {processor}");
        set.set(processor);
    }
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.file_name().to_str().and_then(|task| Pid::from_raw(task.parse().ok()?));
        // What has ended meanwhile needs no place.
        let kept = sched_setaffinity(Some(task.context("a thread's id")?), &set);
        kept.or_else(|error| if error == rustix::io::Errno::SRCH { Ok(()) } else { Err(error) })?;
    }
    for child in children(pid)? {
        let kept = keep_on(child, processors);
        if std::fs::exists(format!("/proc/{child}"))? {
            kept?;
        }
    }
    Ok(())
}

fn children(pid: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let list = std::fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        children.extend(list.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::{keep_on, peak_memory, processor_time, resident_memory};
    use crate::{Running, wait};

    #[test]
    fn memory_is_that_of_the_highest_point() {
        let before = peak_memory(std::process::id()).unwrap();
        let block = vec![1_u8; 64 << 20];
        assert_eq!(block.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 64 << 20);
        let resident = resident_memory(std::process::id()).unwrap();
        drop(block);
        assert!(resident >= 64 << 20);
        // The kernel counts by processor and adds up now and then: two answers may be some pages apart.
        let peak = peak_memory(std::process::id()).unwrap() + (1 << 20);
        assert!(peak >= before.max(resident));
        assert!(peak_memory(u32::MAX).is_err());
    }

    #[test]
    fn time_is_counted_with_that_of_children() {
        let busy =
            Running::start(Command::new("sh").args(["-c", "sh -c 'while :; do :; done' & wait"])).unwrap();
        wait::until("a child to work", || {
            processor_time(busy.pid()).ok().filter(|time| *time > Duration::from_millis(20))
        })
        .unwrap();
    }

    #[test]
    fn a_process_and_its_children_are_kept_where_they_are_told() {
        let sleeping = Running::start(Command::new("sh").args(["-c", "sleep 1000 & echo $!; wait"])).unwrap();
        let child = sleeping.wait_for_stdout("").unwrap();
        keep_on(sleeping.pid(), &[0]).unwrap();
        for pid in [sleeping.pid().to_string(), child] {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
        }
        assert!(keep_on(sleeping.pid(), &[1 << 20]).is_err());
        assert!(keep_on(u32::MAX, &[0]).is_err());
    }
}
