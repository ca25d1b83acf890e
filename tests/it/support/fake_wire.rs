//! How the fake engine's answers travel: heads, codings and framings of both products.

use super::{
    codings::{pack, unpack},
    fake_engine::Product,
    fake_upstream::{Act, Seen},
};

/// An answer in the making.
pub(crate) struct Wire<'a> {
    pub(crate) product: Product,
    pub(crate) seen: &'a Seen,
    /// The coding of the answer; `None`: gzip where the client takes it.
    pub(crate) coding: Option<&'static str>,
}

/// Returns a request's body without its framing and coding.
pub(crate) fn body(seen: &Seen) -> Vec<u8> {
    let plain = if seen.header("transfer-encoding").is_some() { unchunked(&seen.body) } else { seen.body.clone() };
    // Engines read these codings, and take a body in any other for plain text. What is not in its coding is no JSON either.
    let coding = seen.header("content-encoding").filter(|coding| ["gzip", "deflate", "zstd"].contains(coding));
    coding.map_or(Some(plain.clone()), |coding| unpack(coding, &plain)).unwrap_or_else(|| b"broken".to_vec())
}

fn unchunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    loop {
        let line = chunks.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&chunks[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return plain;
        }
        plain.extend(&chunks[line + 2..line + 2 + size]);
        chunks = &chunks[line + 4 + size..];
    }
}

// === impl Wire ===

impl Wire<'_> {
    /// Writes the answer whole.
    pub(crate) fn answer(&self, status: u16, json: &[u8]) -> Vec<Act> {
        let (head, body) = self.message(status, json);
        let framed = match self.product {
            Product::OpenSearch => [format!("{head}content-length: {}\r\n\r\n", body.len()).into_bytes(), body].concat(),
            Product::Elasticsearch => {
                let chunks = body.chunks(body.len().div_ceil(2).max(1));
                let framed = chunks.flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
                [format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes(), framed.collect(), b"0\r\n\r\n".to_vec()].concat()
            }
        };
        vec![Act::Write(framed)]
    }

    /// Writes a part of the answer and hangs up.
    pub(crate) fn cut(&self, json: &[u8]) -> Vec<Act> {
        let mut acts = self.answer(200, json);
        for act in &mut acts {
            if let Act::Write(bytes) = act {
                bytes.truncate(bytes.len() - json.len().min(40) / 2);
            }
        }
        acts.push(Act::Close);
        acts
    }

    fn message(&self, status: u16, json: &[u8]) -> (String, Vec<u8>) {
        let asked = self.seen.header("accept-encoding").filter(|codings| codings.contains("gzip")).map(|_| "gzip");
        let coding = self.coding.or(asked);
        let vendor = self.seen.header("accept").filter(|accept| accept.contains("vnd."));
        let (name, media_type) = match self.product {
            Product::OpenSearch => ("X-OpenSearch-Version: OpenSearch/3.8.0 (opensearch)", "application/json; charset=UTF-8"),
            Product::Elasticsearch => ("X-elastic-product: Elasticsearch", vendor.unwrap_or("application/json")),
        };
        let echoed = self.seen.header("x-opaque-id").map_or(String::new(), |id| format!("X-Opaque-Id: {id}\r\n"));
        let coded = coding.map_or_else(String::new, |coding| format!("content-encoding: {coding}\r\n"));
        let warning = "Warning: 299 Fake \"mind the gap\"\r\n";
        let head = format!("HTTP/1.1 {status} As Told\r\n{name}\r\ncontent-type: {media_type}\r\n{warning}{echoed}{coded}");
        let body = pack(coding.unwrap_or("identity"), json);
        (head, body)
    }
}
