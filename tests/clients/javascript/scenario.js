// One scenario with the official JavaScript client.
//
//     node scenario.js URL elasticsearch|opensearch INDEX
//
// Prints one line of JSON for each operation: its name, and what the client made of the answer or which error it threw.
'use strict'

const [url, product, index] = process.argv.slice(2)
const isElasticsearch = product === 'elasticsearch'

const definition = {
  settings: { number_of_shards: 1, number_of_replicas: 0, refresh_interval: '-1' },
  mappings: {
    properties: {
      title: { type: 'text' },
      colour: { type: 'keyword' },
      price: { type: 'double' },
      big: { type: 'long' },
      stock: { type: 'integer' }
    }
  }
}
const match = { match: { title: 'running shoe' } }
const byPrice = [{ price: 'desc' }]
const highlighted = {
  query: match,
  highlight: { type: 'plain', fields: { title: {} } },
  _source: { includes: ['colour', 'b*'] },
  size: 50
}
const counted = {
  query: match,
  size: 0,
  aggs: { colours: { terms: { field: 'colour' }, aggs: { price: { avg: { field: 'price' } } } } }
}
const template = { source: '{"query":{"match":{"title":"{{text}}"}},"size":50}', params: { text: 'running shoe' } }

// A title longer than the one before, so that the engine's scores all differ; a number that no double holds.
function document (number) {
  return {
    title: 'running shoe ' + 'with more words '.repeat(number),
    colour: ['red', 'blue', 'green'][number % 3],
    price: 10.5 + number,
    big: BigInt('9007199254740993') + BigInt(number)
  }
}

// A body as text, because these clients print no BigInt that they were given.
function text (value) {
  return JSON.stringify(value, (key, member) => (key === 'big' ? `big:${member}` : member)).replace(/"big:(\d+)"/g, '$1')
}

// The clients for Elasticsearch answer the body, those for OpenSearch an object that holds it.
function body (answer) {
  return isElasticsearch ? answer : answer.body
}

function raised (error) {
  const answer = error.meta?.body
  return { raised: error.name, status: error.meta?.statusCode ?? null, error: answer?.error ?? answer ?? error.message }
}

// Runs one operation and prints it; an error is a result, too.
async function say (name, call) {
  let result
  try {
    result = await call()
  } catch (error) {
    result = raised(error)
  }
  console.log(JSON.stringify({ op: name, result }, (key, value) => (typeof value === 'bigint' ? `${value}n` : value)))
}

// How each product's client is given what both are asked for.
function calls (client) {
  const given = (content, rest) => (isElasticsearch ? { ...content, ...rest } : { body: content, ...rest })
  return {
    search: async (content, rest = { index }) => body(await client.search(given(content, rest))),
    lines: async (content) => body(await client.bulk(isElasticsearch ? { index, operations: content } : { index, body: content })),
    index: async (id, content) => body(await client.index(isElasticsearch ? { index, id, document: content } : { index, id, body: content })),
    given
  }
}

async function make (client) {
  const { given, lines } = calls(client)
  await say('ping', async () => body(await client.ping()))
  await say('info', async () => body(await client.info()))
  await say('exists index, before', async () => body(await client.indices.exists({ index })))
  await say('create index', async () => body(await client.indices.create(given(definition, { index }))))
  await say('exists index', async () => body(await client.indices.exists({ index })))
  const numbers = [...Array(6).keys()]
  await say('bulk', () => lines(numbers.flatMap((number) => [text({ index: { _id: String(number) } }), text(document(number))])))
  await say('bulk helper', async () => {
    // The helper prints the documents itself, so that they can hold no number beyond a double.
    const datasource = numbers.map((number) => ({ ...document(number + 6), big: 9007199254740992 + 2 * number, id: String(number + 6) }))
    const onDocument = ({ id, ...content }) => [{ index: { _index: index, _id: id } }, content]
    const { total, successful, failed, retry } = await client.helpers.bulk({ datasource, onDocument })
    return { total, successful, failed, retry }
  })
  await say('refresh', async () => body(await client.indices.refresh({ index })))
  await say('mapping', async () => body(await client.indices.getMapping({ index })))
  await say('put alias', async () => body(await client.indices.putAlias({ index, name: `${index}-alias` })))
}

async function read (client) {
  const { search, given } = calls(client)
  await say('count', async () => body(await client.count(given({ query: match }, { index }))))
  await say('get', async () => body(await client.get({ index, id: '3' })))
  // A double unless the client is asked for more: what it shows is the same either way.
  await say('big integer', async () => String(body(await client.get({ index, id: '0' }))._source.big))
  await say('mget', async () => body(await client.mget(given({ ids: ['1', '2', 'nope'] }, { index }))))
  await say('exists', async () => [body(await client.exists({ index, id: '1' })), body(await client.exists({ index, id: 'nope' }))])
  await say('search', () => search({ query: match, size: 50 }))
  await say('search by url', async () => body(await client.search({ index, q: 'title:shoe', size: 50 })))
  await say('search highlighted', () => search(highlighted))
  await say('search alias', () => search({ query: match, size: 50 }, { index: `${index}-alias` }))
  await say('search sorted', () => search({ query: match, sort: byPrice, size: 5 }))
  await say('aggregations', () => search(counted))
  const searches = [{ index }, { query: match, size: 50 }, { index: 'nope' }, { query: match }, { index }, counted]
  await say('msearch', async () => body(await client.msearch(isElasticsearch ? { searches } : { body: searches })))
  if (!isElasticsearch) {
    await say('render template', async () => body(await client.renderSearchTemplate({ body: template })))
    await say('search template', async () => body(await client.searchTemplate({ index, body: template })))
  }
}

