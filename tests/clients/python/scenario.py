"""One scenario with the official Python client: sync, async and DSL.

    scenario.py URL elasticsearch|opensearch INDEX

Prints one line of JSON for each operation: its name, and what the client made of the answer or which exception it raised.
"""

import asyncio
import json
import sys

MAPPINGS = {
    "properties": {
        "title": {"type": "text"},
        "colour": {"type": "keyword"},
        "price": {"type": "double"},
        "big": {"type": "long"},
        "stock": {"type": "integer"},
    }
}
DEFINITION = {"settings": {"number_of_shards": 1, "number_of_replicas": 0}, "mappings": MAPPINGS}
MATCH = {"match": {"title": "running shoe"}}
BY_PRICE = [{"price": "desc"}]
HIGHLIGHTED = {
    "query": MATCH,
    "highlight": {"type": "plain", "fields": {"title": {}}},
    "_source": {"includes": ["colour", "b*"]},
    "size": 50,
}
COUNTED = {
    "query": MATCH,
    "size": 0,
    "aggs": {"colours": {"terms": {"field": "colour"}, "aggs": {"price": {"avg": {"field": "price"}}}}},
}
TEMPLATE = {"source": '{"query":{"match":{"title":"{{text}}"}},"size":50}', "params": {"text": "running shoe"}}


def document(number):
    """A title longer than the one before, so that the engine's scores all differ; a number that no double holds."""
    return {
        "title": "running shoe " + "with more words " * number,
        "colour": ["red", "blue", "green"][number % 3],
        "price": 10.5 + number,
        "big": 9007199254740993 + number,
    }


def emit(name, result):
    print(json.dumps({"op": name, "result": result}, default=lambda value: getattr(value, "body", None) or str(value)))


def raised(error):
    """What a program can tell of an exception."""
    body = getattr(error, "body", None) or getattr(error, "info", None)
    cause = body.get("error") if isinstance(body, dict) else None
    return {
        "raised": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "error": cause if cause is not None else str(body),
    }


def say(name, call):
    """Runs one operation and prints it; an exception is a result, too."""
    try:
        result = call()
    except Exception as error:
        result = raised(error)
    emit(name, result)
    return result


async def say_later(name, call):
    """The same for a coroutine."""
    try:
        result = await call
    except Exception as error:
        result = raised(error)
    emit(name, result)
    return result


def collected(pages):
    """Pages in one list, as if they had been one answer."""
    return {"hits": [hit for page in pages for hit in page["hits"]["hits"]]}


