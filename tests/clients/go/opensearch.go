package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/opensearch-project/opensearch-go/v4"
	"github.com/opensearch-project/opensearch-go/v4/opensearchapi"
	"github.com/opensearch-project/opensearch-go/v4/opensearchutil"
)

type openSteps struct {
	client *opensearchapi.Client
	zipped *opensearchapi.Client
	index  string
	ctx    context.Context
}

func onOpenSearch(url, index string) {
	config := opensearchapi.Config{Client: opensearch.Config{Addresses: []string{url}, DisableRetry: true}}
	client, err := opensearchapi.NewClient(config)
	must(err)
	config.Client.CompressRequestBody = true
	// What the client leaves to Go's transport, which asks for gzip and takes it off again.
	config.Client.Transport = &http.Transport{DisableCompression: false}
	zipped, err := opensearchapi.NewClient(config)
	must(err)
	steps := openSteps{client, zipped, index, context.Background()}
	client.Indices.Delete(steps.ctx, opensearchapi.IndicesDeleteReq{Indices: []string{index}})
	steps.make()
	steps.read()
	steps.pages()
	steps.write()
	steps.refused()
	say("delete index", func() (any, error) {
		return client.Indices.Delete(steps.ctx, opensearchapi.IndicesDeleteReq{Indices: []string{index}})
	})
}

// there turns an answer without a body into whether it is a yes.
func there(answer *opensearch.Response, err error) (bool, error) {
	if answer != nil && answer.StatusCode == http.StatusNotFound {
		return false, nil
	}
	return answer != nil && !answer.IsError(), err
}

func (s openSteps) search(body string) (*opensearchapi.SearchResp, error) {
	return s.client.Search(s.ctx, &opensearchapi.SearchReq{Indices: []string{s.index}, Body: strings.NewReader(body)})
}

func (s openSteps) make() {
	client, index, ctx := s.client, s.index, s.ctx
	say("ping", func() (bool, error) { return there(client.Ping(ctx, nil)) })
	say("info", func() (any, error) { return client.Info(ctx, nil) })
	exists := func() (bool, error) {
		return there(client.Indices.Exists(ctx, opensearchapi.IndicesExistsReq{Indices: []string{index}}))
	}
	say("exists index, before", exists)
	say("create index", func() (any, error) {
		return client.Indices.Create(ctx, opensearchapi.IndicesCreateReq{Index: index, Body: strings.NewReader(definition)})
	})
	say("exists index", exists)
	say("bulk", func() (any, error) {
		var lines strings.Builder
		for number := range 6 {
			lines.WriteString(`{"index":{"_id":"` + strconv.Itoa(number) + "\"}}\n" + string(printed(newShoe(number))) + "\n")
		}
		return client.Bulk(ctx, opensearchapi.BulkReq{Index: index, Body: strings.NewReader(lines.String())})
	})
	say("bulk helper", func() (any, error) {
		indexer, err := opensearchutil.NewBulkIndexer(opensearchutil.BulkIndexerConfig{Client: client, Index: index, NumWorkers: 1})
		must(err)
		for number := 6; number < 12; number++ {
			item := opensearchutil.BulkIndexerItem{Action: "index", DocumentID: strconv.Itoa(number), Body: reader(newShoe(number))}
			must(indexer.Add(ctx, item))
		}
		err = indexer.Close(ctx)
		stats := indexer.Stats()
		return map[string]any{"flushed": stats.NumFlushed, "failed": stats.NumFailed, "indexed": stats.NumIndexed}, err
	})
	say("refresh", func() (any, error) {
		return client.Indices.Refresh(ctx, &opensearchapi.IndicesRefreshReq{Index: []string{index}})
	})
	say("mapping", func() (any, error) {
		answer, err := client.Indices.Mapping.Get(ctx, &opensearchapi.MappingGetReq{Indices: []string{index}})
		if err != nil {
			return nil, err
		}
		return answer.GetIndices(), nil
	})
	say("put alias", func() (any, error) {
		return client.Indices.Alias.Put(ctx, opensearchapi.AliasPutReq{Indices: []string{index}, Alias: index + "-alias"})
	})
}

