package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/elastic/go-elasticsearch/v9"
	"github.com/elastic/go-elasticsearch/v9/esutil"
	"github.com/elastic/go-elasticsearch/v9/typedapi/core/scroll"
	"github.com/elastic/go-elasticsearch/v9/typedapi/core/search"
	"github.com/elastic/go-elasticsearch/v9/typedapi/types"
	"github.com/elastic/go-elasticsearch/v9/typedapi/types/enums/refresh"
	"github.com/elastic/go-elasticsearch/v9/typedapi/types/enums/sortorder"
)

type elasticSteps struct {
	client *elasticsearch.TypedClient
	zipped *elasticsearch.TypedClient
	plain  *elasticsearch.Client
	index  string
	ctx    context.Context
}

func onElasticsearch(url, index string) {
	config := elasticsearch.Config{Addresses: []string{url}, DisableRetry: true}
	client, err := elasticsearch.NewTypedClient(config)
	must(err)
	plain, err := elasticsearch.NewClient(config)
	must(err)
	config.CompressRequestBody = true
	// What the client leaves to Go's transport, which asks for gzip and takes it off again.
	config.Transport = &http.Transport{DisableCompression: false}
	zipped, err := elasticsearch.NewTypedClient(config)
	must(err)
	steps := elasticSteps{client, zipped, plain, index, context.Background()}
	client.Indices.Delete(index).IgnoreUnavailable(true).Do(steps.ctx)
	steps.make()
	steps.read()
	steps.pages()
	steps.write()
	steps.refused()
	say("product header", func() (string, error) {
		answer, err := plain.Search(plain.Search.WithIndex(index), plain.Search.WithSize(0))
		if err != nil {
			return "", err
		}
		defer answer.Body.Close()
		return answer.Header.Get("X-Elastic-Product"), nil
	})
	say("delete index", func() (any, error) { return client.Indices.Delete(index).Do(steps.ctx) })
}

func (s elasticSteps) raw(body string) (*search.Response, error) {
	return s.client.Search().Index(s.index).Raw(strings.NewReader(body)).Do(s.ctx)
}

// Queries as types; the other product's client takes text.
func matching() *types.Query {
	return &types.Query{Match: map[string]types.MatchQuery{"title": {Query: "running shoe"}}}
}

func (s elasticSteps) request(request *search.Request) (*search.Response, error) {
	return s.client.Search().Index(s.index).Request(request).Do(s.ctx)
}

func (s elasticSteps) make() {
	client, index, ctx := s.client, s.index, s.ctx
	say("ping", func() (bool, error) { return client.Ping().Do(ctx) })
	say("info", func() (any, error) { return client.Info().Do(ctx) })
	say("exists index, before", func() (bool, error) { return client.Indices.Exists(index).Do(ctx) })
	say("create index", func() (any, error) { return client.Indices.Create(index).Raw(strings.NewReader(definition)).Do(ctx) })
	say("exists index", func() (bool, error) { return client.Indices.Exists(index).Do(ctx) })
	say("bulk", func() (any, error) {
		bulk := client.Bulk().Index(index)
		for number := range 6 {
			id := strconv.Itoa(number)
			must(bulk.IndexOp(types.IndexOperation{Id_: &id}, newShoe(number)))
		}
		return bulk.Do(ctx)
	})
	say("bulk helper", func() (any, error) {
		indexer, err := esutil.NewBulkIndexer(esutil.BulkIndexerConfig{Client: s.plain, Index: index, NumWorkers: 1})
		must(err)
		for number := 6; number < 12; number++ {
			must(indexer.Add(ctx, esutil.BulkIndexerItem{Action: "index", DocumentID: strconv.Itoa(number), Body: reader(newShoe(number))}))
		}
		err = indexer.Close(ctx)
		stats := indexer.Stats()
		return map[string]any{"flushed": stats.NumFlushed, "failed": stats.NumFailed, "indexed": stats.NumIndexed}, err
	})
	say("refresh", func() (any, error) { return client.Indices.Refresh().Index(index).Do(ctx) })
	say("mapping", func() (any, error) { return client.Indices.GetMapping().Index(index).Do(ctx) })
	say("put alias", func() (any, error) { return client.Indices.PutAlias(index, index+"-alias").Do(ctx) })
}

