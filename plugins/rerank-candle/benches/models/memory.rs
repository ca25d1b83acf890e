//! How much memory this process has, as Linux tells it; 0 elsewhere.

use std::{fs, io};

/// Forgets the peak, and returns what is resident now.
pub fn watch() -> io::Result<u64> {
    const FORGET_PEAK: &str = "5";
    if cfg!(target_os = "linux") {
        fs::write("/proc/self/clear_refs", FORGET_PEAK)?;
    }
    Ok(resident())
}

/// The bytes that are resident.
pub fn resident() -> u64 {
    told("VmRSS:")
}

/// The most bytes that were resident since [`watch`].
pub fn peak() -> u64 {
    told("VmHWM:")
}

fn told(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or_default() * 1024
}