async function pages (client) {
  const { search } = calls(client)
  await say('pages', async () => {
    const found = []
    for (const from of [0, 4, 8]) found.push(await search({ query: match, from, size: 4 }))
    return { hits: found.flatMap((page) => page.hits.hits) }
  })
  await say('scroll', () => scroll(client))
  await say('search_after', () => searchAfter(client))
  await say('scroll helper', async () => {
    const found = []
    const asked = isElasticsearch ? { index, query: match, sort: byPrice, size: 5 } : { index, body: { query: match, sort: byPrice, size: 5 } }
    for await (const page of client.helpers.scrollSearch(asked)) found.push(page.documents)
    return { pages: found }
  })
  await say('search helper', async () => {
    return client.helpers.search(isElasticsearch ? { index, query: match, sort: byPrice } : { index, body: { query: match, sort: byPrice } })
  })
}

async function scroll (client) {
  const { search, given } = calls(client)
  const found = [await search({ query: match, size: 5 }, { index, scroll: '1m' })]
  while (found.at(-1).hits.hits.length > 0) {
    found.push(body(await client.scroll(given({ scroll_id: found.at(-1)._scroll_id, scroll: '1m' }, {}))))
  }
  const cleared = body(await client.clearScroll(given({ scroll_id: found.at(-1)._scroll_id }, {})))
  return { pages: found.length, cleared: cleared.succeeded, scrolled: found.flatMap((page) => page.hits.hits) }
}

async function searchAfter (client) {
  const { search } = calls(client)
  let pit = isElasticsearch
    ? (await client.openPointInTime({ index, keep_alive: '1m' })).id
    : (await client.createPit({ index, keep_alive: '1m' })).body.pit_id
  const found = []
  let after = {}
  while (found.length === 0 || found.at(-1).hits.hits.length > 0) {
    const page = await search({ query: match, size: 5, sort: byPrice, pit: { id: pit, keep_alive: '1m' }, ...after }, {})
    found.push(page)
    pit = page.pit_id
    after = page.hits.hits.length > 0 ? { search_after: page.hits.hits.at(-1).sort } : {}
  }
  const closed = isElasticsearch
    ? (await client.closePointInTime({ id: pit })).num_freed
    : (await client.deletePit({ body: { pit_id: [pit] } })).body.pits.length
  return { pages: found.length, closed, paged: found.flatMap((page) => page.hits.hits) }
}

async function zip (client) {
  const { search, index: store } = calls(client)
  await say('zipped index', () => store('zip', { title: 'zip '.repeat(500) }))
  await say('zipped get', async () => body(await client.get({ index, id: 'zip' })))
  await say('zipped search', () => search({ query: match, size: 50 }))
}

async function write (client) {
  const { given } = calls(client)
  await say('update', async () => body(await client.update(given({ doc: { stock: 7 } }, { index, id: '3' }))))
  await say('get updated', async () => body(await client.get({ index, id: '3' })))
  await say('delete', async () => body(await client.delete({ index, id: '4', refresh: true })))
  await say('count after', async () => body(await client.count({ index })))
}

async function refused (client) {
  const { search } = calls(client)
  const twice = { title: 'twice' }
  await say('refused: no index', () => search({ query: match }, { index: 'nope' }))
  await say('refused: query text', () => search({ query: { query_string: { query: 'title:(' } } }))
  await say('refused: unknown query', () => search({ query: { nonsense: { title: 'shoe' } } }))
  await say('refused: no document', () => client.get({ index, id: 'nope' }))
  await say('refused: conflict', () => client.create(isElasticsearch ? { index, id: '1', document: twice } : { index, id: '1', body: twice }))
  await say('refused: index exists', () => client.indices.create({ index }))
}

async function main () {
  const { Client } = require(isElasticsearch ? '@elastic/elasticsearch' : '@opensearch-project/opensearch')
  const zipped = isElasticsearch ? { compression: true } : { compression: 'gzip', suggestCompression: true }
  const client = new Client({ node: url, maxRetries: 0 })
  const zipping = new Client({ node: url, maxRetries: 0, ...zipped })
  await client.indices.delete({ index }, { ignore: [404] })
  await make(client)
  await read(client)
  await pages(client)
  await zip(zipping)
  await write(client)
  await refused(client)
  if (isElasticsearch) {
    await say('product header', async () => (await client.search({ index, size: 0 }, { meta: true })).headers['x-elastic-product'])
  } else {
    const exact = new Client({ node: url, maxRetries: 0, enableLongNumeralSupport: true })
    await say('big integer, exact', async () => (await exact.get({ index, id: '0' })).body._source.big)
    await say('search exact', async () => body(await exact.search({ index, body: { query: match, sort: byPrice } })))
    await exact.close()
  }
  await say('delete index', async () => body(await client.indices.delete({ index })))
  await client.close()
  await zipping.close()
}

main()
