//! The query of a request: names that may repeat, values as text.

use std::convert::Infallible;

use axum::{extract::FromRequestParts, http::request::Parts};
use chrono::DateTime;

use crate::error::Problem;

/// The parameters in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first value of a parameter; an empty one counts as none.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        values.next().map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// [`Query::first`], or an empty text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.first(name).unwrap_or_default().to_owned()
    }

    /// Every value of a parameter that is not empty.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(key, value)| key == name && !value.is_empty());
        values.map(|(_, value)| value.clone()).collect()
    }

    /// Every parameter.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Seconds since 1970 (UTC), within what a calendar can say.
    pub(crate) fn seconds(&self, name: &str) -> Result<Option<i64>, Problem> {
        let Some(text) = self.first(name) else { return Ok(None) };
        let seconds = text.parse().ok().filter(|s| DateTime::from_timestamp(*s, 0).is_some());
        seconds.map(Some).ok_or_else(|| invalid(name, text))
    }

    /// A truth value in one of the spellings that Go's `ParseBool` knows.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.first(name) {
            None => Ok(None),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
            Some(text) => Err(invalid(name, text)),
        }
    }

    /// One of `words`, each meaning something; absent: `T`'s default.
    pub(crate) fn word<T: Copy + Default>(
        &self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<T, Problem> {
        let Some(text) = self.first(name) else { return Ok(T::default()) };
        let meaning = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        meaning.ok_or_else(|| invalid(name, text))
    }

    /// The same query with other values for some parameters, its names in order, encoded.
    pub(crate) fn with(&self, changes: &[(&str, &str)]) -> String {
        let kept = self.iter().filter(|(name, _)| changes.iter().all(|change| change.0 != *name));
        let mut pairs: Vec<_> = kept.chain(changes.iter().copied()).collect();
        pairs.sort_by_key(|(name, _)| *name);
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }
}

/// 400 for a parameter with such a value.
pub(crate) fn invalid(name: &str, value: &str) -> Problem {
    Problem::invalid(format!("invalid {name} query: {value:?}"))
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_repeat_and_values_are_decoded() {
        let query = Query::parse("id=a&id=b%20c&id=&name=x+y");
        assert_eq!(query.all("id"), ["a", "b c"]);
        assert_eq!(query.first("name"), Some("x y"));
        assert_eq!(query.first("none"), None);
        assert_eq!(query.with(&[("page", "2")]), "id=a&id=b+c&id=&name=x+y&page=2");
    }

    #[test]
    fn values_of_a_wrong_kind_are_refused() {
        let query = Query::parse("after=x&before=99999999999999999&at=12&flag=yes&sort=up");
        assert!(query.seconds("after").is_err());
        assert!(query.seconds("before").is_err());
        assert_eq!(query.seconds("at").unwrap(), Some(12));
        assert!(query.flag("flag").is_err());
        assert!(query.word("sort", &[("asc", true), ("desc", false)]).is_err());
        assert!(!query.word("none", &[("asc", true)]).unwrap());
    }
}
