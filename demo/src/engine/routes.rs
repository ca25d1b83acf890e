//! The table of endpoints, and what each reads from a request.

use axum::{
    Router,
    http::Method,
    routing::{MethodFilter, on},
};

use super::{
    answer::{Answer, Shards},
    bulk,
    catalog::{Catalog, Lenience},
    documents::{self, Refresh},
    error::ApiError,
    index::Action,
    indices, multi_search, root,
    search::{self, Search},
    server::{Asked, Endpoint, Server, handler},
};

const WAITING: [&str; 4] = ["timeout", "master_timeout", "cluster_manager_timeout", "wait_for_active_shards"];

/// A path, the methods that it takes, and what answers them.
struct Route(&'static str, &'static [Method], Endpoint);

const READ: &[Method] = &[Method::GET, Method::HEAD];
const READ_OR_POST: &[Method] = &[Method::GET, Method::POST];
const WRITE: &[Method] = &[Method::PUT, Method::POST];
const POST: &[Method] = &[Method::POST];
const PUT: &[Method] = &[Method::PUT];
const DELETE: &[Method] = &[Method::DELETE];

/// The whole interface.
const ROUTES: [Route; 24] = [
    Route("/", READ, root_page),
    Route("/_cluster/health", READ, health),
    Route("/_cluster/health/{index}", READ, health),
    Route("/_mapping", READ, mappings),
    Route("/_refresh", READ_OR_POST, refresh),
    Route("/_count", READ_OR_POST, count),
    Route("/_search", READ_OR_POST, search),
    Route("/_msearch", READ_OR_POST, multi_search),
    Route("/_bulk", WRITE, bulk),
    Route("/{index}", READ, describe),
    Route("/{index}", PUT, create),
    Route("/{index}", DELETE, remove),
    Route("/{index}/_mapping", READ, mappings),
    Route("/{index}/_mapping", WRITE, extend),
    Route("/{index}/_refresh", READ_OR_POST, refresh),
    Route("/{index}/_count", READ_OR_POST, count),
    Route("/{index}/_search", READ_OR_POST, search),
    Route("/{index}/_msearch", READ_OR_POST, multi_search),
    Route("/{index}/_bulk", WRITE, bulk),
    Route("/{index}/_doc", POST, write_document),
    Route("/{index}/_doc/{id}", READ, get_document),
    Route("/{index}/_doc/{id}", WRITE, write_document),
    Route("/{index}/_doc/{id}", DELETE, delete_document),
    Route("/{index}/_create/{id}", WRITE, create_document),
];

/// Returns all routes.
pub(super) fn all() -> Router<Server> {
    let filters = |methods: &[Method]| {
        let filters = methods.iter().filter_map(|method| MethodFilter::try_from(method.clone()).ok());
        filters.reduce(MethodFilter::or)
    };
    ROUTES.iter().fold(Router::new(), |router, Route(path, methods, endpoint)| match filters(methods) {
        // The engines let a path end in a slash.
        Some(filter) if *path != "/" => {
            router.route(path, on(filter, handler(*endpoint))).route(&format!("{path}/"), on(filter, handler(*endpoint)))
        }
        Some(filter) => router.route(path, on(filter, handler(*endpoint))),
        None => router,
    })
}

/// Returns the methods that the path of a route takes.
pub(super) fn allowed(pattern: &str) -> Vec<&'static str> {
    let of_path = ROUTES.iter().filter(|Route(path, ..)| *path == pattern || pattern.strip_suffix('/') == Some(*path));
    of_path.flat_map(|Route(_, methods, _)| methods.iter().map(Method::as_str)).collect()
}

/// Returns the refusal of a path whose endpoint, a segment as `_cat`, no route has: a client learns that it is not a slip of the pen.
pub(super) fn refuse(method: &Method, path: &str) -> Option<ApiError> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    // Behind a document's endpoint stands an id, whatever it looks like.
    let place = segments.iter().take(2).position(|segment| is_endpoint(segment))?;
    let endpoint = segments[place];
    let with_endpoint = ROUTES.iter().filter_map(|Route(pattern, ..)| pattern.split_once(endpoint)).map(|(_, behind)| behind);
    let mut behind = with_endpoint.filter(|behind| behind.is_empty() || behind.starts_with('/')).peekable();
    if behind.peek().is_none() {
        // An index that is to be made is refused for its name.
        let makes_index = segments.len() == 1 && *method == Method::PUT;
        return (!makes_index).then(|| ApiError::unsupported(format!("[{endpoint}]")));
    }
    let below = segments.get(place + 1)?;
    let is_here = behind.filter_map(|behind| behind.split('/').nth(1)).any(|known| known == *below || known.starts_with('{'));
    (!is_here).then(|| ApiError::unsupported(format!("[{endpoint}/{below}]")))
}

fn is_endpoint(segment: &str) -> bool {
    segment.starts_with('_') && segment != "_all" && segment.bytes().all(|byte| matches!(byte, b'_' | b'a'..=b'z'))
}

