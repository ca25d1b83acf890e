//! Whether what the configuration may take fits into this machine's memory, or into what its control group may have of it.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use bytesize::ByteSize;

use crate::config::Config;

/// What a gateway may take, key by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand(Vec<(&'static str, u64)>);

/// How much memory there is, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Its bytes.
    pub bytes: u64,
    /// Where the number stands.
    pub source: PathBuf,
}

/// A demand that is larger than the memory; says so with the whole sum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{demand} is more than this machine has, {memory}: lower what is largest")]
pub struct TooLarge {
    demand: Demand,
    memory: Memory,
}

// === impl Demand ===

impl Demand {
    /// Returns what this configuration may take: its caches, and what it looks into at one time.
    pub fn of(config: &Config) -> Self {
        let keeps_answers = config.rules.iter().any(|rule| rule.answer_cache.is_some());
        let parts = [
            ("cache.scores", config.cache.scores, !config.models.is_empty()),
            ("cache.vectors", config.cache.vectors, !config.models.is_empty()),
            ("cache.answers", config.cache.answers, keeps_answers),
            ("limits.inspected-memory", config.limits.inspected_memory as u64, !config.rules.is_empty()),
        ];
        Self(parts.into_iter().filter(|(_, bytes, used)| *used && *bytes > 0).map(|(key, bytes, _)| (key, bytes)).collect())
    }

    /// Compares it with what there is.
    ///
    /// # Errors
    /// It is more.
    pub fn check(&self, memory: &Memory) -> Result<(), TooLarge> {
        if self.sum() <= memory.bytes { Ok(()) } else { Err(TooLarge { demand: self.clone(), memory: memory.clone() }) }
    }

    fn sum(&self) -> u64 {
        self.0.iter().fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }
}

impl fmt::Display for Demand {
    /// Writes the sum, such as `cache.scores 256.0 MiB + cache.vectors 1.0 GiB = 1.2 GiB`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("nothing");
        }
        let parts: Vec<String> = self.0.iter().map(|(key, bytes)| format!("{key} {}", shown(bytes))).collect();
        write!(formatter, "{} = {}", parts.join(" + "), shown(&self.sum()))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({})", shown(&self.bytes), self.source.display())
    }
}

fn shown(bytes: &u64) -> impl fmt::Display {
    ByteSize(*bytes).display().iec()
}

// === impl Memory ===

impl Memory {
    /// Returns how much memory this process may have; `None` where the system does not tell.
    pub fn of_this_machine() -> Option<Self> {
        Self::below(Path::new("/"))
    }

    /// The same, of a file system with this root.
    fn below(root: &Path) -> Option<Self> {
        let whole = Self::total(&root.join("proc/meminfo"));
        let own = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let groups = own.lines().flat_map(|line| limits(root, line)).filter_map(Self::limit);
        whole.into_iter().chain(groups).min_by_key(|memory| memory.bytes)
    }

    /// What the whole machine has.
    fn total(file: &Path) -> Option<Self> {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(Self { bytes: kib.saturating_mul(1024), source: file.to_owned() })
    }

    /// What a control group may have: a number, unless it has no limit.
    fn limit(file: PathBuf) -> Option<Self> {
        let bytes = fs::read_to_string(&file).ok()?.trim().parse().ok()?;
        Some(Self { bytes, source: file })
    }
}

/// Returns the files that limit the control group of one line of `/proc/self/cgroup`, and the groups that it is in. A container sees
/// its own group as the outermost.
fn limits(root: &Path, line: &str) -> Vec<PathBuf> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (tree, name) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        old if old.split(',').any(|controller| controller == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        _ => return Vec::new(),
    };
    let group = Path::new(group.trim_start_matches('/'));
    group.ancestors().map(|group| root.join(tree).join(group).join(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use tempfile::TempDir;

    use super::{Demand, Memory};
    use crate::config::{Config, KINDS, parse};

    const UPSTREAM: &str = "[upstream]\nnodes = ['http://127.0.0.1:9200']\n";
    const MODEL: &str = "[models.m]\nsource = './m'\n[[rules]]\nindex = ['shop']\nmodel = 'm'\nfields = ['title']\n";

    fn config(more: &str) -> Config {
        parse(Path::new("p.toml"), &format!("{UPSTREAM}{more}"), KINDS).unwrap()
    }

    fn machine(files: &[(&str, &str)]) -> (TempDir, Option<Memory>) {
        let root = TempDir::new().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let memory = Memory::below(root.path());
        (root, memory)
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        4096000 kB\nMemFree:          100 kB\n");

    #[test]
    fn the_sum_is_shown_when_it_is_too_large() {
        let demand = Demand::of(&config(&format!("{MODEL}answer-cache = '5s'\n[cache]\nvectors = '3GiB'")));
        let memory = Memory { bytes: 2 << 30, source: "/proc/meminfo".into() };
        assert_eq!(
            demand.check(&memory).unwrap_err().to_string(),
            "cache.scores 256.0 MiB + cache.vectors 3.0 GiB + cache.answers 64.0 MiB + limits.inspected-memory 512.0 MiB = 3.8 GiB is more \
             than this machine has, 2.0 GiB (/proc/meminfo): lower what is largest"
        );
        assert_eq!(demand.check(&Memory { bytes: 4 << 30, ..memory }), Ok(()));
    }

    #[test]
    fn what_is_not_used_is_not_counted() {
        assert_eq!(Demand::of(&config("")).sum(), 0);
        assert_eq!(Demand::of(&config(MODEL)).sum(), (256 + 1024 + 512) << 20);
        let most = "[cache]\nscores = '15EiB'\nvectors = '15EiB'";
        assert_eq!(Demand::of(&config(&format!("{MODEL}{most}"))).sum(), u64::MAX, "it does not wrap around");
    }

    #[test]
    fn the_smallest_limit_counts() {
        let (_, none) = machine(&[]);
        assert_eq!(none, None);
        let (_, whole) = machine(&[MEMINFO, ("proc/self/cgroup", "0::/a/b\n"), ("sys/fs/cgroup/a/b/memory.max", "max\n")]);
        assert_eq!(whole.unwrap().bytes, 4_096_000 * 1024);
        let group = [MEMINFO, ("proc/self/cgroup", "0::/a/b\n"), ("sys/fs/cgroup/a/memory.max", "1073741824\n")];
        let (root, above) = machine(&group);
        assert_eq!(above, Some(Memory { bytes: 1 << 30, source: root.path().join("sys/fs/cgroup/a/memory.max") }));
        let old = [MEMINFO, ("proc/self/cgroup", "5:cpu,memory:/x\n4:cpu:/\n"), ("sys/fs/cgroup/memory/memory.limit_in_bytes", "500\n")];
        assert_eq!(machine(&old).1.unwrap().bytes, 500);
    }

    #[test]
    fn this_machine_tells() {
        assert!(Memory::of_this_machine().is_none_or(|memory| memory.bytes > 1 << 20));
    }
}
