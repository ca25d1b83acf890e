// Included by main.rs once for each client.

use serde_json::{Value, json};

use super::{Found, emit, shoe};

struct Steps<'a> {
    client: Client,
    zipped: Client,
    index: &'a str,
}

/// Returns what the client shows of an answer: its body, or the exception that it read.
async fn shown(answer: Result<Response, Error>) -> Value {
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return json!({"raised":"Error","error":error.to_string()}),
    };
    if let Err(error) = answer.error_for_status_code_ref() {
        // With the address, which differs between direct and through, left out.
        let said = error.to_string();
        let raised = said.split(" for url").next().map(str::to_owned);
        let status = answer.status_code().as_u16();
        let text = answer.text().await.unwrap_or_default();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        return json!({"raised":raised,"status":status,"error":body});
    }
    answer.json().await.unwrap_or_else(|error| json!({"raised":"decode","error":error.to_string()}))
}

/// Returns what the client shows where only the status counts.
fn succeeded(answer: Result<Response, Error>) -> Value {
    match answer {
        Ok(answer) => json!(answer.status_code().is_success()),
        Err(error) => json!({"raised":"Error","error":error.to_string()}),
    }
}

/// Returns the exception that the client reads from an answer.
async fn exception(answer: Result<Response, Error>) -> Value {
    let answer = answer.expect("an answer");
    let status = answer.status_code().as_u16();
    let exception = answer.exception().await.ok().flatten().expect("an exception");
    let error = exception.error();
    let root: Vec<_> = error.root_cause().iter().map(|cause| json!([cause.ty(), cause.reason()])).collect();
    json!({"raised":"Exception","status":status,"same":exception.status(),"type":error.ty(),"reason":error.reason(),"root":root})
}

fn matching() -> Value {
    json!({"match":{"title":"running shoe"}})
}

fn by_price() -> Value {
    json!([{"price":"desc"}])
}

fn counted() -> Value {
    json!({"query":matching(),"size":0,"aggs":{"colours":{"terms":{"field":"colour"},"aggs":{"price":{"avg":{"field":"price"}}}}}})
}

fn hits(page: &Value) -> Vec<Value> {
    page["hits"]["hits"].as_array().cloned().unwrap_or_default()
}