func (s elasticSteps) read() {
	client, index, ctx := s.client, s.index, s.ctx
	size, nothing, price := 50, 0, "price"
	say("count", func() (any, error) { return client.Count().Index(index).Query(matching()).Do(ctx) })
	say("get", func() (any, error) { return client.Get(index, "3").Do(ctx) })
	say("big integer", func() (string, error) {
		answer, err := client.Get(index, "0").Do(ctx)
		if err != nil {
			return "", err
		}
		var shoe Shoe
		err = json.Unmarshal(answer.Source_, &shoe)
		return strconv.FormatInt(shoe.Big, 10), err
	})
	say("mget", func() (any, error) { return client.Mget().Index(index).Ids("1", "2", "nope").Do(ctx) })
	say("exists", func() ([]bool, error) {
		there, err := client.Exists(index, "1").Do(ctx)
		must(err)
		absent, err := client.Exists(index, "nope").Do(ctx)
		return []bool{there, absent}, err
	})
	say("search", func() (any, error) { return s.raw(ranked) })
	say("search typed", func() (any, error) {
		found, err := s.request(&search.Request{Query: matching(), Size: &size})
		if err != nil {
			return nil, err
		}
		var hits []TypedHit
		for _, hit := range found.Hits.Hits {
			one, err := typed(*hit.Id_, (*float64)(hit.Score_), hit.Source_)
			must(err)
			hits = append(hits, one)
		}
		return map[string]any{"max_score": found.Hits.MaxScore, "total": found.Hits.Total, "hits": hits}, nil
	})
	say("search by url", func() (any, error) {
		answer, err := s.plain.Search(s.plain.Search.WithIndex(index), s.plain.Search.WithQuery("title:shoe"), s.plain.Search.WithSize(size))
		if err != nil {
			return nil, err
		}
		defer answer.Body.Close()
		var found map[string]any
		return found, json.NewDecoder(answer.Body).Decode(&found)
	})
	say("search highlighted", func() (any, error) { return s.raw(highlighted) })
	say("search alias", func() (any, error) {
		return client.Search().Index(index + "-alias").Request(&search.Request{Query: matching(), Size: &size}).Do(ctx)
	})
	say("search sorted", func() (any, error) { return s.raw(sorted) })
	say("aggregations", func() (any, error) {
		field := "colour"
		average := map[string]types.Aggregations{"price": {Avg: &types.AverageAggregation{Field: &price}}}
		colours := types.Aggregations{Terms: &types.TermsAggregation{Field: &field}, Aggregations: average}
		return s.request(&search.Request{Query: matching(), Size: &nothing, Aggregations: map[string]types.Aggregations{"colours": colours}})
	})
	say("msearch", func() (any, error) {
		header := `{"index":"` + index + `"}`
		lines := []string{header, ranked, `{"index":"nope"}`, ranked, header, counted, ""}
		return client.Msearch().Raw(strings.NewReader(strings.Join(lines, "\n"))).Do(ctx)
	})
}

