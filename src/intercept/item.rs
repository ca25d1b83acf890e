//! The steps of one search that has a rule, whether it came alone, as one of many, or out of a template: planned by what earlier
//! answers taught, ranked, narrowed. How it travels is left to others.

use std::sync::Arc;

use http::HeaderMap;
use rerank_plugin::{Deadline, Digest128};
use tokio::time;

use crate::{
    config::Rule,
    es::{
        filter_path::{Empty, NotFiltered},
        hit::Hit,
        response::SearchResponse,
    },
    intercept::{
        Gateway,
        compute::compute,
        narrow::present,
        pin::{Pin, Turn, name_search},
        plan::{FoundText, Hints, Page, Reading, Search, SearchPlan, Widening, plan},
        rank::Ranking,
        widen::{Widened, widen},
    },
    rerank::{Arrangement, Outcome, Reason},
};

/// One search and its rule.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    /// The gateway's memory, pins and models.
    pub gateway: &'a Gateway,
    /// Its rule.
    pub rule: &'a Rule,
    /// The headers that it came with: they say who asks.
    pub headers: &'a HeaderMap,
    /// What was sent.
    pub search: Search<'a>,
    /// The path by which its index is remembered: the search's own, unless that names no index.
    pub path: &'a str,
}

/// How a search will be reranked.
pub struct Planned {
    /// What to do.
    pub plan: SearchPlan,
    /// The name that all its pages share.
    key: Digest128,
    /// Whether only the answer tells what was searched.
    is_blind: bool,
}

/// What became of a search's hits.
pub struct Ranked {
    /// The answer for the client.
    pub page: Vec<u8>,
    /// How it was ranked.
    pub outcome: Outcome,
}

// === impl Item ===