func (s openSteps) read() {
	client, index, ctx := s.client, s.index, s.ctx
	say("count", func() (any, error) {
		return client.Indices.Count(ctx, &opensearchapi.IndicesCountReq{Indices: []string{index}, Body: strings.NewReader(`{"query":` + match + `}`)})
	})
	get := func(id string) (*opensearchapi.DocumentGetResp, error) {
		return client.Document.Get(ctx, opensearchapi.DocumentGetReq{Index: index, DocumentID: id})
	}
	say("get", func() (any, error) { return get("3") })
	say("big integer", func() (string, error) {
		answer, err := get("0")
		if err != nil {
			return "", err
		}
		var shoe Shoe
		err = json.Unmarshal(answer.Source, &shoe)
		return strconv.FormatInt(shoe.Big, 10), err
	})
	say("mget", func() (any, error) {
		return client.MGet(ctx, opensearchapi.MGetReq{Index: index, Body: strings.NewReader(`{"ids":["1","2","nope"]}`)})
	})
	say("exists", func() ([]bool, error) {
		one, err := there(client.Document.Exists(ctx, opensearchapi.DocumentExistsReq{Index: index, DocumentID: "1"}))
		must(err)
		other, err := there(client.Document.Exists(ctx, opensearchapi.DocumentExistsReq{Index: index, DocumentID: "nope"}))
		return []bool{one, other}, err
	})
	say("search", func() (any, error) { return s.search(ranked) })
	say("search typed", func() (any, error) {
		found, err := s.search(ranked)
		if err != nil {
			return nil, err
		}
		var hits []TypedHit
		for _, hit := range found.Hits.Hits {
			score := float64(hit.Score)
			one, err := typed(hit.ID, &score, hit.Source)
			must(err)
			hits = append(hits, one)
		}
		return map[string]any{"max_score": found.Hits.MaxScore, "total": found.Hits.Total, "hits": hits}, nil
	})
	say("search by url", func() (any, error) {
		size := 50
		params := opensearchapi.SearchParams{Query: "title:shoe", Size: &size}
		return client.Search(ctx, &opensearchapi.SearchReq{Indices: []string{index}, Params: params})
	})
	say("search highlighted", func() (any, error) { return s.search(highlighted) })
	say("search alias", func() (any, error) {
		return client.Search(ctx, &opensearchapi.SearchReq{Indices: []string{index + "-alias"}, Body: strings.NewReader(ranked)})
	})
	say("search sorted", func() (any, error) { return s.search(sorted) })
	say("aggregations", func() (any, error) { return s.search(counted) })
	say("msearch", func() (any, error) {
		header := `{"index":"` + index + `"}`
		lines := []string{header, ranked, `{"index":"nope"}`, ranked, header, counted, ""}
		return client.MSearch(ctx, opensearchapi.MSearchReq{Body: strings.NewReader(strings.Join(lines, "\n"))})
	})
	say("render template", func() (any, error) {
		return client.RenderSearchTemplate(ctx, opensearchapi.RenderSearchTemplateReq{Body: strings.NewReader(template)})
	})
	say("search template", func() (any, error) {
		return client.SearchTemplate(ctx, opensearchapi.SearchTemplateReq{Indices: []string{index}, Body: strings.NewReader(template)})
	})
}

func (s openSteps) pages() {
	client, index, ctx := s.client, s.index, s.ctx
	say("pages", func() (any, error) {
		var hits []opensearchapi.SearchHit
		for from := 0; from < 12; from += 4 {
			page, err := s.search(`{"query":` + match + `,"from":` + strconv.Itoa(from) + `,"size":4}`)
			if err != nil {
				return nil, err
			}
			hits = append(hits, page.Hits.Hits...)
		}
		return map[string]any{"hits": hits}, nil
	})
	say("scroll", func() (any, error) {
		params := opensearchapi.SearchParams{Scroll: time.Minute}
		body := strings.NewReader(`{"query":` + match + `,"size":5}`)
		first, err := client.Search(ctx, &opensearchapi.SearchReq{Indices: []string{index}, Body: body, Params: params})
		if err != nil {
			return nil, err
		}
		pages, page, id, scrolled := 1, first.Hits.Hits, *first.ScrollID, first.Hits.Hits
		for len(page) > 0 {
			more, err := client.Scroll.Get(ctx, opensearchapi.ScrollGetReq{ScrollID: id, Params: opensearchapi.ScrollGetParams{Scroll: time.Minute}})
			if err != nil {
				return nil, err
			}
			page, id = more.Hits.Hits, *more.ScrollID
			pages, scrolled = pages+1, append(scrolled, page...)
		}
		cleared, err := client.Scroll.Delete(ctx, opensearchapi.ScrollDeleteReq{ScrollIDs: []string{id}})
		if err != nil {
			return nil, err
		}
		return map[string]any{"pages": pages, "cleared": cleared.Succeeded, "scrolled": scrolled}, nil
	})
	say("search_after", s.searchAfter)
}

