//! Takes an answer's hits to their arrangement: candidates, scores, fusion, or an earlier page's pin.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rerank_plugin::{Deadline, Digest128, Document, Part, Query, Score};

use crate::{
    config::{Fusion, OnTimeout, Rule},
    es::{hit::Hit, reading::Reading, response::SearchResponse},
    inference::{Ask, Reranker, Scores},
    intercept::{Gateway, compute::compute, pin::Pin, pin::PinnedHit, plan::SearchPlan},
    rerank::{
        Arrangement, Digester, Outcome, Reason, Reranked,
        arrange::{self, Fused, arrange},
        candidates::{self, Candidate},
        fuse::{self, Pair, fuse, fusion_of, presented},
    },
};

/// A window that the model has scored.
pub struct Scored {
    /// What later pages are to follow.
    pub pin: Pin,
    /// Where every hit goes.
    pub arrangement: Arrangement,
    /// The hits that have a score.
    pub fused: Vec<Fused>,
    /// How the two scores became one.
    pub fusion: Fusion,
}

/// One search, ready to be ranked.
pub struct Ranking<'a> {
    /// The gateway's memory and digester.
    pub gateway: &'a Gateway,
    /// The search's rule.
    pub rule: &'a Rule,
    /// What was planned for it.
    pub plan: &'a SearchPlan,
    /// The path that it was sent to, as written.
    pub path: &'a str,
    /// The engine's answer.
    pub response: &'a SearchResponse<'a>,
    /// How large it is.
    pub bytes: usize,
    /// Who asks, where scores are not shared between identities.
    pub scope: Option<Digest128>,
}

// === impl Ranking ===

