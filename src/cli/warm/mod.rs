//! `podium warm`: computes the vectors of an index ahead of time and keeps them in a file, so that the first search meets a warm cache.

mod compute;
mod index;
mod pace;
mod reader;
mod report;
mod steps;

use std::{
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::ExitCode,
    sync::{Arc, Mutex, atomic::AtomicU64},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use http::HeaderMap;
use rerank_plugin::{Card, Loaded, Part, PreparedQuery, Preparer, Scorer, Stop};
use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::{self, JoinSet},
    time,
};

use self::{
    compute::{Sink, Work},
    index::{Counted, Refusal},
    reader::Reader,
    report::Report,
    steps::Steps,
};
use super::{ConfigFile, WRONG};
use crate::{
    app,
    config::{self, Config, Environment, Rule, When},
    models::{
        self, Store, Surroundings, Vectors,
        vectors::{Checked, Found, Locked},
    },
    rerank::Digester,
    route::{Match, find},
    upstream::own::OwnCalls,
};

/// How often a log, which has no bar, is told how far it is.
const BETWEEN_LINES: Duration = Duration::from_secs(30);

/// An index, and how it is warmed.
#[derive(Clone, Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: ConfigFile,
    /// The index, alias or pattern, as searches name it.
    #[arg(long)]
    index: String,
    /// The rule, by its number from 0, where a search's headers or parameters decide.
    #[arg(long, value_name = "NUMBER")]
    rule: Option<usize>,
    /// Parts of the index that are read at the same time.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    slices: u16,
    /// Writes JSON, for programs.
    #[arg(long)]
    json: bool,
}

/// What is warmed.
struct Task {
    index: String,
    slices: usize,
    rule: Arc<Rule>,
    calls: OwnCalls,
    surroundings: Surroundings,
    steps: Steps,
}

/// A model that makes vectors.
struct Model {
    card: Card,
    preparer: Arc<dyn Preparer>,
    /// Any query will do: only what belongs to the documents is kept.
    query: PreparedQuery,
    workers: Vec<Box<dyn Scorer>>,
}

/// The signals that end it.
struct Ends {
    interrupt: Signal,
    terminate: Signal,
}