impl Item<'_> {
    /// Plans the search by what earlier answers taught, unless that leads nowhere; its answer may have `cap` bytes.
    pub fn plan(&self, cap: usize) -> Result<Planned, Reason> {
        let Self { gateway, rule, search, .. } = self;
        let planned = |hints: Hints| -> Result<Planned, Reason> {
            let plan = compute(search.body.len(), || plan(search, rule, &hints)).ok_or(Reason::Internal).flatten()?;
            Ok(Planned { key: name_search(&gateway.digester, self.headers, &plan.pin_subject), plan, is_blind: false })
        };
        let is_refused = |found: &Planned| gateway.memory.is_refused(self.path, rule, &found.plan);
        let hints =
            Hints { read_fields: gateway.memory.reads_fields(self.path, rule), most_hits: gateway.memory.most_hits(self.path, rule, cap) };
        let mut found = planned(hints)?;
        // A later page needs the whole window that the first page pinned.
        if hints.most_hits.is_some() && found.plan.page.from > 0 && gateway.pins.get(found.key).is_some() {
            found = planned(Hints { most_hits: None, ..hints })?;
        }
        if hints.read_fields && is_refused(&found) {
            found = planned(Hints { read_fields: false, ..hints })?;
        }
        if is_refused(&found) { Err(Reason::RewriteRejected) } else { Ok(found) }
    }

    /// Plans to rank whatever page comes back by this text: the search is sent as it is, and not known.
    pub fn plan_page(&self, query_text: FoundText) -> Planned {
        let ranked = self.rule.window;
        let page = Page { from: 0, size: usize::MAX };
        let (widening, reading, pin_subject) = (Widening::Page, Reading::Source, Vec::new());
        let plan = SearchPlan {
            page,
            widening,
            fetch: ranked,
            ranked,
            query_text,
            reading,
            pin_subject,
            explain: false,
            filter_path: None,
            own: None,
        };
        Planned { key: name_search(&self.gateway.digester, self.headers, &plan.pin_subject), plan, is_blind: true }
    }

    /// Checks that there is room for the answer, and something to rank by: the model, or an earlier page.
    pub fn check(&self, planned: &Planned) -> Result<(), Reason> {
        // Seen afterwards, it would cost the cluster a second search.
        let likely = self.gateway.memory.likely_size(self.path, self.rule, planned.plan.fetch);
        if self.gateway.memory().has(likely) { self.check_model(planned) } else { Err(Reason::Overloaded) }
    }

    fn check_model(&self, planned: &Planned) -> Result<(), Reason> {
        let follows = planned.plan.page.from > 0 && self.gateway.pins.get(planned.key).is_some();
        self.gateway.registry.get(&self.rule.model).map(drop).or_else(|reason| if follows { Ok(()) } else { Err(reason) })
    }

    /// Returns the search for more hits; `None` for a bug of ours.
    pub fn widen(&self, planned: &Planned) -> Option<Widened> {
        compute(self.search.body.len(), || widen(&self.search, &planned.plan))
    }

    /// Arranges the answer's hits as an earlier page of the search, or by the model, and cuts the page.
    ///
    /// `bytes` is how large the answer is, `empty` the engine's way with `filter_path`.
    ///
    /// # Errors
    /// Why the answer is of no use: the client's `filter_path` cannot be applied to it, or a bug of ours.
    pub async fn rank(
        &self,
        planned: &Planned,
        response: &SearchResponse<'_>,
        (bytes, empty): (usize, Empty),
        deadline: Deadline,
    ) -> Result<Ranked, Reason> {
        let plan = &planned.plan;
        let Self { gateway, rule, path, .. } = *self;
        let ranking = Ranking { gateway, rule, plan, path, response, bytes, scope: gateway.scope(self.headers) };
        let (pin, own) = if planned.is_blind && response.hits.iter().any(Hit::is_sorted) {
            (Arc::new(Pin { outcome: Outcome::Skipped(Reason::Sorted), hits: Vec::new() }), None)
        } else {
            self.turn(&ranking, planned.key, deadline).await
        };
        let page = || {
            let arrangement = own.unwrap_or_else(|| ranking.follow(&pin));
            present(response, plan, rule, &arrangement, empty)
        };
        let page = compute(bytes, page).ok_or(Reason::Internal)?.map_err(|NotFiltered| Reason::FilterPath)?;
        Ok(Ranked { page, outcome: pin.outcome.clone() })
    }

    /// Returns what an earlier page, or a like search at the same time, said of these hits; if none, what the model says.
    async fn turn(&self, ranking: &Ranking<'_>, key: Digest128, deadline: Deadline) -> (Arc<Pin>, Option<Arrangement>) {
        let gateway = self.gateway;
        let reranker = || gateway.registry.get(&self.rule.model);
        if ranking.plan.widening == Widening::Page {
            let (pin, arrangement) = ranking.compute(reranker(), deadline).await;
            return (Arc::new(pin), Some(arrangement));
        }
        match time::timeout_at(deadline.0.into(), gateway.pins.turn(key, ranking.plan.page.from == 0)).await {
            Ok(Turn::Follow(pin)) => (pin, None),
            Ok(Turn::Lead(lead)) => {
                let (pin, arrangement) = ranking.compute(reranker(), deadline).await;
                (lead.finish(pin), Some(arrangement))
            }
            Err(_) => (Arc::new(Pin { outcome: Outcome::Skipped(Reason::Timeout), hits: Vec::new() }), None),
        }
    }

    /// Learns how large this search's hits are.
    pub fn remember_size(&self, planned: &Planned, response: &SearchResponse<'_>) {
        // Hits of a page that comes alone may be laden with what others lack.
        if !response.hits.is_empty() && planned.plan.widening == Widening::Window {
            let size = response.hits.iter().map(|hit| hit.raw().len()).sum::<usize>() / response.hits.len();
            self.gateway.memory.remember_size(self.path, self.rule, size);
        }
    }

    /// The answer was over `cap`: half as many hits are asked for next time.
    pub fn remember_too_large(&self, planned: &Planned, cap: usize) {
        if planned.plan.widening == Widening::Window {
            self.gateway.memory.remember_size(self.path, self.rule, cap.saturating_mul(2) / planned.plan.fetch.max(1));
        }
    }

    /// The engine refused what was added, and answered the search without it.
    pub fn remember_refusal(&self, planned: &Planned) {
        self.gateway.memory.remember_refusal(self.path, self.rule, &planned.plan);
    }

    /// Later pages of a search whose first page, or the first that was seen, went out in the engine's order stay in it.
    pub fn pin_engine_order(&self, planned: &Planned, reason: Reason) {
        let pins = &self.gateway.pins;
        let first = planned.plan.page.from == 0 || pins.get(planned.key).is_none();
        if planned.plan.widening == Widening::Window && first {
            pins.put(planned.key, Pin { outcome: Outcome::Skipped(reason), hits: Vec::new() });
        }
    }
}
