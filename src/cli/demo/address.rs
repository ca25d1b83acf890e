//! Where a cluster is, as `--engine` says it; a user and a password in it go into requests and are never shown.

use std::{fmt, str::FromStr};

use percent_encoding::percent_decode_str;
use reqwest::Url;

/// An http or https address without a slash at its end.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    url: String,
    credentials: Option<Credentials>,
}

/// What a cluster asks for.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

// === impl Address ===

impl Address {
    /// Returns the address without the credentials.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Returns another address for the same credentials: Podium's in front of this one.
    pub(super) fn at(&self, url: String) -> Self {
        Self { url, credentials: self.credentials.clone() }
    }
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANTED: &str = "write an http or https address, such as http://127.0.0.1:9200";
        let mut url: Url = text.parse().map_err(|_| WANTED)?;
        if !["http", "https"].contains(&url.scheme()) || !url.has_host() {
            return Err(WANTED);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("the address must end with the path: no query and no fragment");
        }
        let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let credentials = (!url.username().is_empty())
            .then(|| Credentials { user: decoded(url.username()), password: decoded(url.password().unwrap_or_default()) });
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| WANTED)?;
        Ok(Self { url: url.as_str().trim_end_matches('/').to_owned(), credentials })
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url)
    }
}

#[cfg(test)]
mod tests {
    use super::Address;

    #[test]
    fn credentials_are_taken_out_and_not_shown() {
        let address: Address = "https://elastic:s%40cret@search.example:9200/es/".parse().expect("an address");
        assert_eq!(address.url(), "https://search.example:9200/es");
        let credentials = address.credentials().expect("a user and a password");
        assert_eq!((credentials.user.as_str(), credentials.password.as_str()), ("elastic", "s@cret"));
        assert_eq!(format!("{address:?}"), "https://search.example:9200/es");
        assert_eq!("http://127.0.0.1:9200".parse::<Address>().expect("an address").url(), "http://127.0.0.1:9200");
    }

    #[test]
    fn what_is_no_address_of_a_cluster_is_refused() {
        for wrong in ["localhost:9200", "ftp://host", "http://", "9200", "http://host/?q=1"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
