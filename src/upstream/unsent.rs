//! A request body that can be had back as long as nobody has read of it, so that the next node can be asked.

use std::{
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::body::{Body, BoxError};

/// A body, lent to one connection attempt after the other.
#[derive(Clone)]
pub(super) struct Unsent(Arc<Mutex<Lent>>);

struct Lent {
    body: Body,
    touched: bool,
    broke: bool,
}

// === impl Unsent ===

impl Unsent {
    pub(super) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(Lent { body, touched: false, broke: false })))
    }

    /// Returns whether nobody has asked for its bytes.
    pub(super) fn is_untouched(&self) -> bool {
        !self.lock().touched
    }

    /// Returns whether the body itself failed while it was read.
    pub(super) fn broke(&self) -> bool {
        self.lock().broke
    }

    // Each attempt has the body to itself: the lock is never contended, and a panic in another body leaves this one right.
    fn lock(&self) -> MutexGuard<'_, Lent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl hyper::body::Body for Unsent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut lent = self.lock();
        lent.touched = true;
        let polled = pin!(&mut lent.body).poll_frame(context);
        lent.broke |= matches!(polled, Poll::Ready(Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.lock().body.size_hint()
    }
}
