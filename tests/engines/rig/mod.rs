//! What the tests on real engines stand on.

pub(crate) mod embedded;
pub(crate) mod engines;
pub(crate) mod gateway;
pub(crate) mod http;
