//! Points in time: learns which indices each was opened for while it is opened, searched and closed through here.
//!
//! An id is known by its digest alone. It opens nothing here: it only says which rule a search belongs to.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode};
use moka::{Expiry, sync::Cache};
use rerank_plugin::Digest128;

use crate::{
    body::{self, Body, Collected, collect_capped},
    es::{pit, url::Params},
    intercept::{Intercept, encoding::Coding},
    rerank::Digester,
    respond,
};

/// Bytes of all that is known, and what one entry weighs besides its indices.
const MOST_BYTES: u64 = 16 << 20;
const OVERHEAD: usize = 200;
/// The longest time that engines keep one, unless they are told otherwise; and what is believed where nothing is said.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const UNSAID: Duration = Duration::from_secs(300);
/// Answers and bodies that open and close; larger ones pass unread.
const MOST_READ: usize = 256 << 10;

/// The points in time that one gateway knows.
pub struct PointsInTime {
    digester: Digester,
    known: Cache<Digest128, Known>,
}

#[derive(Clone)]
struct Known {
    index: Arc<str>,
    keep_alive: Duration,
}

/// Each is forgotten when its time is over.
struct Kept;

// === impl PointsInTime ===

impl PointsInTime {
    /// Returns none.
    pub fn new(digester: Digester) -> Self {
        let weigh = |_: &Digest128, known: &Known| u32::try_from(OVERHEAD + known.index.len()).unwrap_or(u32::MAX);
        Self { digester, known: Cache::builder().max_capacity(MOST_BYTES).weigher(weigh).expire_after(Kept).build() }
    }

    /// Returns the index expressions that a point in time was opened for, and keeps it longer where the search says so.
    pub fn find(&self, searched: &pit::Pit<'_>) -> Option<Arc<str>> {
        let name = self.name(searched.id.as_deref()?);
        let known = self.known.get(&name)?;
        let keep_alive = searched.keep_alive.unwrap_or(known.keep_alive).min(LONGEST);
        self.known.insert(name, Known { keep_alive, ..known.clone() });
        Some(known.index)
    }

    /// A point in time of these indices goes on under this id, which may be a new one.
    pub fn go_on(&self, id: &str, index: Arc<str>) {
        if !self.known.contains_key(&self.name(id)) {
            self.learn(id, index, None);
        }
    }

    /// A point in time was opened for `index`.
    fn learn(&self, id: &str, index: Arc<str>, keep_alive: Option<Duration>) {
        let keep_alive = keep_alive.unwrap_or(UNSAID).min(LONGEST);
        self.known.insert(self.name(id), Known { index, keep_alive });
    }

    fn forget(&self, id: &str) {
        self.known.invalidate(&self.name(id));
    }

    fn name(&self, id: &str) -> Digest128 {
        self.digester.start().piece(id.as_bytes()).finish()
    }
}

impl Expiry<Digest128, Known> for Kept {
    fn expire_after_create(&self, _: &Digest128, known: &Known, _: Instant) -> Option<Duration> {
        Some(known.keep_alive)
    }

    fn expire_after_update(&self, _: &Digest128, known: &Known, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(known.keep_alive)
    }
}

/// Passes on the call that opens a point in time, and learns its id from the answer.
pub async fn open(intercept: &Intercept, index: &str, request: Request<Body>) -> Response<Body> {
    let params = Params::parse(request.uri().query()).ok();
    let keep_alive = params.and_then(|params| params.get("keep_alive").and_then(pit::duration));
    let response = intercept.forward(request, None).await;
    let coding = Coding::of(response.headers());
    let (head, answer) = response.into_parts();
    let Some(coding) = coding.filter(|_| head.status == StatusCode::OK) else { return Response::from_parts(head, answer) };
    match collect_capped(answer, MOST_READ).await {
        Ok(Collected::Whole(whole)) => {
            if let Some(id) = coding.decode(&whole, MOST_READ).ok().and_then(|plain| pit::opened(&plain)) {
                intercept.gateway.points.learn(&id, index.into(), keep_alive);
            }
            Response::from_parts(head, body::uncounted(whole))
        }
        Ok(Collected::TooLarge(answer) | Collected::TooSlow(answer)) => Response::from_parts(head, answer),
        Err(_) => respond::answer_broken(),
    }
}

/// Passes on the call that closes points in time, and forgets them when the engine has closed them.
pub async fn close(intercept: &Intercept, request: Request<Body>) -> Response<Body> {
    let points = &intercept.gateway.points;
    if request.uri().path().trim_end_matches('/').ends_with("/_all") {
        let response = intercept.forward(request, None).await;
        if response.status() == StatusCode::OK {
            points.known.invalidate_all();
        }
        return response;
    }
    let (head, body) = request.into_parts();
    match collect_capped(body, MOST_READ).await {
        Ok(Collected::Whole(whole)) => {
            let plain = Coding::of(&head.headers).and_then(|coding| coding.decode(&whole, MOST_READ).ok()).unwrap_or_default();
            let response = intercept.forward(Request::from_parts(head, body::full(whole)), None).await;
            if response.status() == StatusCode::OK {
                pit::closed(&plain).iter().for_each(|id| points.forget(id));
            }
            response
        }
        Ok(Collected::TooLarge(body) | Collected::TooSlow(body)) => intercept.forward(Request::from_parts(head, body), None).await,
        Err(_) => respond::request_body_broken(),
    }
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, time::Duration};

    use super::PointsInTime;
    use crate::{es::pit::Pit, rerank::Digester};

    fn named(id: &str, keep_alive: Option<Duration>) -> Pit<'_> {
        Pit { id: Some(Cow::Borrowed(id)), keep_alive }
    }

    #[test]
    fn a_point_in_time_is_known_until_its_time_is_over() {
        let points = PointsInTime::new(Digester::new());
        points.learn("a", "shop".into(), Some(Duration::from_secs(60)));
        points.learn("b", "shop".into(), Some(Duration::ZERO));
        assert_eq!(points.find(&named("a", None)).as_deref(), Some("shop"));
        assert_eq!(points.find(&named("b", None)), None, "it is over");
        assert_eq!(points.find(&named("c", None)), None, "it was opened elsewhere");
        assert_eq!(points.find(&Pit { id: None, keep_alive: None }), None);
        assert!(points.find(&named("a", Some(Duration::ZERO))).is_some());
        assert_eq!(points.find(&named("a", None)), None, "the search said so");
        points.learn("a", "shop".into(), None);
        points.forget("a");
        assert_eq!(points.find(&named("a", None)), None);
    }
}
