//! Bodies as they travel through the gateway: streams of bytes, whole only where somebody looks inside.

use std::{
    future::{Future, pending},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body as _, Frame, SizeHint};
use tokio::time::sleep;

/// Whatever went wrong while a body was read.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request's or an answer's body.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// What became of a body that was read up to a cap.
#[derive(Debug)]
pub enum Collected {
    /// All of its bytes; trailers are gone.
    Whole(Bytes),
    /// The same body again: what was read, then the rest, trailers included.
    TooLarge(Body),
    /// The same body again, as [`Collected::TooLarge`], because it did not end in time.
    TooSlow(Body),
}

/// Bytes whose number is not told.
struct Uncounted(Option<Bytes>);

/// A body without bytes, and how it ends.
struct Ended(Option<Result<Frame<Bytes>, BoxError>>);

/// What was read of a body, and then the rest.
struct Replay {
    read: Option<Bytes>,
    rest: Body,
}

/// Returns a body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// Returns a body of these bytes that does not tell its length: it is framed as its head says, and chunked where that says nothing.
pub fn uncounted(bytes: impl Into<Bytes>) -> Body {
    Uncounted(Some(bytes.into())).boxed_unsync()
}

/// Returns a body without bytes.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Reads a body of at most `cap` bytes; of a larger one no more than the first frame beyond the cap, and nothing when
/// its length is known beforehand.
///
/// # Errors
/// When the body breaks off; what was read of it is dropped, because the rest will never come.
pub async fn collect_capped(body: Body, cap: usize) -> Result<Collected, BoxError> {
    collect_until(body, cap, |_| true, pending()).await
}

/// Reads a body as [`collect_capped`] does, but no longer than `patience`: a client may send it drop by drop.
///
/// # Errors
/// As [`collect_capped`].
pub async fn collect_patiently(body: Body, cap: usize, patience: Duration) -> Result<Collected, BoxError> {
    collect_until(body, cap, |_| true, sleep(patience)).await
}

/// Reads a body as [`collect_capped`] does, and no longer than `patience` where there is one. Each chunk is asked for by its length
/// before it is kept; with the first that is denied the body is [`Collected::TooLarge`].
///
/// # Errors
/// As [`collect_capped`].
pub async fn collect_metered(
    body: Body,
    cap: usize,
    patience: Option<Duration>,
    allows: impl FnMut(usize) -> bool,
) -> Result<Collected, BoxError> {
    match patience {
        Some(patience) => collect_until(body, cap, allows, sleep(patience)).await,
        None => collect_until(body, cap, allows, pending()).await,
    }
}

/// Returns the first bytes of a body, as many as come together, and the whole body.
pub async fn peek(mut body: Body) -> (Bytes, Body) {
    match body.frame().await {
        Some(Ok(frame)) => match frame.into_data() {
            Ok(first) => (first.clone(), Replay { read: Some(first), rest: body }.boxed_unsync()),
            Err(trailers) => (Bytes::new(), Ended(Some(Ok(trailers))).boxed_unsync()),
        },
        Some(Err(error)) => (Bytes::new(), Ended(Some(Err(error))).boxed_unsync()),
        None => (Bytes::new(), Ended(None).boxed_unsync()),
    }
}

async fn collect_until(
    mut body: Body,
    cap: usize,
    mut allows: impl FnMut(usize) -> bool,
    too_late: impl Future<Output = ()>,
) -> Result<Collected, BoxError> {
    if body.size_hint().lower() > cap as u64 {
        return Ok(Collected::TooLarge(body));
    }
    let mut too_late = pin!(too_late);
    // One buffer, not a list of chunks: a client may send a byte at a time. What is never filled costs no memory.
    let mut read = BytesMut::with_capacity(body.size_hint().lower() as usize);
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            () = &mut too_late => return Ok(Collected::TooSlow(replay(read, body))),
        };
        let Some(frame) = frame else { return Ok(Collected::Whole(read.freeze())) };
        let Ok(chunk) = frame?.into_data() else { continue };
        read.extend_from_slice(&chunk);
        if read.len() > cap || !allows(chunk.len()) {
            return Ok(Collected::TooLarge(replay(read, body)));
        }
    }
}

fn replay(read: BytesMut, rest: Body) -> Body {
    let read = Some(read.freeze()).filter(|read| !read.is_empty());
    Replay { read, rest }.boxed_unsync()
}

// === impl Uncounted ===

impl hyper::body::Body for Uncounted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

// === impl Ended ===

impl hyper::body::Body for Ended {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.take())
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

// === impl Replay ===