impl Ranking<'_> {
    /// Scores the window and returns its arrangement, and what later pages are to follow; in the engine's order when that fails.
    pub async fn compute(&self, reranker: Result<Arc<Reranker>, Reason>, deadline: Deadline) -> (Pin, Arrangement) {
        let scored = match reranker {
            Ok(reranker) => self.score(&reranker, deadline, true).await,
            Err(reason) => Err(reason),
        };
        match scored {
            Ok(Scored { pin, arrangement, .. }) => (pin, arrangement),
            Err(reason) => {
                let pin = Pin { outcome: Outcome::Skipped(reason), hits: Vec::new() };
                (pin, Arrangement::engine_order(self.response.hits.len()))
            }
        }
    }

    /// Returns the hits that the model can score, with what it sees of them; `None` for a bug of ours.
    pub fn candidates(&self) -> Option<Vec<Candidate>> {
        let Self { gateway, rule, plan, .. } = self;
        compute(self.bytes, || candidates::select(self.window(), plan.fields(rule), &plan.reading, &gateway.digester))
    }

    /// Returns the arrangement that a pin asks for: its hits that are still there in its order, new ones behind.
    pub fn follow(&self, pin: &Pin) -> Arrangement {
        if pin.hits.is_empty() {
            return Arrangement::engine_order(self.response.hits.len());
        }
        let known: HashMap<Digest128, (usize, &PinnedHit)> =
            pin.hits.iter().enumerate().map(|(position, hit)| (hit.name, (position, hit))).collect();
        // An editor's hits keep scores of their own, which are not in the pin.
        let last =
            pin.hits.iter().filter(|hit| hit.rerank.is_some() && !hit.dropped).map(|hit| hit.presented).reduce(f64::min).unwrap_or(0.0);
        let fused: Vec<Fused> = self
            .window()
            .iter()
            .enumerate()
            .filter(|(_, hit)| !candidates::is_pinned(hit.score))
            .map(|(place, hit)| match known.get(&name(&self.gateway.digester, hit)) {
                Some((position, pinned)) => {
                    Fused { place, order: -(*position as f64), presented: pinned.presented, rerank: pinned.rerank, dropped: pinned.dropped }
                }
                None => Fused { place, order: f64::NEG_INFINITY, presented: last, rerank: None, dropped: false },
            })
            .collect();
        self.arrange(&fused, self.window().len())
    }

    /// Scores the window; `teaches`: later searches learn from it.
    ///
    /// # Errors
    /// Why the engine's order stays.
    pub async fn score(&self, reranker: &Reranker, deadline: Deadline, teaches: bool) -> Result<Scored, Reason> {
        let Self { gateway, rule, plan, .. } = self;
        if self.response.hits.len() < 2 {
            return Err(Reason::FewHits);
        }
        let candidates = self.candidates().ok_or(Reason::Internal)?;
        if candidates.is_empty() {
            let unpinned = self.window().iter().any(|hit| !candidates::is_pinned(hit.score));
            let of_rule = plan.own.as_ref().is_none_or(|own| own.fields.is_none());
            if teaches && unpinned && of_rule && matches!(plan.reading, Reading::Source) {
                gateway.memory.remember_to_read_fields(self.path, rule);
            }
            return Err(Reason::NoText);
        }
        let fusion = fusion_of(rule.fusion, reranker.card().scale, reranker.unit().is_some());
        if candidates.len() < 2 {
            return Err(Reason::FewHits);
        }
        if fusion == Fusion::Adaptive && reranker.unit().is_none() {
            return Err(Reason::ModelError);
        }
        let query = gateway.digester.query(rule.instruction.clone(), vec![Part::text(plan.query_text.text.as_str())]);
        let documents = candidates.iter().map(|candidate| candidate.document.clone()).collect();
        let taught = teaches.then_some(query.digest);
        // What nobody waits for is explained as a whole.
        let ask =
            if teaches { self.ask(query, documents, deadline) } else { Ask { scope: self.scope, ..Ask::all(query, documents, deadline) } };
        let scores = reranker.score(ask).await?;
        compute(self.bytes, || self.fuse(reranker, (fusion, taught), &candidates, &scores)).ok_or(Reason::Internal)?
    }

    fn ask(&self, query: Query, documents: Vec<Document>, deadline: Deadline) -> Ask {
        let Self { rule, scope, .. } = self;
        let partial = rule.on_timeout == OnTimeout::Partial;
        let least = match rule.least_window {
            Some(least) => least.min(documents.len()),
            // Two can be ordered.
            None if partial => 2,
            None => documents.len(),
        };
        Ask { query, documents, deadline, least, partial, lane: rule.number, scope: *scope }
    }

    /// Returns how many hits were up for reranking, and why some of them have no score that could have one.
    fn reach(&self, candidates: &[Candidate], scores: &Scores) -> (usize, Option<Reason>) {
        match candidates.get(scores.asked) {
            Some(first_left) if self.rule.least_window.is_some() => (first_left.place, scores.late),
            // The rule wants all or what there is: that there is less is said.
            Some(_) => (self.window().len(), scores.late.or(Some(Reason::Overloaded))),
            None => (self.window().len(), scores.late),
        }
    }

    fn fuse(
        &self,
        reranker: &Reranker,
        (fusion, taught): (Fusion, Option<Digest128>),
        candidates: &[Candidate],
        scores: &Scores,
    ) -> Result<Scored, Reason> {
        let Self { gateway, rule, plan, .. } = self;
        let scored: Vec<(&Candidate, Score)> =
            candidates.iter().zip(&scores.by_document).filter_map(|(candidate, score)| Some((candidate, (*score)?))).collect();
        let pair =
            |(candidate, rerank): &(&Candidate, Score)| Pair { first_stage: candidate.first_stage, rank: candidate.place, rerank: *rerank };
        let pairs: Vec<Pair> = scored.iter().map(pair).collect();
        let adaptive = fusion == Fusion::Adaptive;
        let (window, late) = self.reach(candidates, scores);
        let trust = match (rule.trust, taught) {
            (Some(fixed), _) => fixed,
            (None, Some(query)) if adaptive && late.is_none() => gateway.memory.learn_trust(self.path, rule, query, &pairs),
            (None, _) if adaptive => gateway.memory.trust(self.path, rule),
            (None, _) => 1.0,
        };
        let settings = fuse::Settings { fusion, unit: reranker.unit(), trust, window };
        let finals = fuse(&pairs, &settings).ok_or(Reason::FewHits)?;
        let min_score = plan.min_score(rule);
        let mut fused: Vec<Fused> = scored
            .iter()
            .zip(&finals)
            .map(|((candidate, rerank), order)| Fused {
                place: candidate.place,
                order: *order,
                presented: presented(fusion, *order, *rerank),
                rerank: Some(*rerank),
                dropped: min_score.is_some_and(|least| f64::from(rerank.presented()) < least),
            })
            .collect();
        if scores.late.is_some() {
            put_behind(&mut fused, candidates[..scores.asked].iter().map(|candidate| candidate.place));
        }
        let outcome = Outcome::Reranked(Reranked {
            model: Arc::clone(reranker.name()),
            window,
            scored: scored.len(),
            cached: scores.cached,
            trust: adaptive.then_some(trust),
            dropped: min_score.map(|_| fused.iter().filter(|hit| hit.dropped).count()),
            late,
        });
        let arrangement = self.arrange(&fused, window);
        let pin = Pin { outcome, hits: self.pin(&fused, &arrangement) };
        Ok(Scored { pin, arrangement, fused, fusion })
    }

    /// Returns the window as it will be shown: every hit's name, with the score that it takes from its neighbours if need be.
    fn pin(&self, fused: &[Fused], arrangement: &Arrangement) -> Vec<PinnedHit> {
        let window = self.window();
        let by_place: HashMap<usize, &Fused> = fused.iter().map(|hit| (hit.place, hit)).collect();
        let shown = |place: &usize| PinnedHit {
            name: name(&self.gateway.digester, &window[*place]),
            presented: by_place.get(place).map_or_else(|| arrangement.scores[*place].map_or(0.0, f64::from), |hit| hit.presented),
            rerank: by_place.get(place).and_then(|hit| hit.rerank),
            dropped: arrangement.ranking.drops(*place),
        };
        arrangement.ranking.order()[..window.len()].iter().map(shown).collect()
    }

    fn arrange(&self, fused: &[Fused], window: usize) -> Arrangement {
        let engine: Vec<Option<f64>> = self.response.hits.iter().map(|hit| hit.score).collect();
        let settings = arrange::Settings { skipped: self.plan.skipped(), window, score: self.rule.score, annotate: self.rule.annotate };
        arrange(&engine, fused, &settings)
    }

    /// The hits that may move.
    pub fn window(&self) -> &[Hit<'_>] {
        &self.response.hits[..self.plan.ranked.min(self.response.hits.len())]
    }
}

/// Puts hits without a score, of the places that were to be scored, behind those that have one, in the engine's order.
fn put_behind(fused: &mut Vec<Fused>, places: impl Iterator<Item = usize>) {
    let last = fused.iter().filter(|hit| !hit.dropped).map(|hit| hit.presented).reduce(f64::min).unwrap_or(0.0);
    let known: HashSet<usize> = fused.iter().map(|hit| hit.place).collect();
    let late = places.filter(|place| !known.contains(place));
    fused.extend(late.map(|place| Fused { place, order: f64::NEG_INFINITY, presented: last, rerank: None, dropped: false }));
    fused.sort_by_key(|hit| hit.place);
}

fn name(digester: &Digester, hit: &Hit<'_>) -> Digest128 {
    digester.start().piece(hit.index.as_bytes()).piece(hit.id.as_bytes()).finish()
}
