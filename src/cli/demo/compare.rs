//! Sends the shop's searches to the engine and through Podium, and measures both.

use std::{collections::HashMap, ops::Range};

use podium_demo::shop::Query;
use rerank_plugin::Progress;

use super::{
    client::Client,
    example::{ENDLESS, TOO_SHORT},
    report::{Compared, Hurried, Pair, Placed, Relevance, Timed},
    search::{Found, search},
    steps::Steps,
};
use crate::eval::Judgments;

/// Hits of a page, which is what NDCG@10 looks at.
const PAGE: usize = 10;

/// Asked before any vector is there; none of them is one of the judged queries.
const COLD: [&str; 3] = ["rain jacket", "desk lamp for reading", "glass storage jar"];

/// Asked with a budget that is too short: nobody asked it before, so that at least its own vector is missing.
const HURRIED: &str = "warm gloves for cycling to work";

/// Whom to ask.
pub(super) struct Comparer<'a> {
    pub(super) engine: &'a Client,
    pub(super) podium: &'a Client,
    pub(super) index: &'a str,
    /// How many hits Podium reranks.
    pub(super) window: usize,
}

/// All judged queries, compared.
pub(super) struct Comparison {
    pub(super) queries: Vec<Compared>,
    pub(super) relevance: Relevance,
    pub(super) times: Vec<Timed>,
}

// === impl Comparer ===

impl Comparer<'_> {
    /// Measures searches whose vectors are not there yet, with all the time that they need.
    pub(super) async fn cold(&self, steps: &Steps) -> anyhow::Result<Timed> {
        steps.count("searching while no vector is there", COLD.len());
        let mut found = Vec::new();
        for text in COLD {
            found.push(self.podium(text, Some(ENDLESS)).await?);
            steps.advance(1);
        }
        Ok(timed("Podium, cold: no vector cached", &found))
    }

    /// Compares every query; the products' vectors are there.
    pub(super) async fn all(&self, queries: &[Query], steps: &Steps) -> anyhow::Result<Comparison> {
        steps.count("comparing the judged searches", queries.len());
        let (mut compared, mut alone, mut warm, mut again) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for query in queries {
            let engine = search(self.engine, self.index, &query.text, PAGE, None).await?;
            let podium = self.podium(&query.text, None).await?;
            let repeated = self.podium(&query.text, None).await?;
            let whole = search(self.engine, self.index, &query.text, self.window, None).await?;
            compared.push(compare(query, &engine, &podium, &whole));
            alone.push(engine);
            warm.push(podium);
            again.push(repeated);
            steps.advance(1);
        }
        let times = vec![
            timed("the engine alone", &alone),
            timed("Podium, warm: product vectors cached", &warm),
            timed("Podium, the same search again", &again),
        ];
        Ok(Comparison { relevance: relevance(&compared), queries: compared, times })
    }

    /// Sends one search whose budget is over before the model can answer.
    pub(super) async fn hurried(&self) -> anyhow::Result<Hurried> {
        let podium = self.podium(HURRIED, Some(TOO_SHORT)).await?;
        let engine = search(self.engine, self.index, HURRIED, PAGE, None).await?;
        Ok(Hurried {
            text: HURRIED.to_owned(),
            timeout_ms: 1,
            ms: milliseconds(&podium),
            in_engine_order: podium.ids().eq(engine.ids()),
            in_time: podium.is_reranked(),
            titles: podium.hits.into_iter().map(|hit| hit.title).collect(),
            rerank_status: podium.status,
        })
    }

    async fn podium(&self, text: &str, budget: Option<&str>) -> anyhow::Result<Found> {
        search(self.podium, self.index, text, PAGE, budget).await
    }
}

/// Returns both pages side by side; `whole` is the engine's order of the window.
fn compare(query: &Query, engine: &Found, podium: &Found, whole: &Found) -> Compared {
    let judged: Judgments = query.grades.iter().map(|(id, grade)| (id.clone(), f64::from(*grade))).collect();
    let engine_ranks: HashMap<&str, usize> = whole.ids().zip(1..).collect();
    let placed = |found: &Found| -> Vec<Placed> {
        let place = |(hit, rank): (&super::search::Hit, usize)| Placed {
            rank,
            engine_rank: engine_ranks.get(hit.id.as_str()).copied(),
            grade: query.grades.get(&hit.id).copied().unwrap_or(0),
            id: hit.id.clone(),
            title: hit.title.clone(),
        };
        found.hits.iter().zip(1..).map(place).collect()
    };
    Compared {
        id: query.id.clone(),
        text: query.text.clone(),
        ndcg_at_10: Pair { engine: judged.ndcg_at_10(engine.ids()), podium: judged.ndcg_at_10(podium.ids()) },
        ms: Pair { engine: milliseconds(engine), podium: milliseconds(podium) },
        rerank_status: podium.status.clone(),
        engine: placed(engine),
        podium: placed(podium),
        in_window: whole.ids().any(|id| judged.worth(id) > 0.0),
    }
}

fn relevance(compared: &[Compared]) -> Relevance {
    /// Differences that are smaller are none.
    const SAME: f64 = 0.001;
    let judged = compared.iter().filter_map(|one| Some((one.ndcg_at_10.engine?, one.ndcg_at_10.podium?)));
    let judged: Vec<(f64, f64)> = judged.collect();
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / judged.len().max(1) as f64;
    let within = |range: Range<f64>| judged.iter().filter(|(engine, podium)| range.contains(&(podium - engine))).count();
    Relevance {
        gain: "linear",
        queries: judged.len(),
        reranked: compared.iter().filter(|one| one.rerank_status.starts_with("reranked")).count(),
        engine: mean(&mut judged.iter().map(|(engine, _)| *engine)),
        podium: mean(&mut judged.iter().map(|(_, podium)| *podium)),
        better: within(SAME..f64::INFINITY),
        same: within(-SAME..SAME),
        worse: within(f64::NEG_INFINITY..-SAME),
        out_of_reach: compared.iter().filter(|one| !one.in_window).count(),
    }
}

fn timed(what: &'static str, found: &[Found]) -> Timed {
    let (scored, cached): (Vec<f64>, Vec<f64>) = found.iter().map(Found::scored_and_cached).unzip();
    let total = |numbers: &[f64]| numbers.iter().sum::<f64>() as usize;
    Timed {
        what,
        searches: found.len(),
        reranked: found.iter().filter(|one| one.is_reranked()).count(),
        median_ms: median(found.iter().map(milliseconds)).unwrap_or_default(),
        median_rerank_ms: median(found.iter().filter_map(|one| one.rerank_ms)),
        median_scored: median(scored.iter().copied()).unwrap_or_default() as usize,
        scored: total(&scored),
        cached: total(&cached),
    }
}

fn milliseconds(found: &Found) -> f64 {
    found.took.as_secs_f64() * 1e3
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
