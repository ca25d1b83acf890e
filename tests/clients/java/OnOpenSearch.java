import jakarta.json.stream.JsonGenerator;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.apache.hc.core5.http.HttpHost;
import org.opensearch.client.json.JsonData;
import org.opensearch.client.json.JsonpSerializable;
import org.opensearch.client.json.jackson.JacksonJsonpMapper;
import org.opensearch.client.opensearch.OpenSearchClient;
import org.opensearch.client.opensearch._helpers.bulk.BulkIngester;
import org.opensearch.client.opensearch._types.FieldValue;
import org.opensearch.client.opensearch._types.OpenSearchException;
import org.opensearch.client.opensearch._types.Refresh;
import org.opensearch.client.opensearch._types.SortOptions;
import org.opensearch.client.opensearch._types.SortOrder;
import org.opensearch.client.opensearch._types.query_dsl.Query;
import org.opensearch.client.opensearch.core.SearchRequest;
import org.opensearch.client.opensearch.core.SearchResponse;
import org.opensearch.client.opensearch.core.bulk.BulkOperation;
import org.opensearch.client.opensearch.core.search.BuiltinHighlighterType;
import org.opensearch.client.opensearch.core.search.HighlighterType;
import org.opensearch.client.opensearch.core.search.Hit;
import org.opensearch.client.opensearch.core.search.Pit;
import org.opensearch.client.transport.endpoints.BooleanResponse;
import org.opensearch.client.transport.httpclient5.ApacheHttpClient5TransportBuilder;
import org.opensearch.client.util.ObjectBuilder;

/** The scenario with opensearch-java. */
final class OnOpenSearch extends Scenario {
    private static final JacksonJsonpMapper MAPPER = new JacksonJsonpMapper();
    private static final Query MATCH = Query.of(query -> query.match(match -> match.field("title").query(FieldValue.of(TEXT))));
    private static final SortOptions BY_PRICE = SortOptions.of(sort -> sort.field(field -> field.field("price").order(SortOrder.Desc)));
    private final OpenSearchClient client;
    private final OpenSearchClient zipped;

    OnOpenSearch(String url, String index) throws Exception {
        super(index);
        HttpHost host = HttpHost.create(url);
        client = new OpenSearchClient(ApacheHttpClient5TransportBuilder.builder(host).setMapper(MAPPER).build());
        zipped = new OpenSearchClient(ApacheHttpClient5TransportBuilder.builder(host).setMapper(MAPPER).setCompressionEnabled(true).build());
    }