/// Warms an index; returns 1 when it was not finished, 2 when the configuration does not allow it.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = config::load(&arguments.file.config)?;
    let rule = match rule_of(&config, arguments) {
        Ok(rule) => rule,
        Err(problem) => return wrong(&problem.to_string()),
    };
    let Some(file) = &config.cache.vectors_file else {
        return wrong("cache.vectors-file is missing: write where the vectors are to be kept, such as vectors-file = \"vectors.bin\"");
    };
    let calls = OwnCalls::new(&config.upstream)?;
    let steps = Steps::new(arguments.json);
    // What is computed goes to the file, and what is there already is not asked for.
    let usual = app::surroundings(&config, Environment::read(), steps.progress());
    let surroundings = Surroundings { store: Store::new(0), vectors: Vectors::default(), ..usual };
    let downloads = surroundings.downloads.clone();
    let task = Task { index: arguments.index.clone(), slices: arguments.slices.into(), rule, calls, surroundings, steps };
    let runtime = runtime::Builder::new_multi_thread().enable_all().build().context("no threads to run on")?;
    let done = runtime.block_on(Box::pin(task.run(&config, file)));
    // A download that was interrupted leaves nothing behind.
    downloads.give_up();
    // A model that hangs must not keep the program from ending.
    runtime.shutdown_background();
    let report = done?;
    match arguments.json {
        true => writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)?,
        false => write!(io::stdout(), "{report}")?,
    }
    Ok(if report.finished { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn wrong(problem: &str) -> anyhow::Result<ExitCode> {
    writeln!(io::stderr(), "{problem}")?;
    Ok(ExitCode::from(WRONG))
}

/// Returns the rule that searches of the index have, as text; where headers or parameters decide, the one that was named.
fn rule_of(config: &Config, arguments: &Arguments) -> anyhow::Result<Arc<Rule>> {
    let index = arguments.index.as_str();
    let of = |rules: &[Arc<Rule>]| find(index, None, &HeaderMap::new(), rules);
    let anyway = |rule: &Arc<Rule>| Arc::new(Rule { when: When::default(), ..Rule::clone(rule) });
    if let Some(number) = arguments.rule {
        let count = config.rules.len();
        let rule = config.rules.get(number).with_context(|| format!("there is no rules[{number}]: the file has {count}"))?;
        return match of(&[anyway(rule)]) {
            Match::Rule(_) => Ok(Arc::clone(rule)),
            Match::NoRule | Match::Mixed { .. } => bail!("rules[{number}] is not for {index}: its patterns are {}", rule.index.join(", ")),
        };
    }
    match of(&config.rules) {
        Match::Rule(rule) => Ok(rule),
        Match::Mixed { .. } => bail!("{index} belongs to different rules: warm its parts one by one"),
        Match::NoRule => match config.rules.iter().find(|rule| matches!(of(&[anyway(rule)]), Match::Rule(_))) {
            Some(rule) => bail!("rules[{0}] is for some searches of {index} (`when`): write --rule {0}", rule.number),
            None => bail!("no rule is for {index}, as text: name it as searches do, or widen the `index` of a rule"),
        },
    }
}

// === impl Task ===

impl Task {
    async fn run(&self, config: &Config, file: &Path) -> anyhow::Result<Report> {
        let mut ends = Ends { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? };
        let counted = index::count(&self.calls, &self.index).await?;
        let locked = Locked::open(file)?;
        match locked.found() {
            Found::Nothing => self.steps.say(&format!("{} is new", file.display())),
            Found::NoHeader => self.steps.say(&format!("the beginning of {} was damaged: it is written anew", file.display())),
            Found::Vectors => {}
        }
        let digester = locked.digester().clone();
        let model = tokio::select! {
            model = self.load(config, &digester) => model?,
            () = ends.next() => bail!("interrupted"),
        };
        let fingerprint = model.card.fingerprint;
        let checked = task::spawn_blocking(move || locked.check(fingerprint)).await??;
        if let Some(damage) = checked.damage {
            self.steps
                .say(&format!("{} was damaged ({damage}): it is cut off there, and what is missing is computed again", file.display()));
        }
        let names: Vec<&str> = self.rule.fields.iter().map(|field| field.name.as_ref()).collect();
        let (number, name, known) = (self.rule.number, &self.rule.model, checked.known.len());
        self.steps.say(&format!("rules[{number}] on {}: {} by model {name}; {known} vectors are there", self.index, names.join(", ")));
        let reader = tokio::select! {
            reader = Reader::open(&self.calls, (&self.index, counted), &self.rule, &digester) => Arc::new(reader?),
            () = ends.next() => bail!("interrupted"),
        };
        let report = self.warm(config, (model, checked), (&reader, counted), ends).await;
        reader.close().await;
        report
    }

    /// Loads the rule's model, which is to make vectors.
    async fn load(&self, config: &Config, digester: &Digester) -> anyhow::Result<Model> {
        let name = &self.rule.model;
        let settings = Arc::clone(config.models.get(name).context("a rule's model is in the file")?);
        let asked = settings.kind.as_deref();
        let useless = self.surroundings.families.iter().find(|family| Some(family.kind()) == asked && !family.makes_vectors());
        if let Some(family) = useless {
            bail!("{}", without_vectors(name, family.kind()));
        }
        let surroundings = self.surroundings.clone();
        let loaded = task::spawn_blocking(move || models::load(&settings, &surroundings)).await?;
        let Loaded::Local { preparer, workers } = loaded.with_context(|| format!("model {name}"))? else {
            bail!("{}", without_vectors(name, "remote"));
        };
        let card = preparer.card().clone();
        if !card.keeps_vectors {
            bail!("{}", without_vectors(name, card.kind));
        }
        let any = digester.query(None, vec![Part::text("anything")]);
        let query = preparer.query(&any).map_err(|fault| anyhow!("the model does not take a query: {fault}"))?;
        Ok(Model { card, preparer, query, workers })
    }

    /// Reads the index, computes what is missing and writes it down, until all is done, something fails, or a signal comes.
    async fn warm(
        &self,
        config: &Config,
        (model, checked): (Model, Checked),
        (reader, counted): (&Arc<Reader>, Counted),
        mut ends: Ends,
    ) -> anyhow::Result<Report> {
        let started = Instant::now();
        let (fingerprint, there, shape) = (model.card.fingerprint, checked.known.len() as u64, checked.shape);
        // One page ahead of the model.
        let (pages, chunks) = mpsc::channel(1);
        let steps = self.steps.clone();
        let work = Arc::new(Work {
            preparer: model.preparer,
            query: model.query,
            chunks: Mutex::new(chunks),
            sink: Mutex::new(Sink::new(checked.known, fingerprint, checked.writer)),
            stop: Stop::default(),
            done: AtomicU64::new(0),
            progress: Box::new(move |documents| steps.advance(documents)),
        });
        self.steps.count(&format!("warming {}", self.index), counted.documents);
        let mut reading = JoinSet::new();
        for slice in 0..self.slices {
            let part = (self.slices > 1).then_some((slice, self.slices));
            reading.spawn(Arc::clone(reader).read(part, pages.clone()));
        }
        drop(pages);
        let mut working = start(model.workers, &work)?;
        let failure = self.watch(&work, (&mut reading, &mut working), (counted, &mut ends)).await;
        // Whatever a thread that hangs may still do: what is computed is kept.
        let mut sink = work.sink();
        let written = sink.write();
        self.steps.clear();
        let failure = failure.or(written.err()).map(|error| format!("{error:#}"));
        let (counts, shape) = (sink.counts(), shape.or(sink.shape()));
        let (seconds, vectors) = (started.elapsed().as_secs_f64(), there + sink.written());
        Ok(Report {
            index: self.index.clone(),
            rule: self.rule.number,
            model: self.rule.model.to_string(),
            fingerprint: fingerprint.to_string(),
            counts,
            seconds,
            rate: counts.computed as f64 / seconds.max(0.001),
            pauses: reader.pauses(),
            file: sink.path().to_owned(),
            vectors,
            bytes: sink.bytes(),
            cache_bytes: vectors * shape.map_or(0, |shape| shape.cached()),
            cache_limit: config.cache.vectors,
            finished: failure.is_none(),
            failure,
        })
    }

    /// Waits until all is done, and returns what went wrong.
    async fn watch(
        &self,
        work: &Work,
        (reading, working): (&mut JoinSet<Result<(), Refusal>>, &mut mpsc::UnboundedReceiver<anyhow::Result<()>>),
        (counted, ends): (Counted, &mut Ends),
    ) -> Option<anyhow::Error> {
        let mut failure: Option<anyhow::Error> = None;
        let mut signals = 0;
        let mut lines = time::interval_at(time::Instant::now() + BETWEEN_LINES, BETWEEN_LINES);
        loop {
            let failed = tokio::select! {
                Some(read) = reading.join_next() => match read {
                    Ok(Err(refusal)) => Some(anyhow!("the index could not be read to its end: {refusal}")),
                    Err(error) if error.is_panic() => Some(anyhow!("a bug: reading the index panicked; please report it")),
                    Ok(Ok(())) | Err(_) => None,
                },
                worked = working.recv() => match worked {
                    // Each worker has said how it ended, or is gone without a word.
                    None => return failure,
                    Some(Ok(())) => None,
                    Some(Err(error)) => {
                        work.stop.ask();
                        Some(error)
                    }
                },
                () = ends.next() => {
                    signals += 1;
                    work.stop.ask();
                    if signals > 1 {
                        return failure;
                    }
                    Some(anyhow!("interrupted"))
                },
                _ = lines.tick(), if self.steps.wants_lines() => {
                    self.steps.say(&format!("{} of {} documents", work.done(), counted.documents));
                    None
                },
            };
            if failed.is_some() {
                // The model works off what it has, or stops; nobody reads on.
                reading.abort_all();
                failure = failure.or(failed);
            }
        }
    }
}

/// Starts a thread for each worker, and returns what tells how each ends.
fn start(workers: Vec<Box<dyn Scorer>>, work: &Arc<Work>) -> anyhow::Result<mpsc::UnboundedReceiver<anyhow::Result<()>>> {
    let (say, ended) = mpsc::unbounded_channel();
    for (number, scorer) in workers.into_iter().enumerate() {
        let (work, say) = (Arc::clone(work), say.clone());
        let run = move || {
            let ran = catch_unwind(AssertUnwindSafe(|| work.run(scorer)));
            // Nobody listens after a second signal.
            let _ = say.send(ran.unwrap_or_else(|_| Err(anyhow!("a bug: computing panicked; please report it"))));
        };
        thread::Builder::new().name(format!("warm-{number}")).spawn(run).context("no thread for the model")?;
    }
    Ok(ended)
}

fn without_vectors(name: &str, kind: &str) -> String {
    format!("model {name} is of kind {kind}, which computes nothing ahead of a search: only embedding models keep vectors of documents")
}

// === impl Ends ===

impl Ends {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
