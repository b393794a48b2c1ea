//! The CPU time of this thread, to the nanosecond: `/proc` tells it only as of the last tick.

use rustix::time::{ClockId, clock_gettime};

pub(crate) fn cpu() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
