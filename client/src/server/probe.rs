//! Whether something that speaks HTTP is where a server is said to be.

use std::time::Duration;

use ureq::http::Method;

use super::{
    HttpError, ServerError, SessionSettings,
    http::{Circumstances, Http},
};
use crate::{log::Log, wake::Wake};

/// A server that takes longer is as good as none to somebody who waits for the answer.
const SILENCE: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(30);

/// Asks a server for anything at all. Whatever it answers shows that it can be reached, and that it
/// is trusted.
pub fn probe(
    server: &str,
    settings: &SessionSettings,
    wake: &Wake,
    log: &Log,
) -> Result<(), ServerError> {
    let http = Http::new(&Circumstances {
        trust: settings.trust.clone(),
        silence: SILENCE,
        request: LIMIT,
        time: settings.time.clone(),
        wake: wake.clone(),
        log: log.clone(),
    })?;
    let answer = http.request(&Method::GET, &format!("{server}/"), &[], b"");
    answer.map(|_whatever| ()).map_err(|error: HttpError| error.into())
}
