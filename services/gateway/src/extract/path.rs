//! What a path names.

use axum::{extract::FromRequestParts, http::request::Parts};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::error::Problem;

/// The parameters of a path, decoded.
pub(crate) struct Path<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(parameters)) => Ok(Self(parameters)),
            Err(_) => Err(Problem::invalid("the path is not UTF-8")),
        }
    }
}

/// The one id that a path names, in its customary spelling. Anything else than a UUID is
/// refused in the words of the deployments API.
pub(crate) struct Id(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(id) = Path::<String>::from_request_parts(parts, state).await?;
        match Uuid::parse_str(&id) {
            Ok(id) => Ok(Self(id.to_string())),
            Err(_) => Err(Problem::invalid("ID is not a valid UUID")),
        }
    }
}