/// Refuses a body, and all parameters but `known`.
fn take_no_body(asked: &Asked, known: &[&str]) -> Result<(), ApiError> {
    asked.parameters.allow(known)?;
    if asked.body().is_empty() { Ok(()) } else { Err(asked.parameters.without_body()) }
}

fn root_page(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    take_no_body(asked, &[])?;
    Answer::ok(&root::page(catalog))
}

fn health(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    take_no_body(asked, &root::HEALTH_PARAMETERS)?;
    root::health(catalog, asked.path_value("index"), &asked.parameters)
}

fn create(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    asked.parameters.allow(&WAITING)?;
    indices::create(catalog, asked.path_value("index"), asked.body())
}

fn describe(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    take_no_body(asked, &lenient(&["local", "master_timeout", "cluster_manager_timeout"]))?;
    indices::describe(catalog, asked.path_value("index"), Lenience::read(&asked.parameters)?)
}

fn remove(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    take_no_body(asked, &lenient(&WAITING))?;
    catalog.delete(asked.path_value("index"), Lenience::read(&asked.parameters)?)?;
    Answer::acknowledged()
}

fn mappings(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    take_no_body(asked, &lenient(&["local", "master_timeout", "cluster_manager_timeout"]))?;
    indices::mappings(catalog, asked.path_value("index"), Lenience::read(&asked.parameters)?)
}

fn extend(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    asked.parameters.allow(&lenient(&WAITING))?;
    indices::extend(catalog, asked.path_value("index"), Lenience::read(&asked.parameters)?, asked.body())
}

fn refresh(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    take_no_body(asked, &Lenience::PARAMETERS)?;
    let indices = catalog.resolve(asked.path_value("index"), Lenience::read(&asked.parameters)?)?;
    indices.iter().for_each(|index| index.refresh());
    Answer::ok(&serde_json::json!({"_shards": Shards::changed(indices.iter().map(AsRef::as_ref))}))
}

fn count(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    asked.parameters.allow(&lenient(&["q", "df", "default_operator", "preference", "source", "source_content_type"]))?;
    let indices = catalog.resolve(asked.path_value("index"), Lenience::read(&asked.parameters)?)?;
    let count = search::parse_count(&asked.parameters, asked.body())?.count(catalog, &indices)?;
    Answer::ok(&search::Counted { count, _shards: Shards::searched(indices.len()) })
}

fn search(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    asked.parameters.allow(&search::PARAMETERS)?;
    let search = Search::parse(&asked.parameters, asked.body())?;
    let indices = catalog.resolve(asked.path_value("index"), Lenience::read(&asked.parameters)?)?;
    Answer::ok(&search.run(catalog, &indices)?)
}

fn multi_search(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    // The first three change nothing here.
    asked.parameters.allow(&lenient(&["max_concurrent_searches", "search_type", "typed_keys", "max_concurrent_shard_requests"]))?;
    let lenience = Lenience::read(&asked.parameters)?;
    Answer::ok(&multi_search::run(catalog, asked.path_value("index"), lenience, asked.body())?)
}

fn bulk(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    asked.parameters.allow(&["refresh", "timeout"])?;
    let index = Some(asked.path_value("index")).filter(|index| !index.is_empty());
    Answer::ok(&bulk::run(catalog, index, asked.body(), Refresh::read(&asked.parameters)?)?)
}

fn write_document(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    asked.parameters.allow(&["refresh", "timeout", "op_type"])?;
    let action = match asked.parameters.get("op_type") {
        None | Some("index") => Action::Index,
        Some("create") => Action::Create,
        Some(other) => {
            return Err(ApiError::illegal_argument(format!("opType must be 'create' or 'index', found: [{other}]")));
        }
    };
    let id = Some(asked.path_value("id")).filter(|id| !id.is_empty());
    documents::write(catalog, (asked.path_value("index"), id), action, asked.body(), Refresh::read(&asked.parameters)?)
}

fn create_document(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    asked.parameters.allow(&["refresh", "timeout"])?;
    let place = (asked.path_value("index"), Some(asked.path_value("id")));
    documents::write(catalog, place, Action::Create, asked.body(), Refresh::read(&asked.parameters)?)
}

fn get_document(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    // Documents are read as they were written last, so that these two change nothing.
    take_no_body(asked, &["_source", "_source_includes", "_source_excludes", "preference", "realtime"])?;
    documents::get(catalog, (asked.path_value("index"), asked.path_value("id")), &asked.parameters)
}

fn delete_document(catalog: &Catalog, asked: &Asked) -> Result<Answer, ApiError> {
    take_no_body(asked, &["refresh", "timeout"])?;
    documents::delete(catalog, (asked.path_value("index"), asked.path_value("id")), Refresh::read(&asked.parameters)?)
}

/// Returns `more` and the parameters of an index expression.
fn lenient<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [Lenience::PARAMETERS.as_slice(), more].concat()
}
