//! Lists of Artifacts, filtered and paged.

use rota_store::TenantTx;
use rota_types::Page;
use sqlx::{Postgres, QueryBuilder};

use super::{anywhere, artifacts::Row, bounds, escape};
use crate::model::artifact::{Artifact, ArtifactFilter, ArtifactOrder, NameMatch};

/// The Artifacts that pass the filter, and how many there are on all pages.
pub(crate) async fn list(
    tx: &mut TenantTx,
    filter: &ArtifactFilter,
    page: Option<Page>,
) -> Result<(Vec<Artifact>, i64), sqlx::Error> {
    let mut count = QueryBuilder::new("select count(*) from deployments.artifacts a where ");
    push_conditions(&mut count, filter);
    let total: i64 = count.build_query_scalar().fetch_one(&mut **tx).await?;

    let mut query = QueryBuilder::new(
        "select id, name, description, format_version, signed, provides, depends,
                clears_provides, updates, size_bytes, blob_id, modified_at
         from deployments.artifacts a where ",
    );
    push_conditions(&mut query, filter);
    let order = match filter.order {
        ArtifactOrder::Name => "name",
        ArtifactOrder::Modified => "modified_at",
    };
    query.push(" order by ").push(order).push(" ").push(filter.direction.sql()).push(", id");
    let (limit, offset) = bounds(page);
    query.push(" limit ").push_bind(limit).push(" offset ").push_bind(offset);
    let rows: Vec<Row> = query.build_query_as().fetch_all(&mut **tx).await?;
    let artifacts = rows.into_iter().map(Artifact::try_from).collect::<Result<_, _>>()?;
    Ok((artifacts, total))
}

fn push_conditions(query: &mut QueryBuilder<Postgres>, filter: &ArtifactFilter) {
    query.push("deleted_at is null");
    if !filter.names.is_empty() {
        push_names(query, &filter.names, filter.name_match);
    }
    push_description_and_type(query, &filter.description, &filter.device_type);
}

/// Conditions that lists of releases have, too, on the alias `a`.
pub(super) fn push_description_and_type(
    query: &mut QueryBuilder<Postgres>,
    description: &str,
    device_type: &str,
) {
    if !description.is_empty() {
        query.push(" and a.description ilike ").push_bind(anywhere(description));
    }
    if !device_type.is_empty() {
        query.push(" and ").push_bind(device_type.to_owned()).push(" = any(a.device_types)");
    }
}

fn push_names(query: &mut QueryBuilder<Postgres>, names: &[String], name_match: NameMatch) {
    query.push(" and (false");
    for name in names {
        match name_match {
            NameMatch::Substring => {
                query.push(" or a.name ilike ").push_bind(anywhere(name));
            }
            NameMatch::ExactOrPrefix => match NamePattern::parse(name) {
                NamePattern::Exactly(name) => {
                    query.push(" or a.name = ").push_bind(name);
                }
                NamePattern::Prefix(prefix) => {
                    query.push(" or a.name like ").push_bind(format!("{}%", escape(&prefix)));
                }
            },
        }
    }
    query.push(")");
}

/// What a name in a query stands for.
#[derive(Debug, PartialEq, Eq)]
enum NamePattern {
    Exactly(String),
    Prefix(String),
}

impl NamePattern {
    fn parse(name: &str) -> Self {
        match name.strip_suffix('*') {
            Some(escaped) if escaped.ends_with('\\') => {
                Self::Exactly(format!("{}*", &escaped[..escaped.len() - 1]))
            }
            Some(prefix) => Self::Prefix(prefix.to_owned()),
            None => Self::Exactly(name.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_the_end_makes_a_prefix_unless_escaped() {
        let exactly = |name: &str| NamePattern::Exactly(name.to_owned());
        assert_eq!(NamePattern::parse("app"), exactly("app"));
        assert_eq!(NamePattern::parse("a*p"), exactly("a*p"));
        assert_eq!(NamePattern::parse("app*"), NamePattern::Prefix("app".to_owned()));
        assert_eq!(NamePattern::parse("*"), NamePattern::Prefix(String::new()));
        assert_eq!(NamePattern::parse(r"app\*"), exactly("app*"));
    }
}
