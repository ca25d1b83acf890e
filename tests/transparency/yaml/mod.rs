//! Runs YAML REST tests over HTTP: what a suite is, how its steps become requests, what they assert.