func (s openSteps) searchAfter() (any, error) {
	create := opensearchapi.PointInTimeCreateReq{Indices: []string{s.index}, Params: opensearchapi.PointInTimeCreateParams{KeepAlive: time.Minute}}
	opened, err := s.client.PointInTime.Create(s.ctx, create)
	if err != nil {
		return nil, err
	}
	pit, pages, paged := opened.PitID, 0, []opensearchapi.SearchHit{}
	for {
		body := map[string]any{"size": 5, "query": json.RawMessage(match), "sort": []any{map[string]string{"price": "desc"}}}
		body["pit"] = map[string]string{"id": pit, "keep_alive": "1m"}
		if len(paged) > 0 {
			body["search_after"] = paged[len(paged)-1].Sort
		}
		page, err := s.client.Search(s.ctx, &opensearchapi.SearchReq{Body: reader(body)})
		if err != nil {
			return nil, err
		}
		pages++
		if len(page.Hits.Hits) == 0 {
			closed, err := s.client.PointInTime.Delete(s.ctx, opensearchapi.PointInTimeDeleteReq{PitID: []string{pit}})
			if err != nil {
				return nil, err
			}
			return map[string]any{"pages": pages, "closed": len(closed.Pits), "paged": paged}, nil
		}
		paged = append(paged, page.Hits.Hits...)
	}
}

func (s openSteps) write() {
	client, index, ctx := s.client, s.index, s.ctx
	say("zipped index", func() (any, error) {
		text := map[string]string{"title": strings.Repeat("zip ", 500)}
		return s.zipped.Index(ctx, opensearchapi.IndexReq{Index: index, DocumentID: "zip", Body: reader(text)})
	})
	say("zipped get", func() (any, error) {
		return s.zipped.Document.Get(ctx, opensearchapi.DocumentGetReq{Index: index, DocumentID: "zip"})
	})
	say("zipped search", func() (any, error) {
		return s.zipped.Search(ctx, &opensearchapi.SearchReq{Indices: []string{index}, Body: strings.NewReader(ranked)})
	})
	say("update", func() (any, error) {
		return client.Update(ctx, opensearchapi.UpdateReq{Index: index, DocumentID: "3", Body: strings.NewReader(`{"doc":{"stock":7}}`)})
	})
	say("get updated", func() (any, error) {
		return client.Document.Get(ctx, opensearchapi.DocumentGetReq{Index: index, DocumentID: "3"})
	})
	say("delete", func() (any, error) {
		params := opensearchapi.DocumentDeleteParams{Refresh: "true"}
		return client.Document.Delete(ctx, opensearchapi.DocumentDeleteReq{Index: index, DocumentID: "4", Params: params})
	})
	say("count after", func() (any, error) {
		return client.Indices.Count(ctx, &opensearchapi.IndicesCountReq{Indices: []string{index}})
	})
}

func (s openSteps) refused() {
	client, index, ctx := s.client, s.index, s.ctx
	say("refused: no index", func() (any, error) {
		return client.Search(ctx, &opensearchapi.SearchReq{Indices: []string{"nope"}, Body: strings.NewReader(ranked)})
	})
	say("refused: query text", func() (any, error) { return s.search(unparsable) })
	say("refused: unknown query", func() (any, error) { return s.search(unknown) })
	say("refused: no document", func() (any, error) {
		return client.Document.Get(ctx, opensearchapi.DocumentGetReq{Index: index, DocumentID: "nope"})
	})
	say("refused: conflict", func() (any, error) {
		return client.Document.Create(ctx, opensearchapi.DocumentCreateReq{Index: index, DocumentID: "1", Body: reader(newShoe(1))})
	})
	say("refused: index exists", func() (any, error) {
		return client.Indices.Create(ctx, opensearchapi.IndicesCreateReq{Index: index})
	})
}
