"""One scenario with each official client against the engine at the given address; ends with an assertion or with "ok"."""

import sys

DEFINITION = {
    "settings": {"number_of_replicas": 0},
    "mappings": {
        "properties": {
            "title": {"type": "text", "analyzer": "english"},
            "colour": {"type": "keyword"},
            "price": {"type": "double"},
        }
    },
}
SHOES = [
    {"title": "Red running shoes", "colour": "red", "price": 89.9},
    {"title": "Blue running shoes", "colour": "blue", "price": 120.0},
    {"title": "Red dress", "colour": "red", "price": 55.25},
]
MATCH = {"match": {"title": "running shoe"}}


def ids(answer):
    return [hit["_id"] for hit in answer["hits"]["hits"]]


def refused(error, call, status):
    """Returns the error that `call` raises; it has to be of the class that the client has for it."""
    try:
        call()
    except error as raised:
        assert raised.status_code == status, raised
        return raised
    raise AssertionError(f"{error.__name__} was not raised")


def actions(index):
    return ({"_index": index, "_id": str(number), "_source": shoe} for number, shoe in enumerate(SHOES))


def checks(client, index):
    """What both clients call alike."""
    assert client.ping()
    assert not client.indices.exists(index=index)
    assert client.indices.get_mapping(index="*") is not None
    assert client.cluster.health()["status"] in ("green", "yellow")
    assert not client.exists(index=index, id="1")


def elasticsearch(url):
    from elasticsearch import BadRequestError, ConflictError, Elasticsearch, NotFoundError, helpers

    index = "clients-elasticsearch"
    for compress in (False, True):
        client = Elasticsearch(url, http_compress=compress)
        client.options(ignore_status=404).indices.delete(index=index)
        assert client.info()["version"]["number"]
        checks(client, index)
        assert client.indices.create(index=index, **DEFINITION)["acknowledged"]
        assert client.indices.put_mapping(index=index, properties={"stock": {"type": "integer"}})["acknowledged"]
        assert "stock" in client.indices.get_mapping(index=index)[index]["mappings"]["properties"]
        done, failed = helpers.bulk(client, actions(index), refresh=True)
        assert (done, failed) == (3, [])
        assert client.index(index=index, id="3", document={"title": "Hat", "stock": 1}, refresh="wait_for")["result"] == "created"
        assert client.get(index=index, id="3")["_source"]["title"] == "Hat"
        refused(ConflictError, lambda: client.create(index=index, id="3", document={}), 409)
        raised = refused(BadRequestError, lambda: client.update(index=index, id="3", doc={"stock": 2}), 400)
        assert "_update" in str(raised), raised
        assert client.count(index=index, query=MATCH)["count"] == 2
        found = client.search(index=index, query=MATCH, highlight={"type": "plain", "fields": {"title": {}}}, source=["colour"], size=1)
        assert found["hits"]["total"] == {"value": 2, "relation": "eq"}
        assert found["hits"]["hits"][0]["_source"] == {"colour": "red"}
        assert found["hits"]["hits"][0]["highlight"]["title"] == ["Red <em>running</em> <em>shoes</em>"]
        by_price = client.search(index=index, sort=[{"price": {"order": "desc", "missing": "_last"}}], fields=["price"], source=False)
        assert ids(by_price) == ["1", "0", "2", "3"]
        assert by_price["hits"]["hits"][0]["fields"] == {"price": [120.0]}
        both = client.msearch(searches=[{"index": index}, {"query": MATCH}, {"index": "nope"}, {}])["responses"]
        assert (len(both[0]["hits"]["hits"]), both[1]["status"]) == (2, 404)
        assert ids(client.search(index=index, q="colour:blue")) == ["1"]
        assert client.delete(index=index, id="3", refresh=True)["result"] == "deleted"
        refused(NotFoundError, lambda: client.get(index=index, id="3"), 404)
        raised = refused(NotFoundError, lambda: client.search(index="nope"), 404)
        assert raised.body["error"]["type"] == "index_not_found_exception"
        raised = refused(BadRequestError, lambda: client.search(index=index, aggs={"a": {"terms": {"field": "colour"}}}), 400)
        assert "[aggs]" in str(raised), raised
        refused(BadRequestError, lambda: client.indices.create(index=index), 400)
        assert client.indices.delete(index=index)["acknowledged"]


def opensearch(url):
    from opensearchpy import ConflictError, NotFoundError, OpenSearch, RequestError, helpers

    index = "clients-opensearch"
    for compress in (False, True):
        client = OpenSearch(url, http_compress=compress)
        client.indices.delete(index=index, ignore=[404])
        assert client.info()["version"]["distribution"]
        checks(client, index)
        assert client.indices.create(index=index, body=DEFINITION)["acknowledged"]
        assert client.indices.put_mapping(index=index, body={"properties": {"stock": {"type": "integer"}}})["acknowledged"]
        assert "stock" in client.indices.get_mapping(index=index)[index]["mappings"]["properties"]
        done, failed = helpers.bulk(client, actions(index), refresh=True)
        assert (done, failed) == (3, [])
        assert client.index(index=index, id="3", body={"title": "Hat", "stock": 1}, refresh="wait_for")["result"] == "created"
        assert client.get(index=index, id="3")["_source"]["title"] == "Hat"
        refused(ConflictError, lambda: client.create(index=index, id="3", body={}), 409)
        raised = refused(RequestError, lambda: client.update(index=index, id="3", body={"doc": {"stock": 2}}), 400)
        assert "_update" in str(raised), raised
        assert client.count(index=index, body={"query": MATCH})["count"] == 2
        found = client.search(index=index, body={"query": MATCH, "highlight": {"type": "plain", "fields": {"title": {}}}}, _source="colour", size=1)
        assert found["hits"]["total"] == {"value": 2, "relation": "eq"}
        assert found["hits"]["hits"][0]["_source"] == {"colour": "red"}
        assert found["hits"]["hits"][0]["highlight"]["title"] == ["Red <em>running</em> <em>shoes</em>"]
        by_price = client.search(index=index, body={"sort": [{"price": "desc"}], "fields": ["price"], "_source": False})
        assert ids(by_price) == ["1", "0", "2", "3"]
        assert by_price["hits"]["hits"][0]["fields"] == {"price": [120.0]}
        both = client.msearch(body=[{"index": index}, {"query": MATCH}, {"index": "nope"}, {}])["responses"]
        assert (len(both[0]["hits"]["hits"]), both[1]["status"]) == (2, 404)
        assert ids(client.search(index=index, q="colour:blue")) == ["1"]
        assert client.delete(index=index, id="3", refresh=True)["result"] == "deleted"
        refused(NotFoundError, lambda: client.get(index=index, id="3"), 404)
        raised = refused(NotFoundError, lambda: client.search(index="nope"), 404)
        assert raised.info["error"]["type"] == "index_not_found_exception"
        raised = refused(RequestError, lambda: client.search(index=index, body={"aggs": {"a": {"terms": {"field": "colour"}}}}), 400)
        assert "[aggs]" in str(raised), raised
        refused(RequestError, lambda: client.indices.create(index=index), 400)
        assert client.indices.delete(index=index)["acknowledged"]


if __name__ == "__main__":
    elasticsearch(sys.argv[1])
    opensearch(sys.argv[1])
    print("ok")
