//! Answers a search by an answer that is kept, or has it made and kept.

use std::{future::Future, sync::Arc, time::Instant};

use http::Response;
use tokio::time;

use crate::{
    body::Body,
    intercept::{
        answers::{self, Found, Kept, Lead},
        asked::Asked,
        explain,
        search::Search,
    },
    respond,
};

/// A way to answer a search that was read.
pub trait Make: Sized + Send + Sync + 'static {
    /// The search.
    fn search(&self) -> &Search;

    /// The same search once more, whose budget starts now.
    fn again(&self) -> Self;

    /// Has the engine asked and the hits ranked.
    fn make(&self, asked: &Asked) -> impl Future<Output = Response<Body>> + Send;
}

/// Answers a search; from what is kept, where its rule wants that.
pub async fn answer<M: Make>(making: M, asked: Asked) -> Response<Body> {
    let (rule, gateway) = (making.search().rule(), making.search().gateway());
    let wanted = rule.answer_cache.is_some() && !explain::is_wanted(&asked.head.headers, rule);
    let Some(name) = wanted.then(|| answers::name(&gateway.digester, rule, &asked)).flatten() else { return making.make(&asked).await };
    // Waiting for another search is something that reranking adds; half of its time is left for reranking itself.
    let began = Instant::now();
    let found = time::timeout(rule.timeout / 2, gateway.answers.find(name)).await.unwrap_or_else(|_| {
        gateway.answers.despair(name);
        Found::Alone
    });
    making.search().waited(began.elapsed());
    match found {
        Found::Kept(kept) => reuse(making.search(), &kept, &asked),
        Found::Stale(kept, lead) => {
            let response = reuse(making.search(), &kept, &asked);
            refresh(making.again(), asked, lead);
            response
        }
        Found::Missing(lead) => made(&making, &asked, lead).await,
        Found::Alone => making.make(&asked).await,
    }
}

/// Makes the next answer while the client has the old one: with this client's own credentials, and only because it asked.
fn refresh<M: Make>(making: M, asked: Asked, lead: Lead) {
    // Where there is no place for one more search, the next client that asks may try.
    let Some(place) = making.search().gateway().admission.enter() else { return };
    tokio::spawn(async move {
        drop(made(&making, &asked, lead).await);
        drop(place);
    });
}

async fn made<M: Make>(making: &M, asked: &Asked, lead: Lead) -> Response<Body> {
    let response = making.make(asked).await;
    lead.finish(making.search().take_made());
    response
}

/// Gives a kept answer to another search.
fn reuse(search: &Search, kept: &Arc<Kept>, asked: &Asked) -> Response<Body> {
    search.finish_reused(respond::again(kept.headers_for(&asked.head.headers), kept.body.clone()), &kept.outcome)
}