impl hyper::body::Body for Replay {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.read.take() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None => pin!(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.read.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.as_ref().map_or(0, |read| read.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(read + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(read + upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use proptest::prelude::*;

    use std::collections::VecDeque;

    use super::*;

    /// Frames in order, then an error if there is one.
    struct Scripted(VecDeque<Result<Frame<Bytes>, BoxError>>);

    impl hyper::body::Body for Scripted {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            Poll::Ready(self.0.pop_front())
        }
    }

    fn chunks(chunks: &[Vec<u8>]) -> VecDeque<Result<Frame<Bytes>, BoxError>> {
        chunks.iter().map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk)))).collect()
    }

    fn collect(body: Body, cap: usize) -> Result<Collected, BoxError> {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(collect_capped(body, cap))
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_at_any_cap(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..6), cap in 0_usize..40) {
            let whole = parts.concat();
            let read_again = match collect(Scripted(chunks(&parts)).boxed_unsync(), cap).unwrap() {
                Collected::Whole(bytes) => {
                    prop_assert!(whole.len() <= cap);
                    bytes
                }
                Collected::TooSlow(_) => unreachable!("nothing is awaited"),
                Collected::TooLarge(body) => {
                    prop_assert!(whole.len() > cap);
                    let Collected::Whole(bytes) = collect(body, usize::MAX).unwrap() else { unreachable!("the cap is the largest number") };
                    bytes
                }
            };
            prop_assert_eq!(&read_again[..], &whole[..]);
        }
    }

    #[test]
    fn a_body_that_tells_its_length_is_not_read_in_vain() {
        let Collected::TooLarge(body) = collect(full("abcdef"), 5).unwrap() else { panic!("six bytes are more than five") };
        assert_eq!(body.size_hint().exact(), Some(6));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_comes_too_slowly_is_handed_back() {
        struct Dripping(Vec<Bytes>);
        impl hyper::body::Body for Dripping {
            type Data = Bytes;
            type Error = BoxError;

            fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
                self.0.pop().map_or(Poll::Pending, |chunk| Poll::Ready(Some(Ok(Frame::data(chunk)))))
            }
        }
        let body = Dripping(vec![Bytes::from_static(b"{")]).boxed_unsync();
        let Ok(Collected::TooSlow(mut body)) = collect_patiently(body, 10, Duration::from_secs(5)).await else { panic!("it never ends") };
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "{");
    }

    #[test]
    fn trailers_follow_a_replayed_body() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", "abc".parse().unwrap());
        let mut frames = chunks(&[b"abc".to_vec(), b"def".to_vec()]);
        frames.push_back(Ok(Frame::trailers(trailers.clone())));
        let Collected::TooLarge(mut body) = collect(Scripted(frames).boxed_unsync(), 2).unwrap() else {
            panic!("three bytes are more than two")
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let seen = runtime.block_on(async {
            let mut seen = Vec::new();
            while let Some(frame) = body.frame().await {
                seen.push(frame.unwrap());
            }
            seen
        });
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[2].trailers_ref(), Some(&trailers));
    }

    #[tokio::test]
    async fn a_peek_takes_nothing_away() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-checksum", "abc".parse().unwrap());
        let with_trailers = |mut frames: VecDeque<_>| {
            frames.push_back(Ok(Frame::trailers(trailers.clone())));
            frames
        };
        for (frames, first, whole) in [
            (chunks(&[]), "", 0),
            (chunks(&[b"abc".to_vec()]), "abc", 1),
            (with_trailers(chunks(&[])), "", 1),
            (with_trailers(chunks(&[b"abc".to_vec(), b"def".to_vec()])), "abc", 3),
            ([Err("cut".into())].into(), "", 1),
        ] {
            let (start, mut again) = peek(Scripted(frames).boxed_unsync()).await;
            assert_eq!(start, first);
            let mut count = 0;
            while again.frame().await.is_some() {
                count += 1;
            }
            assert_eq!(count, whole);
        }
    }

    #[test]
    fn a_break_within_the_cap_is_an_error() {
        let mut frames = chunks(&[b"abc".to_vec()]);
        frames.push_back(Err("cut".into()));
        assert_eq!(collect(Scripted(frames).boxed_unsync(), 10).unwrap_err().to_string(), "cut");
    }

    #[test]
    fn a_replayed_body_knows_its_length_when_the_rest_does() {
        let replay = Replay { read: Some(Bytes::from_static(b"abc")), rest: full("de") };
        assert_eq!(replay.size_hint().exact(), Some(5));
        assert!(!replay.is_end_stream());
        assert!(Replay { read: None, rest: empty() }.is_end_stream());
    }
}
