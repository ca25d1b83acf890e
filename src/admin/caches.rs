//! Says how much the caches keep, and empties them, for whoever shows the token where there is one.

use std::collections::BTreeMap;

use http::{HeaderMap, Method, Response, StatusCode};
use tokio::task;

use super::rerank::{RerankApi, UNKNOWN};
use crate::{
    body::Body,
    cached::{Cached, Caches, Size},
    respond,
};

/// The path of all caches; behind it stands the name of one.
const PATH: &str = "/caches";

/// What is to be done, and with which cache; `None`: all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    name: Option<String>,
    empties: bool,
}

// === impl Order ===

impl Order {
    /// Returns what a request with this head orders, if it is about caches.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let empties = match *method {
            Method::DELETE => true,
            Method::GET | Method::HEAD => false,
            _ => return None,
        };
        let rest = path.strip_prefix(PATH)?.trim_end_matches('/');
        let name = rest.strip_prefix('/').filter(|name| !name.contains('/')).map(str::to_owned);
        (rest.is_empty() || name.is_some()).then_some(Self { name, empties })
    }

    /// Follows it, and answers with what each cache keeps, or kept before it was emptied.
    pub(super) async fn answer(self, guard: &RerankApi, caches: Caches, headers: &HeaderMap) -> Response<Body> {
        if !guard.knows(headers) {
            return respond::rerank_refused(StatusCode::UNAUTHORIZED, UNKNOWN);
        }
        // Counting looks at every entry: not for the async threads.
        match task::spawn_blocking(move || self.follow(&caches)).await {
            Ok(sizes) if sizes.is_empty() => respond::not_found(),
            Ok(sizes) => respond::json(StatusCode::OK, &sizes),
            Err(_) => respond::internal(),
        }
    }

    fn follow(&self, caches: &Caches) -> BTreeMap<&'static str, Size> {
        let meant = caches.named(self.name.as_deref());
        let follow = |(name, cache): (&'static str, &dyn Cached)| {
            let size = cache.size();
            if self.empties {
                cache.clear();
            }
            (name, size)
        };
        meant.map(follow).collect()
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::Order;

    #[test]
    fn only_paths_of_caches_are_orders() {
        let order = |method: Method, path: &str| Order::of(&method, path);
        let whole = |empties| Some(Order { name: None, empties });
        assert_eq!((order(Method::DELETE, "/caches"), order(Method::GET, "/caches/")), (whole(true), whole(false)));
        assert_eq!(order(Method::DELETE, "/caches/scores"), Some(Order { name: Some("scores".to_owned()), empties: true }));
        for (method, path) in [(Method::POST, "/caches"), (Method::DELETE, "/cachesx"), (Method::DELETE, "/caches/a/b"), (Method::GET, "/")]
        {
            assert_eq!(order(method, path), None, "{path}");
        }
    }
}