    @Override
    Object shown(Object result) throws Exception {
        if (result instanceof BooleanResponse yes) {
            return yes.value();
        }
        if (result instanceof List<?> list) {
            List<Object> all = new ArrayList<>();
            for (Object one : list) {
                all.add(shown(one));
            }
            return all;
        }
        if (result instanceof Map<?, ?> map) {
            Map<Object, Object> all = new HashMap<>();
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                all.put(entry.getKey(), shown(entry.getValue()));
            }
            return all;
        }
        if (result instanceof JsonpSerializable value) {
            StringWriter text = new StringWriter();
            try (JsonGenerator generator = MAPPER.jsonProvider().createGenerator(text)) {
                value.serialize(generator, MAPPER);
            }
            return JSON.readTree(text.toString());
        }
        return result;
    }

    @Override
    Map<String, Object> raised(Exception exception) throws Exception {
        return exception instanceof OpenSearchException known
            ? Map.of("raised", "OpenSearchException", "status", known.status(), "error", shown(known.error()))
            : null;
    }

    @Override
    void run() throws Exception {
        client.indices().delete(delete -> delete.index(index).ignoreUnavailable(true));
        make();
        read();
        templates();
        pages();
        zip_();
        write();
        refused();
        say("delete index", () -> client.indices().delete(delete -> delete.index(index)));
    }

    private SearchResponse<Shoe> search(Function<SearchRequest.Builder, ObjectBuilder<SearchRequest>> more) throws Exception {
        return client.search(request -> more.apply(request.index(index).query(MATCH)), Shoe.class);
    }

    private void make() throws Exception {
        say("ping", client::ping);
        say("info", client::info);
        say("exists index, before", () -> client.indices().exists(exists -> exists.index(index)));
        say("create index", () -> client.indices().create(create -> create
            .index(index)
            .settings(settings -> settings.numberOfShards(1).numberOfReplicas(0).refreshInterval(time -> time.time("-1")))
            .mappings(mappings -> mappings
                .properties("title", property -> property.text(text -> text))
                .properties("colour", property -> property.keyword(keyword -> keyword))
                .properties("price", property -> property.double_(number -> number))
                .properties("big", property -> property.long_(number -> number))
                .properties("stock", property -> property.integer(number -> number)))));
        say("exists index", () -> client.indices().exists(exists -> exists.index(index)));
        List<BulkOperation> operations = IntStream.range(0, 6)
            .mapToObj(number -> BulkOperation.of(operation -> operation.index(put -> put.id("" + number).document(shoe(number)))))
            .toList();
        say("bulk", () -> client.bulk(bulk -> bulk.index(index).operations(operations)));
        say("bulk helper", () -> {
            BulkIngester<Void> ingester = BulkIngester.of(helper -> helper.client(client).maxOperations(100));
            for (int number = 6; number < 12; number++) {
                int one = number;
                ingester.add(operation -> operation.index(put -> put.index(index).id("" + one).document(shoe(one))));
            }
            ingester.close();
            return Map.of("operations", ingester.operationsCount(), "requests", ingester.requestCount());
        });
        say("refresh", () -> client.indices().refresh(refresh -> refresh.index(index)));
        say("mapping", () -> client.indices().getMapping(mapping -> mapping.index(index)));
        say("put alias", () -> client.indices().putAlias(alias -> alias.index(index).name(index + "-alias")));
    }

    private void read() throws Exception {
        say("count", () -> client.count(count -> count.index(index).query(MATCH)));
        say("get", () -> client.get(get -> get.index(index).id("3"), Shoe.class));
        say("big integer", () -> client.get(get -> get.index(index).id("0"), Shoe.class).source().big().toString());
        say("mget", () -> client.mget(mget -> mget.index(index).ids("1", "2", "nope"), Shoe.class));
        say("exists", () -> List.of(
            client.exists(exists -> exists.index(index).id("1")).value(), client.exists(exists -> exists.index(index).id("nope")).value()));
        say("search", () -> search(request -> request.size(50)));
        say("search typed", () -> {
            SearchResponse<Shoe> found = search(request -> request.size(50));
            List<Object> hits = new ArrayList<>();
            for (Hit<Shoe> hit : found.hits().hits()) {
                hits.add(JSON.valueToTree(new Typed(hit.id(), hit.score(), hit.source())));
            }
            return Map.of("max_score", found.hits().maxScore(), "total", found.hits().total().value(), "hits", hits);
        });
        say("search by url", () -> client.search(request -> request.index(index).q("title:shoe").size(50), Shoe.class));
        say("search highlighted", () -> search(request -> request
            .size(50)
            .highlight(highlight -> highlight
                .type(HighlighterType.of(type -> type.builtin(BuiltinHighlighterType.Plain))).fields("title", field -> field))
            .source(source -> source.filter(filter -> filter.includes("colour", "b*")))));
        say("search alias", () -> client.search(request -> request.index(index + "-alias").query(MATCH).size(50), Shoe.class));
        say("search sorted", () -> search(request -> request.sort(BY_PRICE).size(5)));
        say("aggregations", () -> search(request -> request.size(0).aggregations("colours", colours -> colours
            .terms(terms -> terms.field("colour"))
            .aggregations("price", price -> price.avg(average -> average.field("price"))))));
        say("msearch", () -> client.msearch(msearch -> msearch
            .searches(one -> one.header(header -> header.index(index)).body(body -> body.query(MATCH).size(50)))
            .searches(one -> one.header(header -> header.index("nope")).body(body -> body.query(MATCH)))
            .searches(one -> one.header(header -> header.index(index)).body(body -> body.query(MATCH).size(0)
                .aggregations("colours", colours -> colours.terms(terms -> terms.field("colour"))))), Shoe.class));
    }

    private void templates() throws Exception {
        String source = "{\"query\":{\"match\":{\"title\":\"{{text}}\"}},\"size\":50}";
        say("render template", () -> client.renderSearchTemplate(render -> render.source(source).params("text", JsonData.of(TEXT))));
        say("search template", () -> client.searchTemplate(
            search -> search.index(index).source(source).params("text", JsonData.of(TEXT)), Shoe.class));
    }

    private static Map<String, Object> paged(String name, List<? extends SearchResponse<Shoe>> pages, Object closed) {
        List<Object> hits = new ArrayList<>();
        pages.forEach(page -> hits.addAll(page.hits().hits()));
        return Map.of("pages", pages.size(), "closed", closed, name, hits);
    }

    private void pages() throws Exception {
        say("pages", () -> {
            List<SearchResponse<Shoe>> pages = new ArrayList<>();
            for (int from : new int[] {0, 4, 8}) {
                pages.add(search(request -> request.from(from).size(4)));
            }
            return paged("hits", pages, true);
        });
        say("scroll", () -> {
            List<SearchResponse<Shoe>> pages = new ArrayList<>();
            pages.add(search(request -> request.size(5).scroll(time -> time.time("1m"))));
            String id = pages.getLast().scrollId();
            while (!pages.getLast().hits().hits().isEmpty()) {
                String last = id;
                pages.add(client.scroll(scroll -> scroll.scrollId(last).scroll(time -> time.time("1m")), Shoe.class));
                id = pages.getLast().scrollId();
            }
            String last = id;
            return paged("scrolled", pages, client.clearScroll(clear -> clear.scrollId(last)).succeeded());
        });
        say("search_after", () -> {
            String pit = client.createPit(open -> open.index(index).keepAlive(time -> time.time("1m"))).pitId();
            List<SearchResponse<Shoe>> pages = new ArrayList<>();
            List<FieldValue> after = List.of();
            do {
                String now = pit;
                List<FieldValue> last = after;
                pages.add(client.search(request -> {
                    request.query(MATCH).size(5).sort(BY_PRICE).pit(Pit.of(point -> point.id(now).keepAlive("1m")));
                    return last.isEmpty() ? request : request.searchAfter(last);
                }, Shoe.class));
                List<Hit<Shoe>> hits = pages.getLast().hits().hits();
                after = hits.isEmpty() ? List.of() : hits.getLast().sort();
                pit = pages.getLast().pitId();
            } while (!pages.getLast().hits().hits().isEmpty());
            String last = pit;
            return paged("paged", pages, client.deletePit(close -> close.pitId(last)).pits().size());
        });
    }

    private void zip_() throws Exception {
        say("zipped index", () -> zipped.index(put -> put.index(index).id("zip").document(zip())));
        say("zipped get", () -> zipped.get(get -> get.index(index).id("zip"), Shoe.class));
        say("zipped search", () -> zipped.search(request -> request.index(index).query(MATCH).size(50), Shoe.class));
    }

    private void write() throws Exception {
        say("update", () -> client.update(update -> update.index(index).id("3").doc(Map.of("stock", 7)), Shoe.class));
        say("get updated", () -> client.get(get -> get.index(index).id("3"), Shoe.class));
        say("delete", () -> client.delete(delete -> delete.index(index).id("4").refresh(Refresh.True)));
        say("count after", () -> client.count(count -> count.index(index)));
    }

    private void refused() throws Exception {
        say("refused: no index", () -> client.search(request -> request.index("nope").query(MATCH), Shoe.class));
        say("refused: query text", () -> search(request -> request.query(query -> query.queryString(text -> text.query("title:(")))));
        say("refused: conflict", () -> client.create(create -> create.index(index).id("1").document(shoe(1))));
        say("refused: index exists", () -> client.indices().create(create -> create.index(index)));
        // A program sees a document that is not there as an answer.
        say("get nothing", () -> client.get(get -> get.index(index).id("nope"), Shoe.class));
    }
}
