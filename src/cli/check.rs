//! `podium check`: what is wrong, before anybody depends on it.
//!
//! Validates the file, reaches the cluster, loads the models, and shows for each rule what the model would see of its index and
//! how long a window would take.

mod report;
mod sample;

use std::{
    io::{self, Write},
    net::IpAddr,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use http::Method;
use rerank_plugin::Silent;
use tokio::{runtime, signal, task};

use self::report::{Cluster, Memory, Model, Report};
use super::{WRONG, progress};
use crate::{
    app,
    config::{self, Config, Environment},
    inference::Reranker,
    machine::{self, Demand},
    models::{Surroundings, Vectors, load_now},
    upstream::own::{Answer, Bounds, Call, OwnCallError, OwnCalls},
};

/// How long the cluster may take for one small answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Checks `file` and says so to people.
pub(super) fn run(file: &Path) -> anyhow::Result<ExitCode> {
    let config = config::load(file)?;
    let surroundings = app::surroundings(&config, Environment::read(), Arc::new(progress::Bar::default()));
    let report = checked(file, config, surroundings)?;
    write!(io::stdout(), "{report}")?;
    Ok(if report.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks `file` and says so to programs: one JSON object on the standard output, whatever was found.
pub(super) fn run_json(file: &Path) -> anyhow::Result<ExitCode> {
    let (report, code) = match config::load(file) {
        Ok(config) => {
            let surroundings = app::surroundings(&config, Environment::read(), Arc::new(Silent));
            let report = checked(file, config, surroundings)?;
            let code = if report.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            (report, code)
        }
        Err(found) => (Report::of_problems(file, found.problems), ExitCode::from(WRONG)),
    };
    writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)?;
    Ok(code)
}

fn checked(file: &Path, config: Config, surroundings: Surroundings) -> anyhow::Result<Report> {
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().context("no threads to run on")?;
    let downloads = surroundings.downloads.clone();
    let report = runtime.block_on(async {
        tokio::select! {
            report = check(file, Arc::new(config), surroundings) => report,
            _ = signal::ctrl_c() => Err(anyhow!("interrupted")),
        }
    });
    // A download that was interrupted leaves nothing behind.
    downloads.give_up();
    runtime.shutdown_background();
    report
}

async fn check(file: &Path, config: Arc<Config>, surroundings: Surroundings) -> anyhow::Result<Report> {
    let calls = OwnCalls::new(&config.upstream)?;
    let mut report = Report::of_problems(file, Vec::new());
    report.memory = machine::Memory::of_this_machine().map(|memory| Memory::new(&Demand::of(&config), &memory));
    report.cluster = Some(Cluster { warning: in_the_clear(&config.upstream), ..reach(&calls).await });
    // Said, and not used: a window is to be measured cold.
    report.vectors_file = config.cache.vectors_file.as_deref().map(report::VectorsFile::look);
    let surroundings = Surroundings { vectors: Vectors::default(), ..surroundings };
    let mut loaded = Vec::new();
    for model in config.models.values() {
        let started = Instant::now();
        let (model, rules, around) = (Arc::clone(model), config.rules.clone(), surroundings.clone());
        let name = Arc::clone(&model.name);
        let found = task::spawn_blocking(move || load_now(&model, &rules, &around)).await?;
        report.models.push(Model::new(&name, started.elapsed(), found.as_ref()));
        loaded.extend(found.map(Arc::new));
    }
    for rule in &config.rules {
        let reranker = loaded.iter().find(|reranker: &&Arc<Reranker>| reranker.name() == &rule.model);
        let checker = sample::Checker { calls: &calls, rule, digester: &surroundings.digester, cap: config.limits.max_inspected_body };
        report.rules.push(checker.check(reranker.map(Arc::as_ref)).await);
    }
    Ok(report)
}

/// Returns what to say where credentials leave this machine unencrypted.
fn in_the_clear(upstream: &config::Upstream) -> Option<String> {
    let is_far = |node: &&config::Node| {
        let host = node.authority.host().trim_matches(['[', ']']);
        !node.tls && host != "localhost" && !host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    };
    let node = upstream.credentials.as_ref().and_then(|_| upstream.nodes.iter().find(is_far))?;
    Some(format!("upstream.credentials travel to {} as they are: use https", node.authority))
}

/// Asks the cluster who it is.
async fn reach(calls: &OwnCalls) -> Cluster {
    match ask(calls, Method::GET, "/", "", 1 << 20).await {
        Ok(answer) => Cluster::answered(answer.status, &answer.body),
        Err(error) => Cluster::silent(&error),
    }
}

/// Sends one small request of our own and returns its answer of at most `bytes`.
async fn ask(calls: &OwnCalls, method: Method, target: &str, json: &str, bytes: usize) -> Result<Answer, OwnCallError> {
    calls.send(Call { method, target, json }, Bounds { bytes, time: PATIENCE }).await
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::in_the_clear;
    use crate::config::{KINDS, parse};

    #[test]
    fn credentials_in_the_clear_are_warned_of() {
        let said = |upstream: &str| in_the_clear(&parse(Path::new("p.toml"), &format!("[upstream]\n{upstream}"), KINDS).unwrap().upstream);
        let credentials = "credentials = { api-key = 'tweety' }";
        let warning = said(&format!("nodes = ['https://a', 'http://b:9200']\n{credentials}"));
        assert_eq!(warning.as_deref(), Some("upstream.credentials travel to b:9200 as they are: use https"));
        for fine in ["['https://a']", "['http://127.0.0.1:9200', 'http://[::1]:9200', 'http://localhost']"] {
            assert_eq!(said(&format!("nodes = {fine}\n{credentials}")), None, "{fine}");
        }
        assert_eq!(said("nodes = ['http://b']"), None);
    }
}