class Sync:
    """What both products' clients call alike but for the way that a body is given."""

    def __init__(self, client, zipped, helpers, index, body, product):
        self.client, self.zipped, self.helpers, self.index, self.body, self.product = client, zipped, helpers, index, body, product

    def search(self, client=None, **body):
        return (client or self.client).search(index=self.index, **self.body(body))

    def run(self):
        self.make()
        self.read()
        self.pages()
        self.zip()
        self.write()
        self.refused()

    def make(self):
        client, index = self.client, self.index
        say("ping", client.ping)
        say("info", client.info)
        say("exists index, before", lambda: bool(client.indices.exists(index=index)))
        say("create index", lambda: client.indices.create(index=index, **self.body(DEFINITION)))
        say("exists index", lambda: bool(client.indices.exists(index=index)))
        lines = [line for number in range(6) for line in ({"index": {"_id": str(number)}}, document(number))]
        bulk = {"operations": lines} if self.product == "elasticsearch" else {"body": lines}
        say("bulk", lambda: client.bulk(index=index, **bulk))
        actions = [{"_index": index, "_id": str(number), "_source": document(number)} for number in range(6, 12)]
        say("bulk helper", lambda: self.helpers.bulk(client, actions))
        say("refresh", lambda: client.indices.refresh(index=index))
        say("mapping", lambda: client.indices.get_mapping(index=index))
        say("put alias", lambda: client.indices.put_alias(index=index, name=index + "-alias"))

    def read(self):
        client, index = self.client, self.index
        say("count", lambda: client.count(index=index, **self.body({"query": MATCH})))
        say("get", lambda: client.get(index=index, id="3"))
        say("big integer", lambda: str(client.get(index=index, id="0")["_source"]["big"]))
        ids = {"ids": ["1", "2", "nope"]}
        say("mget", lambda: client.mget(index=index, **self.body(ids)))
        say("exists", lambda: [bool(client.exists(index=index, id=number)) for number in ("1", "nope")])
        say("search", lambda: self.search(query=MATCH, size=50))
        say("search by url", lambda: client.search(index=index, q="title:shoe", size=50))
        say("search highlighted", lambda: self.search(**HIGHLIGHTED))
        say("search alias", lambda: client.search(index=index + "-alias", **self.body({"query": MATCH, "size": 50})))
        say("search sorted", lambda: self.search(query=MATCH, sort=BY_PRICE, size=5))
        say("aggregations", lambda: self.search(**COUNTED))
        searches = [{"index": index}, {"query": MATCH, "size": 50}, {"index": "nope"}, {"query": MATCH}, {"index": index}, COUNTED]
        msearch = {"searches": searches} if self.product == "elasticsearch" else {"body": searches}
        say("msearch", lambda: client.msearch(**msearch))
        if self.product == "opensearch":
            say("render template", lambda: client.render_search_template(body=TEMPLATE))
            say("search template", lambda: client.search_template(index=index, body=TEMPLATE))

    def pages(self):
        client, index = self.client, self.index
        say("pages", lambda: collected([self.search(**{"query": MATCH, "from": start, "size": 4}) for start in (0, 4, 8)]))
        say("scroll", self.scroll)
        say("search_after", self.search_after)
        scan = {"index": index, "query": {"query": MATCH, "sort": BY_PRICE}, "size": 5, "preserve_order": True}
        say("scan helper", lambda: {"hits": list(self.helpers.scan(client, **scan))})

    def scroll(self):
        client = self.client
        pages = [client.search(index=self.index, scroll="1m", **self.body({"query": MATCH, "size": 5}))]
        while pages[-1]["hits"]["hits"]:
            pages.append(client.scroll(**self.body({"scroll_id": pages[-1]["_scroll_id"], "scroll": "1m"})))
        cleared = client.clear_scroll(**self.body({"scroll_id": pages[-1]["_scroll_id"]}))
        return {"pages": len(pages), "cleared": cleared["succeeded"], "scrolled": collected(pages)["hits"]}

    def search_after(self):
        client = self.client
        if self.product == "elasticsearch":
            pit = client.open_point_in_time(index=self.index, keep_alive="1m")["id"]
        else:
            pit = client.create_pit(index=self.index, keep_alive="1m")["pit_id"]
        pages, after = [], {}
        while not pages or pages[-1]["hits"]["hits"]:
            body = {"query": MATCH, "size": 5, "sort": BY_PRICE, "pit": {"id": pit, "keep_alive": "1m"}, **after}
            pages.append(client.search(**self.body(body)))
            pit = pages[-1]["pit_id"]
            hits = pages[-1]["hits"]["hits"]
            after = {"search_after": hits[-1]["sort"]} if hits else {}
        if self.product == "elasticsearch":
            closed = client.close_point_in_time(id=pit)["num_freed"]
        else:
            closed = len(client.delete_pit(body={"pit_id": [pit]})["pits"])
        return {"pages": len(pages), "closed": closed, "paged": collected(pages)["hits"]}

    def zip(self):
        client, index = self.zipped, self.index
        say("zipped index", lambda: client.index(index=index, id="zip", refresh=True, **self.document({"title": "zip " * 500})))
        say("zipped get", lambda: client.get(index=index, id="zip"))
        say("zipped search", lambda: self.search(client, query=MATCH, size=50))

    def document(self, content):
        return {"document": content} if self.product == "elasticsearch" else {"body": content}

    def write(self):
        client, index = self.client, self.index
        say("update", lambda: client.update(index=index, id="3", **self.body({"doc": {"stock": 7}})))
        say("get updated", lambda: client.get(index=index, id="3"))
        say("delete", lambda: client.delete(index=index, id="4", refresh=True))
        say("count after", lambda: client.count(index=index))

    def refused(self):
        client, index = self.client, self.index
        say("refused: no index", lambda: client.search(index="nope", **self.body({"query": MATCH})))
        say("refused: query text", lambda: self.search(query={"query_string": {"query": "title:("}}))
        say("refused: unknown query", lambda: self.search(query={"nonsense": {"title": "shoe"}}))
        say("refused: no document", lambda: client.get(index=index, id="nope"))
        say("refused: conflict", lambda: client.create(index=index, id="1", **self.document({"title": "twice"})))
        say("refused: index exists", lambda: client.indices.create(index=index))


