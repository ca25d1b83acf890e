//! What the system tells of itself and of its processes, from `/proc`.

use std::{fs, io};

/// Ticks of a second in `/proc`: Linux has 100 on every machine that it shows to programs.
const TICKS: f64 = 100.0;

/// Returns the load averages over 1, 5 and 15 minutes, as the system prints them.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_else(|_| "unknown".to_owned());
    text.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// Returns the processor time that these processes have used, user and system together.
///
/// # Errors
/// One of them is gone.
pub fn processor_seconds(processes: &[u32]) -> io::Result<f64> {
    let ticks = |process: &u32| -> io::Result<f64> {
        let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
        // The name, in brackets, may hold anything.
        let behind_name = text.rsplit_once(") ").map_or("", |(_, rest)| rest);
        Ok(behind_name.split(' ').skip(11).take(2).filter_map(|number| number.parse::<f64>().ok()).sum())
    };
    processes.iter().map(ticks).sum::<io::Result<f64>>().map(|sum| sum / TICKS)
}

/// Returns the resident size of a process in bytes.
///
/// # Errors
/// It is gone.
pub fn resident_bytes(process: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kilobytes = line.trim().strip_suffix(" kB").and_then(|number| number.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes << 10).ok_or_else(|| io::Error::other("the system tells no resident size"))
}