func (s elasticSteps) pages() {
	client, index, ctx := s.client, s.index, s.ctx
	say("pages", func() (any, error) {
		var hits []types.Hit
		for from := 0; from < 12; from += 4 {
			size := 4
			page, err := s.request(&search.Request{Query: matching(), From: &from, Size: &size})
			if err != nil {
				return nil, err
			}
			hits = append(hits, page.Hits.Hits...)
		}
		return map[string]any{"hits": hits}, nil
	})
	say("scroll", func() (any, error) {
		size := 5
		first, err := client.Search().Index(index).Scroll("1m").Request(&search.Request{Query: matching(), Size: &size}).Do(ctx)
		if err != nil {
			return nil, err
		}
		pages, page, id, scrolled := 1, first.Hits.Hits, *first.ScrollId_, first.Hits.Hits
		for len(page) > 0 {
			more, err := client.Scroll().Request(&scroll.Request{ScrollId: id, Scroll: "1m"}).Do(ctx)
			if err != nil {
				return nil, err
			}
			page, id = more.Hits.Hits, *more.ScrollId_
			pages, scrolled = pages+1, append(scrolled, page...)
		}
		cleared, err := client.ClearScroll().ScrollId(id).Do(ctx)
		return map[string]any{"pages": pages, "cleared": cleared.Succeeded, "scrolled": scrolled}, err
	})
	say("search_after", s.searchAfter)
}

func (s elasticSteps) searchAfter() (any, error) {
	opened, err := s.client.OpenPointInTime(s.index).KeepAlive("1m").Do(s.ctx)
	if err != nil {
		return nil, err
	}
	pit, pages, size, paged := opened.Id, 0, 5, []types.Hit{}
	byPrice := types.SortOptions{SortOptions: map[string]types.FieldSort{"price": {Order: &sortorder.Desc}}}
	for {
		request := search.Request{Query: matching(), Size: &size, Sort: []types.SortCombinations{byPrice}}
		request.Pit = &types.PointInTimeReference{Id: pit, KeepAlive: "1m"}
		if len(paged) > 0 {
			request.SearchAfter = paged[len(paged)-1].Sort
		}
		page, err := s.client.Search().Request(&request).Do(s.ctx)
		if err != nil {
			return nil, err
		}
		pit, pages = *page.PitId, pages+1
		if len(page.Hits.Hits) == 0 {
			closed, err := s.client.ClosePointInTime().Id(pit).Do(s.ctx)
			return map[string]any{"pages": pages, "closed": closed.NumFreed, "paged": paged}, err
		}
		paged = append(paged, page.Hits.Hits...)
	}
}

func (s elasticSteps) write() {
	client, index, ctx := s.client, s.index, s.ctx
	size := 50
	text := map[string]string{"title": strings.Repeat("zip ", 500)}
	say("zipped index", func() (any, error) { return s.zipped.Index(index).Id("zip").Document(text).Do(ctx) })
	say("zipped get", func() (any, error) { return s.zipped.Get(index, "zip").Do(ctx) })
	say("zipped search", func() (any, error) {
		return s.zipped.Search().Index(index).Request(&search.Request{Query: matching(), Size: &size}).Do(ctx)
	})
	say("update", func() (any, error) { return client.Update(index, "3").Doc(map[string]int{"stock": 7}).Do(ctx) })
	say("get updated", func() (any, error) { return client.Get(index, "3").Do(ctx) })
	say("delete", func() (any, error) { return client.Delete(index, "4").Refresh(refresh.True).Do(ctx) })
	say("count after", func() (any, error) { return client.Count().Index(index).Do(ctx) })
}

func (s elasticSteps) refused() {
	client, index, ctx := s.client, s.index, s.ctx
	say("refused: no index", func() (any, error) {
		return client.Search().Index("nope").Request(&search.Request{Query: matching()}).Do(ctx)
	})
	say("refused: query text", func() (any, error) { return s.raw(unparsable) })
	say("refused: unknown query", func() (any, error) { return s.raw(unknown) })
	say("refused: conflict", func() (any, error) { return client.Create(index, "1").Document(newShoe(1)).Do(ctx) })
	say("refused: index exists", func() (any, error) { return client.Indices.Create(index).Do(ctx) })
	// A program sees a document that is not there as an answer.
	say("get nothing", func() (any, error) { return client.Get(index, "nope").Do(ctx) })
}