async def asynchronous(client, helpers, index, body):
    """A few operations of each sort with the client for asyncio."""
    await say_later("async ping", client.ping())
    await say_later("async get", client.get(index=index, id="3"))
    await say_later("async search", client.search(index=index, **body({"query": MATCH, "size": 50})))
    await say_later("async search highlighted", client.search(index=index, **body(HIGHLIGHTED)))
    await say_later("async aggregations", client.search(index=index, **body(COUNTED)))
    actions = [{"_index": index, "_id": f"async{number}", "_source": {"colour": "none"}} for number in range(3)]
    await say_later("async bulk helper", helpers.async_bulk(client, actions, refresh=True))

    async def scan():
        query = {"query": {"term": {"colour": "none"}}, "sort": ["_doc"]}
        return [hit["_id"] async for hit in helpers.async_scan(client, index=index, query=query, preserve_order=True)]

    await say_later("async scan helper", scan())
    await say_later("refused: async", client.search(index="nope"))
    await client.close()


def dsl(module, client, index):
    """Searches and documents as classes."""

    class Shoe(module.Document):
        title = module.Text()
        colour = module.Keyword()
        price = module.Double()
        big = module.Long()

        class Index:
            name = index

    def listed(response):
        assert all(isinstance(hit, Shoe) for hit in response)
        total = response.hits.total
        hits = [{"id": hit.meta.id, "score": hit.meta.score, "title": hit.title, "price": hit.price, "big": str(hit.big)} for hit in response]
        return {"total": total.value, "max_score": response.hits.max_score, "hits": hits}

    search = Shoe.search(using=client).query("match", title="running shoe")
    say("dsl search typed", lambda: listed(search[0:50].execute()))
    say("dsl get", lambda: Shoe.get(id="5", using=client).to_dict())
    say("dsl filter", lambda: listed(search.filter("term", colour="red").sort("-price").execute()))
    highlighted = search.highlight("title", type="plain").source(["title"])[0:50]
    say("dsl highlighted", lambda: {"hits": [list(hit.meta.highlight.title) for hit in highlighted.execute()]})

    def buckets():
        counted = search.extra(size=0)
        counted.aggs.bucket("colours", "terms", field="colour").metric("price", "avg", field="price")
        return [[bucket.key, bucket.doc_count, bucket.price.value] for bucket in counted.execute().aggregations.colours.buckets]

    say("dsl aggregations", buckets)
    say("dsl scan", lambda: sorted(shoe.meta.id for shoe in search.scan()))
    say("dsl count", search.count)
    say("dsl save", lambda: Shoe(meta={"id": "dsl"}, title="a sandal", price=1.5).save(using=client, refresh=True))
    say("refused: dsl", lambda: Shoe.get(id="nope", using=client))


def elasticsearch(url, index):
    from elasticsearch import AsyncElasticsearch, Elasticsearch, dsl as classes, helpers

    def body(keys):
        return {{"from": "from_", "_source": "source"}.get(key, key): value for key, value in keys.items()}

    client = Elasticsearch(url)
    client.options(ignore_status=404).indices.delete(index=index)
    Sync(client, Elasticsearch(url, http_compress=True), helpers, index, body, "elasticsearch").run()
    say("product header", lambda: client.search(index=index, size=0).meta.headers["x-elastic-product"])
    asyncio.run(asynchronous(AsyncElasticsearch(url, http_compress=True), helpers, index, body))
    dsl(classes, client, index)
    say("delete index", lambda: client.indices.delete(index=index))


def opensearch(url, index):
    import opensearchpy
    from opensearchpy import AsyncOpenSearch, OpenSearch, helpers

    def body(keys):
        return {"body": dict(keys)}

    client = OpenSearch(url)
    client.indices.delete(index=index, ignore=[404])
    Sync(client, OpenSearch(url, http_compress=True), helpers, index, body, "opensearch").run()

    async def later():  # this client has to be made inside the loop that it runs in
        await asynchronous(AsyncOpenSearch(url, http_compress=True), opensearchpy.helpers, index, body)

    asyncio.run(later())
    dsl(opensearchpy, client, index)
    say("delete index", lambda: client.indices.delete(index=index))


if __name__ == "__main__":
    {"elasticsearch": elasticsearch, "opensearch": opensearch}[sys.argv[2]](sys.argv[1], sys.argv[3])
