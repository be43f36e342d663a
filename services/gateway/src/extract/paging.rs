//! Pages of lists: which one is asked for, and the headers that lead to the others.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
};
use rota_types::{InvalidPage, MAX_PER_PAGE, Page};
use utoipa::IntoParams;

use super::{Query, query::invalid};
use crate::error::Problem;

const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// The size of a page for which none is asked (server API, common HTTP rules).
const DEFAULT_PER_PAGE: u32 = 20;

/// The largest page of a device's history (server API, deployments: management).
const MAX_HISTORY_PAGE: u32 = 20;

/// The parameters of a paged list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documentation of what `Paging` reads")]
pub(crate) struct PagingParameters {
    /// From 1; 1 by default.
    #[param(minimum = 1)]
    page: Option<u32>,
    /// 20 by default.
    #[param(minimum = 1, maximum = 500)]
    per_page: Option<u32>,
}

/// The page that is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Paging {
    page: Page,
    path: String,
    query: Query,
}

impl Paging {
    /// Reads the page's number and size; `max` bounds the size, in rows.
    fn read(parts: &Parts, max: u32) -> Result<Self, Problem> {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let number = positive(&query, "page")?.unwrap_or(1);
        let size = positive(&query, "per_page")?.unwrap_or(DEFAULT_PER_PAGE);
        Ok(Self { page: Page::new(number, size, max)?, path: parts.uri.path().to_owned(), query })
    }

    /// From 1.
    pub(crate) const fn number(&self) -> u32 {
        self.page.number()
    }

    /// Rows a page.
    pub(crate) const fn size(&self) -> u32 {
        self.page.size()
    }

    /// The headers of a list that has `total` rows on all its pages.
    pub(crate) fn of_total(&self, total: i64) -> HeaderMap {
        let last = (total.max(1) - 1) / i64::from(self.size()) + 1;
        let mut headers = self.links(i64::from(self.number()) < last);
        headers.append(header::LINK, self.link(last, "last"));
        headers.insert(TOTAL_COUNT, total.into());
        headers
    }

    /// The headers of a list of which no more is known than whether it goes on.
    pub(crate) fn of_more(&self, more: bool) -> HeaderMap {
        self.links(more)
    }

    /// One `Link` header for each of the pages around this one.
    fn links(&self, more: bool) -> HeaderMap {
        let number = i64::from(self.number());
        let mut headers = HeaderMap::new();
        headers.append(header::LINK, self.link(1, "first"));
        if number > 1 {
            headers.append(header::LINK, self.link(number - 1, "prev"));
        }
        if more {
            headers.append(header::LINK, self.link(number + 1, "next"));
        }
        headers
    }

    fn link(&self, page: i64, relation: &str) -> HeaderValue {
        let (page, size) = (page.to_string(), self.size().to_string());
        let query = self.query.with(&[("page", &page), ("per_page", &size)]);
        HeaderValue::try_from(format!("<{}?{query}>; rel=\"{relation}\"", self.path))
            .expect("a path that came over HTTP and an encoded query are visible ASCII")
    }
}

/// The header of a list whose pages are not linked.
pub(crate) fn total_count(total: i64) -> (HeaderName, HeaderValue) {
    (TOTAL_COUNT, total.into())
}

/// A number from 1, if the parameter is there.
fn positive(query: &Query, parameter: &'static str) -> Result<Option<u32>, Problem> {
    let Some(text) = query.first(parameter) else { return Ok(None) };
    let number: i64 = text.parse().map_err(|_| invalid(parameter, text))?;
    if number < 1 {
        return Err(InvalidPage::Zero { parameter }.into());
    }
    u32::try_from(number).map(Some).map_err(|_| invalid(parameter, text))
}

impl<S: Sync> FromRequestParts<S> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::read(parts, MAX_PER_PAGE)
    }
}

/// A page of a device's history, which is smaller than others.
pub(crate) struct HistoryPaging(pub(crate) Paging);

impl<S: Sync> FromRequestParts<S> for HistoryPaging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Paging::read(parts, MAX_HISTORY_PAGE).map(Self)
    }
}

/// A page of the v2 releases: one that is too large becomes one of the default size.
pub(crate) struct ReleasePaging(pub(crate) Paging);

impl<S: Sync> FromRequestParts<S> for ReleasePaging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut paging = Paging::read(parts, u32::MAX)?;
        if paging.size() > MAX_PER_PAGE {
            paging.page = Page::new(paging.number(), DEFAULT_PER_PAGE, MAX_PER_PAGE)?;
        }
        Ok(Self(paging))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn read(uri: &str) -> Result<Paging, Problem> {
        Paging::read(&Request::get(uri).body(()).unwrap().into_parts().0, MAX_PER_PAGE)
    }

    fn links(headers: &HeaderMap) -> Vec<&str> {
        headers.get_all(header::LINK).iter().map(|link| link.to_str().unwrap()).collect()
    }

    #[test]
    fn a_page_in_the_middle_leads_everywhere() {
        let paging = read("/list?name=b&page=2&per_page=10&name=a").unwrap();
        let headers = paging.of_total(35);
        assert_eq!(
            links(&headers),
            [
                "</list?name=b&name=a&page=1&per_page=10>; rel=\"first\"",
                "</list?name=b&name=a&page=1&per_page=10>; rel=\"prev\"",
                "</list?name=b&name=a&page=3&per_page=10>; rel=\"next\"",
                "</list?name=b&name=a&page=4&per_page=10>; rel=\"last\"",
            ]
        );
        assert_eq!(headers[TOTAL_COUNT], "35");
    }

    #[test]
    fn an_empty_list_has_one_page() {
        let headers = read("/list").unwrap().of_total(0);
        assert_eq!(
            links(&headers),
            [
                "</list?page=1&per_page=20>; rel=\"first\"",
                "</list?page=1&per_page=20>; rel=\"last\""
            ]
        );
    }

    #[test]
    fn without_a_total_there_is_no_last() {
        let headers = read("/list?page=3").unwrap().of_more(true);
        assert_eq!(links(&headers).len(), 3);
        assert!(!headers.contains_key(TOTAL_COUNT));
    }

    #[test]
    fn wrong_pages_are_refused_in_the_words_of_the_api() {
        let error = |uri| read(uri).unwrap_err().sentence().to_owned();
        assert_eq!(error("/?page=x"), r#"invalid page query: "x""#);
        let positive = "invalid page query: value must be a non-zero positive integer";
        assert_eq!(error("/?page=0"), positive);
        assert_eq!(error("/?page=-3"), positive);
        assert_eq!(error("/?per_page=501"), r#"parameter "per_page" above limit (max: 500)"#);
        assert_eq!(error("/?per_page=99999999999"), r#"invalid per_page query: "99999999999""#);
        assert_eq!(read("/?page=&per_page=").unwrap().size(), 20);
    }
}
