// One scenario with the official Go clients.
//
//	scenario URL elasticsearch|opensearch INDEX
//
// Prints one line of JSON for each operation: its name, and what the client made of the answer or which error it returned.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/elastic/go-elasticsearch/v9/typedapi/types"
	"github.com/opensearch-project/opensearch-go/v4"
)

const (
	match       = `{"match":{"title":"running shoe"}}`
	ranked      = `{"query":` + match + `,"size":50}`
	sorted      = `{"query":` + match + `,"sort":[{"price":"desc"}],"size":5}`
	highlighted = `{"query":` + match + `,"highlight":{"type":"plain","fields":{"title":{}}},"_source":{"includes":["colour","b*"]},"size":50}`
	counted     = `{"query":` + match + `,"size":0,"aggs":{"colours":{"terms":{"field":"colour"},"aggs":{"price":{"avg":{"field":"price"}}}}}}`
	definition  = `{"settings":{"number_of_shards":1,"number_of_replicas":0,"refresh_interval":"-1"},"mappings":{"properties":{
		"title":{"type":"text"},"colour":{"type":"keyword"},"price":{"type":"double"},"big":{"type":"long"},"stock":{"type":"integer"}}}}`
	unparsable = `{"query":{"query_string":{"query":"title:("}}}`
	unknown    = `{"query":{"nonsense":{"title":"shoe"}}}`
	template   = `{"source":"{\"query\":{\"match\":{\"title\":\"{{text}}\"}},\"size\":50}","params":{"text":"running shoe"}}`
)

// Shoe is a document as a type.
type Shoe struct {
	Title  string  `json:"title"`
	Colour string  `json:"colour"`
	Price  float64 `json:"price"`
	Big    int64   `json:"big"`
}

// TypedHit is what a program makes of a hit.
type TypedHit struct {
	ID    string   `json:"id"`
	Score *float64 `json:"score"`
	Shoe  Shoe     `json:"shoe"`
}

// newShoe has a title longer than the one before, so that the engine's scores all differ, and a number that no double holds.
func newShoe(number int) Shoe {
	return Shoe{
		Title:  "running shoe " + strings.Repeat("with more words ", number),
		Colour: []string{"red", "blue", "green"}[number%3],
		Price:  10.5 + float64(number),
		Big:    9007199254740993 + int64(number),
	}
}

// say runs one operation and prints it; an error is a result, too.
func say[T any](name string, call func() (T, error)) {
	result, err := call()
	if err != nil {
		emit(name, raised(err))
		return
	}
	emit(name, result)
}

func emit(name string, result any) {
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	must(encoder.Encode(map[string]any{"op": name, "result": result}))
}

// raised shows what a program can tell of an error.
func raised(err error) map[string]any {
	var elastic *types.ElasticsearchError
	if errors.As(err, &elastic) {
		return map[string]any{"raised": "ElasticsearchError", "status": elastic.Status, "error": elastic.ErrorCause}
	}
	var structured *opensearch.StructError
	if errors.As(err, &structured) {
		return map[string]any{"raised": "StructError", "status": structured.Status, "error": structured.Err}
	}
	var plain *opensearch.StringError
	if errors.As(err, &plain) {
		return map[string]any{"raised": "StringError", "status": plain.Status, "error": plain.Err}
	}
	return map[string]any{"raised": fmt.Sprintf("%T", err), "error": err.Error()}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func printed(value any) []byte {
	text, err := json.Marshal(value)
	must(err)
	return text
}

func reader(value any) io.ReadSeeker {
	return bytes.NewReader(printed(value))
}

func typed(id string, score *float64, source json.RawMessage) (TypedHit, error) {
	hit := TypedHit{ID: id, Score: score}
	return hit, json.Unmarshal(source, &hit.Shoe)
}

func main() {
	url, product, index := os.Args[1], os.Args[2], os.Args[3]
	if product == "elasticsearch" {
		onElasticsearch(url, index)
	} else {
		onOpenSearch(url, index)
	}
}