impl Steps<'_> {
    async fn all(&self) {
        let _may_be_absent = self.client.indices().delete(IndicesDeleteParts::Index(&[self.index])).send().await;
        self.make().await;
        self.read().await;
        self.templates().await;
        self.pages().await;
        self.zip().await;
        self.write().await;
        self.refused().await;
    }

    async fn end(&self) {
        emit("delete index", shown(self.client.indices().delete(IndicesDeleteParts::Index(&[self.index])).send().await).await);
    }

    async fn search(&self, body: Value) -> Value {
        shown(self.client.search(SearchParts::Index(&[self.index])).body(body).send().await).await
    }

    async fn exists(&self) -> Value {
        succeeded(self.client.indices().exists(IndicesExistsParts::Index(&[self.index])).send().await)
    }

    async fn make(&self) {
        let (client, index) = (&self.client, self.index);
        emit("ping", succeeded(client.ping().send().await));
        emit("info", shown(client.info().send().await).await);
        emit("exists index, before", self.exists().await);
        let definition = json!({"settings":{"number_of_shards":1,"number_of_replicas":0,"refresh_interval":"-1"},"mappings":{"properties":{
            "title":{"type":"text"},"colour":{"type":"keyword"},"price":{"type":"double"},"big":{"type":"long"},"stock":{"type":"integer"}}}});
        emit("create index", shown(client.indices().create(IndicesCreateParts::Index(index)).body(definition).send().await).await);
        emit("exists index", self.exists().await);
        let lines = (0..6).flat_map(|number| [json!({"index":{"_id":number.to_string()}}).into(), json!(shoe(number)).into()]);
        let lines: Vec<JsonBody<Value>> = lines.collect();
        emit("bulk", shown(client.bulk(BulkParts::Index(index)).body(lines).send().await).await);
        let mut operations = BulkOperations::new();
        for number in 6..12 {
            operations.push(BulkOperation::index(shoe(number)).id(number.to_string())).expect("a shoe can be printed");
        }
        emit("bulk helper", shown(client.bulk(BulkParts::Index(index)).body(vec![operations]).send().await).await);
        emit("refresh", shown(client.indices().refresh(IndicesRefreshParts::Index(&[index])).send().await).await);
        emit("mapping", shown(client.indices().get_mapping(IndicesGetMappingParts::Index(&[index])).send().await).await);
        let alias = format!("{index}-alias");
        emit("put alias", shown(client.indices().put_alias(IndicesPutAliasParts::IndexName(&[index], &alias)).send().await).await);
    }

    async fn read(&self) {
        let (client, index) = (&self.client, self.index);
        emit("count", shown(client.count(CountParts::Index(&[index])).body(json!({"query":matching()})).send().await).await);
        emit("get", shown(client.get(GetParts::IndexId(index, "3")).send().await).await);
        let first = shown(client.get(GetParts::IndexId(index, "0")).send().await).await;
        emit("big integer", json!(first["_source"]["big"].to_string()));
        emit("mget", shown(client.mget(MgetParts::Index(index)).body(json!({"ids":["1","2","nope"]})).send().await).await);
        let [there, absent] = ["1", "nope"].map(|id| client.exists(ExistsParts::IndexId(index, id)).send());
        emit("exists", json!([succeeded(there.await), succeeded(absent.await)]));
        let ranked = json!({"query":matching(),"size":50});
        emit("search", self.search(ranked.clone()).await);
        let typed = client.search(SearchParts::Index(&[index])).body(&ranked).send().await.expect("an answer").json::<Found>().await;
        emit("search typed", json!(typed.expect("hits of that type")));
        let by_url = client.search(SearchParts::Index(&[index])).q("title:shoe").size(50).send().await;
        emit("search by url", shown(by_url).await);
        let highlighted =
            json!({"query":matching(),"highlight":{"type":"plain","fields":{"title":{}}},"_source":{"includes":["colour","b*"]},"size":50});
        emit("search highlighted", self.search(highlighted).await);
        let alias = format!("{index}-alias");
        emit("search alias", shown(client.search(SearchParts::Index(&[&alias])).body(&ranked).send().await).await);
        emit("search sorted", self.search(json!({"query":matching(),"sort":by_price(),"size":5})).await);
        emit("aggregations", self.search(counted()).await);
        let searches =
            [json!({"index":index}), ranked, json!({"index":"nope"}), json!({"query":matching()}), json!({"index":index}), counted()];
        let searches: Vec<JsonBody<Value>> = searches.map(JsonBody::new).into();
        emit("msearch", shown(client.msearch(MsearchParts::None).body(searches).send().await).await);
    }

    async fn pages(&self) {
        let mut found = Vec::new();
        for from in [0, 4, 8] {
            found.extend(hits(&self.search(json!({"query":matching(),"from":from,"size":4})).await));
        }
        emit("pages", json!({"hits":found}));
        emit("scroll", self.scroll().await);
        emit("search_after", self.search_after().await);
    }

    async fn scroll(&self) -> Value {
        let client = &self.client;
        let first = client.search(SearchParts::Index(&[self.index])).scroll("1m").body(json!({"query":matching(),"size":5})).send().await;
        let mut page = shown(first).await;
        let (mut pages, mut found) = (1, hits(&page));
        while !hits(&page).is_empty() {
            let more = client.scroll(ScrollParts::None).body(json!({"scroll_id":page["_scroll_id"],"scroll":"1m"})).send().await;
            page = shown(more).await;
            pages += 1;
            found.extend(hits(&page));
        }
        let cleared = client.clear_scroll(ClearScrollParts::None).body(json!({"scroll_id":page["_scroll_id"]})).send().await;
        json!({"pages":pages,"cleared":shown(cleared).await["succeeded"],"scrolled":found})
    }

    async fn search_after(&self) -> Value {
        let mut pit = self.open().await;
        let (mut pages, mut found) = (0, Vec::<Value>::new());
        loop {
            let mut body = json!({"query":matching(),"size":5,"sort":by_price(),"pit":{"id":pit,"keep_alive":"1m"}});
            if let Some(last) = found.last() {
                body["search_after"] = last["sort"].clone();
            }
            let page = shown(self.client.search(SearchParts::None).body(body).send().await).await;
            pages += 1;
            pit = page["pit_id"].clone();
            if hits(&page).is_empty() {
                break json!({"pages":pages,"closed":self.close(&pit).await,"paged":found});
            }
            found.extend(hits(&page));
        }
    }

    async fn zip(&self) {
        let (client, index) = (&self.zipped, self.index);
        let stored = client.index(IndexParts::IndexId(index, "zip")).body(json!({"title":"zip ".repeat(500)})).send().await;
        emit("zipped index", shown(stored).await);
        emit("zipped get", shown(client.get(GetParts::IndexId(index, "zip")).send().await).await);
        let found = client.search(SearchParts::Index(&[index])).body(json!({"query":matching(),"size":50})).send().await;
        emit("zipped search", shown(found).await);
    }

    async fn write(&self) {
        let (client, index) = (&self.client, self.index);
        emit("update", shown(client.update(UpdateParts::IndexId(index, "3")).body(json!({"doc":{"stock":7}})).send().await).await);
        emit("get updated", shown(client.get(GetParts::IndexId(index, "3")).send().await).await);
        emit("delete", shown(client.delete(DeleteParts::IndexId(index, "4")).refresh(Refresh::True).send().await).await);
        emit("count after", shown(client.count(CountParts::Index(&[index])).send().await).await);
    }

    async fn refused(&self) {
        let (client, index) = (&self.client, self.index);
        let nowhere = || client.search(SearchParts::Index(&["nope"])).body(json!({"query":matching()})).send();
        emit("refused: no index", shown(nowhere().await).await);
        emit("refused: no index, exception", exception(nowhere().await).await);
        let text = json!({"query":{"query_string":{"query":"title:("}}});
        emit("refused: query text", self.search(text).await);
        let unknown = json!({"query":{"nonsense":{"title":"shoe"}}});
        emit("refused: unknown query", exception(client.search(SearchParts::Index(&[index])).body(unknown).send().await).await);
        emit("refused: no document", shown(client.get(GetParts::IndexId(index, "nope")).send().await).await);
        let twice = client.create(CreateParts::IndexId(index, "1")).body(json!({"title":"twice"})).send().await;
        emit("refused: conflict", shown(twice).await);
        emit("refused: index exists", shown(client.indices().create(IndicesCreateParts::Index(index)).send().await).await);
    }
}
