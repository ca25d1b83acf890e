//! One scenario with the official Rust clients.
//!
//!     scenario URL elasticsearch|opensearch INDEX
//!
//! Prints one line of JSON for each operation: its name, and what the client made of the answer or which error it made of it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The clients share their shape but no type, so that the steps are compiled once for each.
mod on_elasticsearch {
    use elasticsearch::{
        BulkOperation, BulkOperations, BulkParts, ClearScrollParts, CountParts, CreateParts, DeleteParts, Elasticsearch as Client, Error,
        ExistsParts, GetParts, IndexParts, MgetParts, MsearchParts, OpenPointInTimeParts, ScrollParts, SearchParts, UpdateParts,
        http::{
            request::JsonBody,
            response::Response,
            transport::{SingleNodeConnectionPool, TransportBuilder},
        },
        indices::{
            IndicesCreateParts, IndicesDeleteParts, IndicesExistsParts, IndicesGetMappingParts, IndicesPutAliasParts, IndicesRefreshParts,
        },
        params::Refresh,
    };

    include!("steps.rs");

    /// Runs the scenario.
    pub async fn run(url: &str, index: &str) {
        let pool = || SingleNodeConnectionPool::new(url.parse().expect("an address"));
        let plain = Client::new(TransportBuilder::new(pool()).build().expect("a transport"));
        let zipped = Client::new(TransportBuilder::new(pool()).request_body_compression(true).build().expect("a transport"));
        let steps = Steps { client: plain, zipped, index };
        steps.all().await;
        let search = steps.client.search(SearchParts::Index(&[index])).size(0).send().await;
        let header =
            search.map(|answer| answer.headers().get("x-elastic-product").and_then(|value| value.to_str().ok().map(str::to_owned)));
        super::emit("product header", json!(header.ok()));
        steps.end().await;
    }

    impl Steps<'_> {
        async fn open(&self) -> Value {
            let opened = self.client.open_point_in_time(OpenPointInTimeParts::Index(&[self.index])).keep_alive("1m").send().await;
            shown(opened).await["id"].clone()
        }

        async fn close(&self, pit: &Value) -> Value {
            shown(self.client.close_point_in_time().body(json!({"id":pit})).send().await).await["num_freed"].clone()
        }

        async fn templates(&self) {}
    }
}

mod on_opensearch {
    use opensearch::{
        BulkOperation, BulkOperations, BulkParts, ClearScrollParts, CountParts, CreateParts, CreatePitParts, DeleteParts, Error,
        ExistsParts, GetParts, IndexParts, MgetParts, MsearchParts, OpenSearch as Client, RenderSearchTemplateParts, ScrollParts,
        SearchParts, SearchTemplateParts, UpdateParts,
        http::{
            request::JsonBody,
            response::Response,
            transport::{SingleNodeConnectionPool, TransportBuilder},
        },
        indices::{
            IndicesCreateParts, IndicesDeleteParts, IndicesExistsParts, IndicesGetMappingParts, IndicesPutAliasParts, IndicesRefreshParts,
        },
        params::Refresh,
    };

    include!("steps.rs");

    /// Runs the scenario; this client compresses no requests, it asks for compressed answers.
    pub async fn run(url: &str, index: &str) {
        let client = || {
            let pool = SingleNodeConnectionPool::new(url.parse().expect("an address"));
            Client::new(TransportBuilder::new(pool).build().expect("a transport"))
        };
        let steps = Steps { client: client(), zipped: client(), index };
        steps.all().await;
        steps.end().await;
    }

    impl Steps<'_> {
        async fn open(&self) -> Value {
            let opened = self.client.create_pit(CreatePitParts::Index(&[self.index])).keep_alive("1m").send().await;
            shown(opened).await["pit_id"].clone()
        }

        async fn close(&self, pit: &Value) -> Value {
            let closed = shown(self.client.delete_pit().body(json!({"pit_id":[pit]})).send().await).await;
            json!(closed["pits"].as_array().map(Vec::len))
        }

        async fn templates(&self) {
            let template = json!({"source":r#"{"query":{"match":{"title":"{{text}}"}},"size":50}"#,"params":{"text":"running shoe"}});
            let rendered = self.client.render_search_template(RenderSearchTemplateParts::None).body(&template).send().await;
            super::emit("render template", shown(rendered).await);
            let found = self.client.search_template(SearchTemplateParts::Index(&[self.index])).body(&template).send().await;
            super::emit("search template", shown(found).await);
        }
    }
}

/// A document as a type.
#[derive(Debug, Deserialize, Serialize)]
struct Shoe {
    title: String,
    colour: String,
    price: f64,
    big: i64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Hit {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_score")]
    score: Option<f64>,
    #[serde(rename = "_source")]
    shoe: Shoe,
}

#[derive(Debug, Deserialize, Serialize)]
struct Hits {
    max_score: Option<f64>,
    hits: Vec<Hit>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Found {
    hits: Hits,
}

/// Has a title longer than the one before, so that the engine's scores all differ, and a number that no double holds.
fn shoe(number: usize) -> Shoe {
    Shoe {
        title: format!("running shoe {}", "with more words ".repeat(number)),
        colour: ["red", "blue", "green"][number % 3].to_owned(),
        price: 10.5 + number as f64,
        big: 9_007_199_254_740_993 + number as i64,
    }
}

fn emit(op: &str, result: Value) {
    println!("{}", json!({"op":op,"result":result}));
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, url, product, index] = arguments.as_slice() else { panic!("scenario URL elasticsearch|opensearch INDEX") };
    match product.as_str() {
        "elasticsearch" => on_elasticsearch::run(url, index).await,
        _ => on_opensearch::run(url, index).await,
    }
}
